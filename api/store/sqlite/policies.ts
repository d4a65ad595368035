/** The site's policies in SQLite: every version kept, with the jobs that stand for its exemptions. */
import { canonicalJson } from '../../contract/canonical.ts';
import { StoreConflict } from '../batches.ts';
import type { PolicyRecord, PolicyStore, PolicyWrite } from '../policies.ts';
import type { Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';
import { createPolicyReader } from './fleet-reader.ts';
import type { Ids } from './ids.ts';
import type { JobRows } from './job-rows.ts';
import { createSourceRows, createVersionWriter } from './jobs.ts';
import type { Journal } from './journal.ts';

interface PolicyParts {
  readonly ids: Ids;
  readonly dirty: DirtyMarks;
  readonly rows: JobRows;
  readonly journal: Journal;
}

interface RecordRow {
  readonly version: number;
  readonly effective_from_ms: number;
  readonly reaches_past: number;
  readonly recorded_at_ms: number;
  readonly recorded_by: string;
}

export function createPolicies(sqlite: Sqlite, { ids, dirty, rows, journal }: PolicyParts): PolicyStore {
  const { database } = sqlite;
  const records = database.prepare<[], RecordRow>(
    'SELECT version, effective_from_ms, reaches_past, recorded_at_ms, recorded_by FROM policies ORDER BY version',
  );
  const newest = database.prepare<[], number | null>('SELECT max(version) FROM policies').pluck();
  const insert = database.prepare(
    `INSERT INTO policies (version, effective_from_ms, reaches_past, weakest_evidence, end_grace_ms,
       self_declaration_lead_ms, self_declaration_wait_ms, rest, seq, recorded_at_ms, recorded_by)
     VALUES (:version, :fromMs, :reachesPast, :weakestEvidence, :endGraceMs, :selfDeclarationLeadMs,
       :selfDeclarationWaitMs, :rest, :seq, :recordedAtMs, :recordedBy)`,
  );
  const insertLauncher = database.prepare('INSERT INTO policy_launchers (version, name) VALUES (?, ?)');
  const nodes = database.prepare<[], number>('SELECT node FROM nodes').pluck();
  const countUnaccounted = database
    .prepare<[number], number>(
      `SELECT count(*) FROM (SELECT DISTINCT node, hour_ms FROM ledger_hours WHERE hour_ms >= ? AND unaccounted_ms > 0)`,
    )
    .pluck();
  const unaccounted = database.prepare<[number, number], { node: number; hour_ms: number }>(
    `SELECT DISTINCT node, hour_ms FROM ledger_hours WHERE hour_ms >= ? AND unaccounted_ms > 0
     ORDER BY hour_ms DESC, node LIMIT ?`,
  );
  const read = createPolicyReader(sqlite);
  const sourceRow = createSourceRows(sqlite);
  const insertVersion = createVersionWriter(sqlite);

  function write({
    policy,
    jobs,
    fromMs,
    reachesPast,
    recordedAtMs,
    recordedBy,
    ...more
  }: PolicyWrite): void {
    const { version, exemptions, internalRanges, approvedTunnels, launchers, ...rules } = policy;
    if (version <= (newest.get() ?? 0))
      throw new StoreConflict('the policy has another newest version by now');
    const seq = sqlite.nextSeq();
    const rest = canonicalJson({ exemptions, internalRanges, approvedTunnels });
    insert.run({
      ...{ version, fromMs, reachesPast: Number(reachesPast), ...rules, rest },
      ...{ seq, recordedAtMs, recordedBy },
    });
    for (const name of new Set(launchers)) insertLauncher.run(version, name);
    for (const { job, expectedVersion } of jobs) {
      if ((rows.find(job.id)?.job.version ?? 0) !== expectedVersion)
        throw new StoreConflict(`job ${job.id} has another version by now`);
      const cluster = ids.cluster(job.cluster);
      const { source } = sourceRow(cluster, job.source, job.sourceInstance, job.selfDeclared, recordedAtMs);
      insertVersion(job, source, recordedBy, seq);
    }
    for (const node of nodes.all()) dirty.markBooked(node, fromMs, seq, recordedAtMs);
    journal.add(more.journal);
  }

  return {
    list: async () =>
      sqlite.read(() =>
        records.all().map(
          (row): PolicyRecord => ({
            ...{ policy: read.version(row.version), fromMs: row.effective_from_ms },
            ...{ reachesPast: row.reaches_past === 1, recordedAtMs: row.recorded_at_ms },
            recordedBy: row.recorded_by,
          }),
        ),
      ),
    apply: async (policy) => sqlite.write(() => write(policy)),
    listUnaccounted: async (fromMs, limit) =>
      sqlite.read(() => ({
        count: countUnaccounted.get(fromMs) ?? 0,
        hours: unaccounted.all(fromMs, limit).map(({ node, hour_ms }) => {
          const { cluster, node: nodeName } = ids.nodeName(node);
          return { node, hourMs: hour_ms, cluster, nodeName };
        }),
      })),
  };
}
