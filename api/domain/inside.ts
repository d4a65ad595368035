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

const isNamed = (a: Placed, b: Placed): boolean => a.user !== null && a.user === b.user;
