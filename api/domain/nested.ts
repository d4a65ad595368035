// Which job inside of a job a process works for.
import type { ObservedProcess } from './cell.ts';
import { type Ties, userMatches } from './evidence.ts';
import { isInside } from './inside.ts';
import type { Job } from './job.ts';
import type { Policy } from './policy.ts';
import { effectiveStartMs, endAt } from './terms.ts';

/** The jobs inside of `outer` that a process inside of that one names: by its lineage, or by its environment. */
export function namedInside(ties: Ties, outer: Job): readonly Job[] {
  const named = ties.ties.flatMap((tie) => (tie.evidence === 'lineage' ? tie.jobs : []));
  if (named.length === 0 && ties.claimed.length === 0) return named;
  return [...new Set([...named, ...ties.claimed])].filter((job) => isInside(job, outer));
}

/**
 * The inner job that a process of `outer` works for at a moment: one that runs, else the last one that had ended before.
 * A claim is enough, since the outer job's tie puts the process where it says. Null: the outer job itself.
 */
export function innerAt(
  process: ObservedProcess,
  ties: Ties,
  outer: Job,
  atMs: number,
  policy: Policy,
): Job | null {
  const begun = namedInside(ties, outer).filter(
    (job) => effectiveStartMs(job, policy) <= atMs && userMatches(process, job, ties.owner) !== false,
  );
  const end = (job: Job): number => endAt(job, atMs, policy) ?? Number.POSITIVE_INFINITY;
  return begun.reduce<Job | null>((last, job) => (last === null || end(job) > end(last) ? job : last), null);
}
