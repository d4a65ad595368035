/**
 * The second road to a device: who has its file open. A holder that the driver does not list there, in two readings in
 * a row, is a fact. Left out are the agent's own children, and what a listed process forked off without running another
 * executable (data loaders): they inherit the descriptor and mean nothing by it.
 */
import type { DeviceFact, HolderFact } from '../api/contract/batch.ts';
import { Lasting } from './lasting.ts';
import type { Files } from './ports.ts';
import type { Reading } from './reading.ts';
import { MAX_DESCRIPTORS_OF_ONE, openDevices } from './sources/device-files.ts';
import { createProcfs, type ProcessStat, type Procfs } from './sources/procfs.ts';

/** From the start of one sweep over all processes to the next. */
const SWEEP_MS = 60_000;
/** A sweep that takes longer is told: whoever holds a device is found late. */
const LATE_MS = 15 * 60_000;
/** What a sweep may look at, and how much it may save up between two polls: a big machine takes longer than a sweep's time. */
const DESCRIPTORS_PER_SECOND = 600;
const MAX_SAVED_UP = 6000;
/** Opening and listing the folder of a process costs as much as following this many descriptors. */
const FOLDER_COST = 10;
/** When a device works and shows no process, the sweep comes at once and in large steps, but no more often than this. */
const URGENT_MS = 30_000;
const URGENT_DESCRIPTORS = 30_000;
/** Holders known at once; those beyond are not told. */
const MAX_HOLDERS = 512;
/** Taken in within one poll; the others have to wait for the next sweep. */
const MAX_SUSPECTS = 64;
const MAX_ANCESTORS = 16;

type Holder = Omit<HolderFact, 'firstMs' | 'lastMs'>;
/** A process takes a key when it is to be told of; null: it has just ended. */
type Adopt = (pid: number, atMs: number) => string | null;

/** Some descriptors may not be read; a process has more of them than are followed. */
interface Missed {
  readonly refused: boolean;
  readonly crowded: number | null;
}
const NOTHING: Missed = { refused: false, crowded: null };

export class DeviceHolders {
  readonly #files: Files;
  readonly #root: string;
  readonly #procfs: Procfs;
  readonly #adopt: Adopt;
  readonly #told = new Lasting<Holder>();
  /** Seen once, by "<uuid> <pid>/<start>". */
  #suspects = new Map<string, { pid: number; sinceMs: number }>();
  #queue: number[] = [];
  #sweeping = false;
  #beganMs = Number.NEGATIVE_INFINITY;
  #steppedMs: number | null = null;
  #room = 0;
  #full = false;
  /** There were too many suspects at once; the sweep takes, or took, too long. */
  #crowd = false;
  #late = false;
  /** What the last whole sweep, and the one that goes on, could not see. */
  #missed = NOTHING;
  #missing = NOTHING;

  constructor(files: Files, procRoot: string, adopt: Adopt) {
    this.#files = files;
    this.#root = procRoot;
    this.#procfs = createProcfs(files, procRoot);
    this.#adopt = adopt;
  }

