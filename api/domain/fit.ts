// Does a process fit what its job declared to run?
import type { ExecutableFact } from '../contract/batch.ts';
import type { ObservedProcess, ProcessId } from './cell.ts';
import { ownersOf } from './evidence.ts';
import type { Job } from './job.ts';
import type { Policy } from './policy.ts';
import { baseName, executablePath, lineageOf, sameExecutable } from './process.ts';
import { contradictsSaid } from './said.ts';
import { matchesGlob } from './wildcards.ts';

/**
 * `fits`: it is what the job declared, or its baseline. `foreign`: the job declared executables, and this is none of
 * them. `other`: a suspicion, either since the job declared none, and this is not what its root first ran, or since the
 * command line is not as the job said. `unreadable`: cannot tell.
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
  const path = pathInside(process, processes, job);
  if (job.declares.executables.length > 0) {
    if (!isDeclared(executable, job)) return 'foreign';
  } else {
    const baseline = baselineOf(path, policy);
    if (baseline === null ? isInMemory(executable) : !sameExecutable(executable, baseline)) return 'other';
  }
  return contradictsSaid(path, job.declares) ? 'other' : 'fits';
}

/** A program in memory has whatever name it gave itself: only a pattern that means such programs is about it. */
export function isDeclared(executable: ExecutableFact, job: Job): boolean {
  const path = executablePath(executable);
  const patterns = job.declares.executables;
  const about = isInMemory(executable) ? patterns.filter((pattern) => IN_MEMORY.test(pattern)) : patterns;
  return about.some((pattern) => matchesPath(pattern, path));
}

/** The processes of a job from its root down to one, as far as they are known; that one last. */
function pathInside(
  process: ObservedProcess,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
  job: Job,
): ObservedProcess[] {
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
  return inside.reverse();
}

/**
 * The first executable on the way from the job's root down to a process that is neither a shell nor a launcher; null
 * where there is none. Of a process that replaced its executable, the first one counts. A launcher that is a script runs
 * an interpreter and has the script's name; what lies in memory only (container runtimes start from there) is no baseline.
 */
function baselineOf(path: readonly ObservedProcess[], { launchers }: Policy): ExecutableFact | null {
  for (const member of path) {
    const chain = [...member.earlierExecutables, member.executable];
    for (const executable of chain) {
      if (executable === null || isInMemory(executable)) continue;
      if (launchers.includes(baseName(executablePath(executable)))) continue;
      const isLast = executable === member.executable;
      if (isLast && member !== path.at(-1) && launchers.includes(member.comm)) continue;
      return executable;
    }
  }
  return null;
}

/** Made by memfd_create; the kernel shows such a file as "/memfd:name". */
const IN_MEMORY = /^\/?memfd:/;
const isInMemory = ({ path }: ExecutableFact): boolean => IN_MEMORY.test(path);

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
  return matchesGlob(pattern, path, '/');
}
