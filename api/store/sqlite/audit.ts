/** Reads what `verify` compares. */
import { HOUR_MS } from '../../contract/batch.ts';
import { canonicalJson, sha256Hex } from '../../contract/canonical.ts';
import { processId } from '../../domain/cell.ts';
import { DEFAULT_POLICY } from '../../domain/policy.ts';
import type { Signal } from '../../domain/signals/signal.ts';
import type { AuditStore, StoredCell, StoredHour } from '../audit.ts';
import { createSumChecks } from './audit-sums.ts';
import type { Capacity } from './capacity.ts';
import { createConflictCheck } from './conflicts.ts';
import type { Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';
import { createEntryReader } from './entries.ts';
import { createPartReader, createSightingReader, type PartRow } from './findings.ts';
import type { Ids } from './ids.ts';
import { type JournalRow, journalHash } from './journal.ts';
import { createMinorReader } from './minors.ts';
import { createNodeFiles } from './node-files.ts';
import type { ProcessIndex } from './process-index.ts';

interface CellRow {
  readonly device: number;
  readonly from_ms: number;
  readonly to_ms: number;
  readonly booked_to_ms: number;
  readonly capacity_ms: number;
  readonly rules_version: number;
  readonly policy_version: number;
  readonly facts_seq: number;
  readonly settles_at_ms: number | null;
  readonly computed_at_ms: number;
  readonly entries: string;
}

type SumColumns = Record<
  | 'capacity_ms'
  | 'used_ms'
  | 'held_ms'
  | 'unaccounted_ms'
  | 'idle_ms'
  | 'unobserved_ms'
  | 'allocated_ms'
  | 'unaccounted_active_ms'
  | 'unaccounted_provisional_ms'
  | 'unaccounted_inside_ms'
  | 'unobserved_inside_ms'
  | 'active_ms',
  number
>;

type HolderRow = SumColumns & {
  readonly device: number;
  readonly holder: number;
  readonly account: string;
  readonly user_name: string;
  readonly assumed: number;
};

interface ProcessHoursRow {
  readonly boot_id: string;
  readonly key: string;
  readonly parent_hour_ms: number | null;
  readonly last_hour_ms: number;
}

type StoredPartRow = PartRow & {
  readonly ordinal: number;
  readonly finding: string;
  readonly holder: number | null;
  readonly least_ms: number;
  readonly most_ms: number;
};

export interface AuditParts {
  readonly ids: Ids;
  readonly dirty: DirtyMarks;
  readonly processes: ProcessIndex;
  readonly capacity: Capacity;
}

export function createAudit(sqlite: Sqlite, { ids, dirty, processes, capacity }: AuditParts): AuditStore {
  const { database } = sqlite;
  const nodes = database.prepare<[], { node: number; cluster: string; nodeName: string }>(
    `SELECT n.node, c.name AS cluster, n.name AS nodeName FROM nodes n JOIN clusters c ON c.cluster = n.cluster
     ORDER BY n.node`,
  );
  const hours = database
    .prepare<[{ node: number; bookedToMs: number }], number>(
      `WITH RECURSIVE booked (hour_ms, to_ms) AS (
         SELECT from_ms - from_ms % ${HOUR_MS}, min(coalesce(to_ms, :bookedToMs), :bookedToMs) FROM capacity
         WHERE node = :node AND from_ms < :bookedToMs
         UNION SELECT hour_ms + ${HOUR_MS}, to_ms FROM booked WHERE hour_ms + ${HOUR_MS} < to_ms)
       SELECT hour_ms FROM batches WHERE node = :node UNION SELECT hour_ms FROM sealed_hours WHERE node = :node
       UNION SELECT hour_ms FROM cells WHERE node = :node UNION SELECT hour_ms FROM booked ORDER BY 1`,
    )
    .pluck();
  const processHours = database.prepare<[number], ProcessHoursRow>(
    `SELECT boot_id, key, parent_hour_ms, last_hour_ms FROM processes
     WHERE node = ? AND (last_hour_ms > 0 OR parent_hour_ms IS NOT NULL)`,
  );
  const policies = database.prepare<[], number>('SELECT version FROM policies').pluck();
  const findings = database.prepare<[], string>('SELECT id FROM findings ORDER BY finding').pluck();
  const streams = database.prepare<
    [number],
    { stream: number; name: string; headNumber: number; headHash: string }
  >('SELECT stream, name, head_number AS headNumber, head_hash AS headHash FROM streams WHERE node = ?');
  const journal = database.prepare<[number, number], JournalRow>(
    'SELECT * FROM journal WHERE number > ? ORDER BY number LIMIT ?',
  );
  const sources = database.prepare<
    [{ node: number; seq: number }],
    {
      cluster: string;
      source: string;
      sourceInstance: string;
      self: number;
      completeToMs: number | null;
      lastHeardMs: number;
    }
  >(
    `SELECT c.name AS cluster, s.name AS source, s.instance AS sourceInstance, s.self_declared AS self,
       s.last_heard_ms AS lastHeardMs,
       (SELECT w.complete_to_ms FROM source_watermarks w WHERE w.source = s.source AND w.seq <= :seq
        ORDER BY w.seq DESC LIMIT 1) AS completeToMs
     FROM sources s JOIN clusters c ON c.cluster = s.cluster JOIN nodes n ON n.cluster = s.cluster
     WHERE n.node = :node ORDER BY s.name, s.instance`,
  );
  const files = createNodeFiles(sqlite);
  const checkConflicts = createConflictCheck(sqlite, ids);
  const minors = createMinorReader(sqlite);
  return {
    begin: async () => void database.exec('BEGIN'),
    end: async () => void database.exec('COMMIT'),
    listNodes: async () => nodes.all(),
    listHours: async (node) => hours.all({ node, bookedToMs: dirty.bookedToMs(node) ?? 0 }),
    listStreams: async (node) => streams.all(node),
    readStored: createStoredReader(sqlite, ids, processes),
    readSources: async (node, seq) =>
      sources.all({ node, seq }).map(({ self, ...row }) => ({ ...row, selfDeclared: self === 1 })),
    checkPersonal: createPersonalCheck(sqlite),
    checkProcesses: async ({ node, hourMs }, some, boundariesOf) =>
      [...some].filter((one) => !processes.agrees(node, one, boundariesOf(one), hourMs)).map((one) => one.id),
    checkConflicts: async (key, conflicts) => checkConflicts(key, conflicts),
    listMinors: async (node) => minors(node),
    listProcessHours: async (node) =>
      processHours.all(node).map(({ boot_id, key, parent_hour_ms, last_hour_ms }) => ({
        id: processId(boot_id, key),
        hours: parent_hour_ms === null ? [last_hour_ms] : [last_hour_ms, parent_hour_ms],
      })),
    listPolicies: async () => [DEFAULT_POLICY.version, ...policies.all()],
    listFindings: async () => findings.all(),
    readTools: async (node) => files.tools(node),
    readJournal: async (after, limit) =>
      journal.all(after, limit).map((row) => {
        const { number, action, subject, detail, previous_hash: previousHash, hash } = row;
        return { number, action, subject, detail, previousHash, hash, expectedHash: journalHash(row) };
      }),
    checkSums: createSumChecks(sqlite, capacity),
  };
}

function createStoredReader(sqlite: Sqlite, ids: Ids, processes: ProcessIndex): AuditStore['readStored'] {
  const { database } = sqlite;
  const dirty = database.prepare('SELECT 1 FROM dirty_hours WHERE node = ? AND hour_ms = ?');
  const cells = database.prepare<[number, number], CellRow>(
    'SELECT * FROM cells WHERE hour_ms = ? AND node = ? ORDER BY device',
  );
  const holders = database.prepare<[number, number], HolderRow>(
    'SELECT * FROM ledger_hours WHERE hour_ms = ? AND node = ? ORDER BY device, holder',
  );
  // Crossed, so that nothing but the hour is looked at, however many findings there are.
  const parts = database.prepare<[number, number], StoredPartRow>(
    `SELECT p.*, f.id AS finding FROM finding_parts p CROSS JOIN findings f ON f.finding = p.finding
     WHERE p.hour_ms = ? AND p.node = ?`,
  );
  const signals = database.prepare<[number, number], Signal & { finding: string }>(
    `SELECT f.id AS finding, s.signal AS id, s.strength, s.detail FROM finding_signals s
     CROSS JOIN findings f ON f.finding = s.finding WHERE s.hour_ms = ? AND s.node = ?`,
  );
  const bindings = database.prepare<[number, number], { job: number; device: number; first_seen_ms: number }>(
    'SELECT job, device, first_seen_ms FROM bindings WHERE hour_ms = ? AND node = ?',
  );
  const sightings = database.prepare<[number, number], { device: number; first_ms: number }>(
    'SELECT device, first_ms FROM device_sightings WHERE hour_ms = ? AND node = ?',
  );
  const seal = database.prepare<[number, number], { count: number; headHash: string }>(
    'SELECT batch_count AS count, head_hash AS headHash FROM sealed_hours WHERE node = ? AND hour_ms = ?',
  );
  const jobOf = (job: number | null): string | null => (job === null ? null : ids.jobId(job));
  const processOf = (process: number | null) => (process === null ? null : processes.id(process));
  const toPart = createPartReader(ids, processes);
  const toSighting = createSightingReader(ids);
  const readEntries = createEntryReader(ids, processes);
  const toHolder = (row: HolderRow): StoredCell['holders'][number] => ({
    job: row.holder === 0 ? null : ids.jobId(row.holder),
    ...{ account: row.account, user: row.user_name, assumed: row.assumed === 1 },
    sums: toSums(row),
    activeMs: row.active_ms,
  });
  const readCells = (hourMs: number, node: number): StoredCell[] => {
    const holdersOf = Map.groupBy(holders.all(hourMs, node), (row) => row.device);
    return cells.all(hourMs, node).map((row) => ({
      ...{ device: ids.deviceUuid(row.device), interval: { fromMs: row.from_ms, toMs: row.to_ms } },
      ...{ bookedToMs: row.booked_to_ms, capacityMs: row.capacity_ms, rulesVersion: row.rules_version },
      ...{ policyVersion: row.policy_version, factsSeq: row.facts_seq, settlesAtMs: row.settles_at_ms },
      computedAtMs: row.computed_at_ms,
      // What this service cannot have written is none, and told of as a difference.
      entries: readEntries(row.entries) ?? [],
      holders: holdersOf.get(row.device)?.map(toHolder) ?? [],
    }));
  };

  const readParts = (hourMs: number, node: number): Pick<StoredHour, 'parts' | 'seen'> => {
    const rows = parts.all(hourMs, node).sort((a, b) => a.ordinal - b.ordinal);
    const [onDevices, beside] = [
      rows.filter((row) => row.device !== 0),
      rows.filter((row) => row.device === 0),
    ];
    return {
      parts: onDevices.map((row) => ({
        ...{ ...toPart(row), finding: row.finding, holder: jobOf(row.holder) },
        ...{ leastMs: row.least_ms, mostMs: row.most_ms },
      })),
      seen: beside.map((row) => ({
        ...{ ...toSighting(row), finding: row.finding, process: processOf(row.process) },
      })),
    };
  };

  return async ({ node, hourMs }) => ({
    pending: dirty.get(node, hourMs) !== undefined,
    seal: seal.get(node, hourMs) ?? null,
    cells: readCells(hourMs, node),
    ...readParts(hourMs, node),
    signals: signals.all(hourMs, node),
    firstSeen: new Map(
      [...Map.groupBy(bindings.all(hourMs, node), (row) => row.job)].map(([job, rows]) => [
        ids.jobId(job),
        new Map(rows.map((row) => [ids.deviceUuid(row.device), row.first_seen_ms])),
      ]),
    ),
    sightings: new Map(sightings.all(hourMs, node).map((row) => [ids.deviceUuid(row.device), row.first_ms])),
  });
}

const toSums = (row: SumColumns) => ({
  capacityMs: row.capacity_ms,
  usedMs: row.used_ms,
  heldMs: row.held_ms,
  unaccountedMs: row.unaccounted_ms,
  idleMs: row.idle_ms,
  unobservedMs: row.unobserved_ms,
  allocatedMs: row.allocated_ms,
  unaccountedActiveMs: row.unaccounted_active_ms,
  unaccountedProvisionalMs: row.unaccounted_provisional_ms,
  unaccountedInsideMs: row.unaccounted_inside_ms,
  unobservedInsideMs: row.unobserved_inside_ms,
});

interface PersonalRow {
  readonly kind: 'process' | 'connection';
  readonly salt: string | null;
  readonly user_name: string | null;
  readonly command_line: string | null;
  readonly command_line_cut: number | null;
  readonly peers: string | null;
}

function createPersonalCheck(sqlite: Sqlite): AuditStore['checkPersonal'] {
  const select = sqlite.database.prepare<[string], PersonalRow>(
    'SELECT kind, salt, user_name, command_line, command_line_cut, peers FROM personal WHERE digest = ?',
  );
  return async (digests) => {
    const erased: string[] = [];
    const changed: string[] = [];
    for (const digest of digests) {
      const row = select.get(digest);
      if (row === undefined) continue;
      if (row.salt === null) erased.push(digest);
      else if (sha256Hex(canonicalJson({ salt: row.salt, value: personalValue(row) })) !== digest)
        changed.push(digest);
    }
    return { erased, changed };
  };
}

function personalValue(row: PersonalRow): object {
  const { kind, user_name: user, command_line: commandLine, peers } = row;
  if (kind === 'process') return { kind, user, commandLine, commandLineCut: row.command_line_cut === 1 };
  return { kind, peers: peers === null || peers === '' ? [] : peers.split('\n') };
}
