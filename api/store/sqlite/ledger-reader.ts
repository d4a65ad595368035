/** What the attribution reads of one state: each thing once, however many hours ask for it. */
import type { ProcessPersonal } from '../../contract/batch.ts';
import type { Job } from '../../domain/job.ts';
import type { JobsWanted, LedgerReader } from '../ledger.ts';
import type { Sqlite } from './connection.ts';
import { createFleetReader } from './fleet-reader.ts';
import { createHours } from './hours.ts';
import type { LedgerParts } from './ledger.ts';

/** The function that begins to read a state; to be called within a transaction, and used within it only. */
export function createLedgerReaders(sqlite: Sqlite, parts: LedgerParts): () => LedgerReader {
  const { dirty, keys, processes, findings, placement } = parts;
  const hours = createHours(sqlite, keys);
  const fleets = createFleetReader(sqlite);
  const finders = createJobFinders(sqlite, parts);
  const selectPersonal = createPersonalReader(sqlite);
  const readPeers = createPeerReader(sqlite);

  return () => {
    const fleet = fleets();
    const readPersonal = once(selectPersonal);
    const keyChanges = keys.createChanges();
    const seq = sqlite.lastSeq();
    return {
      seq,
      readFacts: (key) => ({
        ...{ seq, bookedToMs: dirty.bookedToMs(key.node) },
        ...{ ...fleet(key), keyChanges: keyChanges(key) },
      }),
      readHour: (key) => hours.read(key),
      readHourSince: (key, known) => hours.readSince(key, known),
      readPersonal: (digests) => {
        const found = new Map<string, ProcessPersonal>();
        for (const digest of digests) {
          const text = readPersonal(digest);
          if (text !== null) found.set(digest, text);
        }
        return found;
      },
      readPeers,
      readProcesses: (node, wanted) => processes.readLineages(node, wanted),
      readJobs: finders(),
      readFirstSeen: ({ node, hourMs }, jobs) => placement.firstSeen(node, jobs, hourMs),
      readFindings: (node, hours, ids) => findings.read(node, hours, ids),
    };
  };
}

/** Asks once for each key. */
function once<K extends string | number, V>(ask: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    const value = ask(key);
    known.set(key, value);
    return value;
  };
}

function createPersonalReader(sqlite: Sqlite): (digest: string) => ProcessPersonal | null {
  const select = sqlite.database.prepare<
    [string],
    { user_name: string | null; command_line: string | null; command_line_cut: number }
  >(
    `SELECT user_name, command_line, command_line_cut FROM personal
     WHERE digest = ? AND kind = 'process' AND erased_at_ms IS NULL`,
  );
  return (digest) => {
    const row = select.get(digest);
    if (row === undefined) return null;
    const { user_name: user, command_line: commandLine } = row;
    return { kind: 'process', user, commandLine, commandLineCut: row.command_line_cut === 1 };
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

/** The function that begins to look for jobs in one state. */
function createJobFinders(
  sqlite: Sqlite,
  { ids, jobs, minors, placement }: LedgerParts,
): () => (wanted: JobsWanted) => Job[] {
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

  return () => {
    const ofBoundary = once((boundary: string) => byBoundary.all(boundary));
    const ofClaim = once((claim: string) => byClaim.all({ claim }));
    const ofRoot = once((name: string) => {
      const at = name.lastIndexOf(' ');
      return byRoot.all(name.slice(0, at), Number(name.slice(at + 1)));
    });
    const read = once((job: number) => jobs.read(job).job);
    const find = once((id: string) => jobs.find(id)?.job ?? null);
    const jobsAround = placement.createJobsAround();
    return (wanted) => {
      const known = new Map<string, Job>();
      const add = (job: Job | null): void => {
        if (job !== null && job.cluster === wanted.cluster) known.set(job.id, job);
      };
      for (const id of wanted.ids) add(find(id));
      const node = ids.findNode(wanted.cluster, wanted.node)?.node;
      const found = new Set(node === undefined ? [] : jobsAround(node, wanted));
      for (const boundary of wanted.boundaries) for (const job of ofBoundary(boundary)) found.add(job);
      for (const { bootId, pid } of wanted.processes)
        for (const job of ofRoot(`${bootId} ${pid}`)) found.add(job);
      for (const claim of wanted.claims) for (const job of ofClaim(claim)) found.add(job);
      for (const job of found) add(read(job));
      return node === undefined
        ? [...known.values()]
        : minors.resolve(node, wanted.node, [...known.values()]);
    };
  };
}
