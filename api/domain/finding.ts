// Findings: unaccounted time, grouped by the source that it comes from, and what may be said about it.
import type { IntegrityKind } from '../contract/batch.ts';
import { type FINDING_KINDS, SEVERITIES, type STRENGTHS } from '../contract/findings.ts';
import { type Evidence, MARKED_REASON, REASONS, type Reason } from './bucket.ts';
import type { Entry, ProcessId } from './cell.ts';
import { findingId, rootOf } from './source.ts';
import type { Judge, NodeFacts } from './verdict.ts';

export type FindingKind = (typeof FINDING_KINDS)[number];
export type Severity = (typeof SEVERITIES)[number];
export type Strength = (typeof STRENGTHS)[number];

/**
 * A finding is still running while its node's newest report, or one at most this much older, shows it. Agents repeat a
 * lasting connection once a minute and send it up to half a minute later; what lasts of how a node is read they repeat
 * once an hour. That a file or a key has changed is a moment.
 */
export const RUNNING_SLACK_MS = { usual: 60_000, network: 150_000, integrity: 3_900_000 } as const;
/** The integrity reasons that do not last. */
export const MOMENTARY: readonly string[] = ['tool_changed', 'key_changed'] satisfies IntegrityKind[];

export function runningSlackMs({ kind, reason }: { kind: FindingKind; reason: string }): number {
  if (kind === 'network') return RUNNING_SLACK_MS.network;
  return kind === 'integrity' && !MOMENTARY.includes(reason)
    ? RUNNING_SLACK_MS.integrity
    : RUNNING_SLACK_MS.usual;
}

/** Time of one process (null: none shows) on one device for one reason. Rows of one finding add up over hours. */
export interface FindingRow {
  readonly device: string;
  readonly process: ProcessId | null;
  /** The job that it sits inside. */
  readonly job: string | null;
  readonly reason: Reason;
  readonly evidence: Evidence | null;
  readonly activeMs: number;
  readonly residentMs: number;
  /** Of `activeMs` and of `residentMs`: awaiting a record. */
  readonly provisionalActiveMs: number;
  readonly provisionalResidentMs: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** What one node-hour knows of a finding. */
export interface FindingPart {
  readonly id: string;
  readonly kind: FindingKind;
  readonly cluster: string;
  readonly node: string;
  /** The root of the lineage; null where only the device is known. */
  readonly root: ProcessId | null;
  readonly rows: readonly FindingRow[];
}

/**
 * Groups the unaccounted entries of a node's cells by source. `facts.processes` may hold processes of earlier hours too:
 * an ancestor that is gone still names the source. Parts and rows come in a fixed order.
 */
export function groupFindings(
  facts: NodeFacts,
  judge: Judge,
  cells: Iterable<{ readonly device: string; readonly entries: readonly Entry[] }>,
): FindingPart[] {
  const parts = new Map<string, { root: ProcessId | null; rows: Map<string, FindingRow> }>();
  const roots = new Map<string, ProcessId>();
  const rootFor = (entry: Entry, process: ProcessId): ProcessId => {
    const job = entry.job === null ? undefined : facts.jobs.get(entry.job);
    // What contradicts itself while a process is there goes where the rest of its time does.
    const foreign =
      entry.reason === 'foreign_in_job' ||
      (entry.reason === 'telemetry_conflict' && job !== undefined && judge.isForeign(process, job));
    const key = `${process} ${foreign ? entry.job : ''}`;
    const known = roots.get(key);
    if (known !== undefined) return known;
    const root = rootOf(facts, judge, process, foreign && job !== undefined ? job : null);
    roots.set(key, root);
    return root;
  };
  for (const { device, entries } of cells) {
    for (const entry of entries) {
      const reason = reasonOf(entry, facts);
      if (reason === null) continue;
      const root = entry.process === null ? null : rootFor(entry, entry.process);
      const id = findingId('compute', facts.cluster, facts.node, root ?? `device ${device}`);
      const part = parts.get(id) ?? { root, rows: new Map<string, FindingRow>() };
      parts.set(id, part);
      const row = toRow(device, entry, reason);
      const key = rowKey(row);
      const earlier = part.rows.get(key);
      part.rows.set(key, earlier === undefined ? row : addRows(earlier, row));
    }
  }
  return [...parts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, { root, rows }]) => ({
      id,
      kind: 'compute',
      cluster: facts.cluster,
      node: facts.node,
      root,
      rows: inOrder(rows),
    }));
}

