/**
 * Files of the processes that are looked at in every poll, held open: reading one again is a single call, and the kernel
 * tells by ESRCH that the process has ended, so that whoever gets its pid next cannot pass for it.
 */
import type { Files, HeldFile } from '../ports.ts';
import { attempt, type ProcessStat, parseStat, STAT_BYTES } from './procfs.ts';

/** Processes that are held; those beyond are read by their path. */
const MAX_HELD = 256;
const DESCRIPTORS_EACH = 2;
/** Of the descriptors that the agent may have: the others are for programs, the spool and the service. */
const SHARE_OF_DESCRIPTORS = 1 / 4;
const LIMITS_BYTES = 4096;
/** Of a process's files one of the cheapest to read, a third of what its stat costs. */
const NAME = 'comm';
/** A name has 15 bytes at most, and one of a kernel thread 63. */
const NAME_BYTES = 64;

export class HeldStats {
  readonly #files: Files;
  readonly #root: string;
  readonly #atMost: number;
  /** null: this process cannot be held. */
  readonly #held = new Map<number, HeldStat | null>();

  constructor(files: Files, root: string) {
    this.#files = files;
    this.#root = root;
    const limits = attempt(() => files.read('/proc/self/limits', LIMITS_BYTES).bytes.toString('latin1'));
    const most = Number(/^Max open files +(\d+) /m.exec(limits.ok ? limits.value : '')?.[1] ?? Number.NaN);
    this.#atMost = Number.isNaN(most)
      ? MAX_HELD
      : Math.min(MAX_HELD, Math.floor((most * SHARE_OF_DESCRIPTORS) / DESCRIPTORS_EACH));
  }

  /**
   * The process that was held by this pid; null where none is, or that one has ended. Unless `fresh`, as it was when it was
   * last read under the name that it still has: what else of it can change is looked at again at a slower pace.
   */
  read(pid: number, fresh: boolean): ProcessStat | null {
    const held = this.#held.get(pid) ?? null;
    if (held === null) return null;
    const stat = held.read(fresh);
    if (stat === null) this.#release(pid, held);
    return stat;
  }

  /** Whether the process that was held by this pid has ended; false where none is held. */
  isOver(pid: number): boolean {
    const held = this.#held.get(pid) ?? null;
    if (held === null || held.isAlive()) return false;
    this.#release(pid, held);
    return true;
  }

  /** From now on `read` tells of this process. */
  hold(stat: ProcessStat): void {
    if (this.#held.has(stat.pid) || this.#held.size >= this.#atMost) return;
    const folder = `${this.#root}/${stat.pid}`;
    const file = attempt(() => this.#files.hold(`${folder}/stat`));
    const name = file.ok ? attempt(() => this.#files.hold(`${folder}/${NAME}`)) : file;
    const held = file.ok
      ? new HeldStat(file.value, name.ok ? name.value : file.value, stat.startTicks)
      : null;
    this.#held.set(stat.pid, held);
    // Between the reading and the opening another may have taken the pid.
    if (held !== null && held.read(true) === null) this.#release(stat.pid, held);
  }

  /** Lets go of all but these. */
  releaseOthers(pids: { has(pid: number): boolean }): void {
    for (const [pid, held] of this.#held) if (!pids.has(pid)) this.#release(pid, held);
  }

  #release(pid: number, held: HeldStat | null): void {
    held?.close();
    this.#held.delete(pid);
  }
}

class HeldStat {
  readonly #file: HeldFile;
  readonly #name: HeldFile;
  readonly #startTicks: number;
  #stat: ProcessStat | null = null;
  /** As it was when the stat was read. */
  #lastName: Buffer = Buffer.alloc(0);

  constructor(file: HeldFile, name: HeldFile, startTicks: number) {
    this.#file = file;
    this.#name = name;
    this.#startTicks = startTicks;
  }

  /** null: it has ended, or cannot be read any more. */
  read(fresh: boolean): ProcessStat | null {
    try {
      const name = this.#name.read(NAME_BYTES);
      if (!fresh && this.#stat !== null && name.equals(this.#lastName)) return this.#stat;
      this.#lastName = Buffer.from(name);
      const stat = parseStat(this.#file.read(STAT_BYTES));
      this.#stat = stat?.startTicks === this.#startTicks ? stat : null;
      return this.#stat;
    } catch {
      return null;
    }
  }

  isAlive(): boolean {
    try {
      return this.#name.read(NAME_BYTES).length > 0;
    } catch {
      return false;
    }
  }

  close(): void {
    this.#file.close();
    if (this.#name !== this.#file) this.#name.close();
  }
}
