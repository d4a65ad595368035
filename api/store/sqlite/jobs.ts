/** Declarations in SQLite: every version kept, and exactly what a version touches marked for attribution. */
import { z } from 'zod';
import { HOUR_MS } from '../../contract/batch.ts';
import { OPEN_END_MS } from '../../domain/bind.ts';
import type { Job } from '../../domain/job.ts';
import { StoreConflict } from '../batches.ts';
import type { JobStore, JobWrite, SourceState } from '../jobs.ts';
import { required, type Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';
import type { Ids } from './ids.ts';
import { encodePromises } from './job-promises.ts';
import type { JobRows } from './job-rows.ts';
import { createJobTouch } from './job-touch.ts';
import type { Journal } from './journal.ts';
import type { Minors } from './minors.ts';
import type { Placement } from './placement.ts';
import { createSourceWords } from './source-words.ts';

interface NodeHourRow {
  readonly node: number;
  readonly hour_ms: number;
}

interface SourceRow {
  readonly source: number;
  readonly self_declared: number;
  readonly complete_to_ms: number | null;
  readonly last_heard_ms: number;
}

export interface JobParts {
  readonly ids: Ids;
  readonly dirty: DirtyMarks;
  readonly rows: JobRows;
  readonly journal: Journal;
  readonly minors: Minors;
  readonly placement: Placement;
}

export function createJobs(
  sqlite: Sqlite,
  { ids, dirty, rows, journal, minors, placement }: JobParts,
): JobStore {
  const { database } = sqlite;
  const selectSource = database.prepare<[number, string, string], SourceRow>(SELECT_SOURCE);
  const moveSource = database.prepare('UPDATE sources SET complete_to_ms = ? WHERE source = ?');
  const insertWatermark = database.prepare(
    'INSERT INTO source_watermarks (source, seq, complete_to_ms, recorded_at_ms) VALUES (?, ?, ?, ?)',
  );
  /** Hours with verdicts that await a record and lie, in part at least, before the new watermark. */
  const selectAwaiting = database.prepare<[number, number, number], NodeHourRow>(
    `SELECT DISTINCT c.node, c.hour_ms FROM cells c JOIN nodes n ON n.node = c.node
     WHERE n.cluster = ? AND c.settles_at_ms > ? AND c.hour_ms < ?`,
  );
  /** Hours with verdicts that a source nobody waited for before could still change. */
  const selectReopened = database.prepare<[number, number], NodeHourRow>(
    `SELECT DISTINCT h.node, h.hour_ms FROM ledger_hours h JOIN nodes n ON n.node = h.node
     WHERE n.cluster = ? AND h.hour_ms > ? AND h.unaccounted_ms > 0`,
  );
  const touch = createJobTouch(sqlite, ids, dirty, placement);
  const insertVersion = createVersionWriter(sqlite);

  const sourceRow = createSourceRows(sqlite);

  function write({ job, recordedBy, expectedVersion, urgent, journal: entry }: JobWrite): void {
    const before = rows.find(job.id);
    if ((before?.job.version ?? 0) !== expectedVersion)
      throw new StoreConflict(`job ${job.id} has another version by now`);
    const seq = sqlite.nextSeq();
    const nowMs = job.recordedAtMs;
    const cluster = ids.cluster(job.cluster);
    const source = sourceRow(cluster, job.source, job.sourceInstance, job.selfDeclared, nowMs);
    insertVersion(job, source.source, recordedBy, seq);
    journal.add(entry);
    touch(before?.job ?? null, job, seq, nowMs, urgent);
  }

  return {
    find: async (id) => sqlite.read(() => rows.find(id)),
    devicesOf: async (job) =>
      sqlite.read(() =>
        job.allocations.map((one) => {
          const node = ids.findNode(job.cluster, one.node);
          return one.indices === undefined || node === null ? null : minors.meant(node.node, one);
        }),
      ),
    findAll: async (wanted) =>
      sqlite.read(() => {
        const found = wanted.flatMap((id) => rows.find(id) ?? []);
        return new Map(found.map(({ job, recordedBy }) => [job.id, { job, recordedBy }]));
      }),
    apply: async (writes) =>
      sqlite.write(() => {
        for (const one of writes) write(one);
      }),
    ...createSourceWords(sqlite, { ids, dirty, journal, sourceRow }),
    moveWatermark: async (key, selfDeclared, completeToMs, nowMs, entry) =>
      sqlite.write(() => {
        const cluster = ids.cluster(key.cluster);
        const known = selectSource.get(cluster, key.source, key.sourceInstance);
        const source = sourceRow(cluster, key.source, key.sourceInstance, selfDeclared, nowMs);
        const beforeMs = source.complete_to_ms;
        if (beforeMs !== null && completeToMs <= beforeMs) return stateOf(key, source);
        const seq = sqlite.nextSeq();
        moveSource.run(completeToMs, source.source);
        insertWatermark.run(source.source, seq, completeToMs, nowMs);
        if (known === undefined) journal.add(entry);
        const hours =
          beforeMs === null
            ? selectReopened.all(cluster, completeToMs - HOUR_MS)
            : selectAwaiting.all(cluster, beforeMs, completeToMs);
        for (const { node, hour_ms } of hours) dirty.mark(node, hour_ms, false, seq, nowMs);
        return known === undefined ? null : stateOf(key, known);
      }),
  };
}

const stateOf = (
  key: Pick<SourceState, 'cluster' | 'source' | 'sourceInstance'>,
  row: SourceRow,
): SourceState => ({
  ...key,
  selfDeclared: row.self_declared === 1,
  completeToMs: row.complete_to_ms,
  lastHeardMs: row.last_heard_ms,
});

const SELECT_SOURCE = `SELECT source, self_declared, complete_to_ms, last_heard_ms FROM sources
  WHERE cluster = ? AND name = ? AND instance = ?`;

export type SourceRows = (
  cluster: number,
  name: string,
  instance: string,
  selfDeclared: boolean,
  nowMs: number,
) => SourceRow;

/** The function that gives the row of a source that was heard just now, and makes it. */
export function createSourceRows({ database }: Sqlite): SourceRows {
  const hear = database.prepare(
    `INSERT INTO sources (cluster, name, instance, self_declared, last_heard_ms)
     VALUES (:cluster, :name, :instance, :selfDeclared, :nowMs)
     ON CONFLICT (cluster, name, instance) DO UPDATE SET last_heard_ms = excluded.last_heard_ms`,
  );
  const select = database.prepare<[number, string, string], SourceRow>(SELECT_SOURCE);
  return (cluster, name, instance, selfDeclared, nowMs) => {
    hear.run({ cluster, name, instance, selfDeclared: selfDeclared ? 1 : 0, nowMs });
    return required(select.get(cluster, name, instance));
  };
}

/** The function that writes one version of a job with everything that belongs to it. */
export function createVersionWriter(
  sqlite: Sqlite,
): (job: Job, source: number, recordedBy: string, seq: number) => void {
  const { database } = sqlite;
  const upsertJob = database.prepare(
    `INSERT INTO jobs (id, source, external_id, incarnation, first_recorded_at_ms, version, account, user_name, name,
       start_ms, end_ms, recorded_at_ms, root_boot_id, root_pid, root_start_ticks)
     VALUES (:id, :source, :externalId, :incarnation, :firstRecordedAtMs, :version, :account, :user, :name,
       :startMs, :endMs, :recordedAtMs, :bootId, :pid, :startTicks)
     ON CONFLICT (id) DO UPDATE SET version = excluded.version, account = excluded.account,
       user_name = excluded.user_name, name = excluded.name, start_ms = excluded.start_ms, end_ms = excluded.end_ms,
       recorded_at_ms = excluded.recorded_at_ms, root_boot_id = excluded.root_boot_id, root_pid = excluded.root_pid,
       root_start_ticks = excluded.root_start_ticks
     RETURNING job`,
  );
  const insertVersion = database.prepare(
    `INSERT INTO job_versions (job, version, seq, recorded_at_ms, recorded_by, account, user_name, uid, name, start_ms,
       end_ms, root_node, root_boot_id, root_pid, root_start_ticks, declares)
     VALUES (:row, :version, :seq, :recordedAtMs, :recordedBy, :account, :user, :uid, :name, :startMs,
       :endMs, :rootNode, :bootId, :pid, :startTicks, :declares)`,
  );
  const insertAllocation = database.prepare(
    `INSERT INTO job_allocations (job, version, ordinal, node, named, device_count, from_ms, to_ms, until_ms,
       share_milli, indices)
     VALUES (:row, :version, :ordinal, :node, :named, :count, :fromMs, :toMs, :untilMs, :shareMilli, :indices)`,
  );
  const insertDevice = database.prepare(
    `INSERT INTO job_allocation_devices (job, version, ordinal, device) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
  );
  const insertBoundary = database.prepare(
    'INSERT INTO job_boundaries (job, version, boundary) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
  );
  const insertExecutable = database.prepare(
    'INSERT INTO job_executables (job, version, executable) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
  );

  return (job, source, recordedBy, seq) => {
    const { declares, allocations, boundaries, selfDeclared, cluster, sourceInstance, ...others } = job;
    const { within: _w, attributes: _a, marks: _m, earlier: _e, recordedBy: _r, ...scalars } = others;
    const root = declares.root;
    const columns = {
      ...scalars,
      source,
      recordedBy,
      seq,
      rootNode: root?.node ?? null,
      bootId: root?.bootId ?? null,
      pid: root?.pid ?? null,
      startTicks: root?.startTicks ?? null,
      declares: encodePromises(job),
    };
    const { job: row } = z.object({ job: z.int() }).parse(upsertJob.get(columns));
    const { version } = job;
    insertVersion.run({ ...columns, row });
    for (const [ordinal, { devices, indices: list, ...one }] of allocations.entries()) {
      const { toMs } = one;
      const untilMs = Math.min(toMs ?? OPEN_END_MS, job.endMs ?? OPEN_END_MS);
      const named = devices === null ? 0 : 1;
      const indices = list === undefined ? null : JSON.stringify(list);
      insertAllocation.run({ ...one, row, version, ordinal, named, untilMs, indices });
      for (const device of devices ?? []) insertDevice.run(row, version, ordinal, device);
    }
    for (const boundary of boundaries) insertBoundary.run(row, version, boundary);
    for (const executable of declares.executables) insertExecutable.run(row, version, executable);
  };
}
