/** Books the time of nodes that nobody reports as not measured. What arrives later takes its place. */
import type { Clock } from '../clock.ts';
import type { Store } from '../store/store.ts';
import type { Live } from './live.ts';

/** A node is silent when it is not heard for this long, or for four polls where that is longer. */
export const SILENT_AFTER_MS = 90_000;
const TICK_MS = 30_000;

export interface SilenceLog {
  error(details: object, message: string): void;
}

export interface Silence {
  /** Looks from now on; the first look comes after `SILENT_AFTER_MS`, so that agents can report after a restart. */
  start(): void;
  stop(): Promise<void>;
  /** One look. Returns how many nodes it booked. */
  tick(): Promise<number>;
}

export function createSilence(store: Store, clock: Clock, live: Live, log: SilenceLog): Silence {
  let timer: NodeJS.Timeout | null = null;
  let running: Promise<unknown> = Promise.resolve();

  async function tick(): Promise<number> {
    const nowMs = clock.nowMs();
    const silent = await store.fleet.listSilent(nowMs, SILENT_AFTER_MS);
    for (const node of silent) {
      await store.fleet.addSilence(node, { fromMs: node.bookedToMs, toMs: node.untilMs }, nowMs);
      live.publish({ type: 'node', node: node.name });
    }
    return silent.length;
  }

  return {
    tick,
    start() {
      const look = (): void => {
        running = tick().catch((error) => log.error({ err: error }, 'silent nodes could not be booked'));
        timer = setTimeout(look, TICK_MS);
      };
      timer = setTimeout(look, SILENT_AFTER_MS);
    },
    async stop() {
      if (timer !== null) clearTimeout(timer);
      await running;
    },
  };
}
