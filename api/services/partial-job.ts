/** A declaration by somebody who knows only part of a job: what is not said stays as it was said before. */
import type { Allocation, Job } from '../domain/job.ts';

/**
 * `job` with what it leaves open filled from the version before: start, user, uid, name, attributes, promises, its end,
 * allocations of other nodes, and which devices of a node it has where it gives as many only by their number.
 */
export function completed(job: Job, before: Job): Job {
  const { declares } = job;
  const attributes = { ...before.attributes, ...job.attributes };
  const within = job.within ?? before.within;
  const endMs = job.endMs ?? before.endMs;
  return {
    ...job,
    name: job.name === '' ? before.name : job.name,
    startMs: before.startMs,
    user: job.user ?? before.user,
    uid: job.uid ?? before.uid,
    endMs: endMs === null ? null : Math.max(endMs, before.startMs),
    allocations: allocationsOf(job, before),
    boundaries: [...new Set([...before.boundaries, ...job.boundaries])].sort(),
    declares: {
      ...before.declares,
      ...declares,
      executables: declares.executables.length === 0 ? before.declares.executables : declares.executables,
      root: declares.root ?? before.declares.root,
    },
    ...(within === undefined ? {} : { within }),
    ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
  };
}

function allocationsOf(job: Job, before: Job): Allocation[] {
  const byNode = Map.groupBy(job.allocations, (one) => one.node);
  const knownByNode = Map.groupBy(before.allocations, (one) => one.node);
  const moved = (one: Allocation): Allocation =>
    one.fromMs === before.startMs ? { ...one, fromMs: job.startMs } : one;
  const others = [...knownByNode]
    .filter(([node]) => !byNode.has(node))
    .flatMap(([, known]) => known.map(moved));
  const said = [...byNode].flatMap(([node, allocations]) => {
    const known = (knownByNode.get(node) ?? []).map(moved);
    return isNamed(known, countOf(allocations)) ? known : allocations.map((one) => endedAs(one, known));
  });
  return [...said, ...others].sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0));
}

/** How many devices are given by number alone; null: some are named, or all of the node is meant. */
function countOf(allocations: readonly Allocation[]): number | null {
  let total = 0;
  for (const { devices, count } of allocations) {
    if (devices !== null || count === null) return null;
    total += count;
  }
  return total;
}

/** Whether exactly so many devices are named. */
function isNamed(known: readonly Allocation[], count: number | null): boolean {
  if (count === null || known.some((one) => one.devices === null)) return false;
  return known.reduce((sum, one) => sum + (one.indices ?? one.devices ?? []).length, 0) === count;
}

/** One whose end was said already does not begin again. */
function endedAs(one: Allocation, known: readonly Allocation[]): Allocation {
  if (one.toMs !== null) return one;
  const same = known.find((was) => was.toMs !== null && namesOf(was) === namesOf(one));
  return same === undefined ? one : { ...one, toMs: same.toMs };
}

const namesOf = ({ devices, indices }: Allocation): string => (indices ?? devices ?? []).join(' ');
