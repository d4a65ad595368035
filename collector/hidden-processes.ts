/**
 * Processes that one way of looking shows and another does not: pids that the driver names, or a control group lists,
 * and that /proc does not show; and folders of processes with something mounted over them. Everything is only read.
 */
import type { IntegrityFact } from '../api/contract/batch.ts';
import { cgroupOwner } from '../api/contract/cgroup.ts';
import { CgroupSearch, type Place } from './cgroup-search.ts';
import { Lasting } from './lasting.ts';
import type { Files } from './ports.ts';
import type { Reading } from './reading.ts';
import { type Cgroupfs, createCgroupfs, type Hierarchy } from './sources/cgroupfs.ts';
import { type Cover, coversOf, showsWholeMachine } from './sources/proc-view.ts';
import { attempt, createProcfs, type Procfs, parseStatus } from './sources/procfs.ts';

/** Facts of each kind at once; those beyond are not told. */
const MAX_HIDDEN = 64;
const MAX_COVERS = 64;
const MAX_MEMBERS = 64;
/** Threads of a control group that are tried, the nearest ids first: the thread of a hidden process shows its folder. */
const MAX_THREADS = 128;
/** Control groups of jobs that one look goes through, and their processes. */
const MAX_JOB_FOLDERS = 512;
const MAX_JOB_PIDS = 4096;
const STATUS_BYTES = 16 * 1024;
/** The hierarchies in which a job's processes are looked for: the first that it is in. */
const MEMBER_HIERARCHIES = ['', 'pids', 'devices', 'memory', 'freezer'];

type Said = Omit<IntegrityFact, 'firstMs' | 'lastMs'>;

/** What could be learnt of a process that /proc does not show by its pid. */
export interface Learnt {
  readonly cgroup?: string;
  readonly uid?: number | null;
  readonly comm?: string;
  readonly executable?: ReturnType<Procfs['executable']>;
}
/** The processes that the agent knows. */
export interface KnownProcesses {
  /** Key of a living process that /proc shows, or that the driver names. */
  keyOf(pid: number): string | null;
  adopt(pid: number, atMs: number): string | null;
  /** Those on devices. */
  listed(): readonly { readonly cgroup: string }[];
  learn(key: string, learnt: Learnt): void;
}

interface Hidden {
  readonly pid: number;
  readonly devices: readonly string[];
}

export class HiddenProcesses {
  readonly #files: Files;
  readonly #root: string;
  readonly #procfs: Procfs;
  readonly #cgroupfs: Cgroupfs;
  readonly #search: CgroupSearch;
  readonly #known: KnownProcesses;
  readonly #named = new Lasting<Said>();
  readonly #covered = new Lasting<Said>();
  readonly #members = new Lasting<Said>();
  /** By key: hidden in the latest reading, and those that were told. */
  #before: ReadonlyMap<string, Hidden> = new Map();
  readonly #found = new Map<string, Place | null>();
  #covers: readonly Cover[] = [];
  /** Members that the look before did not find in /proc, by control group and pid. */
  #absent: ReadonlySet<string> = new Set();
  #partial = false;
  /** The jobs on devices have more control groups or processes than one look compares. */
  #manyMembers = false;

  constructor(files: Files, procRoot: string, known: KnownProcesses) {
    this.#files = files;
    this.#root = procRoot;
    this.#procfs = createProcfs(files, procRoot);
    this.#cgroupfs = createCgroupfs(files, procRoot);
    this.#search = new CgroupSearch(this.#cgroupfs);
    this.#known = known;
  }

