// What becomes of readings that contradict themselves, of partitions, and of processes that only accounting tells of.
import { describe, expect, test } from 'vitest';
import { ACCOUNTED_TYPE } from '../../api/contract/batch.ts';
import type { EndedTenant } from '../../collector/parts.ts';
import { AT_REST, AT_WORK, GPU, type Poll, play, sum } from './span-polls.ts';

const conflictOf = (polls: readonly Poll[]): number =>
  sum(play(polls).tenancies.flatMap((one) => one.conflictMs));
const WORKS: Poll = { power: AT_WORK };
const RESTS: Poll = { power: AT_REST };

describe('power without utilisation', () => {
  test('is a conflict from the first of two readings in a row on, until it ends', () => {
    const { tenancies, gaps } = play([RESTS, RESTS, WORKS, WORKS, WORKS, RESTS]);
    expect(gaps).toEqual([]);
    expect(sum(tenancies.flatMap((one) => one.lengthMs))).toBe(25_000);
    expect(sum(tenancies.flatMap((one) => one.activeMs ?? []))).toBe(0);
    expect(sum(tenancies.flatMap((one) => one.conflictMs))).toBe(15_000);
  });

  test('is none in one reading: what cools down is no conflict', () => {
    expect(conflictOf([{ percent: 90, pids: [1], power: AT_WORK }, WORKS, RESTS])).toBe(0);
    expect(conflictOf([RESTS, WORKS, RESTS, WORKS, RESTS])).toBe(0);
  });

  test('is one too where next to none is claimed: what is left is in conflict, and nothing at a little more', () => {
    const of = (percent: number) => {
      const poll: Poll = { percent, power: AT_WORK };
      const { tenancies } = play([RESTS, poll, poll, poll, poll]);
      return [
        sum(tenancies.flatMap((one) => one.activeMs ?? [])),
        sum(tenancies.flatMap((one) => one.conflictMs)),
      ];
    };
    expect(of(1)).toEqual([200, 19_800]);
    expect(of(5)).toEqual([1000, 19_000]);
    expect(of(6)).toEqual([1200, 0]);
  });

  test('is none where the little is what somebody left behind', () => {
    const left: Poll[] = [{ percent: 90, pids: [1], power: AT_WORK }, { percent: 3, power: AT_WORK }, RESTS];
    expect(conflictOf(left)).toBe(0);
    expect(sum(play(left).tenancies.flatMap((one) => one.activeMs ?? []))).toBe(150);
  });

  test('is one too when processes are listed, and stands in their spans', () => {
    const seen = play([{ pids: [1] }, { pids: [1], ...WORKS }, { pids: [1], ...WORKS }]).tenancies;
    expect(seen).toMatchObject([
      {
        tenants: [{ process: '1/1' }],
        lengthMs: [10_000],
        activeMs: [0],
        shareMs: [[0]],
        conflictMs: [10_000],
      },
    ]);
  });

  test('counts from the start of a process that came with it', () => {
    const seen = play([
      RESTS,
      { pids: [1], startedMs: 2000, ...WORKS },
      { pids: [1], startedMs: 2000, ...WORKS },
    ]).tenancies;
    expect(seen.map(({ tenants, lengthMs, conflictMs }) => [tenants.length, lengthMs, conflictMs])).toEqual([
      [0, [2000], []],
      [1, [8000], [8000]],
    ]);
  });

  test('confirms work that shows no process, and is confirmed by it', () => {
    const { tenancies } = play([RESTS, { percent: 50, power: AT_WORK }, WORKS, RESTS]);
    expect(sum(tenancies.flatMap((one) => one.activeMs ?? []))).toBe(2500);
    expect(sum(tenancies.flatMap((one) => one.conflictMs))).toBe(5000);
  });

  test('is never confirmed across a reading that failed or came late: that time is not measured', () => {
    expect(play([RESTS, WORKS, { failed: true }, WORKS, RESTS])).toMatchObject({
      gaps: [{ fromMs: 0, toMs: 15_000, reason: 'tool_timeout' }],
      tenancies: [{ lengthMs: [5000], conflictMs: [] }],
    });
    const late = play([RESTS, WORKS, { ...WORKS, afterMs: 60_000 }, RESTS]);
    expect(late.gaps).toMatchObject([{ fromMs: 0, toMs: 65_000, reason: 'poll_late' }]);
    expect(sum(late.tenancies.flatMap((one) => one.conflictMs))).toBe(0);
  });

  test('is confirmed by the first two readings that there are, also after one that failed or came late', () => {
    expect(conflictOf([WORKS, WORKS, RESTS])).toBe(5000);
    expect(conflictOf([RESTS, { failed: true }, WORKS, WORKS, RESTS])).toBe(5000);
    expect(conflictOf([RESTS, { ...WORKS, afterMs: 60_000 }, WORKS, RESTS])).toBe(5000);
  });

  test('is not said where the utilisation is not known', () => {
    const seen = play(
      [1, 2, 3].map(() => ({ percent: null, power: AT_WORK, partition: [{ gpuInstance: 1, slices: 7 }] })),
    ).tenancies;
    expect(seen).toMatchObject([{ activeMs: null, conflictMs: [] }]);
  });

  test('does not spoil the spans beside it: they are cut at the window', () => {
    const polls = [
      ...Array<Poll>(8).fill(RESTS),
      ...Array<Poll>(8).fill(WORKS),
      ...Array<Poll>(8).fill(RESTS),
    ];
    const seen = play(polls).tenancies;
    expect(seen).toHaveLength(1);
    expect(sum(seen[0]?.lengthMs ?? [])).toBe(115_000);
    expect(seen[0]?.conflictMs).toEqual([0, 25_000, 15_000, 0]);
  });
});

