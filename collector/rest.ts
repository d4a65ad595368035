/** The time between two polls, in which it is looked again and again who has ended: next to nothing beside asking nvidia-smi. */
import type { AgentClock } from './ports.ts';

const MIN_PAUSE_MS = 50;
const LOOK_MS = 2000;

/** Resolves when the time is over, or the signal aborts. `look` null: there is nobody to look for. */
export async function rest(
  clock: AgentClock,
  pauseMs: number,
  signal: AbortSignal,
  look: (() => void) | null,
): Promise<void> {
  const wholeMs = Math.max(MIN_PAUSE_MS, pauseMs);
  if (look === null) return clock.sleep(wholeMs, signal);
  for (let leftMs = wholeMs; leftMs > 0 && !signal.aborted; leftMs -= LOOK_MS) {
    await clock.sleep(Math.min(leftMs, LOOK_MS), signal);
    look();
  }
}
