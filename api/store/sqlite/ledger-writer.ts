/** Replaces everything that is derived from one node-hour: cells, entries, sums, processes, findings. */
import { type FirstSeen, OPEN_END_MS } from '../../domain/bind.ts';
import type { ProcessId } from '../../domain/cell.ts';
import type { NodeHourWrite } from '../ledger.ts';
import { createBulkInsert, type Value } from './bulk.ts';
import { createConflictWriter } from './conflicts.ts';
import { required, type Sqlite } from './connection.ts';
import { createDaySums, SUM_COLUMNS } from './day-sums.ts';
import { packEntries } from './entries.ts';
import type { NodeRow } from './ids.ts';
import type { LedgerParts } from './ledger.ts';

export interface HourWriter {
  /** Replaces what is derived from a node-hour, but what it gives to findings. */
  add(write: NodeHourWrite): void;
  /** Sums the days that were touched. */
  finish(): void;
}

/** The function that begins to write; both within a transaction. */
export function createHourWriter(sqlite: Sqlite, parts: LedgerParts): () => HourWriter {
  const { database } = sqlite;
  const { dirty } = parts;
  const selectNode = database.prepare<[number], NodeRow>('SELECT node, cluster FROM nodes WHERE node = ?');
  const newestWatermark = database
    .prepare<[], number | null>('SELECT max(seq) FROM source_watermarks')
    .pluck();
  const clearDirty = database.prepare('DELETE FROM dirty_hours WHERE node = ? AND hour_ms = ? AND seq <= ?');
  const writeReported = createReportedWriter(sqlite, parts);
  const cellsOf = createCellWriter(sqlite, parts);
  const days = createDaySums(sqlite);
  const replaceBindings = createBindingWriter(sqlite, parts);
  const replaceConflicts = createConflictWriter(sqlite, parts);

  return () => {
    const touched = new Map<number, Set<number>>();
    const rows = new Map<number, NodeRow>();
    const cells = cellsOf();
    const watermark = newestWatermark.get() ?? 0;
    return {
      add(write) {
        const { node, hourMs, nowMs } = write;
        const nodeRow = rows.get(node) ?? required(selectNode.get(node));
        rows.set(node, nodeRow);
        // What came while this was computed keeps the hour dirty: its mark, or a watermark, has a later number.
        if (watermark <= write.factsSeq) clearDirty.run(node, hourMs, write.factsSeq);
        if (write.reported !== null)
          for (const other of writeReported(write, write.reported))
            if (other !== hourMs) dirty.mark(node, other, false, sqlite.lastSeq(), nowMs);
        cells.add(write, nodeRow);
        replaceBindings(write, nodeRow);
        replaceConflicts(write, nodeRow);
        touched.set(node, (touched.get(node) ?? new Set()).add(days.dayOf(hourMs)));
      },
      finish() {
        cells.flush();
        for (const [node, dayMs] of touched) for (const day of dayMs) days.ofDay(node, day);
      },
    };
  };
}

/** The function that writes what agents reported beside the cells; gives the hours that read of it what has changed. */
function createReportedWriter(
  sqlite: Sqlite,
  { processes }: LedgerParts,
): (write: NodeHourWrite, reported: NonNullable<NodeHourWrite['reported']>) => Set<number> {
  const { database } = sqlite;
  const remove = ['connections', 'dials'].map((table) =>
    database.prepare(`DELETE FROM ${table} WHERE hour_ms = ? AND node = ?`),
  );
  const insertConnection = database.prepare(
    `INSERT INTO connections (hour_ms, node, ordinal, process, kind, peer_class, local_port, first_ms, last_ms, peers,
       personal)
     VALUES (:hourMs, :node, :ordinal, :process, :kind, :peerClass, :localPort, :firstMs, :lastMs, :peers, :personal)`,
  );
  const insertDial = database.prepare(
    `INSERT INTO dials (hour_ms, node, ordinal, process, net_namespace, attempts, failed, from_ms, to_ms)
     VALUES (:hourMs, :node, :ordinal, :process, :netNamespace, :attempts, :failed, :fromMs, :toMs)`,
  );

  return (write, reported) => {
    const { node, hourMs } = write;
    for (const statement of remove) statement.run(hourMs, node);
    const readAnew = new Set<number>();
    for (const one of reported.processes) {
      const { process, changed } = processes.write(node, one, write.boundariesOf(one), hourMs);
      if (changed) for (const hour of processes.hoursThatRead(process)) readAnew.add(hour);
    }
    for (const [ordinal, one] of reported.connections.entries()) {
      const process = processes.number(node, one.process, hourMs);
      insertConnection.run({ ...one, hourMs, node, ordinal, process });
    }
    for (const [ordinal, one] of reported.dials.entries()) {
      const process = processes.number(node, one.process, hourMs);
      insertDial.run({ ...one, hourMs, node, ordinal, process });
    }
    return readAnew;
  };
}

const CELL_COLUMNS = [
  ...['hour_ms', 'node', 'device', 'from_ms', 'to_ms', 'booked_to_ms', 'capacity_ms', 'rules_version'],
  ...['policy_version', 'facts_seq', 'settles_at_ms', 'computed_at_ms', 'entries'],
];
const HOUR_COLUMNS = [
  ...['hour_ms', 'node', 'device', 'holder', 'account', 'user_name', 'assumed'],
  ...SUM_COLUMNS,
];

interface CellWriter {
  add(write: NodeHourWrite, node: NodeRow): void;
  /** Replaces the cells of the node-hours that were added since. */
  flush(): void;
}

