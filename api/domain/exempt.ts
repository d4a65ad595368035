/**
 * Exemptions of the site's policy: which of them stands in the place of a job for a use that no job covers.
 *
 * What sits in the boundary or lineage of a job, known or not, is that job's matter: no exemption excuses it. A
 * process must fit by everything that it ever was, so that nothing is excused by what it moved into.
 */
import type { ObservedProcess } from './cell.ts';
import { isJobBoundary, ownersOf, type Ties } from './evidence.ts';
import { matchesPath } from './fit.ts';
import type { Interval } from './interval.ts';
import type { Job } from './job.ts';
import { time } from './phrases.ts';
import type { Exemption } from './policy.ts';
import { executablePath } from './process.ts';
import type { NodeFacts } from './verdict.ts';

const DAY_MS = 86_400_000;

/** The job that stands for the exemption which covers the use at `atMs`; null where none does. */
export function exemptionOf(
  facts: NodeFacts,
  process: ObservedProcess,
  ties: Ties,
  type: string,
  atMs: number,
): Job | null {
  const { exemptions } = facts.policy;
  if (exemptions.length === 0 || ties.ties.some((tie) => tie.evidence !== 'claim')) return null;
  const owners = ownersOf(process);
  if (owners.some(isJobBoundary)) return null;
  const boundaries = owners.map((owner) => owner.boundary);
  for (const exemption of exemptions) {
    const job = facts.jobs.get(exemption.job);
    if (job === undefined || !isInForce(exemption, atMs) || !isOn(exemption, facts.node)) continue;
    if (covers(exemption, process, boundaries, type)) return job;
  }
  return null;
}

const covers = (
  exemption: Exemption,
  process: ObservedProcess,
  boundaries: readonly string[],
  type: string,
): boolean =>
  (exemption.match.types.length === 0 || exemption.match.types.includes(type)) &&
  missing(exemption, process, boundaries).length === 0;

/** What of a process is not as an exemption names it, in words. */
function missing({ match }: Exemption, process: ObservedProcess, boundaries: readonly string[]): string[] {
  const { executable, uid } = process;
  const words: string[] = [];
  const path = executable === null ? null : executablePath(executable);
  if (
    match.executables.length > 0 &&
    (path === null || !match.executables.some((pattern) => matchesPath(pattern, path)))
  )
    words.push('executable');
  const inside = (boundary: string) => match.boundaries.some((pattern) => matchesUnit(pattern, boundary));
  // A group that names nothing, such as the root of all, is another one too.
  const groups = [process.cgroup, ...process.earlierCgroups].filter((text) => text !== '').length;
  const known = boundaries.length > 0 && boundaries.length === groups;
  if (match.boundaries.length > 0 && !(known && boundaries.every(inside))) words.push('control group');
  if (match.uids.length > 0 && (uid === null || !match.uids.includes(uid))) words.push('account');
  return words;
}

/**
 * Exemptions of the node that come near to a use from `span.fromMs` to `span.toMs` and do not cover it, and by what they do
 * not: for whoever wrote one, and for whoever must tell an imitation.
 */
export function nearExemptions(
  { policy, node }: Pick<NodeFacts, 'policy' | 'node'>,
  process: ObservedProcess,
  span: Interval,
): string[] {
  const boundaries = ownersOf(process).map((owner) => owner.boundary);
  return policy.exemptions.flatMap((exemption) => {
    const { id, owner, match, fromMs, toMs } = exemption;
    if (!isOn(exemption, node)) return [];
    const name = `The exemption ${id} of ${owner}`;
    const words = missing(exemption, process, boundaries);
    const named = [match.executables, match.boundaries, match.uids].filter((one) => one.length > 0).length;
    if (words.length > 0)
      return words.length < named ? [`${name} names another ${words.join(' and another ')} than this.`] : [];
    if (toMs <= span.fromMs) return [`${name} covered this until ${time(toMs)}.`];
    if (fromMs >= span.toMs) return [`${name} covers this only from ${time(fromMs)} on.`];
    return [`${name} covers this at other times, or as another type of process on the device.`];
  });
}

/** A unit has no version that may follow its name. */
const matchesUnit = (pattern: string, boundary: string): boolean =>
  pattern.includes('*') ? matchesPath(pattern, boundary) : pattern === boundary;

const isOn = ({ match }: Exemption, node: string): boolean =>
  match.nodes.length === 0 || match.nodes.includes(node);

const contains = ({ fromMs, toMs }: Interval, atMs: number): boolean => fromMs <= atMs && atMs < toMs;

function isInForce(exemption: Exemption, atMs: number): boolean {
  const { windows, daily } = exemption.match;
  if (!contains(exemption, atMs)) return false;
  if (windows.length > 0 && !windows.some((window) => contains(window, atMs))) return false;
  const ofDayMs = atMs % DAY_MS;
  return (
    daily.length === 0 ||
    daily.some(({ fromMs, toMs }) =>
      fromMs <= toMs ? fromMs <= ofDayMs && ofDayMs < toMs : ofDayMs >= fromMs || ofDayMs < toMs,
    )
  );
}

/** Moments near `interval`, a day at most, at which an exemption begins or ceases to count. */
export function exemptionEdges({ policy, node }: NodeFacts, interval: Interval): number[] {
  const dayMs = interval.fromMs - (interval.fromMs % DAY_MS);
  return policy.exemptions
    .filter((exemption) => isOn(exemption, node))
    .flatMap(({ fromMs, toMs, match }) => [
      ...[fromMs, toMs],
      ...match.windows.flatMap((window) => [window.fromMs, window.toMs]),
      ...match.daily.flatMap((one) => [dayMs + one.fromMs, dayMs + one.toMs]),
    ]);
}
