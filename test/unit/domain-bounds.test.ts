/** Between which amounts a finding's executing lies. */
import { expect, test } from 'vitest';
import { type BoundsFacts, type BoundsRow, boundsOf } from '../../api/domain/bounds.ts';
import type { ObservedSpan } from '../../api/domain/cell.ts';
import { pidOf, span } from './domain-facts.ts';

const POLL_MS = 15_000;
const HOUR = { fromMs: 0, toMs: 3_600_000 };
const ME = pidOf(7);
const on = (fromMs: number, toMs: number, activeMs: number | null): ObservedSpan => ({
  ...span(fromMs, toMs, {}),
  activeMs,
  tenants: [{ process: ME, type: 'C', gpuInstance: null, activeMs }],
});
const quiet = (fromMs: number, toMs: number): ObservedSpan => span(fromMs, toMs, {});

const rowOf = (own: readonly ObservedSpan[], change: Partial<BoundsRow> = {}): BoundsRow => ({
  ...{ process: ME, reason: 'no_job', life: null },
  activeMs: own.reduce((sum, one) => sum + (one.activeMs ?? 0), 0),
  residentMs: own.reduce((sum, one) => sum + (one.activeMs === null ? one.toMs - one.fromMs : 0), 0),
  ...{ fromMs: own[0]?.fromMs ?? 0, toMs: own.at(-1)?.toMs ?? 0 },
  ...change,
});
const factsOf = (spans: readonly ObservedSpan[], accounted = false): BoundsFacts => ({
  ...{ hour: HOUR, spans, paces: [{ ...HOUR, pollMs: POLL_MS }], accounted },
});

function bounds(spans: readonly ObservedSpan[], life: BoundsRow['life'] = null, accounted = false) {
  const own = spans.filter(({ tenants }) => tenants.length > 0);
  return boundsOf([rowOf(own, { life })], factsOf(spans, accounted))[0];
}

test('what the kernel tells of a steady process leaves no doubt', () => {
  const spans = [quiet(0, 30_000), on(30_000, 90_000, 60_000), quiet(90_000, 120_000)];
  const known = { startedMs: 30_000, exitedMs: 90_000 };
  expect(bounds(spans, known)).toEqual({ leastMs: 60_000, mostMs: 60_000 });
});

test('coming and going between readings is half of a poll each, both ways', () => {
  const spans = [quiet(0, 30_000), on(30_000, 90_000, 60_000), quiet(90_000, 120_000)];
  expect(bounds(spans)).toEqual({ leastMs: 45_000, mostMs: 75_000 });
});

test('so is a change of how much executes, but nothing executes for longer than it is there', () => {
  const spans = [on(0, 30_000, 30_000), on(30_000, 60_000, 15_000)];
  expect(bounds(spans)).toEqual({ leastMs: 41_250, mostMs: 48_750 });
  expect(bounds([on(0, 30_000, 30_000), on(30_000, 60_000, 29_000)])?.mostMs).toBeLessThanOrEqual(60_000);
});

test('what one reading saw stands for whole polls, give or take chance', () => {
  const spans = [0, 1, 2, 3].flatMap((at) => [
    quiet(at * 60_000, at * 60_000 + 50_000),
    on(at * 60_000 + 50_000, at * 60_000 + 55_000, 5_000),
    quiet(at * 60_000 + 55_000, at * 60_000 + 60_000),
  ]);
  // Four sightings: eight polls at most, and what the kernel tells of them at least.
  const lives = [0, 1, 2, 3].map((at) => ({
    startedMs: at * 60_000 + 50_000,
    exitedMs: at * 60_000 + 55_000,
  }));
  const rows = lives.map((life, at) => rowOf(spans.slice(at * 3 + 1, at * 3 + 2), { life }));
  const all = boundsOf(rows, factsOf(spans));
  const sum = (of: (one: { leastMs: number; mostMs: number }) => number): number =>
    all.reduce((total, one) => total + of(one), 0);
  expect([sum((one) => one.leastMs), sum((one) => one.mostMs)]).toEqual([20_000, 8 * POLL_MS]);
  // Where the driver lists everything that ended, nothing more is left to chance.
  expect(boundsOf(rows, factsOf(spans, true)).map(({ mostMs }) => mostMs)).toEqual([5000, 5000, 5000, 5000]);
});

