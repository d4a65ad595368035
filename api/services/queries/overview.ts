/** GET /v1/overview: is anything wrong, at a glance. */
import type { z } from 'zod';
import { HOUR_MS } from '../../contract/batch.ts';
import type { Sums } from '../../contract/ledger.ts';
import type { Overview, OverviewQuery } from '../../contract/overview.ts';
import { addSums, NO_SUMS } from '../../domain/sums.ts';
import type { OverviewFacts, Questions, UnaccountedFacts } from '../../store/questions.ts';
import { completeness, isLagging, isSilent, toTime } from './completeness.ts';
import { toFinding } from './findings.ts';
import { assertBalanced, sumsOf } from './ledger.ts';
import { DAY_MS, hourRange, type Range, startOfDay, startOfHour } from './range.ts';
import { moneyOf } from './value.ts';

const WORST = 10;
/** Longer ranges are shown by day. */
const HOURLY_MAX_MS = 8 * DAY_MS;

const startOfMonth = (ms: number): number => {
  const date = new Date(ms);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
};

/** The newest currency that any rate is in stands in where there was no time to price. */
function headline(rows: readonly UnaccountedFacts[], currency: string | null): Overview['today'] {
  return {
    settledMs: rows.reduce((sum, row) => sum + row.settledMs, 0),
    provisionalMs: rows.reduce((sum, row) => sum + row.provisionalMs, 0),
    value: moneyOf(
      rows.map((row) => ({ ms: row.settledMs, rateMicros: row.rateMicros, currency: row.currency })),
      currency,
    ),
  };
}

function verdictOf(facts: OverviewFacts, total: Sums): Overview['verdict'] {
  const settledMs = facts.range.reduce((sum, row) => sum + row.settledMs, 0);
  if (settledMs > 0 || facts.counts.stillRunning > 0) return 'unaccounted';
  if (total.capacityMs === total.unobservedMs) return 'blind';
  const provisionalMs = facts.range.reduce((sum, row) => sum + row.provisionalMs, 0);
  return provisionalMs > 0 || facts.counts.awaiting > 0 ? 'awaiting' : 'clear';
}

function seriesOf(facts: OverviewFacts, range: Range, stepMs: number): Overview['series'] {
  const sums = new Map(facts.series.map((row) => [Number(row.group[0]), sumsOf(row)]));
  const points: Overview['series']['points'] = [];
  const firstMs = Math.floor(range.fromMs / stepMs) * stepMs;
  for (let atMs = firstMs; atMs < range.toMs; atMs += stepMs)
    points.push({ ...(sums.get(atMs) ?? NO_SUMS), at: toTime(atMs) });
  return { stepMs, points };
}

export async function askOverview(
  questions: Questions,
  cluster: string,
  query: z.output<typeof OverviewQuery>,
  nowMs: number,
): Promise<Overview> {
  const range = hourRange(query);
  const hourly = range.toMs - range.fromMs <= HOURLY_MAX_MS;
  const facts = await questions.overview({
    ...range,
    series: hourly ? 'hour' : 'day',
    todayMs: startOfDay(nowMs),
    monthMs: startOfMonth(nowMs),
    nowMs,
    newSinceMs: startOfHour(nowMs) - DAY_MS,
    worst: WORST,
  });
  const total = facts.series.reduce<Sums>((sum, row) => addSums(sum, row), NO_SUMS);
  assertBalanced(total);
  const { nodes, sources } = facts.progress;
  return {
    now: toTime(nowMs),
    cluster,
    complete: completeness(facts.progress, nowMs),
    nodes: {
      total: nodes.length,
      silent: nodes.filter(isSilent).length,
      notEnrolled: nodes.filter((node) => !node.enrolled).length,
      devices: facts.devices,
    },
    sources: {
      total: sources.length,
      lagging: sources.filter((source) => isLagging(source, nowMs)).length,
    },
    verdict: verdictOf(facts, total),
    today: headline(facts.today, facts.currency),
    month: headline(facts.month, facts.currency),
    newSinceYesterday: facts.counts.newSince,
    stillRunning: facts.counts.stillRunning,
    conflicts: facts.conflicts,
    total,
    series: seriesOf(facts, range, hourly ? HOUR_MS : DAY_MS),
    worst: facts.worst.map(toFinding),
  };
}
