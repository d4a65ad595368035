// Processes as observed: merging what is known of one, walking to its ancestors, comparing executables.
import type { ExecutableFact } from '../contract/batch.ts';
import type { Execution, ObservedProcess, ProcessId } from './cell.ts';

/** No process tree is followed further up than this; a longer one is cut, a circular one ends. */
export const MAX_ANCESTORS = 256;

/**
 * Two facts of one process, the later one winning, except that evidence once seen lasts: cgroups and executables that it
 * had before are kept as earlier ones, claims add up, the first parent stays, and what became unreadable keeps its value.
 */
export function mergeProcess(earlier: ObservedProcess, later: ObservedProcess): ObservedProcess {
  const cgroup = later.cgroup === '' ? earlier.cgroup : later.cgroup;
  const executable = later.executable ?? earlier.executable;
  return {
    ...later,
    startTicks: later.startTicks ?? earlier.startTicks,
    startedMs: later.startedMs ?? earlier.startedMs,
    parent: earlier.parent ?? later.parent,
    parentId: earlier.parentId ?? later.parentId,
    uid: later.uid ?? earlier.uid,
    loginUid: later.loginUid ?? earlier.loginUid,
    sessionId: later.sessionId ?? earlier.sessionId,
    namespaces: later.namespaces ?? earlier.namespaces,
    argumentsDigest: later.argumentsDigest ?? earlier.argumentsDigest,
    cgroup,
    earlierCgroups: distinct(
      [...earlier.earlierCgroups, ...later.earlierCgroups, earlier.cgroup],
      String,
    ).filter((text) => text !== cgroup && text !== ''),
    executable,
    earlierExecutables: distinct(
      [
        ...earlier.earlierExecutables,
        ...later.earlierExecutables,
        ...(earlier.executable ? [earlier.executable] : []),
      ],
      executableKey,
    ).filter((candidate) => executable === null || executableKey(candidate) !== executableKey(executable)),
    claims: distinct([...earlier.claims, ...later.claims], (claim) => `${claim.name}=${claim.value}`),
    firstSeenMs: Math.min(earlier.firstSeenMs, later.firstSeenMs),
    exitedMs: later.exitedMs ?? earlier.exitedMs,
    personal: later.personal ?? earlier.personal,
    user: later.user ?? earlier.user,
    commandLine: later.commandLine ?? earlier.commandLine,
    ...executionsOf([...(earlier.executions ?? []), ...(later.executions ?? [])]),
  };
}

function executionsOf(all: readonly Execution[]): Pick<ObservedProcess, 'executions'> {
  if (all.length === 0) return {};
  const once = distinct(all, (one) => `${one.fromMs} ${executableKey(one.executable)}`);
  return { executions: once.sort((a, b) => a.fromMs - b.fromMs) };
}

/**
 * A process as it was at a moment, by the execs that were noticed: what it ran then, and what it had run before. What was
 * known of it otherwise lasts, as evidence does.
 */
export function asOf(process: ObservedProcess, atMs: number): ObservedProcess {
  const { executions, earlierExecutables } = process;
  if (executions === undefined) return process;
  const at = executions.findLastIndex((one) => one.fromMs <= atMs);
  if (at === executions.length - 1) return process;
  const placeOf = (one: ExecutableFact | undefined): number =>
    earlierExecutables.findIndex((other) => one !== undefined && executableKey(other) === executableKey(one));
  const next = executions[at + 1]?.executable;
  // The list of earlier ones ends with the one before the newest, which it does not have.
  const nextPlace = at + 1 === executions.length - 1 ? earlierExecutables.length : placeOf(next);
  const executable = executions[at]?.executable ?? earlierExecutables[nextPlace - 1];
  if (executable === undefined) return process;
  const own = placeOf(executable);
  return { ...process, executable, earlierExecutables: earlierExecutables.slice(0, Math.max(0, own)) };
}

function distinct<T>(items: readonly T[], key: (item: T) => string): T[] {
  const seen = new Map<string, T>();
  for (const item of items) if (!seen.has(key(item))) seen.set(key(item), item);
  return [...seen.values()];
}

export const executableKey = (executable: ExecutableFact): string =>
  `${executable.device ?? '?'} ${executable.inode ?? '?'} ${executable.path}`;

/** The process itself, its parent, and so on, as far as the ancestors are known. */
export function* lineageOf(
  process: ObservedProcess,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
): Generator<ObservedProcess> {
  let current: ObservedProcess | undefined = process;
  for (let depth = 0; current !== undefined && depth < MAX_ANCESTORS; depth += 1) {
    yield current;
    current = current.parentId === null ? undefined : processes.get(current.parentId);
  }
}

/** Path of an executable without the kernel's mark for an unlinked file. */
export const executablePath = (executable: Pick<ExecutableFact, 'path'>): string =>
  executable.path.endsWith(' (deleted)') ? executable.path.slice(0, -' (deleted)'.length) : executable.path;

export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** The same file: by device and inode where both are known, else by path. */
export function sameExecutable(a: ExecutableFact, b: ExecutableFact): boolean {
  if (a.device !== null && b.device !== null && a.inode !== null && b.inode !== null)
    return a.device === b.device && a.inode === b.inode;
  return executablePath(a) === executablePath(b);
}
