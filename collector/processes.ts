/**
 * The processes of the node that matter: those that nvidia-smi names, their ancestors, and neighbours in the same job
 * with a connection of interest. A process is (boot id, pid, start ticks); a pid alone is never a key.
 */
import { randomBytes } from 'node:crypto';
import type { AgentProblem, PersonalRecord, ProcessFact } from '../api/contract/batch.ts';
import type { Ports } from './ports.ts';
import {
  createHiddenRecord,
  createRecord,
  type ProcessRecord,
  personalRecord,
  type RecordContext,
  refreshRecord,
} from './process-record.ts';
import { createRedactor } from './redaction.ts';
import { createUserNames } from './sources/passwd.ts';
import { createProcfs, type Part, type ProcessStat } from './sources/procfs.ts';

const MAX_LINEAGE = 64;
/** Records of processes that nvidia-smi does not name just now give way beyond this many. */
export const MAX_PROCESSES = 4096;
/** How often the executable and the cgroup of a known process are read again. */
const REFRESH_MS = 30_000;
/** An ended process is repeated in the first batch of an hour for this long: a span of its may reach into that hour. */
const LINGER_MS = 15 * 60_000;
const MAX_PROBLEMS = 64;

export interface ProcessTableConfig {
  readonly procRoot: string;
  readonly passwdPath: string;
  /** Further command-line options whose values are secret. */
  readonly secretOptions?: readonly string[];
  /** 32 hexadecimal digits; random unless given. */
  readonly newSalt?: () => string;
}

export interface Reported<T> {
  readonly facts: T[];
  readonly personal: PersonalRecord[];
}

export interface ProcessTable {
  /** Boot id of the machine; "unknown" where it cannot be read. */
  bootId(): string;
  /** Identifies the pids that nvidia-smi names in one poll, and their ancestors. Every pid gets a key. */
  observe(pids: readonly number[], atMs: number): Map<number, string>;
  /** New and changed since the last call of this or `liveFacts`; parents before children. */
  changedFacts(): Reported<ProcessFact>;
  /** All that live, their ancestors, and those that ended lately: what the first batch of an hour repeats. */
  liveFacts(): Reported<ProcessFact>;
  /** What was wrong since the last call. */
  takeProblems(): AgentProblem[];
}

