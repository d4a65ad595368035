/** A job as it is declared: from what the API takes to what the domain knows, and back to what the API says. */
import { canonicalJson } from '../contract/canonical.ts';
import type { JobIn, JobOut, JobPatch } from '../contract/jobs.ts';
import type { Caller } from '../domain/caller.ts';
import type { Allocation, Job, JobDeclares } from '../domain/job.ts';
import { marksOf } from '../domain/marks.ts';
import type { MeantDevices } from '../domain/minors.ts';
import { DEFAULT_POLICY } from '../domain/policy.ts';
import type { JobKey, JobRecord } from '../store/jobs.ts';
import { ServiceError } from './errors.ts';
import { completed } from './partial-job.ts';

/** Sources whose external id names a kernel boundary of the same kind. */
const BOUNDARY_SOURCES: readonly string[] = ['slurm', 'kubernetes', 'docker', 'podman', 'pbs', 'lsf', 'oar'];
/** Every version of a self-declaration is looked at whenever one of its hours is judged. */
const SELF_DECLARED_VERSIONS_MAX = 100;

export const invalid = (field: string, message: string): ServiceError =>
  new ServiceError('invalid', `Not valid: ${field}`, [{ field, message }]);

/** Who declares when, and on which version it was decided; null: the job is new. */
interface Declaring {
  readonly id: string;
  readonly selfDeclared: boolean;
  readonly caller: Caller;
  readonly before: Job | null;
  readonly nowMs: number;
}

export function fromInput(key: JobKey, input: JobIn, declaring: Declaring): Job {
  const { id, selfDeclared, before, nowMs } = declaring;
  const startMs = Date.parse(input.start);
  const endMs = input.end === null ? null : Date.parse(input.end);
  const named = BOUNDARY_SOURCES.includes(key.source) ? [`${key.source}:${key.externalId}`] : [];
  const job: Job = {
    id,
    ...{ cluster: key.cluster, source: key.source, sourceInstance: key.sourceInstance },
    ...{ externalId: key.externalId, incarnation: key.incarnation },
    ...{ name: input.name, account: input.account, user: input.user, uid: input.uid, startMs, endMs },
    allocations: input.allocations.map((one, index) => toAllocation(one, index, startMs)),
    boundaries: [...new Set(input.boundaries ?? named)].sort(),
    declares: declaresOf(input, input.root),
    ...(input.within === null ? {} : { within: input.within }),
    ...attributesOf(input.attributes),
    firstRecordedAtMs: before?.firstRecordedAtMs ?? nowMs,
    recordedAtMs: nowMs,
    version: (before?.version ?? 0) + 1,
    selfDeclared,
  };
  return marked(input.partial && before !== null ? completed(job, before) : job, declaring);
}

export function patched(before: Job, patch: JobPatch, declaring: Declaring): Job {
  const startMs = patch.start === undefined ? before.startMs : Date.parse(patch.start);
  const endMs = patch.end === undefined ? before.endMs : patch.end === null ? null : Date.parse(patch.end);
  if (endMs !== null && endMs < startMs)
    throw invalid(patch.end === undefined ? 'start' : 'end', 'end must not lie before start');
  const { declares } = before;
  const said = {
    executables: patch.executables ?? declares.executables,
    image: patch.image === undefined ? (declares.image ?? null) : patch.image,
    entrypoint: patch.entrypoint ?? declares.entrypoint ?? [],
    commandPattern:
      patch.commandPattern === undefined ? (declares.commandPattern ?? null) : patch.commandPattern,
    peers: patch.peers ?? declares.peers ?? [],
    processesPerDevice:
      patch.processesPerDevice === undefined
        ? (declares.processesPerDevice ?? null)
        : patch.processesPerDevice,
  };
  const { earlier: _, recordedBy: __, attributes = {}, ...kept } = before;
  const job: Job = {
    ...kept,
    account: patch.account ?? before.account,
    user: patch.user === undefined ? before.user : patch.user,
    name: patch.name ?? before.name,
    ...{ startMs, endMs },
    allocations:
      patch.allocations?.map((one, index) => toAllocation(one, index, startMs)) ??
      before.allocations.map((one) => ({
        ...one,
        fromMs: one.fromMs === before.startMs ? startMs : one.fromMs,
      })),
    declares: declaresOf(said, declares.root),
    ...attributesOf(patch.attributes ?? attributes),
    recordedAtMs: declaring.nowMs,
    version: before.version + 1,
  };
  return marked(job, declaring);
}

interface Said extends Readonly<Pick<JobIn, 'image' | 'commandPattern' | 'processesPerDevice'>> {
  readonly executables: readonly string[];
  readonly entrypoint: readonly string[];
  readonly peers: readonly string[];
}

