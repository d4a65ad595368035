/**
 * The part of a poll that reads /proc, in a process of its own, on the agent's own code: prints JSON. Arguments: the
 * pids that hold GPUs. Once back to back, on warm caches, and once resting before each call, as an agent does; there,
 * virtual time moves by the default pace, so that what is read again each half-minute counts as often as in an agent.
 */
import { setTimeout as rest } from 'node:timers/promises';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable } from '../../collector/processes.ts';
import { settle, threadMicros } from './thread-cpu.ts';

const POLL_MS = 5000;
const REST_MS = 250;
const OBSERVATIONS = 100;
const BACK_TO_BACK = 4000;

function settledMicros(act: () => unknown): number {
  settle();
  const before = threadMicros();
  act();
  settle();
  return threadMicros() - before;
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
    const before = threadMicros();
    for (let i = 0; i < BACK_TO_BACK; i += 1) table.observe(pids, atMs);
    return Math.round((threadMicros() - before) / BACK_TO_BACK);
  };
  // The first ones compile; an agent has that behind it after some minutes.
  const settled = each.slice(OBSERVATIONS / 2);
  return { pids: pids.length, warmMicros: warm(), ...summary(firstMicros, settled) };
}

const pids = process.argv.slice(2).map(Number);
const result = {
  eight: await observing(pids.slice(0, 8)),
  all: await observing(pids),
};
process.stdout.write(`${JSON.stringify(result)}\n`);
