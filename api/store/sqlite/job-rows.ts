/** Jobs as the domain knows them, put together from their rows; the newest ones are kept in memory. */
import type { Allocation, Job } from '../../domain/job.ts';
import type { JobRecord } from '../jobs.ts';
import { required, type Sqlite } from './connection.ts';
import { indicesOf, promisesOf } from './job-promises.ts';

const KEPT_JOBS = 20_000;

interface JobRow {
  readonly job: number;
  readonly version: number;
  readonly id: string;
  readonly cluster: string;
  readonly source: string;
  readonly instance: string;
  readonly self_declared: number;
  readonly external_id: string;
  readonly incarnation: number;
  readonly first_recorded_at_ms: number;
  readonly recorded_at_ms: number;
  readonly recorded_by: string;
  readonly account: string;
  readonly user_name: string | null;
  readonly uid: number | null;
  readonly name: string;
  readonly start_ms: number;
  readonly end_ms: number | null;
  readonly root_node: string | null;
  readonly root_boot_id: string | null;
  readonly root_pid: number | null;
  readonly root_start_ticks: number | null;
  readonly declares: string;
}

interface AllocationRow {
  readonly ordinal: number;
  readonly node: string;
  readonly named: number;
  readonly device_count: number | null;
  readonly from_ms: number;
  readonly to_ms: number | null;
  readonly share_milli: number;
  readonly indices: string | null;
}

export interface JobRows {
  /** The newest version of a job by its row number; of a self-declared one with those before it. */
  read(job: number): JobRecord;
  find(id: string): (JobRecord & { readonly row: number }) | null;
}

export function createJobRows(sqlite: Sqlite): JobRows {
  const { database } = sqlite;
  const selectVersion = database.prepare<[number], number>('SELECT version FROM jobs WHERE job = ?').pluck();
  const selectRow = database.prepare<[string], number>('SELECT job FROM jobs WHERE id = ?').pluck();
  const select = database.prepare<[number], JobRow>(
    `SELECT j.job, v.version, j.id, c.name AS cluster, s.name AS source, s.instance, s.self_declared, j.external_id,
       j.incarnation, j.first_recorded_at_ms, v.recorded_at_ms, v.recorded_by, v.account, v.user_name, v.uid, v.name,
       v.start_ms, v.end_ms, v.root_node, v.root_boot_id, v.root_pid, v.root_start_ticks, v.declares
     FROM jobs j JOIN sources s ON s.source = j.source JOIN clusters c ON c.cluster = s.cluster
     JOIN job_versions v ON v.job = j.job AND (v.version = j.version OR s.self_declared = 1)
     WHERE j.job = ? ORDER BY v.version`,
  );
  const allocations = database.prepare<[number, number], AllocationRow>(
    `SELECT ordinal, node, named, device_count, from_ms, to_ms, share_milli, indices FROM job_allocations
     WHERE job = ? AND version = ? ORDER BY ordinal`,
  );
  const devices = database
    .prepare<[number, number, number], string>(
      'SELECT device FROM job_allocation_devices WHERE job = ? AND version = ? AND ordinal = ? ORDER BY device',
    )
    .pluck();
  const boundaries = database
    .prepare<[number, number], string>(
      'SELECT boundary FROM job_boundaries WHERE job = ? AND version = ? ORDER BY boundary',
    )
    .pluck();
  const executables = database
    .prepare<[number, number], string>(
      'SELECT executable FROM job_executables WHERE job = ? AND version = ? ORDER BY executable',
    )
    .pluck();

  const kept = new Map<number, JobRecord>();
  sqlite.onRollback(() => kept.clear());

  const toAllocation = (row: JobRow, one: AllocationRow): Allocation => ({
    node: one.node,
    devices: one.named === 1 ? devices.all(row.job, row.version, one.ordinal) : null,
    ...(one.indices === null ? {} : { indices: indicesOf(one.indices) }),
    count: one.device_count,
    fromMs: one.from_ms,
    toMs: one.to_ms,
    shareMilli: one.share_milli,
  });

  const buildVersion = (row: JobRow): Job => {
    const { root_node, root_boot_id, root_pid, root_start_ticks } = row;
    const root =
      root_node === null || root_boot_id === null || root_pid === null || root_start_ticks === null
        ? null
        : { node: root_node, bootId: root_boot_id, pid: root_pid, startTicks: root_start_ticks };
    const { declares, rest } = promisesOf(row.declares);
    return {
      id: row.id,
      cluster: row.cluster,
      source: row.source,
      sourceInstance: row.instance,
      externalId: row.external_id,
      incarnation: row.incarnation,
      name: row.name,
      account: row.account,
      user: row.user_name,
      uid: row.uid,
      startMs: row.start_ms,
      endMs: row.end_ms,
      allocations: allocations.all(row.job, row.version).map((one) => toAllocation(row, one)),
      boundaries: boundaries.all(row.job, row.version),
      declares: { executables: executables.all(row.job, row.version), root, ...declares },
      ...rest,
      firstRecordedAtMs: row.first_recorded_at_ms,
      recordedAtMs: row.recorded_at_ms,
      version: row.version,
      selfDeclared: row.self_declared === 1,
      recordedBy: row.recorded_by,
    };
  };
  const build = (versions: readonly JobRow[]): JobRecord => {
    const jobs = versions.map(buildVersion);
    const newest = required(jobs.at(-1));
    const earlier = jobs.slice(0, -1);
    const job = earlier.length === 0 ? newest : { ...newest, earlier };
    return { job, recordedBy: newest.recordedBy ?? '' };
  };

  const rows: JobRows = {
    read(number) {
      const version = required(selectVersion.get(number));
      const known = kept.get(number);
      if (known?.job.version === version) return known;
      const record = build(select.all(number));
      if (kept.size >= KEPT_JOBS) kept.clear();
      kept.set(number, record);
      return record;
    },
    find(id) {
      const row = selectRow.get(id);
      return row === undefined ? null : { ...rows.read(row), row };
    },
  };
  return rows;
}
