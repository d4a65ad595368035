// What becomes of readings that contradict themselves, of partitions, and of processes that only accounting tells of.
import { describe, expect, test } from 'vitest';
import { ACCOUNTED_TYPE, type Gap, type Tenancy } from '../../api/contract/batch.ts';
import type { EndedTenant } from '../../collector/parts.ts';
import type { DeviceProcess, DeviceReading } from '../../collector/reading.ts';
import { createSpanBuilder } from '../../collector/spans.ts';

const GPU = 'GPU-a';
const START_MS = 1_790_002_800_000;
const POLL_MS = 5000;
const LIMIT = 700_000;
const AT_REST = 80_000;
const AT_WORK = 500_000;

interface Poll {
  readonly percent?: number | null;
  readonly power?: number;
  /** Pids, or a pid in a GPU instance. */
  readonly pids?: readonly (
    | number
    | { readonly pid: number; readonly gpuInstance: number; readonly sm?: number }
  )[];
  readonly partition?: readonly { readonly gpuInstance: number; readonly slices: number }[];
  readonly ended?: readonly EndedTenant[];
  readonly failed?: boolean;
  readonly afterMs?: number;
  readonly startedMs?: number;
}

function deviceOf(poll: Poll): DeviceReading {
  if (poll.failed) return { ok: false, uuid: GPU, reason: 'tool_timeout', detail: 'planted' };
  const { percent = 0, power = AT_REST, pids = [], partition = [] } = poll;
  return {
    ok: true,
    uuid: GPU,
    utilisationPercent: percent ?? { unknown: 'not measured under MIG' },
    memoryUsedBytes: 0,
    powerMilliwatts: power,
    powerLimitMilliwatts: LIMIT,
    partition,
    processes: pids.map((one): DeviceProcess => {
      const { pid, gpuInstance, sm = null } = typeof one === 'number' ? { pid: one, gpuInstance: null } : one;
      return { pid, type: 'C', smPercent: sm, memoryBytes: null, gpuInstance, computeInstance: null };
    }),
  };
}

