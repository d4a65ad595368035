/** The records of processes by key: who is new, who changed, who has gone, and whom to forget. */
import { type AgentProblem, HOUR_MS } from '../api/contract/batch.ts';
import {
  createHiddenRecord,
  createRecord,
  hasExecuted,
  type ProcessRecord,
  passed,
  putIntoWords,
  type RecordContext,
  refreshRecord,
} from './process-record.ts';
import type { HeldStats } from './sources/held-stats.ts';
import { type Part, type ProcessStat, startedMs } from './sources/procfs.ts';

const MAX_LINEAGE = 64;
/** Beyond this many, processes that nvidia-smi does not name just now and that are nobody's parent give way, least worth first. */
const MAX_PROCESSES = 4096;
/** How often the executable and the cgroup of a known process are read again. */
const REFRESH_MS = 30_000;
/** An ended process is repeated in the first batch of an hour for this long: a span of its may reach into that hour. */
const LINGER_MS = 15 * 60_000;
const MAX_PROBLEMS = 64;
const STEP_DAEMON = 'slurmstepd';

export class ProcessRegistry {
  readonly #context: RecordContext;
  readonly #held: HeldStats;
  /** In the order of first sight, so that parents stand before children. */
  readonly #records = new Map<string, ProcessRecord>();
  readonly #living = new Map<number, ProcessRecord>();
  #prunedMs = Number.NEGATIVE_INFINITY;
  /** The latest look at who has ended, and when those ended that it found. */
  #lookedMs = 0;
  readonly #ends = new Map<string, { readonly endMs: number; readonly goneMs: number }>();
  #problems: AgentProblem[] = [];
  /** When each problem was last told. */
  readonly #told = new Map<string, number>();

  constructor(context: RecordContext, held: HeldStats) {
    this.#context = context;
    this.#held = held;
  }

