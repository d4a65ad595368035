/** The attribution's side of SQLite: what is dirty, the facts of a node-hour, and putting a failure off. */
import type { LedgerStore } from '../ledger.ts';
import type { Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';
import type { Findings } from './findings.ts';
import type { Ids } from './ids.ts';
import type { JobRows } from './job-rows.ts';
import { createLedgerReaders } from './ledger-reader.ts';
import { createHourWriter } from './ledger-writer.ts';
import type { Minors } from './minors.ts';
import type { NodeKeys } from './node-keys.ts';
import type { Placement } from './placement.ts';
import type { ProcessIndex } from './process-index.ts';

export interface LedgerParts {
  readonly ids: Ids;
  readonly dirty: DirtyMarks;
  readonly jobs: JobRows;
  readonly keys: NodeKeys;
  readonly minors: Minors;
  readonly processes: ProcessIndex;
  readonly findings: Findings;
  readonly placement: Placement;
}

interface DirtyRow {
  readonly node: number;
  readonly hour_ms: number;
  readonly urgent: number;
  readonly failures: number;
}

export function createLedger(sqlite: Sqlite, parts: LedgerParts): LedgerStore {
  const { database } = sqlite;
  const { ids, dirty, findings } = parts;
  const selectDirty = database.prepare<[{ nowMs: number; quietMs: number; limit: number }], DirtyRow>(
    `SELECT node, hour_ms, urgent, failures FROM dirty_hours
     WHERE retry_at_ms <= :nowMs AND (since_ms <= :nowMs - :quietMs OR since_ms > :nowMs)
     ORDER BY urgent DESC, CASE urgent WHEN 1 THEN -hour_ms ELSE hour_ms END, node LIMIT :limit`,
  );
  const countDirty = database.prepare<[{ nowMs: number }], { due: number; failed: number }>(
    `SELECT count(*) FILTER (WHERE retry_at_ms <= :nowMs) AS due, count(*) FILTER (WHERE retry_at_ms > :nowMs) AS failed
     FROM dirty_hours`,
  );
  const selectSettled = database.prepare<[number, number], { node: number; hour_ms: number }>(
    // An hour that is marked already waits its turn, or for its next try after a failure. The index is named, since without
    // statistics all cells would be read in the order of their key, each second.
    `SELECT DISTINCT c.node, c.hour_ms FROM cells c INDEXED BY cells_to_settle
     WHERE c.settles_at_ms <= ? AND c.computed_at_ms - ? < c.settles_at_ms
       AND NOT EXISTS (SELECT 1 FROM dirty_hours d WHERE d.node = c.node AND d.hour_ms = c.hour_ms)`,
  );
  const postpone = database.prepare(
    `UPDATE dirty_hours SET failures = failures + 1, failure = ?, retry_at_ms = ?, urgent = 0
     WHERE node = ? AND hour_ms = ?`,
  );
  const selectComplete = database
    .prepare<[], number | null>(
      `SELECT min(coalesce(d.done_ms, max(coalesce(s.complete_to_ms, 0), coalesce(s.silent_to_ms, 0))))
       FROM (SELECT DISTINCT node FROM capacity WHERE to_ms IS NULL) f
       LEFT JOIN node_state s ON s.node = f.node
       LEFT JOIN (
         SELECT q.node, min(CASE q.since_ms WHEN 0 THEN q.hour_ms ELSE coalesce(
           (SELECT max(c.booked_to_ms) FROM cells c WHERE c.node = q.node AND c.hour_ms = q.hour_ms), q.hour_ms) END) AS done_ms
         FROM dirty_hours q GROUP BY q.node) d ON d.node = f.node`,
    )
    .pluck();
  const readers = createLedgerReaders(sqlite, parts);
  const writeHour = createHourWriter(sqlite, parts);

  return {
    listDirty: async (nowMs, quietMs, limit) =>
      sqlite.read(() =>
        selectDirty.all({ nowMs, quietMs, limit }).map(({ node, hour_ms, urgent, failures }) => {
          const { cluster, node: nodeName } = ids.nodeName(node);
          return { node, hourMs: hour_ms, cluster, nodeName, urgent: urgent === 1, failures };
        }),
      ),
    countDirty: async (nowMs) => countDirty.get({ nowMs }) ?? { due: 0, failed: 0 },
    markSettled: async (completeToMs, waitMs, nowMs) => {
      const due = selectSettled.all(completeToMs, waitMs);
      if (due.length > 0)
        sqlite.write(() => {
          const seq = sqlite.lastSeq();
          for (const { node, hour_ms } of due) dirty.mark(node, hour_ms, false, seq, nowMs);
        });
      return due.length;
    },
    read: async (work) => sqlite.read(() => work(readers())),
    write: async (work) =>
      sqlite.write(() => {
        const writer = writeHour();
        const result = work({ ...readers(), writeHour: writer.add, writeFindings: findings.replace });
        writer.finish();
        return result;
      }),
    postpone: async (key, failure, retryAtMs) =>
      sqlite.write(() => void postpone.run(failure, retryAtMs, key.node, key.hourMs)),
    readCompleteToMs: async () => selectComplete.get() ?? null,
  };
}
