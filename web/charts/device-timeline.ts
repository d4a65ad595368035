/** A finding's time line: what one device did in each step, the source's share lowest. */
import type { ChartConfiguration, Color } from 'chart.js';
import type { FindingDetail } from '../../api/contract/findings.ts';
import { formatGpuHours, formatMoment, formatTick, visibleText, type Zone } from '../format.ts';
import type { SeriesKey } from '../words.ts';
import { stackedBars } from './bars.ts';
import type { Ink, Paints, TableData } from './parts.ts';

export type Timeline = FindingDetail['timelines'][number];
export type TimelineKind = Timeline['series'][number]['kind'];

const MINUTE_MS = 60_000;

/** From the bottom of the stack upwards. */
const ORDER: readonly TimelineKind[] = [
  'source',
  'otherUnaccounted',
  'otherAwaiting',
  'used',
  'held',
  'idle',
  'unobserved',
];

export interface TimelineOptions {
  readonly zone: Zone;
  readonly paints: Paints;
  readonly ink: Ink;
  /** A source that awaits a record is not painted in the colour of settled findings. */
  readonly settled: boolean;
}

const ordered = (timeline: Timeline): Timeline['series'] =>
  timeline.series.toSorted((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));

/** The part of the ledger, or other finding, whose fill a series has. */
export function timelinePart(kind: TimelineKind, settled: boolean): SeriesKey | 'other' {
  if (kind === 'source') return settled ? 'unaccounted' : 'awaiting';
  if (kind === 'otherUnaccounted') return 'other';
  return kind === 'otherAwaiting' ? 'awaiting' : kind;
}

/** What a series is painted with. */
export const timelinePaint = (kind: TimelineKind, options: TimelineOptions): Color =>
  options.paints[timelinePart(kind, options.settled)];

/** When step `index` begins, as RFC 3339. */
const stepAt = (timeline: Timeline, index: number): string =>
  new Date(Date.parse(timeline.from) + index * timeline.stepMs).toISOString();

const stepCount = (timeline: Timeline): number =>
  Math.max(0, ...timeline.series.map((series) => series.ms.length));

const stepsOf = (timeline: Timeline): string[] =>
  Array.from({ length: stepCount(timeline) }, (_, index) => stepAt(timeline, index));

const stepMoment = (at: string, { stepMs }: Timeline, zone: Zone): string =>
  formatMoment(at, zone, stepMs < MINUTE_MS ? 'second' : 'minute');

/** A stacked bar chart of one device; every bar is at most one step of that device high. */
export function timelineChart(timeline: Timeline, options: TimelineOptions): ChartConfiguration<'bar'> {
  const steps = stepsOf(timeline);
  return stackedBars({
    labels: steps.map((at) => formatTick(at, timeline.stepMs, steps.length * timeline.stepMs, options.zone)),
    titles: steps.map((at) => stepMoment(at, timeline, options.zone)),
    datasets: ordered(timeline).map((series) => ({
      label: series.label,
      paint: timelinePaint(series.kind, options),
      ms: series.ms,
    })),
    ink: options.ink,
    unit: timeline.stepMs >= 3_600_000 ? 'GPU-hours' : 'GPU-minutes',
    maxMs: timeline.stepMs,
  });
}

/** The same as a table: one row a step. */
export function timelineTable(timeline: Timeline, zone: Zone): TableData {
  const series = ordered(timeline);
  return {
    columns: ['From', ...series.map((one) => visibleText(one.label))],
    rows: stepsOf(timeline).map((at, index) => [
      stepMoment(at, timeline, zone),
      ...series.map((one) => formatGpuHours(one.ms[index] ?? 0, 3)),
    ]),
  };
}