  /**
   * Looks, between two polls, which listed processes have ended since the look before: that costs one read each. Their ends
   * are taken to lie half-way between the two looks; what is told of them is when they were found gone.
   */
  noticeEnds(atMs: number): void {
    for (const { listed, fact } of this.#living.values())
      if (listed && this.#held.isOver(fact.pid)) this.#noticeEnd(fact.key, this.#lookedMs, atMs);
    this.#lookedMs = atMs;
  }

  /** When a process ended that was listed by the poll before the latest; null where that was not noticed. */
  endOf(key: string): number | null {
    return this.#ends.get(key)?.endMs ?? null;
  }

  /** One poll: the key of every pid that nvidia-smi names. */
  observe(pids: readonly number[], atMs: number): Map<number, string> {
    const before = new Set<ProcessRecord>();
    const lookedMs = this.#lookedMs;
    this.#lookedMs = atMs;
    for (const key of this.#ends.keys())
      if (this.#records.get(key)?.fact.exitedMs !== null) this.#ends.delete(key);
    for (const record of this.#living.values()) {
      if (!record.listed) continue;
      before.add(record);
      record.listed = false;
    }
    const keys = new Map<number, string>();
    for (const pid of new Set(pids)) {
      const record = this.#see(pid, atMs);
      record.listed = record.fact.exitedMs === null;
      record.everListed = true;
      keys.set(pid, record.fact.key);
    }
    this.#held.releaseOthers(keys);
    // Checking may take a record out of the map meanwhile, which its iterator allows.
    for (const record of this.#living.values()) {
      if (record.listed) continue;
      if (before.has(record) || passed(record.refreshedMs, atMs, REFRESH_MS)) this.#check(record, atMs);
    }
    for (const { fact } of before)
      if (fact.exitedMs !== null && keys.get(fact.pid) !== fact.key)
        this.#noticeEnd(fact.key, lookedMs, atMs);
    if (passed(this.#prunedMs, atMs, REFRESH_MS)) this.#prune(atMs);
    return keys;
  }

  /**
   * Takes in a process that nvidia-smi does not name; null when /proc does not show it. `worded`: the text of its command
   * line is kept too.
   */
  adopt(pid: number, atMs: number, worded = false): ProcessRecord | null {
    const stat = this.#context.procfs.stat(pid);
    return stat.ok ? this.#identify(stat.value, atMs, 0, worded) : null;
  }

  /** Takes in the process that has had this pid since before `sinceMs`; null when /proc shows none. */
  adoptOlder(pid: number, sinceMs: number, atMs: number): ProcessRecord | null {
    const stat = this.#context.procfs.stat(pid);
    const began = stat.ok ? startedMs(this.#context.bootTimeMs, stat.value.startTicks) : null;
    return began === null || began >= sinceMs ? null : this.adopt(pid, atMs, true);
  }

  /** Takes in a process that only the driver's accounting tells of, once it has ended. `why`: what is not known. */
  addEnded(pid: number, atMs: number, why: string): ProcessRecord {
    const record = createHiddenRecord(pid, why, atMs);
    const known = this.#records.get(record.fact.key);
    if (known !== undefined) return known;
    record.fact.exitedMs = atMs;
    this.#records.set(record.fact.key, record);
    return record;
  }

  /** Living processes that nvidia-smi named in the latest poll and /proc shows. */
  listed(): ProcessRecord[] {
    return [...this.#living.values()].filter((record) => record.listed && record.fact.startTicks !== null);
  }

  living(pid: number): ProcessRecord | undefined {
    return this.#living.get(pid);
  }

  all(): ProcessRecord[] {
    return [...this.#records.values()];
  }

  /** Takes what an earlier run of the agent knew, before the first poll. */
  restore(records: readonly ProcessRecord[]): void {
    for (const record of records) {
      this.#records.set(record.fact.key, record);
      if (record.fact.exitedMs === null) this.#living.set(record.fact.pid, record);
    }
  }

  /** The same again within an hour is not told again. */
  complain(atMs: number, message: string): void {
    const toldMs = this.#told.get(message);
    if (toldMs !== undefined && !passed(toldMs, atMs, HOUR_MS)) return;
    if (this.#problems.length >= MAX_PROBLEMS) return;
    if (this.#told.size >= MAX_PROBLEMS) this.#told.clear();
    this.#told.set(message, atMs);
    this.#problems.push({ atMs, source: 'processes', message });
  }

  takeProblems(): AgentProblem[] {
    const taken = this.#problems;
    this.#problems = [];
    return taken;
  }

  /** The record of a pid that nvidia-smi names. */
  #see(pid: number, atMs: number): ProcessRecord {
    const known = this.#living.get(pid);
    const due = known === undefined || passed(known.refreshedMs, atMs, REFRESH_MS);
    const held = this.#held.read(pid, due);
    if (held !== null) return this.#identify(held, atMs, 0, true);
    const stat = this.#context.procfs.stat(pid);
    if (!stat.ok) return this.#identifyHidden(pid, stat, atMs);
    this.#held.hold(stat.value);
    return this.#identify(stat.value, atMs, 0, true);
  }

  /** The record of a process that /proc shows, made if it is new. */
  #identify(stat: ProcessStat, atMs: number, depth: number, worded: boolean): ProcessRecord {
    const known = this.#records.get(`${stat.pid}/${stat.startTicks}`);
    if (known === undefined) {
      const parent = this.#parentOf(stat, atMs, depth);
      return this.#add(createRecord(this.#context, stat, parent, worded, atMs), atMs);
    }
    if (known.fact.exitedMs !== null) {
      known.fact.exitedMs = null;
      known.dirty = true;
      this.#add(known, atMs);
    }
    // Of a process that uses a device an exec is noticed by the next poll, whatever it calls itself.
    const due = passed(known.refreshedMs, atMs, REFRESH_MS) || stat.comm !== known.fact.comm;
    if (due || (worded && hasExecuted(this.#context, known, stat, atMs)))
      refreshRecord(this.#context, known, stat, atMs);
    if (worded && !known.worded) putIntoWords(this.#context, known, stat);
    return known;
  }

  #identifyHidden(pid: number, part: Part<ProcessStat> & { ok: false }, atMs: number): ProcessRecord {
    // Without /proc every process would seem to have ended, and the next look would take it for one that hides.
    if (part.gone && this.#context.procfs.bootId() === null) throw new Error('/proc is not there');
    const known = this.#living.get(pid);
    if (known === undefined) {
      const why = part.gone ? 'not in /proc' : part.why;
      return this.#add(createHiddenRecord(pid, why, atMs), atMs);
    }
    // nvidia-smi may name a process that ended while it ran: this once, the name is that of the known one.
    if (part.gone && known.fact.startTicks !== null) this.#end(known, atMs);
    return known;
  }

  /** Key of the parent as it is now, its own lineage taken in first. */
  #parentOf(stat: ProcessStat, atMs: number, depth: number): string | null {
    if (stat.kernelThread || stat.pid === 1 || stat.parentPid === 0) return null;
    if (depth >= MAX_LINEAGE) {
      this.complain(atMs, `lineages deeper than ${MAX_LINEAGE} are cut, such as that of pid ${stat.pid}`);
      return null;
    }
    const parent = this.#context.procfs.stat(stat.parentPid);
    // A parent that started later took over the pid of one that has ended since.
    if (!parent.ok || parent.value.startTicks > stat.startTicks) return null;
    // What Slurm starts a step's processes with has the job in its title, and that may be all that names it.
    const worded = parent.value.comm.startsWith(STEP_DAEMON);
    return this.#identify(parent.value, atMs, depth + 1, worded).fact.key;
  }

  #add(record: ProcessRecord, atMs: number): ProcessRecord {
    const before = this.#living.get(record.fact.pid);
    if (before !== undefined && before !== record) this.#end(before, atMs);
    this.#records.set(record.fact.key, record);
    this.#living.set(record.fact.pid, record);
    return record;
  }

  /** Alive at `lookedMs`, gone at `atMs`. */
  #noticeEnd(key: string, lookedMs: number, atMs: number): void {
    if (!this.#ends.has(key)) this.#ends.set(key, { endMs: Math.round((lookedMs + atMs) / 2), goneMs: atMs });
  }

  #end(record: ProcessRecord, atMs: number): void {
    record.fact.exitedMs = this.#ends.get(record.fact.key)?.goneMs ?? atMs;
    record.listed = false;
    record.dirty = true;
    this.#living.delete(record.fact.pid);
  }

  /** Looks after a known process that nvidia-smi does not name. */
  #check(record: ProcessRecord, atMs: number): void {
    const { pid, startTicks } = record.fact;
    const stat = this.#context.procfs.stat(pid);
    if (startTicks === null) this.#end(record, atMs);
    else if (stat.ok && stat.value.startTicks === startTicks)
      refreshRecord(this.#context, record, stat.value, atMs);
    else if (stat.ok || stat.gone) this.#end(record, atMs);
  }

  /** Forgets the ended, unless they still have to be reported or somebody descends from them. */
  #prune(atMs: number): void {
    this.#prunedMs = atMs;
    const needed = new Set<string>();
    for (const record of this.#records.values()) {
      const { exitedMs } = record.fact;
      if (exitedMs !== null && !record.dirty && passed(exitedMs, atMs, LINGER_MS)) continue;
      for (let key: string | null = record.fact.key; key !== null && !needed.has(key); ) {
        needed.add(key);
        key = this.#records.get(key)?.fact.parent ?? null;
      }
    }
    for (const key of this.#records.keys()) if (!needed.has(key)) this.#records.delete(key);
    if (this.#records.size > MAX_PROCESSES) this.#evict(atMs);
  }

  #evict(atMs: number): void {
    const parents = new Set([...this.#records.values()].map((record) => record.fact.parent));
    const spare = [...this.#records.values()].filter(
      (record) => !record.listed && !parents.has(record.fact.key),
    );
    for (const record of spare.sort((a, b) => worth(a) - worth(b))) {
      if (this.#records.size <= MAX_PROCESSES) break;
      this.#records.delete(record.fact.key);
      if (this.#living.get(record.fact.pid) === record) this.#living.delete(record.fact.pid);
    }
    this.complain(atMs, `processes forgotten: more than ${MAX_PROCESSES} at once`);
  }
}

/** Who was on a device, lives, or has yet to be told of stays longest, so that no crowd pushes out what is known of it. */
function worth({ everListed, dirty, fact }: ProcessRecord): number {
  return (everListed ? 4 : 0) + (dirty ? 2 : 0) + (fact.exitedMs === null ? 1 : 0);
}
