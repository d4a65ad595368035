// Does a process fit what its job declared to run?
import type { ExecutableFact } from '../contract/batch.ts';
import type { ObservedProcess, ProcessId } from './cell.ts';
import { ownersOf } from './evidence.ts';
import type { Job } from './job.ts';
import type { Policy } from './policy.ts';
import { baseName, executablePath, lineageOf, sameExecutable } from './process.ts';

/**
 * `fits`: it is what the job declared, or its baseline. `foreign`: the job declared executables, and this is none of
 * them. `other`: the job declared none, and this is not what its root first ran: a suspicion. `unreadable`: cannot tell.
 */
export type Fit = 'fits' | 'foreign' | 'other' | 'unreadable';

/** The executable that runs now decides; an earlier one of the same process excuses nothing. */
export function fitOf(
  process: ObservedProcess,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
  job: Job,
  policy: Policy,
): Fit {
  const { executable } = process;
  if (executable === null) return 'unreadable';
  if (job.declares.executables.length > 0) return isDeclared(executable, job) ? 'fits' : 'foreign';
  const baseline = baselineOf(process, processes, job, policy);
  return baseline === null || sameExecutable(executable, baseline) ? 'fits' : 'other';
}

export function isDeclared(executable: ExecutableFact, job: Job): boolean {
  const path = executablePath(executable);
  return job.declares.executables.some((pattern) => matchesPath(pattern, path));
}

/**
 * The first executable on the way from the job's root down to a process that is neither a shell nor a launcher; null
 * where there is none. Of a process that replaced its executable, the first one counts.
 */
function baselineOf(
  process: ObservedProcess,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
  job: Job,
  policy: Policy,
): ExecutableFact | null {
  const inside: ObservedProcess[] = [];
  for (const ancestor of lineageOf(process, processes)) {
    if (isRootOf(ancestor, job)) {
      inside.push(ancestor);
      break;
    }
    if (job.declares.root === null && inside.length > 0 && !isWithin(ancestor, job)) break;
    inside.push(ancestor);
    if (job.declares.root === null && job.boundaries.length === 0) break;
  }
  for (const member of inside.reverse()) {
    for (const executable of [...member.earlierExecutables, member.executable]) {
      if (executable !== null && !policy.launchers.includes(baseName(executablePath(executable))))
        return executable;
    }
  }
  return null;
}

function isRootOf(process: ObservedProcess, job: Job): boolean {
  const root = job.declares.root;
  return (
    root !== null &&
    process.bootId === root.bootId &&
    process.pid === root.pid &&
    process.startTicks === root.startTicks
  );
}

const isWithin = (process: ObservedProcess, job: Job): boolean =>
  ownersOf(process).some((owner) => job.boundaries.includes(owner.boundary));

/**
 * Matches a path against a declared one: `*` stands for any characters but `/`, `**` for any at all. The kernel names
 * the file behind a link, so a declared `/opt/bin/python` without wildcards also stands for `/opt/bin/python3.11`: a
 * version may follow its name.
 */
export function matchesPath(pattern: string, path: string): boolean {
  if (!pattern.includes('*'))
    return (
      path === pattern || (path.startsWith(pattern) && /^\.?\d+(?:\.\d+)*$/.test(path.slice(pattern.length)))
    );
  return matchesWildcards(pattern, path);
}

/** Which prefixes of `path` the pattern's prefix matches, one pattern character at a time: never exponential. */
function matchesWildcards(pattern: string, path: string): boolean {
  let reach = new Uint8Array(path.length + 1);
  reach[0] = 1;
  for (let at = 0; at < pattern.length; at += 1) {
    const next = new Uint8Array(path.length + 1);
    let any = false;
    if (pattern[at] === '*') {
      const deep = pattern[at + 1] === '*';
      if (deep) at += 1;
      for (let end = 0; end <= path.length; end += 1) {
        const extended = end > 0 && next[end - 1] === 1 && (deep || path[end - 1] !== '/');
        if (reach[end] === 1 || extended) {
          next[end] = 1;
          any = true;
        }
      }
    } else {
      for (let end = 1; end <= path.length; end += 1) {
        if (reach[end - 1] === 1 && path[end - 1] === pattern[at]) {
          next[end] = 1;
          any = true;
        }
      }
    }
    if (!any) return false;
    reach = next;
  }
  return reach[path.length] === 1;
}