/** The words of an entrypoint have an order; of lists that allow, each is said once. */
function declaresOf(said: Said, root: JobDeclares['root']): JobDeclares {
  const { image, entrypoint, commandPattern, peers, processesPerDevice } = said;
  return {
    executables: [...new Set(said.executables)].sort(),
    root,
    ...(image === null ? {} : { image }),
    ...(entrypoint.length === 0 ? {} : { entrypoint: [...entrypoint] }),
    ...(commandPattern === null ? {} : { commandPattern }),
    ...(peers.length === 0 ? {} : { peers: [...new Set(peers)].sort() }),
    ...(processesPerDevice === null ? {} : { processesPerDevice }),
  };
}

function marked(job: Job, { before, caller }: Declaring): Job {
  if (job.selfDeclared && job.version > SELF_DECLARED_VERSIONS_MAX)
    throw invalid('version', `a job declared by people has at most ${SELF_DECLARED_VERSIONS_MAX} versions`);
  const { marks: _, ...unmarked } = job;
  const otherUser = job.selfDeclared && isForOther(job, before, caller);
  const marks = marksOf(unmarked, before, DEFAULT_POLICY.selfDeclarationLeadMs, otherUser);
  return marks.length === 0 ? unmarked : { ...unmarked, marks };
}

/**
 * Whether an owner declares for an OS account that the token does not stand for. What somebody else has declared stays
 * as good as it was while its account stays.
 */
function isForOther(job: Job, before: Job | null, { role, users }: Caller): boolean {
  if (role !== 'owner') return false;
  if (before !== null && before.user === job.user && before.uid === job.uid)
    return before.marks?.includes('other_user') ?? false;
  return users !== null && users !== undefined && (job.user === null || !users.includes(job.user));
}

const attributesOf = (attributes: Readonly<Record<string, string>>): Pick<Job, 'attributes'> =>
  Object.keys(attributes).length === 0 ? {} : { attributes };

function toAllocation(input: JobIn['allocations'][number], index: number, startMs: number): Allocation {
  const fromMs = input.start === undefined ? startMs : Date.parse(input.start);
  const toMs = input.end === undefined || input.end === null ? null : Date.parse(input.end);
  if (toMs !== null && toMs < fromMs) throw invalid(`allocations.${index}.end`, 'must not lie before start');
  const { indices } = input;
  const named = indices === undefined ? input.devices : [];
  return {
    node: input.node,
    devices: named === undefined ? null : [...new Set(named)].sort(),
    ...(indices === undefined ? {} : { indices: [...new Set(indices)].sort((a, b) => a - b) }),
    count: input.count ?? null,
    ...{ fromMs, toMs, shareMilli: Math.max(1, Math.round(input.share * 1000)) },
  };
}

/** What makes two versions differ. */
export function contentOf(job: Job): string {
  const { version, recordedAtMs, firstRecordedAtMs, recordedBy, earlier, marks = [], ...content } = job;
  return canonicalJson({ ...content, isForOther: marks.includes('other_user') });
}

export function toAllocationOut(
  allocation: Allocation,
  meant: MeantDevices | null,
): JobOut['allocations'][number] {
  const { node, devices, indices, count, fromMs, toMs, shareMilli } = allocation;
  const named = meant?.devices ?? devices;
  return {
    ...{ node, devices: named === null ? null : [...named], count, start: toTime(fromMs) },
    indices: indices === undefined ? null : [...indices],
    pending: [...(meant?.pending ?? indices ?? [])],
    end: toMs === null ? null : toTime(toMs),
    share: shareMilli / 1000,
  };
}

const toTime = (ms: number): string => new Date(ms).toISOString();

/** `meant`: the devices of each allocation by minor numbers, as the store knows them. */
export function toJobOut({ job, recordedBy }: JobRecord, meant: readonly (MeantDevices | null)[]): JobOut {
  const { id, source, externalId, name, account, user, cluster, sourceInstance, incarnation, uid, declares } =
    job;
  return {
    ...{ id, source, externalId, name, account, user, cluster, sourceInstance, incarnation, uid, recordedBy },
    start: toTime(job.startMs),
    end: job.endMs === null ? null : toTime(job.endMs),
    allocations: job.allocations.map((one, at) => toAllocationOut(one, meant[at] ?? null)),
    boundaries: [...job.boundaries],
    executables: [...declares.executables],
    image: declares.image ?? null,
    entrypoint: [...(declares.entrypoint ?? [])],
    commandPattern: declares.commandPattern ?? null,
    peers: [...(declares.peers ?? [])],
    processesPerDevice: declares.processesPerDevice ?? null,
    root: declares.root,
    within: job.within ?? null,
    attributes: { ...job.attributes },
    marks: [...(job.marks ?? [])],
    version: job.version,
    firstRecordedAt: toTime(job.firstRecordedAtMs),
    recordedAt: toTime(job.recordedAtMs),
    selfDeclared: job.selfDeclared,
  };
}