export function createProcessTable(
  ports: Pick<Ports, 'files' | 'clock'>,
  config: ProcessTableConfig,
): ProcessTable {
  const procfs = createProcfs(ports.files, config.procRoot);
  const context: RecordContext = {
    procfs,
    redact: createRedactor(config.secretOptions ?? []),
    userName: createUserNames(ports.files, config.passwdPath),
    newSalt: config.newSalt ?? (() => randomBytes(16).toString('hex')),
    bootTimeMs: procfs.bootTimeMs(),
  };
  const bootId = procfs.bootId() ?? 'unknown';
  /** In the order of first sight, so that parents stand before children. */
  const records = new Map<string, ProcessRecord>();
  const living = new Map<number, ProcessRecord>();
  let problems: AgentProblem[] = [];
  let prunedMs = Number.NEGATIVE_INFINITY;

  const complain = (atMs: number, message: string): void => {
    if (problems.length < MAX_PROBLEMS) problems.push({ atMs, source: 'processes', message });
  };
  const end = (record: ProcessRecord, atMs: number): void => {
    if (record.fact.exitedMs !== null) return;
    record.fact.exitedMs = atMs;
    record.dirty = true;
    if (living.get(record.fact.pid) === record) living.delete(record.fact.pid);
  };
  const add = (record: ProcessRecord, atMs: number): ProcessRecord => {
    const before = living.get(record.fact.pid);
    if (before !== undefined) end(before, atMs);
    records.set(record.fact.key, record);
    living.set(record.fact.pid, record);
    return record;
  };

  /** The record of a process that /proc shows, made if it is new. */
  const identify = (stat: ProcessStat, atMs: number, depth: number): ProcessRecord => {
    const known = records.get(`${stat.pid}/${stat.startTicks}`);
    if (known === undefined) return add(createRecord(context, stat, parentOf(stat, atMs, depth), atMs), atMs);
    if (known.fact.exitedMs !== null) {
      known.fact.exitedMs = null;
      known.dirty = true;
      add(known, atMs);
    }
    const due = Math.abs(atMs - known.refreshedMs) >= REFRESH_MS;
    if (due || stat.comm !== known.fact.comm) refreshRecord(context, known, stat, atMs);
    return known;
  };
  const parentOf = (stat: ProcessStat, atMs: number, depth: number): string | null => {
    if (stat.kernelThread || stat.pid === 1 || stat.parentPid === 0) return null;
    if (depth >= MAX_LINEAGE) {
      complain(atMs, `pid ${stat.pid}: lineage deeper than ${MAX_LINEAGE}`);
      return null;
    }
    const parent = procfs.stat(stat.parentPid);
    // A parent that started later took over the pid of one that has ended since.
    if (!parent.ok || parent.value.startTicks > stat.startTicks) return null;
    return identify(parent.value, atMs, depth + 1).fact.key;
  };
  const identifyHidden = (
    pid: number,
    part: Part<ProcessStat> & { ok: false },
    atMs: number,
  ): ProcessRecord => {
    const known = living.get(pid);
    if (known === undefined)
      return add(createHiddenRecord(pid, part.gone ? 'not in /proc' : part.why, atMs), atMs);
    // nvidia-smi may name a process that ended while it ran: this once, the name is that of the known one.
    if (part.gone && known.fact.startTicks !== null) end(known, atMs);
    return known;
  };
  /** Looks after a known process that nvidia-smi does not name. */
  const check = (record: ProcessRecord, atMs: number): void => {
    if (record.fact.startTicks === null) {
      end(record, atMs);
      return;
    }
    const stat = procfs.stat(record.fact.pid);
    if (!stat.ok) {
      if (stat.gone) end(record, atMs);
      return;
    }
    if (stat.value.startTicks !== record.fact.startTicks) end(record, atMs);
    else refreshRecord(context, record, stat.value, atMs);
  };
  const prune = (atMs: number): void => {
    prunedMs = atMs;
    const needed = new Set<string>();
    for (const record of records.values()) {
      const { exitedMs } = record.fact;
      if (exitedMs !== null && !record.dirty && Math.abs(atMs - exitedMs) > LINGER_MS) continue;
      for (let key: string | null = record.fact.key; key !== null && !needed.has(key); ) {
        needed.add(key);
        key = records.get(key)?.fact.parent ?? null;
      }
    }
    for (const key of records.keys()) if (!needed.has(key)) records.delete(key);
    if (records.size > MAX_PROCESSES) evict(atMs);
  };
  const evict = (atMs: number): void => {
    const parents = new Set([...records.values()].map((record) => record.fact.parent));
    let evicted = 0;
    for (const [key, record] of records) {
      if (records.size <= MAX_PROCESSES) break;
      if (record.listed || parents.has(key)) continue;
      records.delete(key);
      if (living.get(record.fact.pid) === record) living.delete(record.fact.pid);
      evicted += 1;
    }
    complain(atMs, `${evicted} processes forgotten: more than ${MAX_PROCESSES} at once`);
  };
  const report = (chosen: ProcessRecord[]): Reported<ProcessFact> => {
    const personal: PersonalRecord[] = [];
    for (const record of chosen) {
      record.dirty = false;
      const own = personalRecord(record);
      if (own !== null) personal.push(own);
    }
    return { facts: chosen.map((record) => structuredClone(record.fact)), personal };
  };

  return {
    bootId: () => bootId,
    observe(pids, atMs) {
      const keys = new Map<number, string>();
      const before = [...records.values()].filter((record) => record.listed);
      for (const record of before) record.listed = false;
      for (const pid of new Set(pids)) {
        const stat = procfs.stat(pid);
        const record = stat.ok ? identify(stat.value, atMs, 0) : identifyHidden(pid, stat, atMs);
        record.listed = record.fact.exitedMs === null;
        keys.set(pid, record.fact.key);
      }
      for (const record of before) if (!record.listed && record.fact.exitedMs === null) check(record, atMs);
      for (const record of living.values())
        if (!record.listed && Math.abs(atMs - record.refreshedMs) >= REFRESH_MS) check(record, atMs);
      if (Math.abs(atMs - prunedMs) >= REFRESH_MS) prune(atMs);
      return keys;
    },
    changedFacts: () => report([...records.values()].filter((record) => record.dirty)),
    liveFacts: () => report([...records.values()]),
    takeProblems() {
      const taken = problems;
      problems = [];
      return taken;
    },
  };
}
