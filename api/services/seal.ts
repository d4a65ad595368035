/** Seals finished hours: their batches become one compressed record that still verifies. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { HOUR_MS } from '../contract/batch.ts';
import type { Store } from '../store/store.ts';

/** An hour is sealed this long after it ended: late batches are rare by then, and still taken. */
export const SEAL_AFTER_MS = 2 * HOUR_MS;
const TICK_MS = 60_000;
const HOURS_PER_ROUND = 32;

export interface SealLog {
  error(details: object, message: string): void;
}

export interface Sealer {
  start(): void;
  stop(): Promise<void>;
  /** Seals everything that is due. Returns how many hours that were. */
  tick(): Promise<number>;
}

export function createSealer(store: Store, clock: Clock, log: SealLog): Sealer {
  let timer: NodeJS.Timeout | null = null;
  let stopping = false;
  let running: Promise<unknown> = Promise.resolve();

  async function tick(): Promise<number> {
    for (let sealed = 0; ; ) {
      const hours = await store.batches.listSealable(clock.nowMs() - SEAL_AFTER_MS, HOURS_PER_ROUND);
      for (const hour of hours) {
        if (stopping) return sealed;
        await store.batches.seal(hour, clock.nowMs());
        sealed += 1;
        // Batches and pages must not wait for a whole round.
        await nextTurn();
      }
      if (hours.length < HOURS_PER_ROUND) return sealed;
    }
  }

  return {
    tick,
    start() {
      stopping = false;
      const look = (): void => {
        running = tick()
          .catch((error) => log.error({ err: error }, 'hours could not be sealed'))
          .finally(() => {
            if (!stopping) timer = setTimeout(look, TICK_MS);
          });
      };
      timer = setTimeout(look, TICK_MS);
    },
    async stop() {
      stopping = true;
      if (timer !== null) clearTimeout(timer);
      await running;
    },
  };
}