  /** A poll's part of the sweep. `urgent`: a device works and shows no process. */
  step(reading: Reading, devices: readonly DeviceFact[], urgent: boolean): void {
    const nowMs = reading.monotonicMs;
    const sinceMs = nowMs - (this.#steppedMs ?? nowMs);
    this.#steppedMs = nowMs;
    this.#room = Math.min(MAX_SAVED_UP, this.#room + (sinceMs / 1000) * DESCRIPTORS_PER_SECOND);
    const view = viewOf(reading, devices);
    if (view.uuids.size === 0) return;
    const soon = urgent && nowMs - this.#beganMs >= URGENT_MS;
    if (soon) this.#room = URGENT_DESCRIPTORS;
    if (soon || (!this.#sweeping && nowMs - this.#beganMs >= SWEEP_MS)) this.#begin(nowMs);
    this.#confirm(view);
    this.#sweep(view);
    if (this.#sweeping) this.#late ||= nowMs - this.#beganMs >= LATE_MS;
  }

  due(atMs: number): HolderFact[] {
    return this.#told.due(atMs);
  }

  /** What kept the last sweep, or keeps this one, from seeing everything soon. */
  get troubles(): readonly string[] {
    const crowded = this.#missing.crowded ?? this.#missed.crowded;
    const refused = this.#missing.refused || this.#missed.refused;
    return [
      ...(this.#full ? [`more than ${MAX_HOLDERS} holders of devices at once: the others are not told`] : []),
      ...(this.#crowd
        ? [
            `more than ${MAX_SUSPECTS} new holders of devices in one poll: the others have to wait for another sweep`,
          ]
        : []),
      ...(this.#late
        ? [
            'a look through the descriptors of all processes takes very long: holders of devices are found late',
          ]
        : []),
      ...(crowded === null
        ? []
        : [
            `pid ${crowded} has more than ${MAX_DESCRIPTORS_OF_ONE} descriptors: devices among the others are not seen`,
          ]),
      ...(refused
        ? ['the descriptors of some processes may not be read: holders of devices among them are not seen']
        : []),
    ];
  }

  #begin(nowMs: number): void {
    this.#beganMs = nowMs;
    this.#sweeping = true;
    this.#full = false;
    this.#crowd = false;
    this.#missing = NOTHING;
    this.#queue = this.#procfs.pids();
  }

  #sweep(view: View): void {
    if (!this.#sweeping) return;
    while (this.#room > 0) {
      const pid = this.#queue.pop();
      if (pid === undefined) {
        this.#sweeping = false;
        this.#late = view.nowMs - this.#beganMs >= LATE_MS;
        this.#missed = this.#missing;
        this.#told.endRound();
        return;
      }
      this.#look(pid, view, null);
    }
  }

  /** Looks again at those that the reading before did not list. */
  #confirm(view: View): void {
    const suspects = this.#suspects;
    this.#suspects = new Map();
    for (const { pid } of new Map([...suspects.values()].map((one) => [one.pid, one])).values())
      this.#look(pid, view, suspects);
  }

  #look(pid: number, view: View, suspects: ReadonlyMap<string, { sinceMs: number }> | null): void {
    const open = openDevices(this.#files, this.#root, pid);
    this.#room -= FOLDER_COST + (open.ok ? open.value.descriptors : 0);
    if (!open.ok && !open.gone) this.#missing = { ...this.#missing, refused: true };
    if (open.ok && open.value.cut) this.#missing = { ...this.#missing, crowded: pid };
    if (!open.ok || open.value.minors.length === 0) return;
    const stat = this.#procfs.stat(pid);
    if (!stat.ok) return;
    for (const minor of open.value.minors) {
      const device = view.uuids.get(minor);
      if (device === undefined || view.listed.get(device)?.has(pid) === true) continue;
      this.#holds(stat.value, device, view, suspects);
    }
  }

  #holds(
    stat: ProcessStat,
    device: string,
    view: View,
    suspects: ReadonlyMap<string, { sinceMs: number }> | null,
  ): void {
    const process = `${stat.pid}/${stat.startTicks}`;
    const name = `${device} ${process}`;
    if (this.#told.has(name)) {
      this.#told.see(name, { device, process }, view.atMs);
      return;
    }
    if (this.#isHarmless(stat, view.listed.get(device) ?? new Set())) return;
    const sinceMs = suspects?.get(name)?.sinceMs;
    if (sinceMs === undefined) {
      if (this.#suspects.size < MAX_SUSPECTS) this.#suspects.set(name, { pid: stat.pid, sinceMs: view.atMs });
      else this.#crowd = true;
      return;
    }
    this.#full ||= this.#told.size >= MAX_HOLDERS;
    if (this.#full || this.#adopt(stat.pid, view.atMs) !== process) return;
    this.#told.see(name, { device, process }, view.atMs, sinceMs);
  }

  #isHarmless(stat: ProcessStat, listed: ReadonlySet<number>): boolean {
    if (stat.parentPid === this.#ownPid()) return true;
    let own: string | null = null;
    let parentPid = stat.parentPid;
    for (let depth = 0; depth < MAX_ANCESTORS && parentPid > 1; depth += 1) {
      if (listed.has(parentPid)) {
        own ??= this.#executableOf(stat.pid);
        if (own !== null && own === this.#executableOf(parentPid)) return true;
      }
      const parent = this.#procfs.stat(parentPid);
      if (!parent.ok) return false;
      parentPid = parent.value.parentPid;
    }
    return false;
  }

  #executableOf(pid: number): string | null {
    const found = this.#procfs.executable(String(pid));
    if (!found.ok || found.value.device === null) return null;
    return `${found.value.device} ${found.value.inode}`;
  }

  #ownPid(): number | null {
    try {
      return Number(this.#files.readLink(`${this.#root}/self`).toString('latin1'));
    } catch {
      return null;
    }
  }
}

/** What a reading says about whom the driver lists where. */
interface View {
  readonly atMs: number;
  /** The same moment by the monotonic clock. */
  readonly nowMs: number;
  /** By minor number, of the devices that could be read. */
  readonly uuids: ReadonlyMap<number, string>;
  readonly listed: ReadonlyMap<string, ReadonlySet<number>>;
}

function viewOf(reading: Reading, devices: readonly DeviceFact[]): View {
  const listed = new Map<string, ReadonlySet<number>>();
  for (const device of reading.devices)
    if (device.ok) listed.set(device.uuid, new Set(device.processes.map(({ pid }) => pid)));
  const uuids = new Map<number, string>();
  for (const { minor, uuid } of devices) if (minor !== null && listed.has(uuid)) uuids.set(minor, uuid);
  return { atMs: Math.round(reading.wallMs), nowMs: reading.monotonicMs, uuids, listed };
}
