/** Looks through all control groups for processes that /proc does not show, a bounded part a poll. */
import type { Cgroupfs, Hierarchy } from './sources/cgroupfs.ts';

/** Folders listed and read in one poll, and in one search of one hierarchy. */
const FOLDERS_PER_POLL = 128;
const MAX_FOLDERS = 8192;
/** In the order in which schedulers and container managers use them: each of these has all of them. */
const PREFERRED = ['', 'devices', 'memory', 'freezer', 'pids', 'name=systemd'];

export interface Place {
  readonly folder: string;
  readonly controllers: string;
  /** As in /proc/PID/cgroup. */
  readonly path: string;
}

export class CgroupSearch {
  readonly #cgroupfs: Cgroupfs;
  #wanted = new Set<number>();
  #hierarchies: Hierarchy[] = [];
  #queue: string[] = [];
  #looked = 0;
  #cut = false;

  constructor(cgroupfs: Cgroupfs) {
    this.#cgroupfs = cgroupfs;
  }

  get busy(): boolean {
    return this.#hierarchies.length > 0;
  }

  /** There were more control groups than one search goes through: who was not found may be in one of the others. */
  get cut(): boolean {
    return this.#cut;
  }

  begin(pids: Iterable<number>): void {
    this.#cut = false;
    this.#wanted = new Set(pids);
    const all = this.#wanted.size === 0 ? [] : this.#cgroupfs.hierarchies();
    const rank = ({ controllers }: Hierarchy): number =>
      Math.min(...controllers.split(',').map((one) => PREFERRED.indexOf(one) + 1 || PREFERRED.length + 1));
    this.#hierarchies = all.sort((a, b) => rank(a) - rank(b));
    this.#enter();
  }

  /** A poll's part. Only control groups below the root count: the root has everything that nobody put anywhere. */
  step(): Map<number, Place> {
    const found = new Map<number, Place>();
    for (let room = FOLDERS_PER_POLL; room > 0 && this.busy; room -= 1) {
      const folder = this.#queue.shift();
      const hierarchy = this.#hierarchies[0];
      if (hierarchy === undefined) break;
      if (folder === undefined || this.#wanted.size === 0 || this.#looked >= MAX_FOLDERS) {
        this.#cut ||= folder !== undefined && this.#wanted.size > 0;
        this.#hierarchies = this.#wanted.size === 0 ? [] : this.#hierarchies.slice(1);
        this.#enter();
        continue;
      }
      this.#looked += 1;
      const path = `${hierarchy.root}${folder.slice(hierarchy.point.length)}`;
      const isRoot = path === '';
      if (!isRoot)
        for (const pid of this.#cgroupfs.processes(folder))
          if (this.#wanted.delete(pid)) found.set(pid, { folder, controllers: hierarchy.controllers, path });
      if (this.#queue.length < MAX_FOLDERS) this.#queue.push(...this.#cgroupfs.children(folder));
      else this.#cut = true;
    }
    return found;
  }

  #enter(): void {
    const hierarchy = this.#hierarchies[0];
    this.#queue = hierarchy === undefined ? [] : [hierarchy.point];
    this.#looked = 0;
  }
}
