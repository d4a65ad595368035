// Facts to build cells from: one device, one hour that starts at 0, one scheduler that has answered everything.
import type { CellFacts, ObservedProcess, ObservedSpan } from '../../api/domain/cell.ts';
import { processId } from '../../api/domain/cell.ts';
import type { Holding, Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';

export const HOUR_MS = 3_600_000;
export const MINUTE_MS = 60_000;
export const BOOT = 'b1';
export const GPU = 'GPU-1';
export const NODE = 'n1';

export const slurmCgroup = (id: number | string): string =>
  `0::/system.slice/slurmstepd.scope/job_${id}/step_0/user/task_0\n`;
export const SESSION_CGROUP = '0::/user.slice/user-1007.slice/session-44.scope\n';

export const pidOf = (pid: number): ObservedProcess['id'] => processId(BOOT, `${pid}/${pid * 10}`);

export function processFact(
  pid: number,
  change: Partial<ObservedProcess> & { path?: string; parentPid?: number } = {},
): ObservedProcess {
  const { path = '/usr/bin/python3', parentPid, ...rest } = change;
  return {
    key: `${pid}/${pid * 10}`,
    id: pidOf(pid),
    bootId: BOOT,
    pid,
    startTicks: pid * 10,
    startedMs: 0,
    parent: parentPid === undefined ? null : `${parentPid}/${parentPid * 10}`,
    parentId: parentPid === undefined ? null : pidOf(parentPid),
    uid: 2001,
    loginUid: null,
    sessionId: null,
    namespaces: null,
    comm: path.slice(path.lastIndexOf('/') + 1).slice(0, 15),
    executable: { path, device: '8:1', inode: `i${path}`, deleted: false, fileSystem: null },
    cgroup: slurmCgroup(8101),
    earlierCgroups: [],
    earlierExecutables: [],
    claims: [],
    argumentsDigest: null,
    unreadable: [],
    firstSeenMs: 0,
    exitedMs: null,
    personal: null,
    user: 'alice',
    commandLine: null,
    ...rest,
  };
}

export function job(id: string, change: Partial<Job> = {}): Job {
  return {
    id: `j_${id}`,
    cluster: 'c1',
    source: 'slurm',
    sourceInstance: 'main',
    externalId: id,
    incarnation: 0,
    name: `job ${id}`,
    account: 'research',
    user: 'alice',
    uid: 2001,
    startMs: -HOUR_MS,
    endMs: null,
    allocations: [],
    boundaries: [`slurm:${id}`],
    declares: { executables: [], root: null },
    firstRecordedAtMs: -HOUR_MS,
    recordedAtMs: -HOUR_MS,
    version: 1,
    selfDeclared: false,
    ...change,
  };
}

export const holds = (of: Job, change: Partial<Holding> = {}): Holding => ({
  job: of.id,
  device: GPU,
  shareMilli: 1000,
  assumed: false,
  fromMs: of.startMs,
  toMs: of.endMs ?? Number.MAX_SAFE_INTEGER,
  ...change,
});

/** A span with tenants by pid and their active milliseconds; null: the device does not tell. */
export function span(
  fromMs: number,
  toMs: number,
  active: Readonly<Record<number, number | null>>,
  alone = 0,
): ObservedSpan {
  const tenants = Object.entries(active).map(([pid, activeMs]) => ({
    process: pidOf(Number(pid)),
    type: 'C',
    gpuInstance: null,
    activeMs,
  }));
  const unknown = tenants.some((tenant) => tenant.activeMs === null);
  const sum = tenants.reduce((total, tenant) => total + (tenant.activeMs ?? 0), alone);
  const activeMs = unknown ? null : sum;
  return { fromMs, toMs, activeMs, conflictMs: 0, method: 'sm_share', tenants, partition: null };
}

export interface CellParts extends Partial<Omit<CellFacts, 'processes' | 'jobs'>> {
  readonly processes?: readonly ObservedProcess[];
  readonly jobs?: readonly Job[];
}

export function cell({ processes = [], jobs = [], ...change }: CellParts): CellFacts {
  return {
    cluster: 'c1',
    node: NODE,
    device: GPU,
    interval: { fromMs: 0, toMs: HOUR_MS },
    capacity: [{ fromMs: 0, toMs: HOUR_MS }],
    bookedToMs: HOUR_MS,
    spans: [],
    gaps: [],
    processes: new Map(processes.map((process) => [process.id, process])),
    jobs: new Map(jobs.map((one) => [one.id, one])),
    holdings: [],
    sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: HOUR_MS }],
    policy: DEFAULT_POLICY,
    ...change,
  };
}
