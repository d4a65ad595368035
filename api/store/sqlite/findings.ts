/** Findings in SQLite: their parts by node-hour, the whole of each, and what was said of it before. */
import type Database from 'better-sqlite3';
import { z } from 'zod';
import { HOUR_MS } from '../../contract/batch.ts';
import { SEVERITIES } from '../../contract/findings.ts';
import { EVIDENCE, REASONS } from '../../domain/bucket.ts';
import type { ProcessId } from '../../domain/cell.ts';
import { type FindingRow, graver } from '../../domain/finding.ts';
import type { FindingGift, FindingState, FindingsWrite, KnownFinding, Sighting } from '../ledger.ts';
import { required, type Sqlite } from './connection.ts';
import type { Ids, NodeRow } from './ids.ts';
import type { ProcessIndex } from './process-index.ts';

const HISTORY_PER_FINDING = 200;

const Reason = z.enum(REASONS);
const Evidence = z.enum(EVIDENCE).nullable();
const GivenSeverity = z.enum(SEVERITIES);

/** A part of a finding, or several added up. */
export interface PartRow {
  readonly device: number;
  readonly process: number | null;
  readonly job: number | null;
  readonly reason: string;
  readonly evidence: string | null;
  readonly active_ms: number;
  readonly resident_ms: number;
  readonly provisional_ms: number;
  readonly provisional_active_ms: number;
  readonly first_ms: number;
  readonly last_ms: number;
  readonly severity: string | null;
}

/** Which parts of a finding are not of the hours at hand: those are `list`, from the first to the last. */
interface OtherHours {
  readonly finding: number;
  readonly node: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly list: string;
}

interface FindingTableRow {
  readonly finding: number;
  readonly kind: FindingState['kind'];
  readonly severity: FindingState['severity'];
  readonly strength: FindingState['strength'];
  readonly state: FindingState['state'];
  readonly process: number | null;
  readonly device: number | null;
  readonly reason: string;
  readonly evidence: string | null;
  readonly job: number | null;
  readonly active_ms: number;
  readonly resident_ms: number;
  readonly provisional_ms: number;
  readonly first_seen_ms: number;
  readonly last_seen_ms: number;
  readonly resolved_at_ms: number | null;
}

export interface Findings {
  read(node: number, hours: readonly number[], ids: Iterable<string>): Map<string, KnownFinding>;
  /** Replaces what node-hours give. Call within a transaction. */
  replace(write: FindingsWrite): void;
}

export function createFindings(sqlite: Sqlite, ids: Ids, processes: ProcessIndex): Findings {
  const { database } = sqlite;
  const selectHere = database.prepare<[string, number], { finding: number; process: number | null }>(
    `SELECT DISTINCT finding, CASE device WHEN 0 THEN NULL ELSE process END AS process FROM finding_parts
     WHERE hour_ms IN (SELECT value FROM json_each(?)) AND node = ?`,
  );
  const selectId = database.prepare<[number], string>('SELECT id FROM findings WHERE finding = ?').pluck();
  const selectFinding = database.prepare<[string], FindingTableRow>('SELECT * FROM findings WHERE id = ?');
  // Added up here rather than in the service: a finding may have lasted for months.
  const othersWhere = (isOther: string): Database.Statement<[OtherHours], PartRow> =>
    database.prepare<[OtherHours], PartRow>(
      `SELECT device, process, job, reason, evidence, severity, sum(active_ms) AS active_ms, sum(resident_ms) AS resident_ms,
         sum(provisional_ms) AS provisional_ms, sum(provisional_active_ms) AS provisional_active_ms,
         min(first_ms) AS first_ms, max(last_ms) AS last_ms
       FROM finding_parts WHERE finding = :finding AND (node <> :node OR ${isOther})
       GROUP BY device, process, job, reason, evidence, severity`,
    );
  const selectOutside = othersWhere('hour_ms < :firstMs OR hour_ms > :lastMs');
  const selectOthers = othersWhere('hour_ms NOT IN (SELECT value FROM json_each(:list))');
  const toState = (row: FindingTableRow): FindingState => ({
    kind: row.kind,
    severity: row.severity,
    strength: row.strength,
    state: row.state,
    root: row.process === null ? null : processes.id(row.process),
    device: row.device === null ? null : ids.deviceUuid(row.device),
    reason: row.reason,
    evidence: row.evidence,
    job: row.job === null ? null : ids.jobId(row.job),
    activeMs: row.active_ms,
    residentMs: row.resident_ms,
    provisionalMs: row.provisional_ms,
    firstMs: row.first_seen_ms,
    lastMs: row.last_seen_ms,
  });
  const toRow = createPartReader(ids, processes);
  const toSighting = (rows: readonly PartRow[]): Sighting | null => {
    const parts = rows
      .map(toSeen)
      .sort((a, b) => a.fromMs - b.fromMs || ((a.job ?? '') < (b.job ?? '') ? -1 : 1));
    const [first] = parts;
    if (first === undefined) return null;
    const severity = parts.map((part) => part.severity).reduce(graver);
    return { ...first, severity, toMs: Math.max(...parts.map((part) => part.toMs)) };
  };
  const toSeen = createSightingReader(ids);
  const replace = createWriter(sqlite, ids, processes);

  return {
    read(node, hours, wanted) {
      const found = new Map<string, KnownFinding>();
      const list = JSON.stringify(hours);
      const here = new Map<string, ProcessId[]>();
      for (const { finding, process } of selectHere.all(list, node)) {
        const id = required(selectId.get(finding));
        const own = here.get(id) ?? [];
        here.set(id, own);
        if (process !== null) own.push(processes.id(process));
      }
      const [firstMs, lastMs] = [Math.min(...hours), Math.max(...hours)];
      const isWhole = lastMs - firstMs === (hours.length - 1) * HOUR_MS;
      const select = isWhole ? selectOutside : selectOthers;
      for (const id of new Set([...wanted, ...here.keys()])) {
        const row = selectFinding.get(id);
        if (row === undefined) continue;
        const others = select.all({ finding: row.finding, node, firstMs, lastMs, list });
        const seen = others.filter((other) => other.device === 0);
        found.set(id, {
          state: toState(row),
          resolved: row.resolved_at_ms !== null,
          processesHere: here.get(id) ?? [],
          otherRows: others.filter((other) => other.device !== 0).map(toRow),
          otherSeen: toSighting(seen),
        });
      }
      return found;
    },
    replace,
  };
}

