/** The one form of chart that the pages use: stacked bars of milliseconds over steps of time. */
import type { ChartConfiguration, Color } from 'chart.js';
import { formatGpuHours, visibleText } from '../format.ts';
import type { Ink } from './parts.ts';

export interface StackedBars {
  /** Under each bar. */
  readonly labels: readonly string[];
  /** Over the tooltip of each bar: the whole moment. */
  readonly titles: readonly string[];
  /** `ms[i]` is the height of step i. Labels may come from a workload: canvas text is inert, and made visible here. */
  readonly datasets: readonly {
    readonly label: string;
    readonly paint: Color;
    readonly ms: readonly number[];
  }[];
  readonly ink: Ink;
  /** Of the y axis; milliseconds are drawn as hours, or as minutes where that is said. */
  readonly unit: 'GPU-hours' | 'GPU-minutes';
  /** Fixes the top of the y axis, in milliseconds, so that charts beside each other compare. */
  readonly maxMs?: number;
}

const UNIT_MS = { 'GPU-hours': 3_600_000, 'GPU-minutes': 60_000 } as const;
const FONT = { size: 12, family: 'system-ui, sans-serif' } as const;

/** Configuration of a stacked bar chart; drawing only, so its numbers may be rounded, its tooltips may not. */
export function stackedBars(bars: StackedBars): ChartConfiguration<'bar'> {
  const unitMs = UNIT_MS[bars.unit];
  return {
    type: 'bar',
    data: {
      labels: [...bars.labels],
      datasets: bars.datasets.map((dataset) => ({
        label: visibleText(dataset.label),
        data: dataset.ms.map((ms) => ms / unitMs),
        backgroundColor: dataset.paint,
        borderWidth: 0,
        categoryPercentage: 1,
        barPercentage: 0.92,
      })),
    },
    options: {
      responsive: true,
      maintainAspectRatio: false,
      animation: false,
      interaction: { mode: 'index', intersect: false },
      scales: {
        x: {
          stacked: true,
          grid: { display: false },
          border: { color: bars.ink.grid },
          ticks: { color: bars.ink.text, font: FONT, maxRotation: 0, autoSkipPadding: 16 },
        },
        y: {
          stacked: true,
          beginAtZero: true,
          ...(bars.maxMs === undefined ? {} : { max: bars.maxMs / unitMs }),
          grid: { color: bars.ink.grid },
          border: { display: false },
          ticks: { color: bars.ink.text, font: FONT, maxTicksLimit: 6 },
          title: { display: true, text: bars.unit, color: bars.ink.text, font: FONT },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          filter: (item) => (bars.datasets[item.datasetIndex]?.ms[item.dataIndex] ?? 0) > 0,
          callbacks: {
            title: (items) => bars.titles[items[0]?.dataIndex ?? 0] ?? '',
            label: (item) => {
              const ms = bars.datasets[item.datasetIndex]?.ms[item.dataIndex] ?? 0;
              return `${item.dataset.label ?? ''}: ${formatGpuHours(ms, 2)} GPU-h`;
            },
          },
        },
      },
    },
  };
}
