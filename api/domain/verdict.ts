// The verdict on one process on one device at one moment: used by a job, or unaccounted and why.
import type { CgroupOwner } from '../contract/cgroup.ts';
import type { Evidence, Reason } from './bucket.ts';
import type { ObservedProcess, ProcessId, SourceWatermark } from './cell.ts';
import type { ConditionSpan } from './condition.ts';
import {
  boundJob,
  indexJobs,
  isJobBoundary,
  isLentAccount,
  type JobIndex,
  ownersOf,
  rankOf,
  runAt,
  type Ties,
  tiesOf,
  userMatches,
} from './evidence.ts';
import { exemptionOf } from './exempt.ts';
import { type Fit, fitOf } from './fit.ts';
import { isInside } from './inside.ts';
import type { Job } from './job.ts';
import { innerAt } from './nested.ts';
import type { Policy } from './policy.ts';
import { asOf, executableKey } from './process.ts';
import { effectiveStartMs, endAt, termsAt } from './terms.ts';

/** What every device cell of one node and hour shares. */
export interface NodeFacts {
  readonly cluster: string;
  readonly node: string;
  readonly processes: ReadonlyMap<ProcessId, ObservedProcess>;
  /** Every job that could matter on this node, by id. */
  readonly jobs: ReadonlyMap<string, Job>;
  readonly sources: readonly SourceWatermark[];
  readonly policy: Policy;
  /** What schedulers say of the node; absent: nothing. */
  readonly conditions?: readonly ConditionSpan[];
}

interface Judged {
  readonly evidence: Evidence | null;
}

/** It is the use of `job`. */
export interface Used extends Judged {
  readonly reason: null;
  readonly job: Job;
  readonly suspicious: boolean;
}

interface Unaccounted extends Judged {
  readonly reason: Reason;
  /** The job that the process sits inside. A claim alone puts nothing inside a job. */
  readonly job: Job | null;
  /**
   * From when on a record could still change it, while nothing else changes: up to here the sources that could cover the
   * time have answered. Infinity: never.
   */
  readonly provisionalFromMs: number;
  /** A provisional verdict is final no earlier than this; 0 where the time itself is the limit. */
  readonly finalAtMs: number;
}

export type Verdict = Used | Unaccounted;

/** Whether the record that could change a verdict of a moment may not have come yet. */
export const awaitsRecord = (verdict: Verdict, atMs: number): boolean =>
  verdict.reason !== null && verdict.provisionalFromMs <= atMs;

/** Sources of these names speak for kernel boundaries of their own kind only. */
const BOUNDARY_SOURCES: readonly string[] = ['slurm', 'kubernetes', 'docker', 'podman', 'pbs', 'lsf', 'oar'];

/** Judges processes of one node. Ties and fits are worked out once per process. */
export interface Judge {
  tiesOf(id: ProcessId): Ties;
  /**
   * `holders` are the jobs that hold the device at `atMs`, `type` the driver's letters for the process on it. The verdict
   * holds until the next edge of its jobs and of the policy's exemptions.
   */
  judge(id: ProcessId, atMs: number, holders: readonly Job[], type: string): Verdict;
  /** Whether a process inside a job is not what that job declared. */
  isForeign(id: ProcessId, job: Job): boolean;
  /** From when on a job may still be declared that nobody knows yet, whatever its boundary; Infinity: never. */
  readonly undeclaredFromMs: number;
}

const NO_TIES: Ties = { ties: [], owner: null, unknownJob: null, claimed: [], contradictions: [] };

export function createJudge(facts: NodeFacts): Judge {
  const { processes, policy } = facts;
  const index: JobIndex = indexJobs(facts.cluster, facts.node, facts.jobs);
  const watermarks = createWatermarks(facts.sources);
  const ties = new Map<ProcessId, Ties>();
  const fits = new Map<string, Fit>();

  const processAt = (id: ProcessId, atMs: number): ObservedProcess | undefined => {
    const process = processes.get(id);
    return process?.executions === undefined ? process : asOf(process, atMs);
  };

  const tiesOfId = (id: ProcessId): Ties => {
    let found = ties.get(id);
    if (found === undefined) {
      const process = processes.get(id);
      found = process === undefined ? NO_TIES : tiesOf(process, processes, index);
      ties.set(id, found);
    }
    return found;
  };

  const fitOfId = (process: ObservedProcess, job: Job): Fit => {
    const { id, executable, executions } = process;
    const ran = executions === undefined || executable === null ? '' : ` ${executableKey(executable)}`;
    const key = `${job.id} ${job.version} ${id}${ran}`;
    let fit = fits.get(key);
    if (fit === undefined) {
      fit = fitOf(process, processes, job, policy);
      fits.set(key, fit);
    }
    return fit;
  };

  const byDeclarations = (id: ProcessId, atMs: number, holders: readonly Job[]): Verdict => {
    const process = processAt(id, atMs);
    const known = tiesOfId(id);
    const tied = process === undefined ? null : strongest(process, known, atMs, holders, policy);
    if (process === undefined || tied === null) {
      const reason = known.unknownJob === null ? 'no_job' : 'unknown_job';
      const provisionalFromMs = watermarks.anyJob(known.owner);
      return { reason, job: null, evidence: null, provisionalFromMs, finalAtMs: 0 };
    }
    const refined = refine(process, known, tied, atMs, holders);
    const { reason, job, evidence } = refined;
    if (reason === null) return { ...refined, reason };
    const endMs = reason === 'after_end' ? endAt(job, atMs, policy) : null;
    const graceEndMs = endMs === null ? 0 : endMs + policy.endGraceMs;
    const completeToMs = reason === 'unverified_claim' ? watermarks.anyJob(known.owner) : watermarks.of(job);
    // Within the grace nothing is final before the grace itself is over.
    const fromMs = graceEndMs > completeToMs ? Number.NEGATIVE_INFINITY : completeToMs;
    return {
      ...{ reason, job: evidence === 'claim' ? null : job, evidence, finalAtMs: graceEndMs },
      provisionalFromMs: reason === 'foreign_in_job' ? Number.POSITIVE_INFINITY : fromMs,
    };
  };

  /** What the job that a process sits in says of it; where that covers it, what the job inside of that one says. */
  const refine = (
    process: ObservedProcess,
    known: Ties,
    tied: Tied,
    atMs: number,
    holders: readonly Job[],
  ): Tied & { readonly reason: Reason | null; readonly suspicious: boolean } => {
    const fit = fitOfId(process, termsAt(tied.job, atMs, policy));
    const reason = firstReason(process, processes, known, tied, atMs, holders, policy, fit === 'foreign');
    const inner = reason === null ? innerAt(process, known, tied.job, atMs, policy) : null;
    if (inner === null) return { ...tied, reason, suspicious: fit !== 'fits' };
    const endMs = endAt(inner, atMs, policy);
    const ended = endMs !== null && atMs >= endMs;
    const innerFit = fitOfId(process, termsAt(inner, atMs, policy));
    return {
      ...{ job: inner, evidence: tied.evidence, reason: ended ? 'after_end' : null },
      suspicious: fit !== 'fits' || innerFit !== 'fits',
    };
  };

  return {
    tiesOf: tiesOfId,
    judge(id, atMs, holders, type) {
      const verdict = byDeclarations(id, atMs, holders);
      const process = processAt(id, atMs);
      if (verdict.reason === null || process === undefined) return verdict;
      const exemption = exemptionOf(facts, process, tiesOfId(id), type, atMs);
      if (exemption === null) return verdict;
      return { reason: null, job: exemption, evidence: 'policy', suspicious: false };
    },
    isForeign(id, job) {
      const process = processes.get(id);
      return process !== undefined && fitOfId(process, job) === 'foreign';
    },
    undeclaredFromMs: watermarks.anyJob(null),
  };
}

