/** How long to wait before something is tried again: longer and longer, and never all at the same moment. */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const FIRST_MS = 1_000;
const LAST_MS = 300_000;
const DOUBLINGS = 20;

/** After `failures` in a row, 1 and more: between half and all of what doubles each time, at most five minutes. */
export function backoffMs(failures: number): number {
  const fullMs = Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(Math.max(0, failures - 1), DOUBLINGS));
  return randomInt(Math.floor(fullMs / 2), fullMs + 1);
}

/** Rejects when `signal` aborts. */
export const wait = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, undefined, { signal });
