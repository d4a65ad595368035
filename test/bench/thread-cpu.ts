/** CPU time of this thread, in microseconds. */

/** The kernel brings a thread's CPU time up to date when the thread gives its core away; else only at its ticks. */
export function settle(): void {
  Atomics.wait(NEVER, 0, 0, 0.05);
}
const NEVER = new Int32Array(new SharedArrayBuffer(4));

export function threadMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}
