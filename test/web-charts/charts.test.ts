import { expect, test } from 'vitest';
import { bucketChart, bucketTable, type Series } from '../../web/charts/buckets.ts';
import {
  type Timeline,
  timelineChart,
  timelinePaint,
  timelineTable,
} from '../../web/charts/device-timeline.ts';
import { partsOf } from '../../web/charts/parts.ts';
import { SERIES } from '../../web/words.ts';

const HOUR_MS = 3_600_000;
const ink = { text: '#111', grid: '#222', surface: '#333' };
const paints = {
  unaccounted: 'reserved',
  awaiting: 'awaiting',
  used: 'used',
  held: 'held',
  idle: 'idle',
  unobserved: 'unobserved',
  other: 'other',
};

const point = {
  at: '2026-10-01T13:00:00.000Z',
  capacityMs: 8 * HOUR_MS,
  usedMs: 4 * HOUR_MS,
  heldMs: HOUR_MS,
  unaccountedMs: HOUR_MS,
  idleMs: HOUR_MS,
  unobservedMs: HOUR_MS,
  allocatedMs: 5 * HOUR_MS,
  unaccountedActiveMs: HOUR_MS,
  unaccountedProvisionalMs: HOUR_MS / 4,
  unaccountedInsideMs: 0,
  unobservedInsideMs: 0,
};
const series: Series = { stepMs: HOUR_MS, points: [point, { ...point, at: '2026-10-01T14:00:00.000Z' }] };
const options = { zone: 'utc', paints, ink, hidden: new Set<never>() } as const;

const timeline: Timeline = {
  device: 'GPU-1',
  index: 1,
  from: '2026-10-01T13:00:00.000Z',
  stepMs: 60_000,
  series: [
    { label: 'Reserved', kind: 'held', ms: [0, 1_000] },
    { label: '/tmp/\u202ex', kind: 'source', ms: [60_000, 59_000] },
  ],
};

test('the parts of a sum add up to its capacity', () => {
  expect(Object.values(partsOf(point)).reduce((total, ms) => total + ms, 0)).toBe(point.capacityMs);
  expect(partsOf(point)).toMatchObject({ unaccounted: 0.75 * HOUR_MS, awaiting: 0.25 * HOUR_MS });
});

test('the bucket chart stacks every part in hours, unaccounted lowest and alone in its colour', () => {
  const { data, options: drawn } = bucketChart(series, options);
  expect(data.labels).toEqual(['13:00', '14:00']);
  expect(data.datasets.map((dataset) => dataset.data[0])).toEqual([0.75, 0.25, 4, 1, 1, 1]);
  expect(data.datasets.filter((dataset) => dataset.backgroundColor === 'reserved')).toHaveLength(1);
  expect(data.datasets[0]).toMatchObject({ label: 'No matching declaration', backgroundColor: 'reserved' });
  expect(drawn?.scales).toMatchObject({ x: { stacked: true }, y: { stacked: true } });
});

test('hidden parts leave the chart, not the table', () => {
  const { data } = bucketChart(series, { ...options, hidden: new Set(['idle'] as const) });
  expect(data.datasets).toHaveLength(SERIES.length - 1);
  expect(bucketTable(series, 'utc').columns).toHaveLength(SERIES.length + 2);
});

test('the table holds the exact numbers of the chart', () => {
  expect(bucketTable(series, 'utc').rows[0]).toEqual([
    '2026-10-01 13:00\u00a0UTC',
    '0.75',
    '0.25',
    '4.00',
    '1.00',
    '1.00',
    '1.00',
    '8.00',
  ]);
});

test('a device’s time line puts the source lowest, bounded by the step, with hostile labels made visible', () => {
  const { data, options: drawn } = timelineChart(timeline, { zone: 'utc', paints, ink, settled: true });
  expect(data.datasets.map((dataset) => dataset.label)).toEqual(['/tmp/\\u{202e}x', 'Reserved']);
  expect(data.datasets[0]).toMatchObject({ data: [1, 59 / 60], backgroundColor: 'reserved' });
  expect(data.labels).toEqual(['13:00', '13:01']);
  expect(drawn?.scales?.['y']).toMatchObject({ max: 1 });
  expect(timelineTable(timeline, 'utc').rows).toHaveLength(2);
});

test('what awaits a record, and other findings, never take the reserved colour', () => {
  const waiting = { zone: 'utc', paints, ink, settled: false } as const;
  expect(timelinePaint('source', waiting)).toBe('awaiting');
  expect(timelinePaint('source', { ...waiting, settled: true })).toBe('reserved');
  expect(timelinePaint('otherUnaccounted', { ...waiting, settled: true })).toBe('other');
  expect(timelinePaint('otherAwaiting', { ...waiting, settled: true })).toBe('awaiting');
});

test('an empty time line draws nothing and fails nowhere', () => {
  const empty = { ...timeline, series: [] };
  expect(timelineChart(empty, { zone: 'utc', paints, ink, settled: true }).data.labels).toEqual([]);
  expect(timelineTable(empty, 'utc').rows).toEqual([]);
});