describe('a process that only accounting tells of', () => {
  const burst = (openMs: number, busyPercent: number | null, process = '77/?1'): EndedTenant => ({
    ...{ process, type: ACCOUNTED_TYPE, stayed: false, openMs, busyPercent, memoryBytes: 9 },
  });
  const shown = (polls: readonly Poll[]) =>
    play(polls).tenancies.map(({ tenants, startMs, lengthMs, activeMs, shareMs }) => [
      tenants.map(({ process, type }) => `${process} ${type}`).join(', '),
      startMs,
      lengthMs,
      activeMs,
      shareMs,
    ]);

  test('has the end of the interval in which it ended', () => {
    expect(shown([RESTS, { ended: [burst(2000, 80)] }, RESTS])).toEqual([
      ['', 0, [3000], [0], []],
      ['77/?1 A', 3000, [2000], [1600], [[1600]]],
      ['', 5000, [5000], [0], []],
    ]);
  });

  test('has all of it, and not more, where it was open for longer', () => {
    expect(shown([RESTS, RESTS, { ended: [burst(600_000, 50)] }])).toEqual([
      ['', 0, [5000], [0], []],
      ['77/?1 A', 5000, [5000], [2500], [[2500]]],
    ]);
  });

  test('shares with those that are there, by how busy they were', () => {
    const live = [{ pid: 1, gpuInstance: 0, sm: 30 }];
    const seen = shown([
      { pids: live, percent: 40 },
      { pids: live, percent: 40, ended: [burst(1000, 60)] },
    ]);
    expect(seen).toEqual([
      ['1/1 C', 0, [4000], [1600], [[1600]]],
      ['1/1 C, 77/?1 A', 4000, [1000], [600], [[200], [400]]],
    ]);
  });

  test('has nothing of their work where it was not seen busy, or nobody knows', () => {
    for (const busy of [0, null]) {
      expect(
        shown([
          { pids: [1, 2], percent: 40 },
          { pids: [1, 2], percent: 40, ended: [burst(1000, busy)] },
        ]),
      ).toEqual([
        ['1/1 C, 2/1 C', 0, [4000], [1600], [[800], [800]]],
        ['1/1 C, 2/1 C, 77/?1 A', 4000, [1000], [400], [[200], [200], [0]]],
      ]);
    }
  });

  test('is one of several: they follow each other where they fit, and never more than there is', () => {
    expect(
      shown([RESTS, { ended: [burst(3000, 100), burst(1000, 100, '78/?1'), burst(9000, 50, '79/?1')] }]),
    ).toEqual([
      ['79/?1 A', 0, [1000], [500], [[500]]],
      ['78/?1 A, 79/?1 A', 1000, [1000], [1000], [[667], [333]]],
      ['77/?1 A, 79/?1 A', 2000, [3000], [3000], [[2000], [1000]]],
    ]);
  });

  test('that a reading saw has the beginning of the interval in which it left, for what is left of its open time', () => {
    const left = { ...burst(2000, 80, '1/1'), type: 'C', stayed: true };
    expect(shown([{ pids: [1], percent: 80 }, { ended: [left] }, RESTS])).toEqual([
      ['1/1 C', 0, [2000], [1600], [[1600]]],
      ['', 2000, [8000], [0], []],
    ]);
    // Where the reading still shows its work, that is at least what the driver says.
    expect(shown([{ pids: [1], percent: 80 }, { percent: 10, ended: [left] }, RESTS])).toEqual([
      ['1/1 C', 0, [5000], [1900], [[1900]]],
      ['', 5000, [5000], [0], []],
    ]);
  });

  test('does not clear what works without a process in the rest of the time', () => {
    const work = { percent: 90, ended: [burst(1000, 10)] };
    const { tenancies } = play([RESTS, work, { percent: 90 }, RESTS]);
    const ghost = tenancies.filter(({ tenants }) => tenants.length === 0);
    expect(sum(ghost.flatMap((one) => one.activeMs ?? []))).toBe(3600 + 4500);
  });

  test('gives nothing where the interval was not measured', () => {
    expect(play([RESTS, { failed: true }, { ended: [burst(1000, 100)] }])).toMatchObject({
      tenancies: [],
      gaps: [{ fromMs: 0, toMs: 10_000 }],
    });
  });

  test('are at most as many as one interval can hold, the busiest and longest', () => {
    const many = Array.from({ length: 600 }, (_, i) => burst(100 + i, i === 5 ? 100 : 0, `${i}/?1`));
    const { tenancies } = play([RESTS, { ended: many }]);
    const placed = new Set(tenancies.flatMap(({ tenants }) => tenants.map(({ process }) => process)));
    expect(placed.size).toBe(16);
    expect(placed.has('5/?1')).toBe(true);
    expect(placed.has('599/?1')).toBe(true);
  });
});