  /** Every poll: those whose pids the driver names. `keys` as the process table gave them for this reading. */
  follow(reading: Reading, keys: ReadonlyMap<number, string>): void {
    const now = hiddenOf(reading, keys);
    const staying = [...now].filter(([key]) => this.#before.has(key)).slice(0, MAX_HIDDEN);
    this.#before = now;
    for (const key of this.#found.keys()) if (!now.has(key)) this.#found.delete(key);
    const news = staying.filter(([key]) => !this.#found.has(key));
    if (news.length > 0) this.#begin(news);
    if (this.#search.busy) this.#takeFound(now);
    const atMs = Math.round(reading.wallMs);
    if (!this.#partial)
      for (const [key, hidden] of staying)
        for (const device of hidden.devices)
          this.#named.see(`${device} ${key}`, this.#saidOf(key, hidden, device), atMs);
    this.#named.endRound();
  }

  /** Slowly: what lies over the folders of processes. */
  lookAtMounts(atMs: number): void {
    this.#covers = coversOf(this.#files, this.#root);
    for (const { pid, type, point } of this.#covers.slice(0, MAX_COVERS)) {
      const process = this.#known.keyOf(pid);
      // Of a hidden one that is on a device it is told there.
      if (process !== null && this.#found.has(process)) continue;
      const detail = `a file system of type ${type} is mounted over ${point}`;
      this.#covered.see(point, { kind: 'process_covered', device: null, process, detail }, atMs);
    }
    this.#covered.endRound();
  }

  /** Slowly: whether /proc shows everybody whom the control groups of the jobs on devices list. */
  lookAtMembers(atMs: number): void {
    const absent = new Set<string>();
    if (showsWholeMachine(this.#files, this.#root)) {
      const members = this.#jobMembers();
      // Read after the control groups, so that whoever began meanwhile is in it.
      const shown = new Set(this.#procfs.pids());
      for (const [pid, folder] of members) {
        const stat = this.#procfs.stat(pid);
        if (shown.has(pid) && (stat.ok || !isHidden(stat))) continue;
        const name = `${folder} ${pid}`;
        absent.add(name);
        if (!this.#absent.has(name) || absent.size > MAX_MEMBERS) continue;
        const process = this.#known.keyOf(pid) ?? this.#known.adopt(pid, atMs);
        const detail = `the control group ${folder} lists pid ${pid}, which /proc does not show`;
        this.#members.see(name, { kind: 'member_hidden', device: null, process, detail }, atMs);
      }
    }
    this.#absent = absent;
    this.#members.endRound();
  }

  due(atMs: number): IntegrityFact[] {
    return [this.#named, this.#covered, this.#members].flatMap((one) => one.due(atMs));
  }

  /** What kept a look from seeing everything. */
  get troubles(): readonly string[] {
    const pids = `${this.#before.size} pids that nvidia-smi names`;
    return [
      ...(this.#partial && this.#before.size > 0
        ? [`${this.#root} does not show the whole machine, and not ${pids}: nothing is made of that`]
        : []),
      ...(this.#manyMembers
        ? ['jobs on GPUs have so many control groups or processes that not all are compared with /proc']
        : []),
    ];
  }

  #begin(news: readonly (readonly [string, Hidden])[]): void {
    this.#partial = !showsWholeMachine(this.#files, this.#root);
    for (const [key] of news) this.#found.set(key, null);
    if (this.#partial) return;
    this.#covers = coversOf(this.#files, this.#root);
    const unplaced = [...this.#found].filter(([, place]) => place === null);
    this.#search.begin(unplaced.map(([key]) => pidOf(key)));
  }

  #takeFound(now: ReadonlyMap<string, Hidden>): void {
    for (const [pid, place] of this.#search.step())
      for (const [key, hidden] of now) {
        if (hidden.pid !== pid || !this.#found.has(key)) continue;
        this.#found.set(key, place);
        this.#known.learn(key, this.#learn(pid, place));
      }
  }

  #learn(pid: number, place: Place): Learnt {
    // Version 1 numbers its hierarchies, and the number says nothing.
    const cgroup = `${place.controllers === '' ? 0 : 1}:${place.controllers}:${place.path}`;
    const near = (thread: number): number => Math.abs(thread - pid);
    const threads = this.#cgroupfs
      .threads(place.folder)
      .filter((thread) => thread !== pid)
      .sort((a, b) => near(a) - near(b))
      .slice(0, MAX_THREADS);
    for (const thread of threads) {
      const status = attempt(() => this.#files.read(`${this.#root}/${thread}/status`, STATUS_BYTES).bytes);
      if (!status.ok || !new RegExp(`^Tgid:\\t${pid}$`, 'm').test(status.value.toString('latin1'))) continue;
      const comm = /^Name:\t(.*)$/m.exec(status.value.toString('latin1'))?.[1] ?? '';
      const { uid } = parseStatus(status.value);
      return { cgroup, uid, comm, executable: this.#procfs.executable(String(thread)) };
    }
    return { cgroup };
  }

  #saidOf(key: string, { pid }: Hidden, device: string): Said {
    const cover = this.#covers.find((one) => one.pid === pid);
    const place = this.#found.get(key) ?? null;
    const where =
      place !== null
        ? `; the control group ${place.folder} lists it`
        : this.#search.busy
          ? ''
          : this.#search.cut
            ? '; there are more control groups than are looked through for it'
            : '; no control group lists it';
    const what =
      cover === undefined ? '' : `; a file system of type ${cover.type} is mounted over ${cover.point}`;
    return {
      kind: cover === undefined ? 'process_hidden' : 'process_covered',
      device,
      process: key,
      detail: `nvidia-smi names pid ${pid}, which /proc does not show${what}${where}`,
    };
  }

  /** Processes of the control groups of the jobs on devices, each with its control group. */
  #jobMembers(): Map<number, string> {
    const hierarchies = this.#cgroupfs.hierarchies();
    const members = new Map<number, string>();
    this.#manyMembers = false;
    const queue = [
      ...new Set(this.#known.listed().flatMap(({ cgroup }) => this.#jobFolder(cgroup, hierarchies))),
    ];
    for (let looked = 0; looked < MAX_JOB_FOLDERS && members.size < MAX_JOB_PIDS; looked += 1) {
      const folder = queue.shift();
      if (folder === undefined) break;
      for (const pid of this.#cgroupfs.processes(folder)) members.set(pid, folder);
      if (queue.length < MAX_JOB_FOLDERS) queue.push(...this.#cgroupfs.children(folder));
      else this.#manyMembers = true;
    }
    this.#manyMembers ||= queue.length > 0;
    return members;
  }

  /** The outermost folder that belongs to the same job, in one hierarchy; nothing for the root. */
  #jobFolder(cgroup: string, hierarchies: readonly Hierarchy[]): string[] {
    const lines = cgroup.split('\n').map((line) => /^(\d+):([^:]*):(\/.+)$/.exec(line));
    for (const wanted of MEMBER_HIERARCHIES) {
      const line = lines.find((one) => one?.[2]?.split(',').includes(wanted));
      const [, number = '', controllers = '', path = ''] = line ?? [];
      if (path === '' || path.endsWith(' (deleted)')) continue;
      const folder = this.#cgroupfs.folderOf(
        hierarchies,
        controllers,
        boundaryOf(`${number}:${controllers}:`, path),
      );
      if (folder !== null) return [folder];
    }
    return [];
  }
}

/** The shortest beginning of a path that names the same owner. */
function boundaryOf(line: string, path: string): string {
  const owner = cgroupOwner(line + path)?.boundary;
  if (owner === undefined) return path;
  let best = path;
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
    const above = path.slice(0, end);
    if (cgroupOwner(line + above)?.boundary !== owner) break;
    best = above;
  }
  return best;
}

/** Not there, or another's: not one that only may not be read. */
const isHidden = (part: { readonly gone: boolean; readonly why: string }): boolean =>
  part.gone || part.why === 'not understood';

const pidOf = (key: string): number => Number(key.split('/')[0]);

/** Processes of a reading that have no key of their own, since /proc did not show them. */
function hiddenOf(reading: Reading, keys: ReadonlyMap<number, string>): Map<string, Hidden> {
  const found = new Map<string, { pid: number; devices: string[] }>();
  for (const device of reading.devices) {
    if (!device.ok) continue;
    for (const { pid } of device.processes) {
      const key = keys.get(pid) ?? '';
      if (!key.includes('/?')) continue;
      const hidden = found.get(key) ?? { pid, devices: [] };
      if (!hidden.devices.includes(device.uuid)) hidden.devices.push(device.uuid);
      found.set(key, hidden);
    }
  }
  return found;
}
