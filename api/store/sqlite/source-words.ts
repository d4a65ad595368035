/** What sources say beside jobs: how they fare, and why nodes have none. */
import { OPEN_END_MS } from '../../domain/bind.ts';
import type { ConditionWrite, JobStore } from '../jobs.ts';
import type { Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';
import type { Ids } from './ids.ts';
import type { SourceRows } from './jobs.ts';
import type { Journal } from './journal.ts';

interface SourceWordParts {
  readonly ids: Ids;
  readonly dirty: DirtyMarks;
  readonly journal: Journal;
  readonly sourceRow: SourceRows;
}

interface ConditionRow {
  readonly to_ms: number | null;
  readonly reason: string;
}

export function createSourceWords(
  sqlite: Sqlite,
  { ids, dirty, journal, sourceRow }: SourceWordParts,
): Pick<JobStore, 'putHealth' | 'putConditions'> {
  const { database } = sqlite;
  const upsertHealth = database.prepare(
    `INSERT INTO source_health (source, state, since_ms, last_success_ms, reported_at_ms, problems, problem_count)
     VALUES (:source, :state, :nowMs, :lastSuccessMs, :nowMs, :problems, :problemCount)
     ON CONFLICT (source) DO UPDATE SET since_ms = iif(state = excluded.state, since_ms, excluded.since_ms),
       state = excluded.state, last_success_ms = max(coalesce(last_success_ms, excluded.last_success_ms),
         coalesce(excluded.last_success_ms, last_success_ms)),
       reported_at_ms = excluded.reported_at_ms, problems = excluded.problems, problem_count = excluded.problem_count`,
  );
  const isKnown = database.prepare<[number, string, string]>(
    'SELECT 1 FROM sources WHERE cluster = ? AND name = ? AND instance = ?',
  );
  const selectCondition = database.prepare<[number, string, string, number], ConditionRow>(
    `SELECT to_ms, reason FROM node_conditions WHERE source = ? AND node = ? AND condition = ? AND from_ms = ?
     ORDER BY seq DESC LIMIT 1`,
  );
  const selectEarlier = database.prepare<
    [number, string, string, number],
    ConditionRow & { from_ms: number }
  >(
    `SELECT from_ms, to_ms, reason FROM node_conditions o
     WHERE source = ? AND node = ? AND condition = ? AND from_ms < ? AND to_ms IS NULL AND NOT EXISTS (
       SELECT 1 FROM node_conditions p WHERE p.source = o.source AND p.node = o.node AND p.condition = o.condition
         AND p.from_ms = o.from_ms AND p.seq > o.seq)`,
  );
  const insertCondition = database.prepare(
    `INSERT INTO node_conditions (source, node, condition, from_ms, seq, to_ms, reason, recorded_at_ms, recorded_by)
     VALUES (:source, :node, :condition, :fromMs, :seq, :toMs, :reason, :nowMs, :recordedBy)`,
  );

  /** From when on what is known of a condition changes; null: not at all. */
  function changedSince(source: number, one: ConditionWrite): number | null {
    const known = selectCondition.get(source, one.node, one.condition, one.fromMs);
    if (known === undefined) return one.toMs === one.fromMs ? null : one.fromMs;
    if (known.reason !== one.reason) return one.fromMs;
    return known.to_ms === one.toMs ? null : Math.min(known.to_ms ?? OPEN_END_MS, one.toMs ?? OPEN_END_MS);
  }

  return {
    putHealth: async (key, { problems, ...health }, nowMs, entry) =>
      sqlite.write(() => {
        const cluster = ids.cluster(key.cluster);
        if (isKnown.get(cluster, key.source, key.sourceInstance) === undefined) journal.add(entry);
        const { source } = sourceRow(cluster, key.source, key.sourceInstance, false, nowMs);
        upsertHealth.run({ source, ...health, nowMs, problems: JSON.stringify(problems) });
      }),
    putConditions: async (key, conditions, nowMs, entry) =>
      sqlite.write(() => {
        const cluster = ids.cluster(key.cluster);
        const { source } = sourceRow(cluster, key.source, key.sourceInstance, false, nowMs);
        let recorded = 0;
        const record = (one: ConditionWrite, sinceMs: number): void => {
          const seq = sqlite.nextSeq();
          insertCondition.run({ source, ...one, seq, nowMs, recordedBy: entry.actor });
          const node = ids.findNode(key.cluster, one.node)?.node;
          if (node !== undefined) dirty.markRange(node, sinceMs, OPEN_END_MS, seq, nowMs);
          recorded += 1;
        };
        for (const one of conditions) {
          // A source that was away says the same again from another moment on, or that it is so no more.
          for (const { from_ms, reason } of selectEarlier.all(source, one.node, one.condition, one.fromMs))
            record({ ...one, fromMs: from_ms, toMs: one.fromMs, reason }, one.fromMs);
          const sinceMs = changedSince(source, one);
          if (sinceMs !== null) record(one, sinceMs);
        }
        if (recorded > 0) journal.add(entry);
        return recorded;
      }),
  };
}
