/**
 * The parts of a poll that read /proc, in a process of its own, on the agent's own code: prints JSON. Arguments: the
 * pids that hold GPUs. Virtual time moves by the default pace, so that what is read again only every half-minute counts
 * as often as it does in an agent; between calls the process rests, so that caches are no warmer than there.
 */
import { setTimeout as rest } from 'node:timers/promises';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable } from '../../collector/processes.ts';

const POLL_MS = 5000;
const SWEEP_MS = 10_000;
const REST_MS = 20;
const OBSERVATIONS = 240;
const SWEEPS = 32;

/** Microseconds of CPU that the main thread spent in `act`. */
function micros(act: () => unknown): number {
  const before = process.threadCpuUsage();
  act();
  const { user, system } = process.threadCpuUsage(before);
  return user + system;
}
const mean = (values: readonly number[]): number =>
  Math.round(values.reduce((sum, value) => sum + value, 0) / values.length);
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

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
  // The first ones compile; an agent has that behind it after some minutes.
  const settled = each.slice(OBSERVATIONS / 2);
  return { pids: pids.length, firstMicros, meanMicros: mean(settled), medianMicros: median(settled) };
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
  return { firstMicros, meanMicros: mean(each), medianMicros: median(each) };
}

const pids = process.argv.slice(2).map(Number);
const result = {
  eight: await observing(pids.slice(0, 8)),
  all: await observing(pids),
  sweep: { ...(await sweeping(pids)), everyMs: SWEEP_MS },
};
process.stdout.write(`${JSON.stringify(result)}\n`);
