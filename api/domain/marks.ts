// What is worth knowing of a declaration as evidence. Marks go beside what it covers; only `other_user` decides.
import type { JobMark } from '../contract/jobs.ts';
import type { Allocation, Job } from './job.ts';

/** A self-declaration for longer than this, or without an end, is for any time. */
const LONG_MS = 7 * 86_400_000;

/** In the order of JOB_MARKS. `before`: the version that this one follows; `leadMs`: how far a self-declaration reaches back. */
export function marksOf(job: Job, before: Job | null, leadMs: number, otherUser: boolean): JobMark[] {
  const marks: JobMark[] = [];
  if (job.startMs < job.firstRecordedAtMs - leadMs) marks.push(job.selfDeclared ? 'backdated' : 'late');
  if (job.selfDeclared && before !== null)
    if (before.marks?.includes('extended') === true || claimsMore(job, before)) marks.push('extended');
  if (isBroad(job)) marks.push('broad');
  if (otherUser) marks.push('other_user');
  return marks;
}

/**
 * Whether a self-declaration would cover anything: it names no program to which a process could be foreign, nothing that
 * a process must be inside of, and no user either, or a whole node for any time.
 */
function isBroad({ selfDeclared, declares, boundaries, ...job }: Job): boolean {
  if (!selfDeclared || declares.executables.length > 0) return false;
  if (declares.root !== null || boundaries.length > 0) return false;
  const anyUser = job.user === null && job.uid === null;
  const anyDevice = job.allocations.some((one) => one.devices === null && one.count === null);
  return anyUser || (anyDevice && endOf(job) - job.startMs > LONG_MS);
}

const endOf = ({ endMs }: Pick<Job, 'endMs'>): number => endMs ?? Number.POSITIVE_INFINITY;

/** Whether a version claims what the one before did not: time, devices, programs or users. */
function claimsMore(after: Job, before: Job): boolean {
  return (
    endOf(after) > endOf(before) ||
    after.startMs < before.startMs ||
    isWider(after.declares.executables, before.declares.executables) ||
    (before.user !== null && after.user !== before.user) ||
    (before.uid !== null && after.uid !== before.uid) ||
    after.allocations.some((one) => !before.allocations.some((was) => isPart(one, was)))
  );
}

/** Of two lists of which an empty one allows everything. */
const isWider = (after: readonly string[], before: readonly string[]): boolean =>
  before.length > 0 && (after.length === 0 || after.some((one) => !before.includes(one)));

function isPart(one: Allocation, of: Allocation): boolean {
  if (one.node !== of.node) return false;
  if (of.indices !== undefined) return one.indices?.every((index) => of.indices?.includes(index)) ?? false;
  if (of.devices !== null)
    return one.indices === undefined && one.devices?.every((device) => of.devices?.includes(device)) === true;
  if (of.count === null) return true;
  return one.devices === null && one.count !== null && one.count <= of.count;
}
