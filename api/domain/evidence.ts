// Which jobs could a process belong to, and by what: the ties of a process, strongest first.
import { type CgroupOwner, cgroupOwner } from '../contract/cgroup.ts';
import { at } from './at.ts';
import { EVIDENCE, type Evidence } from './bucket.ts';
import type { ObservedProcess, ProcessId } from './cell.ts';
import { isInside } from './inside.ts';
import type { Job } from './job.ts';
import { POLICY_SOURCE, type Policy } from './policy.ts';
import { baseName, executablePath, lineageOf } from './process.ts';
import { effectiveStartMs } from './terms.ts';

/** 0 is the strongest. */
export const rankOf = (evidence: Evidence): number => EVIDENCE.indexOf(evidence);

/**
 * A process that started this long before an earlier run of its job ended belongs to that run. Start times carry the
 * error of the boot clock, so nearer to the end the time of the use decides.
 */
const RUN_EDGE_MS = 5_000;

/** Kernel boundaries of these kinds tie a process only to a job that names them; every other kind is a job's by itself. */
const PLAIN_KINDS: readonly string[] = ['systemd', 'user_session'];
export const isJobBoundary = (owner: CgroupOwner): boolean => !PLAIN_KINDS.includes(owner.kind);

/** Environment variables that name a job, and the sources whose external ids they hold; null: any source. */
const CLAIM_SOURCES: ReadonlyMap<string, string | null> = new Map([
  ['SLURM_JOB_ID', 'slurm'],
  ['SLURM_JOBID', 'slurm'],
  ['PBS_JOBID', 'pbs'],
  ['LSB_JOBID', 'lsf'],
  ['OAR_JOB_ID', 'oar'],
  ['FLUX_JOB_ID', 'flux'],
  ['RAY_JOB_ID', 'ray'],
  ['RAY_SUBMISSION_ID', 'ray'],
  ['GPULEDGER_JOB_ID', null],
]);

/** One kind of evidence, and the jobs that it names: more than one where a job ran again under the same id. */
interface Tie {
  readonly evidence: Evidence;
  readonly jobs: readonly Job[];
}

export interface Ties {
  /** `cgroup`, `lineage` and `claim`, strongest first. `binding` depends on the device and the moment. */
  readonly ties: readonly Tie[];
  /** The kernel boundary that the process is or was in: the newest of a job's kind, else the newest at all. */
  readonly owner: CgroupOwner | null;
  /** What names a job that nobody declared, such as "cgroup slurm:8101" or "environment SLURM_JOB_ID=8120"; else null. */
  readonly unknownJob: string | null;
  /** Every job that its environment names. */
  readonly claimed: readonly Job[];
  /** Where two kinds of evidence name different jobs, such as "environment says 8120, cgroup says 8101". */
  readonly contradictions: readonly string[];
}

/** The jobs of a node by everything that can name one. */
export interface JobIndex {
  readonly byBoundary: ReadonlyMap<string, readonly Job[]>;
  /** By `rootKey`. */
  readonly byRoot: ReadonlyMap<string, readonly Job[]>;
  readonly byExternalId: ReadonlyMap<string, readonly Job[]>;
  readonly byId: ReadonlyMap<string, Job>;
}

const rootKey = (bootId: string, pid: number, startTicks: number): string => `${bootId}/${pid}/${startTicks}`;

/** Indexes the jobs that could matter on `node`; the order in which they come does not matter. */
export function indexJobs(cluster: string, node: string, jobs: ReadonlyMap<string, Job>): JobIndex {
  const byBoundary = new Map<string, Job[]>();
  const byRoot = new Map<string, Job[]>();
  const byExternalId = new Map<string, Job[]>();
  const byId = new Map<string, Job>();
  const sorted = [...jobs.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const job of sorted) {
    if (job.cluster !== cluster || job.source === POLICY_SOURCE) continue;
    byId.set(job.id, job);
    for (const boundary of new Set(job.boundaries)) push(byBoundary, boundary, job);
    push(byExternalId, job.externalId, job);
    const root = job.declares.root;
    if (root !== null && root.node === node)
      push(byRoot, rootKey(root.bootId, root.pid, root.startTicks), job);
  }
  const here = (index: Map<string, Job[]>): Map<string, readonly Job[]> =>
    new Map([...index].map(([key, named]) => [key, ofThisNode(named, node)]));
  return { byBoundary: here(byBoundary), byRoot, byExternalId: here(byExternalId), byId };
}

/**
 * Two schedulers of one kind count their jobs each for itself: of jobs of one name, those of the one that has a job of that
 * name on this node. Where none has, or all have, all of them.
 */
function ofThisNode(jobs: readonly Job[], node: string): readonly Job[] {
  const [first] = jobs;
  if (first === undefined || jobs.every((job) => instanceOf(job) === instanceOf(first))) return jobs;
  const present = jobs.filter((job) => job.allocations.some((one) => one.node === node));
  const instances = new Set(present.map(instanceOf));
  const kinds = new Set(present.map((job) => job.source));
  return jobs.filter((job) => !kinds.has(job.source) || instances.has(instanceOf(job)));
}

