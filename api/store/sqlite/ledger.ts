/** The attribution's side of SQLite: what is dirty, the facts of a node-hour, and putting a failure off. */
import type { ProcessPersonal } from '../../contract/batch.ts';
import type { Job } from '../../domain/job.ts';
import type { HourFacts, JobsWanted, LedgerStore } from '../ledger.ts';
import type { Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';
import type { Findings } from './findings.ts';
import { createFleetReader } from './fleet-reader.ts';
import type { Ids } from './ids.ts';
import type { JobRows } from './job-rows.ts';
import { createLedgerWriter } from './ledger-writer.ts';
import type { Minors } from './minors.ts';
import type { Placement } from './placement.ts';
import type { ProcessIndex } from './process-index.ts';

export interface LedgerParts {
  readonly ids: Ids;
  readonly dirty: DirtyMarks;
  readonly jobs: JobRows;
  readonly minors: Minors;
  readonly processes: ProcessIndex;
  readonly findings: Findings;
  readonly placement: Placement;
}

interface DirtyRow {
  readonly node: number;
  readonly hour_ms: number;
  readonly urgent: number;
  readonly failures: number;
}

export function createLedger(sqlite: Sqlite, parts: LedgerParts): LedgerStore {
  const { database } = sqlite;
  const { ids, dirty, processes, findings, placement } = parts;
  const selectDirty = database.prepare<[number, number], DirtyRow>(
    `SELECT node, hour_ms, urgent, failures FROM dirty_hours WHERE retry_at_ms <= ?
     ORDER BY urgent DESC, CASE urgent WHEN 1 THEN -hour_ms ELSE hour_ms END, node LIMIT ?`,
  );
  const countDirty = database.prepare<[{ nowMs: number }], { due: number; failed: number }>(
    `SELECT count(*) FILTER (WHERE retry_at_ms <= :nowMs) AS due, count(*) FILTER (WHERE retry_at_ms > :nowMs) AS failed
     FROM dirty_hours`,
  );
  const selectSettled = database.prepare<[number, number], { node: number; hour_ms: number }>(
    // An hour that is marked already waits its turn, or for its next try after a failure.
    `SELECT DISTINCT c.node, c.hour_ms FROM cells c WHERE c.settles_at_ms <= ? AND c.computed_at_ms - ? < c.settles_at_ms
       AND NOT EXISTS (SELECT 1 FROM dirty_hours d WHERE d.node = c.node AND d.hour_ms = c.hour_ms)`,
  );
  const postpone = database.prepare(
    `UPDATE dirty_hours SET failures = failures + 1, failure = ?, retry_at_ms = ?, urgent = 0
     WHERE node = ? AND hour_ms = ?`,
  );
  const selectComplete = database
    .prepare<[], number | null>(
      `SELECT min(coalesce(d.hour_ms, max(coalesce(s.complete_to_ms, 0), coalesce(s.silent_to_ms, 0))))
       FROM (SELECT DISTINCT node FROM capacity WHERE to_ms IS NULL) f
       LEFT JOIN node_state s ON s.node = f.node
       LEFT JOIN (SELECT node, min(hour_ms) AS hour_ms FROM dirty_hours GROUP BY node) d ON d.node = f.node`,
    )
    .pluck();
  const fleet = createFleetReader(sqlite);
  const readJobs = createJobFinder(sqlite, parts);
  const readPersonal = createPersonalReader(sqlite);
  const readPeers = createPeerReader(sqlite);
  const write = createLedgerWriter(sqlite, parts);

  return {
    listDirty: async (nowMs, limit) =>
      sqlite.read(() =>
        selectDirty.all(nowMs, limit).map(({ node, hour_ms, urgent, failures }) => {
          const { cluster, node: nodeName } = ids.nodeName(node);
          return { node, hourMs: hour_ms, cluster, nodeName, urgent: urgent === 1, failures };
        }),
      ),
    countDirty: async (nowMs) => countDirty.get({ nowMs }) ?? { due: 0, failed: 0 },
    markSettled: async (completeToMs, waitMs, nowMs) => {
      const due = selectSettled.all(completeToMs, waitMs);
      if (due.length > 0)
        sqlite.write(() => {
          const seq = sqlite.lastSeq();
          for (const { node, hour_ms } of due) dirty.mark(node, hour_ms, false, seq, nowMs);
        });
      return due.length;
    },
    readFacts: async (key) =>
      sqlite.read(
        (): HourFacts => ({ seq: sqlite.lastSeq(), bookedToMs: dirty.bookedToMs(key.node), ...fleet(key) }),
      ),
    readPersonal: async (digests) => sqlite.read(() => readPersonal(digests)),
    readPeers: async (digests) => sqlite.read(() => readPeers(digests)),
    readProcesses: async (node, wanted) => sqlite.read(() => processes.readLineages(node, wanted)),
    readJobs: async (wanted) => sqlite.read(() => readJobs(wanted)),
    readFirstSeen: async ({ node, hourMs }, jobs) =>
      sqlite.read(() => placement.firstSeen(node, jobs, hourMs)),
    readFindings: async (key, wanted) => sqlite.read(() => findings.read(key, wanted)),
    apply: async (result) => sqlite.write(() => write(result)),
    postpone: async (key, failure, retryAtMs) =>
      sqlite.write(() => void postpone.run(failure, retryAtMs, key.node, key.hourMs)),
    readCompleteToMs: async () => selectComplete.get() ?? null,
  };
}

function createPersonalReader(sqlite: Sqlite): (digests: Iterable<string>) => Map<string, ProcessPersonal> {
  const select = sqlite.database.prepare<
    [string],
    { user_name: string | null; command_line: string | null; command_line_cut: number }
  >(
    `SELECT user_name, command_line, command_line_cut FROM personal
     WHERE digest = ? AND kind = 'process' AND erased_at_ms IS NULL`,
  );
  return (digests) => {
    const found = new Map<string, ProcessPersonal>();
    for (const digest of digests) {
      const row = select.get(digest);
      if (row === undefined) continue;
      const { user_name: user, command_line: commandLine } = row;
      found.set(digest, { kind: 'process', user, commandLine, commandLineCut: row.command_line_cut === 1 });
    }
    return found;
  };
}

function createPeerReader(sqlite: Sqlite): (digests: Iterable<string>) => Map<string, string[]> {
  const select = sqlite.database
    .prepare<[string], string | null>(
      `SELECT peers FROM personal WHERE digest = ? AND kind = 'connection' AND erased_at_ms IS NULL`,
    )
    .pluck();
  return (digests) => {
    const found = new Map<string, string[]>();
    for (const digest of digests) {
      const peers = select.get(digest);
      if (peers) found.set(digest, peers.split('\n'));
    }
    return found;
  };
}

function createJobFinder(
  sqlite: Sqlite,
  { ids, jobs, minors, placement }: LedgerParts,
): (wanted: JobsWanted) => Job[] {
  const { database } = sqlite;
  const byBoundary = database
    .prepare<[string], number>(
      `SELECT b.job FROM job_boundaries b JOIN jobs j ON j.job = b.job AND j.version = b.version WHERE b.boundary = ?`,
    )
    .pluck();
  const byRoot = database
    .prepare<[string, number], number>('SELECT job FROM jobs WHERE root_boot_id = ? AND root_pid = ?')
    .pluck();
  const byClaim = database
    .prepare<[{ claim: string }], number>(
      'SELECT job FROM jobs WHERE external_id = :claim UNION SELECT job FROM jobs WHERE id = :claim',
    )
    .pluck();

  return (wanted) => {
    const named = wanted.ids.flatMap((id) => jobs.find(id)?.job ?? []);
    const node = ids.findNode(wanted.cluster, wanted.node)?.node;
    const found = new Set(node === undefined ? [] : placement.jobsAround(node, wanted));
    for (const boundary of wanted.boundaries) for (const job of byBoundary.all(boundary)) found.add(job);
    for (const { bootId, pid } of wanted.processes) for (const job of byRoot.all(bootId, pid)) found.add(job);
    for (const claim of wanted.claims) for (const job of byClaim.all({ claim })) found.add(job);
    const known = new Map(
      [...named, ...[...found].map((job) => jobs.read(job).job)].map((job) => [job.id, job]),
    );
    const own = [...known.values()].filter((job) => job.cluster === wanted.cluster);
    return node === undefined ? own : minors.resolve(node, wanted.node, own);
  };
}
