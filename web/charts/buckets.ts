/** GPU-hours by bucket over time: stacked bars, one a step, unaccounted time lowest, where heights compare best. */
import type { ChartConfiguration } from 'chart.js';
import type { Overview } from '../../api/contract/overview.ts';
import { formatGpuHours, formatMoment, formatTick, type Zone } from '../format.ts';
import { SERIES, SERIES_LABELS, type SeriesKey } from '../words.ts';
import { stackedBars } from './bars.ts';
import { type Ink, type Paints, partsOf, type TableData } from './parts.ts';

export type Series = Overview['series'];

export interface BucketChartOptions {
  readonly zone: Zone;
  readonly paints: Paints;
  readonly ink: Ink;
  readonly hidden: ReadonlySet<SeriesKey>;
}

/** A stacked bar chart of the series. The y axis counts GPU-hours; a step that is not booked yet is simply shorter. */
export function bucketChart(series: Series, options: BucketChartOptions): ChartConfiguration<'bar'> {
  const parts = series.points.map(partsOf);
  const spanMs = series.points.length * series.stepMs;
  return stackedBars({
    labels: series.points.map((point) => formatTick(point.at, series.stepMs, spanMs, options.zone)),
    titles: series.points.map((point) => formatMoment(point.at, options.zone)),
    datasets: SERIES.filter((key) => !options.hidden.has(key)).map((key) => ({
      label: SERIES_LABELS[key],
      paint: options.paints[key],
      ms: parts.map((part) => part[key]),
    })),
    ink: options.ink,
    unit: 'GPU-hours',
  });
}

/** The same numbers as a table: one row a step. */
export function bucketTable(series: Series, zone: Zone): TableData {
  return {
    columns: ['From', ...SERIES.map((key) => SERIES_LABELS[key]), 'Capacity'],
    rows: series.points.map((point) => {
      const parts = partsOf(point);
      return [
        formatMoment(point.at, zone),
        ...SERIES.map((key) => formatGpuHours(parts[key], 2)),
        formatGpuHours(point.capacityMs, 2),
      ];
    }),
  };
}