const instanceOf = ({ source, sourceInstance }: Job): string => `${source}/${sourceInstance}`;

function push(index: Map<string, Job[]>, key: string, job: Job): void {
  const jobs = index.get(key);
  if (jobs === undefined) index.set(key, [job]);
  else jobs.push(job);
}

/** Everything that ties a process to jobs, whatever the time. */
export function tiesOf(
  process: ObservedProcess,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
  index: JobIndex,
): Ties {
  const owners = ownersOf(process);
  const ties: Tie[] = [];
  const byCgroup = owners
    .map((owner) => index.byBoundary.get(owner.boundary))
    .find((jobs) => jobs !== undefined);
  if (byCgroup !== undefined) ties.push({ evidence: 'cgroup', jobs: byCgroup });
  const owner = owners.find(isJobBoundary) ?? owners[0] ?? null;
  const isBounded = owner !== null && isJobBoundary(owner);
  const { jobs: byLineage, unknown: unknownStep } = above(process, processes, index, isBounded);
  if (byLineage !== undefined) ties.push({ evidence: 'lineage', jobs: byLineage });
  const claim = claimOf(process, index);
  if (claim.first !== null) ties.push({ evidence: 'claim', jobs: claim.first.jobs });
  const said: Saying[] = [];
  if (byCgroup !== undefined) said.push(sayingOf('cgroup', byCgroup));
  else if (isBounded) said.push({ by: 'cgroup', id: owner.id, jobs: [] });
  if (byLineage !== undefined) said.push(sayingOf('lineage', byLineage));
  if (claim.first !== null) said.push({ by: 'environment', ...claim.first });
  return {
    ties,
    owner,
    unknownJob:
      byCgroup === undefined && isBounded ? `cgroup ${owner.boundary}` : (unknownStep ?? claim.unknown),
    claimed: claim.all,
    contradictions: contradictionsOf(said),
  };
}

const NO_OWNERS: readonly CgroupOwner[] = [];

const knownOwners = new WeakMap<ObservedProcess, readonly CgroupOwner[]>();

/** The boundaries of its cgroups, the present one first, then the earlier ones from the newest on. */
export function ownersOf(process: ObservedProcess): readonly CgroupOwner[] {
  let owners = knownOwners.get(process);
  if (owners === undefined) {
    owners = findOwners(process);
    knownOwners.set(process, owners);
  }
  return owners;
}

function findOwners(process: ObservedProcess): readonly CgroupOwner[] {
  const owners: CgroupOwner[] = [];
  for (const text of [process.cgroup, ...process.earlierCgroups.toReversed()]) {
    const owner = text === '' ? null : cgroupOwner(text);
    if (owner !== null) owners.push(owner);
  }
  return owners.length === 0 ? NO_OWNERS : owners;
}

interface Above {
  readonly jobs?: readonly Job[];
  /** A job that its lineage names and nobody declared. */
  readonly unknown: string | null;
}

/**
 * The nearest ancestor that names a job, the innermost declaration: a declared root, or what Slurm starts a step's processes
 * with. The latter is only asked where no control group names a job, as with proctrack/linuxproc.
 */
function above(
  process: ObservedProcess,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
  index: JobIndex,
  isBounded: boolean,
): Above {
  if (isBounded && index.byRoot.size === 0) return { unknown: null };
  for (const ancestor of lineageOf(process, processes)) {
    const { bootId, pid, startTicks } = ancestor;
    const jobs = startTicks === null ? undefined : index.byRoot.get(rootKey(bootId, pid, startTicks));
    if (jobs !== undefined) return { jobs, unknown: null };
    const boundary = isBounded ? null : stepBoundary(ancestor);
    if (boundary === null) continue;
    const named = index.byBoundary.get(boundary);
    return named === undefined ? { unknown: `lineage ${boundary}` } : { jobs: named, unknown: null };
  }
  return { unknown: null };
}

