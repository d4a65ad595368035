/** Which processes share a job with the GPU processes, by what the kernel holds: the cgroup, else the session. */
import { cgroupOwner } from '../api/contract/cgroup.ts';
import type { Procfs } from './sources/procfs.ts';

/** Processes read for the first time in one scan; the rest waits for the next. */
const MAX_NEW_PIDS = 4096;
const MAX_MEMBERS = 1024;
/** A process can move to another cgroup, and a pid to another process: everything is read again this often. */
const SCANS_UNTIL_REREAD = 8;

export class JobMembers {
  readonly #procfs: Procfs;
  /** What holds each pid together with others; null where nothing could be read. */
  #groups = new Map<number, string | null>();
  #scans = 0;

  constructor(procfs: Procfs) {
    this.#procfs = procfs;
  }

  /** Pids in the job boundaries of `gpuPids`, those first, at most 1,024. */
  scan(gpuPids: readonly number[]): number[] {
    this.#scans += 1;
    if (this.#scans % SCANS_UNTIL_REREAD === 0) this.#groups.clear();
    if (gpuPids.length === 0) return [];
    const pids = this.#procfs.pids();
    this.#forget(new Set(pids));
    let room = MAX_NEW_PIDS;
    for (const pid of [...gpuPids, ...pids]) {
      if (this.#groups.has(pid)) continue;
      if (room === 0) break;
      room -= 1;
      this.#groups.set(pid, this.#groupOf(pid));
    }
    const wanted = new Set(gpuPids.map((pid) => this.#groups.get(pid)));
    const members = new Set(gpuPids);
    for (const pid of pids) {
      if (members.size >= MAX_MEMBERS) break;
      const group = this.#groups.get(pid);
      if (group !== null && group !== undefined && wanted.has(group)) members.add(pid);
    }
    return [...members];
  }

  #forget(present: ReadonlySet<number>): void {
    for (const pid of this.#groups.keys()) if (!present.has(pid)) this.#groups.delete(pid);
  }

  #groupOf(pid: number): string | null {
    const cgroup = this.#procfs.cgroup(String(pid));
    if (!cgroup.ok) return null;
    const owner = cgroupOwner(cgroup.value);
    // A job has many cgroups, one a step and task; a unit or a session is one.
    if (owner !== null && owner.kind !== 'systemd' && owner.kind !== 'user_session') return owner.boundary;
    if (cgroup.value.split('\n').some((line) => !line.endsWith(':/'))) return cgroup.value;
    const stat = this.#procfs.stat(pid);
    return stat.ok && stat.value.sessionId > 1 ? `session:${stat.value.sessionId}` : null;
  }
}
