/** Jobs, their versions, and what each did in its life so far. */
import { devicesMeant, type MinorSighting, minorStretches } from '../../../domain/minors.ts';
import type { JobRow, JobsQuestion, JobUseRow, JobVersionRow } from '../../questions.ts';
import { decodePromises, indicesOf, type Promises } from '../job-promises.ts';
import { likePart, listParameter, type Reader } from './reader.ts';

const LIST = `
  SELECT j.job, j.id, j.version, j.start_ms AS startMs
  FROM jobs j JOIN sources s ON s.source = j.source
  WHERE (@accounts IS NULL OR j.account IN (SELECT value FROM json_each(@accounts)))
    AND (@fromMs IS NULL OR j.end_ms IS NULL OR j.end_ms > @fromMs)
    AND (@toMs IS NULL OR j.start_ms < @toMs)
    AND (@account IS NULL OR j.account = @account) AND (@user IS NULL OR j.user_name = @user)
    AND (@source IS NULL OR s.name = @source)
    AND (@running IS NULL OR (j.start_ms <= @nowMs AND (j.end_ms IS NULL OR j.end_ms > @nowMs)) = @running)
    AND (@search IS NULL OR j.external_id LIKE @search ESCAPE '\\' OR j.name LIKE @search ESCAPE '\\')
    AND (@afterJob IS NULL OR j.start_ms < @afterStartMs OR (j.start_ms = @afterStartMs AND j.job < @afterJob))
  ORDER BY j.start_ms DESC, j.job DESC LIMIT @limit`;

const ONE = `SELECT j.job, j.id, j.version, j.start_ms AS startMs FROM jobs j
  WHERE j.id = @id AND (@accounts IS NULL OR j.account IN (SELECT value FROM json_each(@accounts)))`;

/** Versions of the jobs that `@jobs` lists; `@newest` 1: only the newest of each. */
const PICKED = `picked AS (
  SELECT v.job, v.version FROM job_versions v JOIN jobs j ON j.job = v.job
  WHERE v.job IN (SELECT value FROM json_each(@jobs)) AND (@newest = 0 OR v.version = j.version))`;

const VERSIONS = `WITH ${PICKED}
  SELECT v.job, j.id, c.name AS cluster, s.name AS source, s.instance AS sourceInstance, j.external_id AS externalId,
    j.incarnation, s.self_declared AS selfDeclared, v.name, v.account, v.user_name AS user, v.uid,
    v.start_ms AS startMs, v.end_ms AS endMs, v.root_node AS rootNode, v.root_boot_id AS rootBootId,
    v.root_pid AS rootPid, v.root_start_ticks AS rootStartTicks, v.version, v.declares,
    j.first_recorded_at_ms AS firstRecordedAtMs, v.recorded_at_ms AS recordedAtMs, v.recorded_by AS recordedBy
  FROM picked k JOIN job_versions v ON v.job = k.job AND v.version = k.version
  JOIN jobs j ON j.job = v.job JOIN sources s ON s.source = j.source JOIN clusters c ON c.cluster = s.cluster
  ORDER BY v.job, v.version`;
const ALLOCATIONS = `WITH ${PICKED}
  SELECT a.job, a.version, a.ordinal, a.node, a.named, a.device_count AS count, a.from_ms AS fromMs, a.to_ms AS toMs,
    a.share_milli AS shareMilli, a.indices
  FROM picked k JOIN job_allocations a ON a.job = k.job AND a.version = k.version ORDER BY a.job, a.version, a.ordinal`;
const ALLOCATION_DEVICES = `WITH ${PICKED}
  SELECT a.job, a.version, a.ordinal, a.device
  FROM picked k JOIN job_allocation_devices a ON a.job = k.job AND a.version = k.version
  ORDER BY a.job, a.version, a.ordinal, a.device`;
const MINORS = `WITH ${PICKED}
  SELECT DISTINCT n.name AS node, m.boot_id AS bootId, m.minor, d.uuid AS device, m.first_ms AS firstMs
  FROM picked k JOIN job_allocations a ON a.job = k.job AND a.version = k.version AND a.indices IS NOT NULL
  JOIN jobs j ON j.job = k.job JOIN sources s ON s.source = j.source
  JOIN nodes n ON n.cluster = s.cluster AND n.name = a.node
  JOIN device_minors m ON m.node = n.node JOIN devices d ON d.device = m.device`;
const BOUNDARIES = `WITH ${PICKED}
  SELECT b.job, b.version, b.boundary AS text
  FROM picked k JOIN job_boundaries b ON b.job = k.job AND b.version = k.version ORDER BY b.boundary`;
const EXECUTABLES = `WITH ${PICKED}
  SELECT b.job, b.version, b.executable AS text
  FROM picked k JOIN job_executables b ON b.job = k.job AND b.version = k.version ORDER BY b.executable`;
const USE = `
  SELECT l.holder AS job, sum(l.allocated_ms) AS allocatedMs, sum(l.used_ms) AS usedMs, sum(l.held_ms) AS heldMs,
    sum(l.unaccounted_inside_ms) AS unaccountedInsideMs, sum(l.unobserved_inside_ms) AS unobservedInsideMs
  FROM ledger_hours l WHERE l.holder IN (SELECT value FROM json_each(@jobs)) GROUP BY l.holder`;

/** Jobs that a page compares at most. */
const BESIDE_MAX = 200;
const BESIDE = `
  SELECT DISTINCT b.job FROM jobs j JOIN sources s ON s.source = j.source
  JOIN job_allocations a ON a.job = j.job AND a.version = j.version
  JOIN job_allocations b ON b.node = a.node AND b.until_ms > a.from_ms AND b.from_ms < a.until_ms AND b.job <> a.job
  JOIN jobs o ON o.job = b.job AND o.version = b.version JOIN sources t ON t.source = o.source
  WHERE j.job = @job AND t.cluster = s.cluster ORDER BY b.job DESC LIMIT ${BESIDE_MAX}`;

