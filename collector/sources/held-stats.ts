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
/** The cheapest file of a process to read, a fourth of what its stat costs: asked for nothing but whether it is there. */
const SIGN_OF_LIFE = 'oom_score_adj';
const SIGN_BYTES = 16;
const SPACE = 0x20;
const CLOSE = 0x29;
/** Behind the name: state, parent, group, session. */
const STEADY_FIELDS = 4;

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

  /** The process that was held by this pid, as it is now; null where none is, or that one has ended. */
  read(pid: number): ProcessStat | null {
    const held = this.#held.get(pid) ?? null;
    if (held === null) return null;
    const stat = held.read();
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
    const sign = file.ok ? attempt(() => this.#files.hold(`${folder}/${SIGN_OF_LIFE}`)) : file;
    const held = file.ok
      ? new HeldStat(file.value, sign.ok ? sign.value : file.value, stat.startTicks)
      : null;
    this.#held.set(stat.pid, held);
    // Between the reading and the opening another may have taken the pid.
    if (held !== null && held.read() === null) this.#release(stat.pid, held);
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
  readonly #sign: HeldFile;
  readonly #startTicks: number;
  #stat: ProcessStat | null = null;
  /** Pid, name and steady fields as last read, and where the name ends. */
  #steady: Buffer = Buffer.alloc(0);
  #closeAt = -1;

  constructor(file: HeldFile, sign: HeldFile, startTicks: number) {
    this.#file = file;
    this.#sign = sign;
    this.#startTicks = startTicks;
  }

  /** null: it has ended, or cannot be read any more. */
  read(): ProcessStat | null {
    let bytes: Buffer;
    try {
      bytes = this.#file.read(STAT_BYTES);
    } catch {
      return null;
    }
    // Counters of time and memory differ each time; they need not be understood.
    if (this.#stat !== null && this.#isSteady(bytes)) return this.#stat;
    const stat = parseStat(bytes);
    if (stat === null || stat.startTicks !== this.#startTicks) return null;
    this.#closeAt = bytes.lastIndexOf(CLOSE);
    this.#steady = Buffer.from(bytes.subarray(0, steadyEnd(bytes, this.#closeAt)));
    this.#stat = stat;
    return stat;
  }

  isAlive(): boolean {
    try {
      return this.#sign.read(SIGN_BYTES).length > 0;
    } catch {
      return false;
    }
  }

  close(): void {
    this.#file.close();
    if (this.#sign !== this.#file) this.#sign.close();
  }

  #isSteady(bytes: Buffer): boolean {
    const length = this.#steady.length;
    return (
      bytes.lastIndexOf(CLOSE) === this.#closeAt && bytes.compare(this.#steady, 0, length, 0, length) === 0
    );
  }
}

/** Just behind the session. A name that holds what looks like fields has its own parenthesis further on. */
function steadyEnd(bytes: Buffer, closeAt: number): number {
  let at = closeAt + 2;
  for (let field = 0; field < STEADY_FIELDS; field += 1) at = bytes.indexOf(SPACE, at) + 1;
  return at;
}