/**
 * What a finding says of an entry; null: nothing. A named process that is not as its job said stays the job's use; that it
 * is marked is a finding without time, so that somebody may look. An executable that nobody could read says nothing.
 */
export function reasonOf(entry: Entry, { processes }: Pick<NodeFacts, 'processes'>): Reason | null {
  if (entry.bucket === 'unaccounted') return entry.reason;
  if (entry.bucket !== 'used' || !entry.suspicious || entry.process === null) return null;
  return processes.get(entry.process)?.executable ? MARKED_REASON : null;
}

function toRow(device: string, entry: Entry, reason: Reason): FindingRow {
  if (reason === MARKED_REASON) return { ...rowOf(device, entry, reason, false), residentMs: 0 };
  return rowOf(device, entry, reason, entry.activity === 'active');
}

function rowOf(device: string, entry: Entry, reason: Reason, active: boolean): FindingRow {
  return {
    device,
    process: entry.process,
    job: entry.job,
    reason,
    evidence: entry.evidence,
    activeMs: active ? entry.ms : 0,
    residentMs: active ? 0 : entry.ms,
    provisionalActiveMs: active && entry.provisional ? entry.ms : 0,
    provisionalResidentMs: !active && entry.provisional ? entry.ms : 0,
    fromMs: entry.fromMs,
    toMs: entry.toMs,
  };
}

const rowKey = (row: FindingRow): string =>
  [row.device, row.process ?? '', row.reason, row.job ?? '', row.evidence ?? ''].join(' ');

const inOrder = (rows: ReadonlyMap<string, FindingRow>): FindingRow[] =>
  [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);

function addRows(a: FindingRow, b: FindingRow): FindingRow {
  return {
    ...a,
    activeMs: a.activeMs + b.activeMs,
    residentMs: a.residentMs + b.residentMs,
    provisionalActiveMs: a.provisionalActiveMs + b.provisionalActiveMs,
    provisionalResidentMs: a.provisionalResidentMs + b.provisionalResidentMs,
    fromMs: Math.min(a.fromMs, b.fromMs),
    toMs: Math.max(a.toMs, b.toMs),
  };
}

/** The rows of several node-hours of one finding, added up. */
export function mergeRows(rows: Iterable<FindingRow>): FindingRow[] {
  const merged = new Map<string, FindingRow>();
  for (const row of rows) {
    const key = rowKey(row);
    const earlier = merged.get(key);
    merged.set(key, earlier === undefined ? row : addRows(earlier, row));
  }
  return inOrder(merged);
}

export const graver = (a: Severity, b: Severity): Severity =>
  SEVERITIES.indexOf(a) < SEVERITIES.indexOf(b) ? b : a;

/** A finding as a whole, from all of its rows. */
export interface FindingSummary {
  /** The reason with the most active time, else with the most time. */
  readonly reason: Reason;
  readonly reasons: readonly Reason[];
  readonly evidence: Evidence | null;
  /** The process with the most time. */
  readonly process: ProcessId | null;
  /** The job with the most of this time inside. */
  readonly insideJob: string | null;
  readonly devices: readonly string[];
  readonly activeMs: number;
  readonly residentMs: number;
  readonly provisionalMs: number;
  readonly settledActiveMs: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly state: 'provisional' | 'settled';
  readonly severity: Severity;
  readonly strength: Strength;
}

/** Settled active time of one finding from which it is critical: one GPU-hour. */
const CRITICAL_ACTIVE_MS = 3_600_000;

/**
 * `edgeMs`: time at the very edge of a job (before its start, after its end) up to this much stays a notice, since use is
 * only known as exactly as devices are polled; the time itself stays unaccounted. Null when there are no rows.
 */
