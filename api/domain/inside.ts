/**
 * Jobs inside jobs: a Ray job in a Slurm job, `gpuledger run` in a pod. The inner one refines the outer one: what it was
 * given is a part of that, and its time is counted once.
 */
import type { Job, OuterJob } from './job.ts';

type Placed = Pick<
  Job,
  | 'id'
  | 'cluster'
  | 'source'
  | 'externalId'
  | 'account'
  | 'user'
  | 'uid'
  | 'boundaries'
  | 'startMs'
  | 'endMs'
  | 'selfDeclared'
> & { readonly within?: OuterJob | null };

/**
 * Whether a job runs inside another one. A source may say so; a self-declaration only of a job of its own account. Where
 * nothing is said, it does when it has no kernel boundary of its own, the other one has, both are of one account and
 * user, and it began in the other one's time.
 */
export function isInside(inner: Placed, outer: Placed): boolean {
  if (inner.id === outer.id || inner.cluster !== outer.cluster) return false;
  const { within } = inner;
  if (within) {
    if (within.source !== outer.source || within.externalId !== outer.externalId) return false;
    return !inner.selfDeclared || inner.account === outer.account;
  }
  if (inner.boundaries.length > 0 || outer.boundaries.length === 0 || inner.account !== outer.account)
    return false;
  const sameUser = inner.uid !== null && outer.uid !== null ? inner.uid === outer.uid : isNamed(inner, outer);
  return (
    sameUser && outer.startMs <= inner.startMs && inner.startMs < (outer.endMs ?? Number.POSITIVE_INFINITY)
  );
}

/**
 * The outermost of `jobs` that `job` runs inside of, through any number of them; null where there is none, or where all
 * of those run inside of each other in a circle: nobody is outermost there.
 */
export function outermostOf<J extends Placed>(job: Placed, jobs: readonly J[]): J | null {
  const around = (inner: Placed): J[] => jobs.filter((other) => isInside(inner, other));
  const reached = new Set(around(job));
  for (const outer of reached) {
    const further = around(outer);
    if (further.length === 0) return outer;
    for (const other of further) reached.add(other);
  }
  return null;
}

const isNamed = (a: Placed, b: Placed): boolean => a.user !== null && a.user === b.user;