const STEP_DAEMONS: readonly string[] = ['slurmstepd', 'slurmstepd-wlm'];
/** `slurmstepd: [8101.batch]`, its title. */
const STEP_TITLE = /^slurmstepd: \[(\d{1,10})[.+]/;

/** Of a slurmstepd, the boundary of its job. Anybody may write such a title, and nobody but root runs that program as root. */
function stepBoundary({ uid, executable, commandLine }: ObservedProcess): string | null {
  if (uid !== 0 || executable === null || commandLine === null) return null;
  if (!STEP_DAEMONS.includes(baseName(executablePath(executable)))) return null;
  const [, job] = STEP_TITLE.exec(commandLine) ?? [];
  return job === undefined ? null : `slurm:${job}`;
}

interface Claim {
  /** The first variable that names any job: its value, and the jobs. */
  readonly first: { readonly id: string; readonly jobs: readonly Job[] } | null;
  readonly all: readonly Job[];
  readonly unknown: string | null;
}

function claimOf(process: ObservedProcess, index: JobIndex): Claim {
  let unknown: string | null = null;
  let first: Claim['first'] = null;
  const all: Job[] = [];
  for (const { name, value } of process.claims) {
    const source = CLAIM_SOURCES.get(name);
    if (source === undefined || value === '') continue;
    const byId = source === null ? index.byId.get(value) : undefined;
    const jobs =
      byId !== undefined
        ? [byId]
        : (index.byExternalId.get(value) ?? []).filter((job) => source === null || job.source === source);
    all.push(...jobs);
    if (jobs.length === 0) unknown ??= `environment ${name}=${value}`;
    else first ??= { id: value, jobs };
  }
  return { first, all, unknown: first === null ? unknown : null };
}

/** The same job, or one inside of it. */
const agrees = (job: Job, said: readonly Job[]): boolean =>
  said.some((other) => other === job || isInside(job, other));

/** What a kind of evidence calls the job; `jobs` is empty where nobody declared it. */
interface Saying {
  readonly by: 'cgroup' | 'lineage' | 'environment';
  readonly id: string;
  readonly jobs: readonly Job[];
}

const sayingOf = (by: Saying['by'], jobs: readonly Job[]): Saying => ({
  by,
  id: at(jobs, 0).externalId,
  jobs,
});

/** `said`: strongest first. */
function contradictionsOf(said: readonly Saying[]): string[] {
  const strongest = said[0];
  if (strongest === undefined) return [];
  return said
    .slice(1)
    .filter((other) => !other.jobs.some((job) => agrees(job, strongest.jobs)))
    .map((other) => `${other.by} says ${other.id}, ${strongest.by} says ${strongest.id}`);
}

/**
 * Which run of a job that ran more than once a use belongs to: the one in which the process started, if that one was
 * over; else the one that covers the time; else the nearest earlier one; else the next one. A scheduler's record goes
 * before a self-declaration of the same boundary. `jobs` is never empty.
 */
export function runAt(jobs: readonly Job[], startedMs: number | null, atMs: number, policy: Policy): Job {
  if (jobs.length === 1) return at(jobs, 0);
  const from = (job: Job): number => effectiveStartMs(job, policy);
  const end = (job: Job): number => job.endMs ?? Number.POSITIVE_INFINITY;
  const vouched = jobs.some((job) => !job.selfDeclared) ? jobs.filter((job) => !job.selfDeclared) : jobs;
  const ordered = [...vouched].sort((a, b) => from(a) - from(b) || (a.id < b.id ? -1 : 1));
  const started =
    startedMs === null
      ? undefined
      : ordered.find(
          (job) => from(job) <= startedMs && startedMs < end(job) - RUN_EDGE_MS && end(job) <= atMs,
        );
  if (started !== undefined) return started;
  const covering = ordered.findLast((job) => from(job) <= atMs && atMs < end(job));
  return covering ?? ordered.findLast((job) => from(job) <= atMs) ?? at(ordered, 0);
}

/**
 * Whether a process runs as the user that a job states; null where the job states none or the process does not tell. A
 * container's accounts are its image's: there root is never foreign, and a name decides nothing. Nobody runs as the user
 * of a job that its declarer does not stand for.
 */
export function userMatches(process: ObservedProcess, job: Job, owner: CgroupOwner | null): boolean | null {
  const contained =
    owner !== null &&
    (owner.kind === 'kubernetes' ||
      owner.kind === 'docker' ||
      owner.kind === 'podman' ||
      owner.kind === 'container');
  if (job.marks?.includes('other_user') === true) return false;
  if (job.uid !== null && process.uid !== null) {
    if (process.uid === job.uid) return true;
    return contained && process.uid === 0 ? null : false;
  }
  if (job.user !== null && process.user !== null && !contained) return process.user === job.user;
  return null;
}

/**
 * Whether a process runs as an account that the job's user lent to it: it came from a process of that user inside the job, and
 * runs in another user namespace. Who is not root can make one, and has only ids in it that were set apart for him.
 */
export function isLentAccount(
  process: ObservedProcess,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
  job: Job,
  owner: CgroupOwner | null,
): boolean {
  const own = process.namespaces?.user;
  if (own === undefined) return false;
  for (const ancestor of lineageOf(process, processes)) {
    if (!ownersOf(ancestor).some(({ boundary }) => job.boundaries.includes(boundary))) return false;
    if (userMatches(ancestor, job, owner) !== true) continue;
    const lender = ancestor.namespaces?.user;
    return lender !== undefined && lender !== own;
  }
  return false;
}

/**
 * The job that a device is bound to, if that alone ties a process to it: the only holder, with neither a boundary nor a
 * root of its own, and the user is the one it states; and no kernel boundary says otherwise. One that states no user may
 * only be a scheduler's: a self-declaration that would cover anybody covers nobody by this.
 */
export function boundJob(process: ObservedProcess, ties: Ties, holders: readonly Job[]): Job | null {
  const job = holders.length === 1 ? holders[0] : undefined;
  if (job === undefined || job.boundaries.length > 0 || job.declares.root !== null) return null;
  if (ties.owner !== null && isJobBoundary(ties.owner)) return null;
  const statesUser = job.user !== null || job.uid !== null;
  const matches = statesUser ? userMatches(process, job, ties.owner) === true : !job.selfDeclared;
  return matches ? job : null;
}
