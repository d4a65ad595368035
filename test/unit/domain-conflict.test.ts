// Jobs that claim more of a device than there is: who, where, and how much time is divided.
import { expect, test } from 'vitest';
import { conflictsOf } from '../../api/domain/conflict.ts';
import type { Holding, Job } from '../../api/domain/job.ts';
import { HOUR_MS, holds, job, MINUTE_MS } from './domain-facts.ts';

const [a, b, c] = [job('1'), job('2'), job('3')];
const jobsOf = (...all: Job[]) => new Map(all.map((one) => [one.id, one]));
const cell = (device: string, holdings: Holding[], capacityToMs = HOUR_MS) => ({
  ...{ device, holdings, interval: { fromMs: 0, toMs: HOUR_MS } },
  ...{ capacity: [{ fromMs: 0, toMs: capacityToMs }], bookedToMs: 50 * MINUTE_MS },
});
const during = (of: Job, from: number, to: number, shareMilli = 1000): Holding =>
  holds(of, { fromMs: from * MINUTE_MS, toMs: to * MINUTE_MS, shareMilli });

test('the same jobs on several devices are one conflict, of the booked time that both hold', () => {
  const cells = [
    cell('GPU-2', [during(a, 0, 60), during(b, 20, 30), during(b, 40, 60)]),
    cell('GPU-1', [during(a, 0, 60), during(b, 10, 15)]),
    cell('GPU-3', [during(a, 0, 20), during(b, 20, 60)]),
  ];
  expect(conflictsOf(cells, jobsOf(a, b))).toEqual([
    {
      ...{ jobs: [a.id, b.id], devices: ['GPU-1', 'GPU-2'] },
      ...{ fromMs: 10 * MINUTE_MS, toMs: 50 * MINUTE_MS, ms: 25 * MINUTE_MS },
    },
  ]);
});

test('three at a time are another set than two, the first to begin comes first', () => {
  const cells = [cell('GPU-1', [during(b, 20, 40), during(c, 10, 40), during(a, 0, 30)])];
  const found = conflictsOf(cells, jobsOf(a, b, c));
  expect(found.map((one) => [one.jobs.join(), one.fromMs / MINUTE_MS, one.ms / MINUTE_MS])).toEqual([
    [`${a.id},${c.id}`, 10, 10],
    [`${a.id},${b.id},${c.id}`, 20, 10],
    [`${b.id},${c.id}`, 30, 10],
  ]);
});

test('shares that fit, jobs inside of each other and time without capacity are none', () => {
  const inner = job('9', { boundaries: [], startMs: 0 });
  expect(conflictsOf([cell('GPU-1', [during(a, 0, 60, 400), during(b, 0, 60, 600)])], jobsOf(a, b))).toEqual(
    [],
  );
  expect(conflictsOf([cell('GPU-1', [during(a, 0, 60), during(inner, 0, 60)])], jobsOf(a, inner))).toEqual(
    [],
  );
  const beside = cell('GPU-1', [during(a, 0, 60), during(b, 30, 60)], 30 * MINUTE_MS);
  expect(conflictsOf([beside], jobsOf(a, b))).toEqual([]);
  const twice = { ...cell('GPU-1', [during(a, 0, 60), during(b, 0, 60)]), capacity: [] };
  expect(conflictsOf([twice], jobsOf(a, b))).toEqual([]);
});

test('what divides between capacity is not counted', () => {
  const holed = {
    ...cell('GPU-1', [during(a, 0, 60), during(b, 0, 60)]),
    capacity: [
      { fromMs: 0, toMs: 10 * MINUTE_MS },
      { fromMs: 20 * MINUTE_MS, toMs: 30 * MINUTE_MS },
    ],
  };
  expect(conflictsOf([holed], jobsOf(a, b))).toMatchObject([
    { fromMs: 0, toMs: 30 * MINUTE_MS, ms: 20 * MINUTE_MS },
  ]);
});
