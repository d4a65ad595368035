/** Seals finished hours: their batches become one compressed record that still verifies. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { HOUR_MS } from '../contract/batch.ts';
import type { NodeHourKey } from '../store/batches.ts';
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

const nameOf = ({ node, hourMs }: NodeHourKey): string => `${node} ${hourMs}`;

export function createSealer(store: Store, clock: Clock, log: SealLog): Sealer {
  let timer: NodeJS.Timeout | null = null;
  let stopping = false;
  let running: Promise<unknown> = Promise.resolve();

  async function tick(): Promise<number> {
    const failed = new Set<string>();
    for (let sealed = 0; ; ) {
      const limit = HOURS_PER_ROUND + failed.size;
      const listed = await store.batches.listSealable(clock.nowMs() - SEAL_AFTER_MS, limit);
      for (const hour of listed) {
        if (failed.has(nameOf(hour))) continue;
        if (stopping) return sealed;
        try {
          await store.batches.seal(hour, clock.nowMs());
          sealed += 1;
        } catch (error) {
          failed.add(nameOf(hour));
          log.error({ err: error, ...hour }, 'an hour could not be sealed: its batches stay as they came');
        }
        // Batches and pages must not wait for a whole round.
        await nextTurn();
      }
      if (listed.length < limit) return sealed;
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
