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
  /** Where the latest turn ended. */
  #lastPid = 0;

  constructor(procfs: Procfs) {
    this.#procfs = procfs;
  }

  /**
   * Pids in the job boundaries of `gpuPids`, those first. `whole` false: there are more than 1,024, which come in turns, so
   * that none is out of sight because others were there before it.
   */
  scan(gpuPids: readonly number[]): { readonly pids: number[]; readonly whole: boolean } {
    this.#scans += 1;
    if (this.#scans % SCANS_UNTIL_REREAD === 0) this.#groups.clear();
    if (gpuPids.length === 0) return { pids: [], whole: true };
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
    const first = new Set(gpuPids);
    const others = pids.filter((pid) => {
      const group = first.has(pid) ? null : this.#groups.get(pid);
      return group !== null && group !== undefined && wanted.has(group);
    });
    const places = Math.max(0, MAX_MEMBERS - first.size);
    if (others.length <= places) return { pids: [...first, ...others], whole: true };
    const at = Math.max(
      0,
      others.findIndex((pid) => pid > this.#lastPid),
    );
    const turn = [...others.slice(at), ...others.slice(0, at)].slice(0, places);
    this.#lastPid = turn.at(-1) ?? 0;
    return { pids: [...first, ...turn], whole: false };
  }

  #forget(present: ReadonlySet<number>): void {
    for (const pid of this.#groups.keys()) if (!present.has(pid)) this.#groups.delete(pid);
  }

  #groupOf(pid: number): string | null {
    const cgroup = this.#procfs.cgroup(String(pid));
    if (!cgroup.ok) return null;
    const held = groupOfText(cgroup.value);
    if (held !== null) return held;
    const stat = this.#procfs.stat(pid);
    // Version 1 puts a first thread that has ended into the root, and leaves the others where they are.
    const folder = stat.ok ? this.#procfs.folder(stat.value) : String(pid);
    if (folder !== String(pid)) {
      const others = this.#procfs.cgroup(folder);
      const group = others.ok ? groupOfText(others.value) : null;
      if (group !== null) return group;
    }
    return stat.ok && stat.value.sessionId > 1 ? `session:${stat.value.sessionId}` : null;
  }
}

/** null: all of it is the root, which holds nothing together. */
function groupOfText(cgroup: string): string | null {
  const owner = cgroupOwner(cgroup);
  // A job has many cgroups, one a step and task; a unit or a session is one.
  if (owner !== null && owner.kind !== 'systemd' && owner.kind !== 'user_session') return owner.boundary;
  return cgroup.split('\n').some((line) => !line.endsWith(':/')) ? cgroup : null;
}