/** Plays polls and takes everything; times are relative to the first one. */
function play(polls: readonly Poll[]): { tenancies: Tenancy[]; gaps: Gap[] } {
  const builder = createSpanBuilder({ pollIntervalMs: POLL_MS, windowMs: 30_000 });
  const tenancies: Tenancy[] = [];
  const gaps: Gap[] = [];
  let wallMs = START_MS;
  for (const [i, poll] of polls.entries()) {
    if (i > 0) wallMs += poll.afterMs ?? POLL_MS;
    const keys = new Map(
      (poll.pids ?? [])
        .map((one) => (typeof one === 'number' ? one : one.pid))
        .map((pid) => [pid, `${pid}/1`]),
    );
    const reading = {
      wallMs,
      monotonicMs: wallMs - START_MS,
      devices: [deviceOf(poll)],
      ended: [],
      problems: [],
    };
    const startedMs = poll.startedMs === undefined ? null : START_MS + poll.startedMs;
    builder.add(reading, keys, () => startedMs, new Map([[GPU, poll.ended ?? []]]));
  }
  for (let taken = builder.take(Infinity); taken !== null; taken = builder.take(Infinity)) {
    tenancies.push(...taken.tenancies.map((one) => ({ ...one, startMs: one.startMs - START_MS })));
    gaps.push(
      ...taken.gaps.map((gap) => ({ ...gap, fromMs: gap.fromMs - START_MS, toMs: gap.toMs - START_MS })),
    );
  }
  return { tenancies, gaps };
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
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
    expect(play([RESTS, WORKS, { failed: true }, WORKS, WORKS])).toMatchObject({
      gaps: [{ fromMs: 0, toMs: 15_000, reason: 'tool_timeout' }],
      tenancies: [],
    });
    const late = play([RESTS, WORKS, { ...WORKS, afterMs: 60_000 }, WORKS, RESTS]);
    expect(late.gaps).toMatchObject([{ fromMs: 0, toMs: 65_000, reason: 'poll_late' }]);
    expect(sum(late.tenancies.flatMap((one) => one.conflictMs))).toBe(0);
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

  test('is one of several: a cut for each, and never more than there is', () => {
    expect(
      shown([RESTS, { ended: [burst(3000, 100), burst(1000, 100, '78/?1'), burst(9000, 50, '79/?1')] }]),
    ).toEqual([
      ['79/?1 A', 0, [2000], [1000], [[1000]]],
      ['77/?1 A, 79/?1 A', 2000, [2000], [2000], [[1333], [667]]],
      ['77/?1 A, 78/?1 A, 79/?1 A', 4000, [1000], [1000], [[400], [400], [200]]],
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

describe('who comes and goes', () => {
  /** Who has which stretch, and what of it each executed. */
  const shown = (polls: readonly Poll[]) =>
    play(polls).tenancies.flatMap(({ tenants, startMs, lengthMs, shareMs }) => [
      [
        startMs,
        sum(lengthMs),
        Object.fromEntries(tenants.map((one, i) => [one.process, sum(shareMs[i] ?? [])])),
      ],
    ]);
  const at = (pid: number, sm: number) => ({ pid, gpuInstance: 0, sm });

  test('has half of the interval, as the earlier reading shows it, when it has left others behind', () => {
    expect(
      shown([
        { percent: 100, pids: [at(1, 20), at(2, 80)] },
        { percent: 90, pids: [at(1, 90)] },
      ]),
    ).toEqual([
      [0, 2500, { '1/1': 500, '2/1': 2000 }],
      [2500, 2500, { '1/1': 2250 }],
    ]);
  });

  test('has half of it when the last one has left a GPU that is still', () => {
    expect(shown([{ percent: 100, pids: [1] }, RESTS])).toEqual([
      [0, 2500, { '1/1': 2500 }],
      [2500, 2500, {}],
    ]);
  });

  test('has all of it when the GPU still shows its work', () => {
    expect(shown([{ percent: 100, pids: [1] }, { percent: 60 }, RESTS])).toEqual([
      [0, 5000, { '1/1': 3000 }],
      [5000, 5000, {}],
    ]);
  });

  test('has the end of it from its start on, and what was there before is as it was', () => {
    expect(
      shown([
        { percent: 88, pids: [at(1, 88)] },
        { percent: 100, pids: [at(1, 20), at(2, 80)], startedMs: 4000 },
      ]),
    ).toEqual([
      [0, 4000, { '1/1': 3520 }],
      [4000, 1000, { '1/1': 200, '2/1': 800 }],
    ]);
  });

  test('has the second half when it is older than the interval, or nobody knows', () => {
    for (const startedMs of [-1000, undefined])
      expect(
        shown([RESTS, { percent: 80, pids: [1], ...(startedMs === undefined ? {} : { startedMs }) }]),
      ).toEqual([
        [0, 2500, {}],
        [2500, 2500, { '1/1': 2000 }],
      ]);
  });

  test('takes over from one that left: each has its own, and they share what may have been both', () => {
    expect(
      shown([
        { percent: 100, pids: [1] },
        { percent: 60, pids: [2], startedMs: 4000 },
      ]),
    ).toEqual([
      [0, 2500, { '1/1': 2500 }],
      [2500, 1500, {}],
      [4000, 1000, { '2/1': 600 }],
    ]);
    expect(
      shown([
        { percent: 60, pids: [1] },
        { percent: 30, pids: [2], startedMs: 1500 },
      ]),
    ).toEqual([
      [0, 1500, { '1/1': 900 }],
      [1500, 1000, { '1/1': 600, '2/1': 300 }],
      [2500, 2500, { '2/1': 750 }],
    ]);
  });

  test('has what accounting says is left of its time, where it is told', () => {
    const left: EndedTenant = {
      ...{ process: '2/1', type: 'C', stayed: true, openMs: 1000, busyPercent: 10, memoryBytes: null },
    };
    expect(
      shown([
        { percent: 100, pids: [at(1, 20), at(2, 80)] },
        { percent: 90, pids: [at(1, 90)], ended: [left] },
      ]),
    ).toEqual([
      [0, 1000, { '1/1': 200, '2/1': 800 }],
      [1000, 4000, { '1/1': 3600 }],
    ]);
  });

  test('leaves work without a process alone: before a process came it counts where two readings showed it', () => {
    const ghost: Poll = { percent: 50 };
    const came: Poll = { percent: 100, pids: [1] };
    expect(sum(play([RESTS, ghost, came]).tenancies.flatMap((one) => one.activeMs ?? []))).toBe(2500);
    expect(sum(play([RESTS, ghost, ghost, came]).tenancies.flatMap((one) => one.activeMs ?? []))).toBe(
      5000 + 1250 + 2500,
    );
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