/** The function that reads a row of what was seen beside the ledger. */
export function createSightingReader(ids: Ids): (row: PartRow) => Sighting {
  return (row) => ({
    ...{ fromMs: row.first_ms, toMs: row.last_ms, evidence: Evidence.parse(row.evidence) },
    ...{ reason: row.reason, severity: GivenSeverity.parse(row.severity) },
    job: row.job === null ? null : ids.jobId(row.job),
  });
}

/** The function that names what a part's row has by number. */
export function createPartReader(ids: Ids, processes: ProcessIndex): (row: PartRow) => FindingRow {
  return (row) => ({
    device: ids.deviceUuid(row.device),
    process: row.process === null ? null : processes.id(row.process),
    job: row.job === null ? null : ids.jobId(row.job),
    reason: Reason.parse(row.reason),
    evidence: Evidence.parse(row.evidence),
    activeMs: row.active_ms,
    residentMs: row.resident_ms,
    provisionalActiveMs: row.provisional_active_ms,
    provisionalResidentMs: row.provisional_ms - row.provisional_active_ms,
    fromMs: row.first_ms,
    toMs: row.last_ms,
  });
}

function createWriter(sqlite: Sqlite, ids: Ids, processes: ProcessIndex): Findings['replace'] {
  const { database } = sqlite;
  const remove = ['finding_parts', 'finding_signals'].map((table) =>
    database.prepare<[string, number]>(
      `DELETE FROM ${table} WHERE hour_ms IN (SELECT value FROM json_each(?)) AND node = ?`,
    ),
  );
  const upsert = database
    .prepare<[Record<string, string | number | null>], number>(
      `INSERT INTO findings (id, node, kind, severity, strength, state, process, device, reason, evidence, job, active_ms,
         resident_ms, provisional_ms, first_seen_ms, last_seen_ms, recorded_at_ms)
       VALUES (:id, :node, :kind, :severity, :strength, :state, :process, :device, :reason, :evidence, :job, :activeMs,
         :residentMs, :provisionalMs, :firstMs, :lastMs, :nowMs)
       ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, strength = excluded.strength, state = excluded.state,
         reason = excluded.reason, evidence = excluded.evidence, job = excluded.job, active_ms = excluded.active_ms,
         resident_ms = excluded.resident_ms, provisional_ms = excluded.provisional_ms,
         first_seen_ms = excluded.first_seen_ms, last_seen_ms = excluded.last_seen_ms, resolved_at_ms = NULL
       RETURNING finding`,
    )
    .pluck();
  const resolve = database
    .prepare<[number, string], number>(
      `UPDATE findings SET active_ms = 0, resident_ms = 0, provisional_ms = 0,
         resolved_at_ms = coalesce(resolved_at_ms, ?) WHERE id = ? RETURNING finding`,
    )
    .pluck();
  const insertPart = database.prepare(
    `INSERT INTO finding_parts (hour_ms, node, device, ordinal, finding, reason, process, evidence, job, holder, active_ms,
       resident_ms, least_ms, most_ms, provisional_ms, provisional_active_ms, first_ms, last_ms, severity)
     VALUES (:hourMs, :node, :device, :ordinal, :finding, :reason, :process, :evidence, :job, :holder, :activeMs,
       :residentMs, :leastMs, :mostMs, :provisionalMs, :provisionalActiveMs, :fromMs, :toMs, :severity)`,
  );
  const insertSignal = database.prepare(
    `INSERT INTO finding_signals (hour_ms, node, finding, signal, strength, detail)
     VALUES (:hourMs, :node, :finding, :id, :strength, :detail)`,
  );
  const insertHistory = database.prepare(
    `INSERT INTO finding_history (finding, ordinal, at_ms, seq, text)
     SELECT :finding, n, :nowMs, :seq, :text FROM
       (SELECT coalesce(max(ordinal) + 1, 0) AS n FROM finding_history WHERE finding = :finding)
     WHERE n < ${HISTORY_PER_FINDING}`,
  );
  const jobOf = (id: string | null): number | null => (id === null ? null : ids.job(id));

  const selectNode = database.prepare<[number], NodeRow>('SELECT node, cluster FROM nodes WHERE node = ?');

  function put(
    { node, factsSeq: seq, nowMs, hours, findings }: FindingsWrite,
    cluster: number,
  ): Map<string, number> {
    const numbers = new Map<string, number>();
    // What names a process that nobody described dates it by the first hour that gives to the finding.
    const hourOf = new Map<string, number>();
    for (const { hourMs, gifts } of hours)
      for (const { id } of gifts) hourOf.set(id, Math.min(hourOf.get(id) ?? hourMs, hourMs));
    for (const { id, state, history } of findings) {
      let finding: number | undefined;
      if (state === null) finding = resolve.get(nowMs, id);
      else {
        const { root, device, job, ...rest } = state;
        const hourMs = hourOf.get(id) ?? hours[0]?.hourMs ?? 0;
        const process = root === null ? null : processes.number(node, root, hourMs);
        const deviceRow = device === null ? null : ids.findDevice(cluster, device);
        finding = upsert.get({ ...rest, id, node, process, device: deviceRow, job: jobOf(job), nowMs });
      }
      if (finding === undefined) continue;
      numbers.set(id, finding);
      for (const text of history) insertHistory.run({ finding, nowMs, seq, text });
    }
    return numbers;
  }

  function give(
    node: number,
    cluster: number,
    hourMs: number,
    gifts: readonly FindingGift[],
    numbers: ReadonlyMap<string, number>,
  ): void {
    let ordinal = 0;
    for (const { id, parts, seen, signals } of gifts) {
      const finding = numbers.get(id);
      if (finding === undefined) continue;
      for (const signal of signals) insertSignal.run({ ...signal, hourMs, node, finding });
      for (const part of parts) {
        const { device, provisionalResidentMs, ...row } = part;
        insertPart.run({
          ...row,
          ...{ hourMs, node, ordinal: ordinal++, finding, holder: jobOf(part.holder), job: jobOf(part.job) },
          device: required(ids.findDevice(cluster, device) ?? undefined),
          process: part.process === null ? null : processes.number(node, part.process, hourMs),
          provisionalMs: part.provisionalActiveMs + provisionalResidentMs,
          severity: null,
        });
      }
      if (seen !== null)
        insertPart.run({
          ...{ hourMs, node, device: 0, ordinal: ordinal++, finding, reason: seen.reason },
          ...{ severity: seen.severity, evidence: seen.evidence, holder: null },
          ...{ activeMs: 0, residentMs: 0, leastMs: 0, mostMs: 0, provisionalMs: 0, provisionalActiveMs: 0 },
          ...{ fromMs: seen.fromMs, toMs: seen.toMs, job: jobOf(seen.job) },
          process: seen.process === null ? null : processes.number(node, seen.process, hourMs),
        });
    }
  }

  return (write) => {
    const { node, hours } = write;
    const { cluster } = required(selectNode.get(node));
    const times = JSON.stringify(hours.map(({ hourMs }) => hourMs));
    for (const statement of remove) statement.run(times, node);
    const numbers = put(write, cluster);
    for (const { hourMs, gifts } of hours) give(node, cluster, hourMs, gifts, numbers);
  };
}