/** The function that begins to write cells: those of many hours at once cost less than hour by hour. */
function createCellWriter(sqlite: Sqlite, { ids, processes }: LedgerParts): () => CellWriter {
  const insertions = [
    createBulkInsert(sqlite, 'cells', CELL_COLUMNS),
    createBulkInsert(sqlite, 'ledger_hours', HOUR_COLUMNS),
  ] as const;
  const remove = ['cells', 'ledger_hours'].map((table) =>
    sqlite.database.prepare<[string, number]>(
      `DELETE FROM ${table} WHERE hour_ms IN (SELECT value FROM json_each(?)) AND node = ?`,
    ),
  );
  const insertJob = sqlite.database.prepare(
    'INSERT OR IGNORE INTO job_hours (job, node, hour_ms) VALUES (?, ?, ?)',
  );
  const insertUndescribed = sqlite.database.prepare(
    'INSERT OR IGNORE INTO undescribed_hours (process, hour_ms) VALUES (?, ?)',
  );

  return () => {
    const hoursOf = new Map<number, number[]>();
    const rows: readonly [Value[], Value[]] = [[], []];
    const [cellRows, hourRows] = rows;
    return {
      add({ hourMs, nowMs, cells, ...write }, { node, cluster }) {
        hoursOf.set(node, [...(hoursOf.get(node) ?? []), hourMs]);
        const processOf = (id: ProcessId): number => processes.number(node, id, hourMs);
        const used = new Set<string>();
        const undescribed = new Set<ProcessId>();
        for (const { interval, entries, holders, ...cell } of cells) {
          const device = required(ids.findDevice(cluster, cell.device) ?? undefined);
          cellRows.push(
            hourMs,
            node,
            device,
            interval.fromMs,
            interval.toMs,
            cell.bookedToMs,
            cell.capacityMs,
          );
          cellRows.push(write.rulesVersion, write.policyVersion, write.factsSeq, cell.settlesAtMs, nowMs);
          cellRows.push(packEntries(entries, ids.job, processOf));
          for (const { job, process } of entries) {
            if (job !== null) used.add(job);
            if (process !== null && !write.describes(process)) undescribed.add(process);
          }
          for (const { job, assumed, sums, activeMs } of holders) {
            const holder = job === null ? 0 : ids.job(job.id);
            hourRows.push(hourMs, node, device, holder, job?.account ?? '', job?.user ?? '', Number(assumed));
            hourRows.push(sums.capacityMs, sums.usedMs, sums.heldMs, sums.unaccountedMs, sums.idleMs);
            hourRows.push(sums.unobservedMs, sums.allocatedMs, sums.unaccountedActiveMs);
            hourRows.push(sums.unaccountedProvisionalMs, sums.unaccountedInsideMs, sums.unobservedInsideMs);
            hourRows.push(activeMs);
          }
        }
        for (const job of used) insertJob.run(ids.job(job), node, hourMs);
        for (const process of undescribed) insertUndescribed.run(processOf(process), hourMs);
      },
      flush() {
        for (const [node, hours] of hoursOf)
          for (const statement of remove) statement.run(JSON.stringify(hours), node);
        hoursOf.clear();
        for (const [index, insert] of insertions.entries()) insert(rows[index]?.splice(0) ?? []);
      },
    };
  };
}

/** The function that writes where counted jobs ran; what that moves in other hours is attributed again. */
function createBindingWriter(
  sqlite: Sqlite,
  { ids, dirty, placement, jobs }: LedgerParts,
): (write: NodeHourWrite, node: NodeRow) => void {
  const { database } = sqlite;
  const selectHere = database
    .prepare<[number, number], number>('SELECT DISTINCT job FROM bindings WHERE node = ? AND hour_ms = ?')
    .pluck();
  const isBound = database.prepare('SELECT 1 FROM bindings WHERE node = ? AND hour_ms = ?');
  const removeHere = database.prepare('DELETE FROM bindings WHERE node = ? AND hour_ms = ?');
  const insert = database.prepare(
    'INSERT INTO bindings (node, job, device, hour_ms, first_seen_ms) VALUES (?, ?, ?, ?, ?)',
  );

  return ({ hourMs, firstSeen, nowMs }, { node, cluster }) => {
    if (firstSeen.size === 0 && isBound.get(node, hourMs) === undefined) return;
    const here = selectHere.all(node, hourMs).map((job) => ids.jobId(job));
    const concerned = new Set([...here, ...firstSeen.keys()]);
    const before = placement.firstSeen(node, concerned, null);
    removeHere.run(node, hourMs);
    for (const [job, byDevice] of firstSeen)
      for (const [uuid, atMs] of byDevice) {
        const device = ids.findDevice(cluster, uuid);
        if (device !== null) insert.run(node, ids.job(job), device, hourMs, atMs);
      }
    const after = placement.firstSeen(node, concerned, null);
    const changed = [...concerned].filter((job) => !sameTimes(before.get(job), after.get(job)));
    if (changed.length === 0) return;
    const { node: name } = ids.nodeName(node);
    const touched = changed.flatMap((job) =>
      jobs
        .read(ids.job(job))
        .job.allocations.filter((one) => one.node === name)
        .map(({ fromMs, toMs }) => ({ fromMs, toMs: toMs ?? OPEN_END_MS })),
    );
    const firstSeenBefore = (now: FirstSeen): FirstSeen =>
      new Map([...[...now].filter(([job]) => !concerned.has(job)), ...before]);
    for (const { fromMs, toMs } of placement.movedTime(node, touched, { firstSeen: firstSeenBefore }))
      dirty.markRange(node, fromMs, toMs, sqlite.lastSeq(), nowMs);
  };
}

type Times = ReadonlyMap<string, number>;
const NO_TIMES: Times = new Map();

function sameTimes(a: Times = NO_TIMES, b: Times = NO_TIMES): boolean {
  return a.size === b.size && [...a].every(([device, atMs]) => b.get(device) === atMs);
}
