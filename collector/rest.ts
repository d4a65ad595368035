/** The time between two polls, in which it is looked again and again who has ended: next to nothing beside asking nvidia-smi. */
import type { AgentClock } from './ports.ts';

const MIN_PAUSE_MS = 50;
/** The time between two looks is as long at most. */
const LOOK_MS = 2000;

/** Resolves when the time is over, or the signal aborts. `look` null: there is nobody to look for. */
export async function rest(
  clock: AgentClock,
  pauseMs: number,
  signal: AbortSignal,
  look: (() => void) | null,
): Promise<void> {
  const wholeMs = Math.max(MIN_PAUSE_MS, pauseMs);
  const parts = look === null ? 1 : Math.ceil(wholeMs / LOOK_MS);
  for (let part = 1; part <= parts && !signal.aborted; part += 1) {
    await clock.sleep(wholeMs / parts, signal);
    // The poll that follows looks by itself.
    if (part < parts) look?.();
  }
}