interface Tied {
  readonly job: Job;
  readonly evidence: Evidence;
}

/** The strongest evidence and the job that it names at that moment. */
function strongest(
  process: ObservedProcess,
  known: Ties,
  atMs: number,
  holders: readonly Job[],
  policy: Policy,
): Tied | null {
  const kernelHeld = known.ties.find((tie) => tie.evidence !== 'claim');
  const tied = (evidence: Evidence, jobs: readonly Job[]): Tied => ({
    job: runAt(jobs, process.startedMs, atMs, policy),
    evidence,
  });
  if (kernelHeld !== undefined) return tied(kernelHeld.evidence, kernelHeld.jobs);
  const bound = boundJob(process, known, holders);
  if (bound !== null) return { job: bound, evidence: 'binding' };
  const claim = known.ties[0];
  return claim === undefined ? null : tied('claim', claim.jobs);
}

/** The first reason, in the order of REASONS, why this is not the job's own use; null where it is. */
function firstReason(
  process: ObservedProcess,
  processes: NodeFacts['processes'],
  known: Ties,
  { job, evidence }: Tied,
  atMs: number,
  holders: readonly Job[],
  policy: Policy,
  foreign: boolean,
): Reason | null {
  if (rankOf(evidence) > rankOf(policy.weakestEvidence)) return 'unverified_claim';
  const terms = termsAt(job, atMs, policy);
  if (
    userMatches(process, terms, known.owner) === false &&
    !isLentAccount(process, processes, terms, known.owner)
  )
    return 'wrong_user';
  if (atMs < effectiveStartMs(terms, policy) || !isNamedBy(terms, evidence, process)) return 'before_start';
  const endMs = endAt(job, atMs, policy);
  if (endMs !== null && atMs >= endMs) return 'after_end';
  if (!holders.some((holder) => holder === job || isInside(job, holder))) return 'outside_allocation';
  return foreign ? 'foreign_in_job' : null;
}

/** Whether these terms of a job already said what ties a process to it: a later version may have added that. */
function isNamedBy({ boundaries, declares }: Job, evidence: Evidence, process: ObservedProcess): boolean {
  if (evidence === 'lineage')
    return declares.root !== null || boundaries.some((one) => one.startsWith('slurm:'));
  return evidence !== 'cgroup' || ownersOf(process).some(({ boundary }) => boundaries.includes(boundary));
}

/** Up to when the sources have answered that could still declare something. Infinity where there is none to wait for. */
interface Watermarks {
  /** For a job that nobody has declared yet, given the boundary that would name it. */
  anyJob(owner: CgroupOwner | null): number;
  /** For a correction of a job: its own source, or any where that one is not known. */
  of(job: Job): number;
}

function createWatermarks(sources: readonly SourceWatermark[]): Watermarks {
  const least = (some: readonly SourceWatermark[]): number =>
    some.reduce((least, source) => Math.min(least, source.completeToMs), Number.POSITIVE_INFINITY);
  const all = least(sources);
  const byKind = new Map<string, number>();
  for (const kind of BOUNDARY_SOURCES)
    byKind.set(
      kind,
      least(sources.filter(({ source }) => source === kind || !BOUNDARY_SOURCES.includes(source))),
    );
  const own = new Map(
    sources.map((source) => [`${source.source} ${source.sourceInstance}`, source.completeToMs]),
  );
  return {
    anyJob: (owner) => (owner !== null && isJobBoundary(owner) ? (byKind.get(owner.kind) ?? all) : all),
    of: (job) => own.get(`${job.source} ${job.sourceInstance}`) ?? all,
  };
}
