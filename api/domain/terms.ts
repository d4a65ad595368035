/**
 * What a declaration claims at which moment. A scheduler's newest word holds for all time; each version of a
 * self-declaration counts from a little before it was recorded, and earlier time is judged by what was known then. Only an
 * end that is said to have been earlier reaches back, since nobody claims more by it.
 */
import type { Interval } from './interval.ts';
import type { Allocation, Job } from './job.ts';
import type { Policy } from './policy.ts';

/** When a job runs, by what counts at a moment. */
type Timed = Pick<Job, 'selfDeclared' | 'startMs' | 'firstRecordedAtMs'>;

/**
 * From when on a job counts. A scheduler's times count as it states them; a self-declaration counts from a little before
 * it was first recorded, whatever start it states.
 */
export function effectiveStartMs(job: Timed, policy: Policy): number {
  return job.selfDeclared
    ? Math.max(job.startMs, job.firstRecordedAtMs - policy.selfDeclarationLeadMs)
    : job.startMs;
}

/** A version and the time that it counts for. */
interface Term extends Interval {
  readonly terms: Job;
}

/** Every version of a job, ascending, for the time that it counts for; together they cover all time. */
function termsOf(job: Job, policy: Policy): Term[] {
  const versions = [...(job.earlier ?? []), job];
  const fromMs = (at: number): number =>
    at === 0
      ? Number.NEGATIVE_INFINITY
      : (versions[at]?.recordedAtMs ?? Number.POSITIVE_INFINITY) - policy.selfDeclarationLeadMs;
  return versions.map((terms, at) => ({ terms, fromMs: fromMs(at), toMs: fromMs(at + 1) }));
}

/** The version of a job that counts for a moment; mostly the job itself. */
export function termsAt(job: Job, atMs: number, policy: Policy): Job {
  if (job.earlier === undefined || job.earlier.length === 0) return job;
  return termsOf(job, policy).reduce((last, term) => (term.fromMs <= atMs ? term : last)).terms;
}

/** Where a job ends by what counts at a moment; null: it does not. */
export function endAt(job: Job, atMs: number, policy: Policy): number | null {
  const { endMs } = termsAt(job, atMs, policy);
  if (endMs === null || job.endMs === null) return endMs ?? job.endMs;
  return Math.min(endMs, job.endMs);
}

/**
 * Moments at which a verdict on a job's processes can change by its times. A version that changes nothing at the moment
 * from which it counts makes no edge: it leaves the hours before as they were attributed.
 */
export function edgesOfJob(job: Job, policy: Policy): readonly number[] {
  const known = keptEdges.get(job);
  if (known !== undefined && known.policy === policy) return known.edges;
  const edges = findEdges(job, policy);
  keptEdges.set(job, { policy, edges });
  return edges;
}

const keptEdges = new WeakMap<Job, { readonly policy: Policy; readonly edges: readonly number[] }>();

function findEdges(job: Job, policy: Policy): number[] {
  const all = termsOf(job, policy);
  return all.flatMap(({ terms, fromMs }, at) => {
    const before = all[at - 1]?.terms;
    return [
      effectiveStartMs(terms, policy),
      ...(terms.endMs === null ? [] : [terms.endMs, terms.endMs + policy.endGraceMs]),
      ...(before !== undefined && differAt(before, terms, fromMs) ? [fromMs] : []),
    ];
  });
}

function differAt(a: Job, b: Job, atMs: number): boolean {
  const hasEnded = ({ endMs }: Job): boolean => endMs !== null && endMs <= atMs;
  return hasEnded(a) !== hasEnded(b) || substanceOf(a) !== substanceOf(b);
}

/** What a verdict can depend on, but the end. */
function substanceOf({ user, uid, startMs, allocations, boundaries, declares, within, marks }: Job): string {
  const isForOther = marks?.includes('other_user') ?? false;
  return JSON.stringify([user, uid, startMs, allocations, boundaries, declares, within ?? null, isForOther]);
}

/** An allocation for the time that it counts for; `toMs` Infinity: it is open. */
export interface Grant extends Interval {
  readonly allocation: Allocation;
}

/** What a job holds when, on one node: every version's allocations as long as they count. What stays the same is one grant. */
export function grantsOf(job: Job, node: string, policy: Policy): Grant[] {
  const grants: { allocation: Allocation; fromMs: number; toMs: number }[] = [];
  for (const term of termsOf(job, policy)) {
    for (const allocation of term.terms.allocations) {
      if (allocation.node !== node) continue;
      const ends = [term.toMs, allocation.toMs, term.terms.endMs, job.endMs].map((ms) => ms ?? Infinity);
      const fromMs = Math.max(allocation.fromMs, effectiveStartMs(term.terms, policy), term.fromMs);
      const toMs = Math.min(...ends);
      if (fromMs >= toMs) continue;
      const before = grants.find((one) => one.toMs === fromMs && isSame(one.allocation, allocation));
      if (before === undefined) grants.push({ allocation, fromMs, toMs });
      else before.toMs = toMs;
    }
  }
  return grants;
}

/** The same devices, whenever. */
function isSame(a: Allocation, b: Allocation): boolean {
  return (
    a.count === b.count && a.shareMilli === b.shareMilli && a.devices?.join(' ') === b.devices?.join(' ')
  );
}
