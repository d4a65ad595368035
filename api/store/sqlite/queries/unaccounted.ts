/** The headline figures of unaccounted use, and what the metrics show of findings. */
import type { FindingCountRow, UnaccountedFacts } from '../../questions.ts';
import { cardAt, RUNNING, rateOn } from './finding-rows.ts';
import type { Reader } from './reader.ts';

const LIVE = `f.resolved_at_ms IS NULL AND f.kind = 'compute' AND g.mode = 'live'`;
const FROM = `FROM findings f JOIN nodes n ON n.node = f.node JOIN node_groups g ON g.node_group = n.node_group
  LEFT JOIN node_state s ON s.node = f.node`;

/** Executing time of findings in live groups since an hour, at its rates. */
const ACTIVE = `
  WITH parts AS (
    SELECT v.model, ${cardAt('p.hour_ms')} AS card,
      p.active_ms - p.provisional_active_ms AS settledMs, p.provisional_active_ms AS provisionalMs
    ${FROM} JOIN finding_parts p ON p.finding = f.finding JOIN devices v ON v.device = p.device
    WHERE ${LIVE} AND f.last_seen_ms >= @sinceMs AND p.hour_ms >= @sinceMs AND p.hour_ms < @untilMs)
  SELECT sum(p.settledMs) AS settledMs, sum(p.provisionalMs) AS provisionalMs,
    ${rateOn('p.card', 'p.model')} AS rateMicros, (SELECT currency FROM rate_cards WHERE version = p.card) AS currency
  FROM parts p GROUP BY p.model, p.card`;

const COUNTS = `
  SELECT coalesce(sum(${RUNNING} AND f.state = 'settled'), 0) AS stillRunning,
    coalesce(sum(${RUNNING} AND f.state = 'provisional'), 0) AS awaiting,
    coalesce(sum(f.state = 'settled' AND f.recorded_at_ms >= @sinceMs), 0) AS newSince
  ${FROM} WHERE ${LIVE}`;

const BY_STATE = `
  SELECT f.state, f.severity, g.mode, ${RUNNING} AS running, count(*) AS count, sum(f.active_ms) AS activeMs
  ${FROM} WHERE f.resolved_at_ms IS NULL GROUP BY f.state, f.severity, g.mode, running`;

export interface UnaccountedQuestions {
  active(sinceMs: number, untilMs: number): UnaccountedFacts[];
  counts(sinceMs: number): { stillRunning: number; awaiting: number; newSince: number };
  byState(): FindingCountRow[];
}

export function unaccountedQuestions(reader: Reader): UnaccountedQuestions {
  const active = reader.question<UnaccountedFacts>(ACTIVE);
  const counts = reader.question<{ stillRunning: number; awaiting: number; newSince: number }>(COUNTS);
  const byState = reader.question<Omit<FindingCountRow, 'running'> & { running: number }>(BY_STATE);
  return {
    active: (sinceMs, untilMs) => active.all({ sinceMs, untilMs }),
    counts: (sinceMs) => counts.first({ sinceMs }) ?? { stillRunning: 0, awaiting: 0, newSince: 0 },
    byState: () => byState.all({}).map((row) => ({ ...row, running: row.running === 1 })),
  };
}
