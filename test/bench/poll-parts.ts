/**
 * The parts of a poll that read /proc, in a process of its own, on the agent's own code: prints JSON. Arguments: the
 * pids that hold GPUs. Once back to back, on warm caches, and once resting before each call, as an agent does; there,
 * virtual time moves by the default pace, so that what is read again each half-minute counts as often as in an agent.
 */
import { setTimeout as rest } from 'node:timers/promises';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable } from '../../collector/processes.ts';

const POLL_MS = 5000;
const SWEEP_MS = 10_000;
const REST_MS = 20;
const OBSERVATIONS = 240;
const BACK_TO_BACK = 4000;
const SWEEPS = 32;

/** The kernel brings a thread's CPU time up to date when the thread gives its core away; else only at its ticks. */
function settle(): void {
  Atomics.wait(NEVER, 0, 0, 0.05);
}
const NEVER = new Int32Array(new SharedArrayBuffer(4));

function settledMicros(act: () => unknown): number {
  settle();
  const before = process.threadCpuUsage();
  act();
  settle();
  const { user, system } = process.threadCpuUsage(before);
  return user + system;
}
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const nothing = mean(Array.from({ length: OBSERVATIONS }, () => settledMicros(() => undefined)));

/** Microseconds of CPU that the main thread spends in `act`, less what measuring takes. */
const micros = (act: () => unknown): number => Math.max(0, settledMicros(act) - nothing);
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const summary = (first: number, each: readonly number[]) => ({
  firstMicros: Math.round(first),
  meanMicros: Math.round(mean(each)),
  medianMicros: Math.round(median(each)),
});

function newTable() {
  return createProcessTable({ files, clock }, { procRoot: '/proc', passwdPath: '/etc/passwd' });
}

async function observing(pids: readonly number[]) {
  const table = newTable();
  let atMs = clock.wallMs();
  const firstMicros = micros(() => table.observe(pids, atMs));
  const each: number[] = [];
  for (let i = 0; i < OBSERVATIONS; i += 1) {
    await rest(REST_MS);
    atMs += POLL_MS;
    each.push(micros(() => table.observe(pids, atMs)));
  }
  const warm = (): number => {
    const before = process.threadCpuUsage();
    for (let i = 0; i < BACK_TO_BACK; i += 1) table.observe(pids, atMs);
    const { user, system } = process.threadCpuUsage(before);
    return Math.round((user + system) / BACK_TO_BACK);
  };
  // The first ones compile; an agent has that behind it after some minutes.
  const settled = each.slice(OBSERVATIONS / 2);
  return { pids: pids.length, warmMicros: warm(), ...summary(firstMicros, settled) };
}

async function sweeping(pids: readonly number[]) {
  const table = newTable();
  let atMs = clock.wallMs();
  table.observe(pids, atMs);
  const firstMicros = micros(() => table.readConnections(atMs));
  const each: number[] = [];
  for (let i = 0; i < SWEEPS; i += 1) {
    await rest(REST_MS);
    atMs += SWEEP_MS;
    each.push(micros(() => table.readConnections(atMs)));
  }
  return summary(firstMicros, each);
}

const pids = process.argv.slice(2).map(Number);
const result = {
  eight: await observing(pids.slice(0, 8)),
  all: await observing(pids),
  sweep: { ...(await sweeping(pids)), everyMs: SWEEP_MS },
};
process.stdout.write(`${JSON.stringify(result)}\n`);