export function summarise(rows: readonly FindingRow[], edgeMs: number): FindingSummary | null {
  const first = heaviest(rows);
  if (first === null) return null;
  const sum = (value: (row: FindingRow) => number): number =>
    rows.reduce((total, row) => total + value(row), 0);
  const byReason = totals(rows, (row) => row.reason);
  const inOrder = [...byReason].sort(([a], [b]) => REASONS.indexOf(a) - REASONS.indexOf(b));
  const [reason] = inOrder.reduce((best, next) => (next[1] > best[1] ? next : best));
  const settledMs = sum((row) => timeOf(row) - row.provisionalActiveMs - row.provisionalResidentMs);
  const marked = rows.every((row) => row.reason === MARKED_REASON);
  const state = settledMs > 0 || marked ? 'settled' : 'provisional';
  const process = largest(totals(rows, (row) => row.process));
  return {
    reason,
    reasons: REASONS.filter((other) => byReason.has(other)),
    evidence:
      rows.find((row) => row.reason === reason && row.process === process)?.evidence ?? first.evidence,
    process,
    insideJob: largest(totals(rows, (row) => row.job)),
    devices: [...new Set(rows.map((row) => row.device))].sort(),
    activeMs: sum((row) => row.activeMs),
    residentMs: sum((row) => row.residentMs),
    provisionalMs: sum((row) => row.provisionalActiveMs + row.provisionalResidentMs),
    settledActiveMs: sum(settledActiveOf),
    firstMs: rows.reduce((least, row) => Math.min(least, row.fromMs), first.fromMs),
    lastMs: rows.reduce((most, row) => Math.max(most, row.toMs), first.toMs),
    state,
    severity: severityOf(rows, edgeMs),
    strength: state === 'settled' && process !== null && !NO_PROOF.includes(reason) ? 'proof' : 'suspicion',
  };
}

const NO_PROOF: readonly Reason[] = ['telemetry_conflict', MARKED_REASON];

const timeOf = (row: FindingRow): number => row.activeMs + row.residentMs;
const settledActiveOf = (row: FindingRow): number => row.activeMs - row.provisionalActiveMs;

const heaviest = (rows: readonly FindingRow[]): FindingRow | null =>
  rows.reduce<FindingRow | null>(
    (best, row) => (best === null || timeOf(row) > timeOf(best) ? row : best),
    null,
  );

/** Weight of each value: active time counts before all resident time. */
function totals<K>(rows: readonly FindingRow[], key: (row: FindingRow) => K): Map<K, number> {
  const sums = new Map<K, number>();
  const anyActive = rows.some((row) => row.activeMs > 0);
  for (const row of rows)
    sums.set(key(row), (sums.get(key(row)) ?? 0) + (anyActive ? row.activeMs : row.residentMs));
  return sums;
}

function largest<K>(sums: ReadonlyMap<K | null, number>): K | null {
  let best: K | null = null;
  let most = -1;
  for (const [value, ms] of sums) {
    if (value === null || ms <= most) continue;
    best = value;
    most = ms;
  }
  return best;
}

const EDGE_REASONS: readonly Reason[] = ['before_start', 'after_end'];

/**
 * Awaiting a record, or only resident: notice. Settled and active: warn; critical from one GPU-hour on, and at once for
 * what runs inside a job that declared something else.
 */
export function severityOf(rows: readonly FindingRow[], edgeMs: number): Severity {
  let settledMs = 0;
  let atEdgeMs = 0;
  let foreignMs = 0;
  for (const row of rows) {
    const ms = settledActiveOf(row);
    settledMs += ms;
    if (EDGE_REASONS.includes(row.reason)) atEdgeMs += ms;
    if (row.reason === 'foreign_in_job') foreignMs += ms;
  }
  if (foreignMs > 0 || settledMs >= CRITICAL_ACTIVE_MS) return 'critical';
  if (settledMs - atEdgeMs > 0 || atEdgeMs > edgeMs) return 'warn';
  return 'notice';
}