describe('a divided device', () => {
  const partition = [
    { gpuInstance: 1, slices: 3 },
    { gpuInstance: 2, slices: 4 },
  ];
  const divided = { percent: null, partition };

  test('is told with its instances, and each tenant with its own; a process in two is in both', () => {
    const pids = [
      { pid: 1, gpuInstance: 1 },
      { pid: 1, gpuInstance: 2 },
      { pid: 2, gpuInstance: 2 },
    ];
    const { tenancies, gaps } = play([1, 2, 3].map(() => ({ ...divided, pids })));
    expect(gaps).toEqual([]);
    expect(tenancies).toMatchObject([
      {
        partition,
        lengthMs: [10_000],
        activeMs: null,
        shareMs: [],
        tenants: [
          { process: '1/1', gpuInstance: 1 },
          { process: '1/1', gpuInstance: 2 },
          { process: '2/1', gpuInstance: 2 },
        ],
      },
    ]);
  });

  test('is another set of tenants when a process moves to another instance', () => {
    const at = (gpuInstance: number): Poll => ({ ...divided, pids: [{ pid: 1, gpuInstance }] });
    const { tenancies } = play([at(1), at(1), at(2)]);
    expect(tenancies.map(({ tenants, lengthMs }) => [tenants[0]?.gpuInstance, lengthMs])).toEqual([
      [1, [5000]],
      [2, [5000]],
    ]);
  });

  test('is not measured in the interval in which it was divided anew, or is no longer', () => {
    const whole = { percent: null, partition: [{ gpuInstance: 0, slices: 7 }] };
    const { tenancies, gaps } = play([divided, divided, whole, whole, RESTS, RESTS]);
    expect(gaps).toEqual([
      {
        ...{ device: GPU, fromMs: 5000, toMs: 10_000, reason: 'value_unknown' },
        detail: 'MIG instances changed from 1 (3 slices), 2 (4 slices) to 0 (7 slices)',
      },
      {
        ...{ device: GPU, fromMs: 15_000, toMs: 20_000, reason: 'value_unknown' },
        detail: 'MIG instances changed from 0 (7 slices) to none',
      },
    ]);
    expect(tenancies.map((one) => [one.startMs, one.partition.length])).toEqual([
      [0, 2],
      [10_000, 1],
      [20_000, 0],
    ]);
  });
});

test("a process's type is kept while the answer that tells types fails, also over a gap; a new process has none", () => {
  const told: Poll = { percent: 50, pids: [1] };
  const untold: Poll = { percent: 50, pids: [1, 2], untold: true };
  const { tenancies } = play([told, told, untold, { failed: true }, untold, untold]);
  const types = tenancies.map(({ tenants }) => tenants.map(({ process, type }) => [process, type]));
  expect(new Set(types.map((one) => JSON.stringify(one)))).toEqual(
    new Set(['[["1/1","C"]]', '[["1/1","C"],["2/1","?"]]']),
  );
});