interface Key {
  readonly job: number;
  readonly version: number;
}
type VersionColumns = Omit<
  JobVersionRow,
  'allocations' | 'boundaries' | 'executables' | 'selfDeclared' | 'root' | keyof Promises
> & {
  readonly declares: string;
  readonly selfDeclared: number;
  readonly rootNode: string | null;
  readonly rootBootId: string | null;
  readonly rootPid: number | null;
  readonly rootStartTicks: number | null;
};
interface AllocationColumns extends Key {
  readonly ordinal: number;
  readonly node: string;
  readonly named: number;
  readonly count: number | null;
  readonly fromMs: number;
  readonly toMs: number | null;
  readonly shareMilli: number;
  readonly indices: string | null;
}

const keyOf = ({ job, version }: Key): string => `${job}/${version}`;

function rootOf(row: VersionColumns): JobVersionRow['root'] {
  const { rootNode: node, rootBootId: bootId, rootPid: pid, rootStartTicks: startTicks } = row;
  if (node === null || bootId === null || pid === null || startTicks === null) return null;
  return { node, bootId, pid, startTicks };
}

/** With the devices that its numbers mean, of a newest or an older version: overlaps compare them. */
function toAllocation(
  row: AllocationColumns,
  devices: readonly string[] | null,
  minors: readonly MinorSighting[],
): JobVersionRow['allocations'][number] {
  const { node, count, fromMs, toMs, shareMilli } = row;
  const allocation = { node, devices, count, fromMs, toMs, shareMilli };
  if (row.indices === null) return { ...allocation, meant: null };
  const indices = indicesOf(row.indices);
  const meant = devicesMeant({ ...allocation, indices }, minorStretches(minors));
  return { ...allocation, indices, devices: meant.devices, meant };
}

export interface JobQuestions {
  list(asked: JobsQuestion): JobRow[];
  one(id: string, accounts: readonly string[] | null): JobRow | null;
  /** Every version of one job, ascending. */
  versions(job: number): JobVersionRow[];
  beside(job: number): JobVersionRow[];
}

export function jobQuestions(reader: Reader): JobQuestions {
  const list = reader.question<{ job: number; startMs: number }>(LIST);
  const one = reader.question<{ job: number; startMs: number }>(ONE);
  const versionRows = reader.question<VersionColumns>(VERSIONS);
  const allocationRows = reader.question<AllocationColumns>(ALLOCATIONS);
  const deviceRows = reader.question<Key & { ordinal: number; device: string }>(ALLOCATION_DEVICES);
  const minorRows = reader.question<MinorSighting & { node: string }>(MINORS);
  const boundaryRows = reader.question<Key & { text: string }>(BOUNDARIES);
  const executableRows = reader.question<Key & { text: string }>(EXECUTABLES);
  const besideRows = reader.question<{ job: number }>(BESIDE);
  const useRows = reader.question<{ job: number } & JobUseRow>(USE);

  function load(jobs: readonly number[], newest: boolean): JobVersionRow[] {
    const parameters = { jobs: listParameter(jobs), newest: Number(newest) };
    const allocations = Map.groupBy(allocationRows.all(parameters), keyOf);
    const devices = Map.groupBy(deviceRows.all(parameters), (row) => `${keyOf(row)}/${row.ordinal}`);
    const minors = Map.groupBy(minorRows.all(parameters), (row) => row.node);
    const boundaries = Map.groupBy(boundaryRows.all(parameters), keyOf);
    const executables = Map.groupBy(executableRows.all(parameters), keyOf);
    return versionRows.all(parameters).map((row) => {
      const { rootNode: _n, rootBootId: _b, rootPid: _p, rootStartTicks: _t, declares, ...columns } = row;
      return {
        ...columns,
        ...decodePromises(declares),
        selfDeclared: row.selfDeclared === 1,
        root: rootOf(row),
        boundaries: (boundaries.get(keyOf(row)) ?? []).map((each) => each.text),
        executables: (executables.get(keyOf(row)) ?? []).map((each) => each.text),
        allocations: (allocations.get(keyOf(row)) ?? []).map((each) => {
          const named = (devices.get(`${keyOf(row)}/${each.ordinal}`) ?? []).map((device) => device.device);
          return toAllocation(each, each.named === 1 ? named : null, minors.get(each.node) ?? []);
        }),
      };
    });
  }

  function complete(keys: readonly { job: number }[]): JobRow[] {
    const jobs = keys.map((key) => key.job);
    const byJob = new Map(load(jobs, true).map((row) => [row.job, row]));
    const use = new Map(useRows.all({ jobs: listParameter(jobs) }).map((row) => [row.job, row]));
    return jobs.flatMap((job) => {
      const newest = byJob.get(job);
      return newest ? [{ ...newest, use: use.get(job) ?? null }] : [];
    });
  }

  return {
    list({ accounts, fromMs, toMs, account, user, source, running, search, nowMs, after, limit }) {
      return complete(
        list.all({
          ...{ fromMs, toMs, account, user, source, nowMs, limit },
          accounts: accounts === null ? null : listParameter(accounts),
          running: running === null ? null : Number(running),
          search: search === null ? null : likePart(search),
          afterStartMs: after?.startMs ?? null,
          afterJob: after?.job ?? null,
        }),
      );
    },
    one: (id, accounts) =>
      complete(one.all({ id, accounts: accounts === null ? null : listParameter(accounts) }))[0] ?? null,
    versions: (job) => load([job], false),
    beside: (job) =>
      load(
        besideRows.all({ job }).map((row) => row.job),
        true,
      ),
  };
}
