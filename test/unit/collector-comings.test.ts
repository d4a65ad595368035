// Who has which part of the time between two readings that show other processes.
import { describe, expect, test } from 'vitest';
import type { EndedTenant } from '../../collector/parts.ts';
import { seededRandom } from '../../collector/random.ts';
import { AT_REST, type Poll, play, sum } from './span-polls.ts';

const RESTS: Poll = { power: AT_REST };

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

  test('has it up to its end, where that was noticed', () => {
    const before = { percent: 100, pids: [at(1, 20), at(2, 80)] };
    expect(shown([before, { percent: 90, pids: [at(1, 90)], endedMs: 4000 }])).toEqual([
      [0, 4000, { '1/1': 800, '2/1': 3200 }],
      [4000, 1000, { '1/1': 900 }],
    ]);
    expect(
      shown([
        { percent: 100, pids: [1] },
        { ...RESTS, endedMs: 1000 },
      ]),
    ).toEqual([
      [0, 1000, { '1/1': 1000 }],
      [1000, 4000, {}],
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

  test('has no more than up to its noticed end, whatever accounting says', () => {
    const left: EndedTenant = {
      ...{ process: '2/1', type: 'C', stayed: true, openMs: 4900, busyPercent: 10, memoryBytes: null },
    };
    expect(
      shown([
        { percent: 100, pids: [at(1, 20), at(2, 80)] },
        { percent: 90, pids: [at(1, 90)], ended: [left], endedMs: 3000 },
      ]),
    ).toEqual([
      [0, 3000, { '1/1': 600, '2/1': 2400 }],
      [3000, 2000, { '1/1': 1800 }],
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

  test('has, over many bursts beside one that stays, what it executed', () => {
    const random = seededRandom('bursts');
    // One burst each minute, of 3 to 43 s, that takes four fifths of a GPU from one that stays.
    const bursts = Array.from({ length: 400 }, (_, i) => {
      const fromMs = i * 60_000 + 15_000 * random();
      return { fromMs, toMs: fromMs + 3000 + 40_000 * random(), pid: i + 2 };
    });
    const polls: Poll[] = [];
    let nowMs = 0;
    while (nowMs < 60_000 * bursts.length) {
      const afterMs = Math.round(4500 + 1000 * random());
      if (polls.length > 0) nowMs += afterMs;
      const burst = bursts[Math.floor(nowMs / 60_000)] ?? { fromMs: 0, toMs: 0, pid: 0 };
      const there = nowMs >= burst.fromMs && nowMs < burst.toMs;
      const pids = there ? [at(1, 20), at(burst.pid, 80)] : [at(1, 90)];
      polls.push({ percent: there ? 100 : 90, pids, startedMs: burst.fromMs, afterMs });
    }
    const trueMs = sum(bursts.map(({ fromMs, toMs }) => 0.8 * (toMs - fromMs)));
    const seenMs = sum(
      play(polls).tenancies.flatMap(({ tenants, shareMs }) =>
        tenants.map((one, i) => (one.process === '1/1' ? 0 : sum(shareMs[i] ?? []))),
      ),
    );
    expect(Math.abs(seenMs / trueMs - 1)).toBeLessThan(0.01);
  });
});