test('where the device does not tell, it may be nothing or all', () => {
  expect(bounds([on(0, 30_000, null)])).toEqual({ leastMs: 0, mostMs: 30_000 });
});

test('time between two sightings that nobody measured may have been full', () => {
  const spans = [on(0, 60_000, 60_000), on(300_000, 360_000, 60_000)];
  expect(bounds(spans, { startedMs: 0, exitedMs: null })?.mostMs).toBeGreaterThanOrEqual(360_000);
});

test('power alone is anything, and what only accounting saw is from the least to the most', () => {
  const row = rowOf([], { process: null, activeMs: 40, residentMs: 60, fromMs: 0, toMs: 100 });
  const only = (reason: BoundsRow['reason'], accounted: boolean) =>
    boundsOf([{ ...row, reason }], factsOf([], accounted));
  expect(only('telemetry_conflict', false)).toEqual([{ leastMs: 0, mostMs: 100 }]);
  expect(only('no_process', true)).toEqual([{ leastMs: 40, mostMs: 100 }]);
});

test('what was measured without it between two of its times is not its', () => {
  const known = { startedMs: 0, exitedMs: 120_000 };
  const away = [on(0, 30_000, 30_000), quiet(30_000, 90_000), on(90_000, 120_000, 30_000)];
  const dark = [on(0, 30_000, 30_000), on(90_000, 120_000, 30_000)];
  const most = (spans: readonly ObservedSpan[]) =>
    boundsOf(
      [
        rowOf(
          spans.filter(({ tenants }) => tenants.length > 0),
          { life: known },
        ),
      ],
      factsOf(spans),
    )[0]?.mostMs ?? 0;
  expect(most(dark) - most(away)).toBe(60_000);
});

test('each moment is in doubt by the pace of its own time, not by the slowest of the hour', () => {
  const spans = [quiet(0, 1_800_000), on(1_800_000, 1_860_000, 60_000), quiet(1_860_000, 3_600_000)];
  const own = spans.slice(1, 2);
  const paces = [
    { fromMs: 0, toMs: 1_200_000, pollMs: 120_000 },
    { fromMs: 1_200_000, toMs: 1_860_000, pollMs: 5000 },
    { fromMs: 1_860_000, toMs: 3_600_000, pollMs: 30_000 },
  ];
  // It comes within 2.5 s, and goes where a slow pace begins: within 15 s.
  expect(boundsOf([rowOf(own)], { ...factsOf(spans), paces })).toEqual([{ leastMs: 42_500, mostMs: 77_500 }]);
  // Where none is told the slowest counts: both edges, and whatever one reading of that pace may stand for.
  const untold = { ...factsOf(spans), paces: paces.slice(0, 1) };
  expect(boundsOf([rowOf(own)], untold)).toEqual([{ leastMs: 0, mostMs: 480_000 }]);
});

test('what nobody is listed for is in doubt wherever it changes', () => {
  const busy = (fromMs: number, toMs: number): ObservedSpan => ({
    ...quiet(fromMs, toMs),
    activeMs: toMs - fromMs,
  });
  const spans = [quiet(0, 60_000), busy(60_000, 120_000), quiet(120_000, 180_000), busy(180_000, 240_000)];
  const row = rowOf(spans.slice(1), { process: null, reason: 'no_process' });
  expect(boundsOf([row], factsOf(spans))).toEqual([{ leastMs: 97_500, mostMs: 142_500 }]);
  // Where somebody is listed it is not nobody's.
  const listed = [...spans.slice(0, 3), on(180_000, 240_000, 60_000)];
  const alone = rowOf(spans.slice(1, 2), { process: null, reason: 'no_process', toMs: 240_000 });
  expect(boundsOf([alone], factsOf(listed))).toEqual([{ leastMs: 45_000, mostMs: 75_000 }]);
});
