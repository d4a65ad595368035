/** `agent.lock` in a spool folder: which process uses it. A lock whose process is gone counts for nothing. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SpoolError } from '../spool-files.ts';

/** `alive`: that very process still runs. */
export interface LockOwner {
  readonly pid: number;
  readonly alive: boolean;
}

const lockPath = (folder: string): string => join(folder, 'agent.lock');

/** Two agents on one spool would break its chain. Returns what gives the folder free; throws `SpoolError`. */
export function lock(folder: string): () => void {
  const path = lockPath(folder);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const owner = lockOwner(folder);
    if (owner?.alive && owner.pid !== process.pid)
      throw new SpoolError(
        `another agent (pid ${owner.pid}) uses the spool folder ${folder}. Stop it, or give each its own (--spool).`,
      );
    rmSync(path, { force: true });
    // A file of its own: where others can write, a link may wait there that leads to another file.
    writeFileSync(path, `${process.pid} ${startTicksOf(process.pid)}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (error instanceof SpoolError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new SpoolError(
      `cannot use the spool folder ${folder}: ${why}. Give a folder that the agent may write (--spool).`,
    );
  }
  return () => rmSync(path, { force: true });
}

/** Null where there is no lock, or none that can be understood. */
export function lockOwner(folder: string): LockOwner | null {
  try {
    const [, pid, startTicks] = /^(\d+) (\d+)\n$/.exec(readFileSync(lockPath(folder), 'utf8')) ?? [];
    if (pid === undefined || startTicks === undefined) return null;
    return { pid: Number(pid), alive: startTicksOf(Number(pid)) === startTicks };
  } catch {
    return null;
  }
}

/** "0" when there is no such process. */
function startTicksOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The 22nd field; the second one, the name, may hold spaces and ends with the last parenthesis.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
  } catch {
    return '0';
  }
}
