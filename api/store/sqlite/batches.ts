/** Batches in SQLite: taken in with everything that they change. Reading back is in `hours.ts`. */
import type { AgentProblem, PersonalRecord } from '../../contract/batch.ts';
import { CHAIN_START } from '../../contract/batch.ts';
import type { Interval } from '../../domain/interval.ts';
import {
  type BatchStore,
  type BatchWrite,
  type PostWrite,
  type Standing,
  StoreConflict,
} from '../batches.ts';
import { required, type Sqlite } from './connection.ts';
import type { Devices } from './devices.ts';
import type { DirtyMarks } from './dirty.ts';
import { createHours } from './hours.ts';
import type { Ids, NodeRow } from './ids.ts';
import { createNodeFiles } from './node-files.ts';
import type { NodeKeys } from './node-keys.ts';

const PROBLEMS_PER_NODE = 100;
/** Verdicts follow the start and the end of a job by up to this. */
const EDGE_MS = 900_000;
const QUARANTINED_PER_STREAM = 100;

interface StandingRow {
  readonly head_number: number | null;
  readonly head_hash: string | null;
  readonly complete_to_ms: number | null;
  readonly silent_to_ms: number | null;
  readonly tenants_digest: string | null;
}

interface BatchParts {
  readonly ids: Ids;
  readonly dirty: DirtyMarks;
  readonly devices: Devices;
  readonly keys: NodeKeys;
}

export function createBatches(sqlite: Sqlite, parts: BatchParts): BatchStore {
  const hours = createHours(sqlite, parts.keys);
  const writer = createWriter(sqlite, parts);
  const selectStanding = sqlite.database.prepare<[string, string, string], StandingRow>(
    `SELECT s.head_number, s.head_hash, t.complete_to_ms, t.silent_to_ms, t.tenants_digest
     FROM nodes n JOIN clusters c ON c.cluster = n.cluster
     LEFT JOIN streams s ON s.node = n.node AND s.name = ?
     LEFT JOIN node_state t ON t.node = n.node
     WHERE c.name = ? AND n.name = ?`,
  );
  return {
    readStandings: async (keys) =>
      sqlite.read(() => keys.map((key) => standing(selectStanding.get(key.stream, key.cluster, key.node)))),
    readHash: async (key, number) => hours.findHash(key, number),
    apply: async (posts) => sqlite.write(() => posts.forEach(writer)),
    readHour: async (key) => sqlite.read(() => hours.read(key)),
    listSealable: async (beforeMs, limit) => hours.listSealable(beforeMs, limit),
    seal: async (key, atMs) => sqlite.write(() => hours.seal(key, atMs)),
  };
}

const standing = (row: StandingRow | undefined): Standing => ({
  headNumber: row?.head_number ?? 0,
  headHash: row?.head_hash ?? CHAIN_START,
  completeToMs: row?.complete_to_ms ?? null,
  silentToMs: row?.silent_to_ms ?? null,
  tenantsDigest: row?.tenants_digest ?? null,
});

/** The function that writes one post, within a transaction. */
function createWriter(sqlite: Sqlite, { ids, dirty, devices, keys }: BatchParts): (post: PostWrite) => void {
  const { database } = sqlite;
  const insertStream = database.prepare(
    `INSERT INTO streams (node, name, head_hash, opened_at_ms) VALUES (?, ?, '${CHAIN_START}', ?) ON CONFLICT DO NOTHING`,
  );
  const selectStream = database.prepare<[number, string], { stream: number; head_number: number }>(
    'SELECT stream, head_number FROM streams WHERE node = ? AND name = ?',
  );
  const insertBatch = database.prepare(
    `INSERT INTO batches (stream, number, node, hour_ms, from_ms, to_ms, seq, recorded_at_ms, hash, body,
       key, signature)
     VALUES (:stream, :number, :node, :hourMs, :fromMs, :toMs, :seq, :nowMs, :hash, :body, :key, :signature)`,
  );
  const moveHead = database.prepare('UPDATE streams SET head_number = ?, head_hash = ? WHERE stream = ?');
  const enrol = database.prepare(
    'UPDATE nodes SET enrolled_at_ms = ? WHERE node = ? AND enrolled_at_ms IS NULL',
  );
  const hear = database.prepare(
    `INSERT INTO node_state (node, stream, number, agent_version, driver_version, boot_id, poll_interval_ms,
       last_heard_ms, reports_from_ms, complete_to_ms, tenants_digest)
     VALUES (:node, :stream, :number, :agentVersion, :driverVersion, :bootId, :pollIntervalMs, :nowMs, :reportsFromMs,
       :completeToMs, :tenantsDigest)
     ON CONFLICT (node) DO UPDATE SET stream = excluded.stream, number = excluded.number,
       agent_version = excluded.agent_version, driver_version = coalesce(excluded.driver_version, driver_version),
       boot_id = excluded.boot_id, poll_interval_ms = excluded.poll_interval_ms, last_heard_ms = excluded.last_heard_ms,
       reports_from_ms = min(coalesce(reports_from_ms, excluded.reports_from_ms), excluded.reports_from_ms),
       complete_to_ms = max(coalesce(complete_to_ms, 0), excluded.complete_to_ms),
       tenants_digest = excluded.tenants_digest`,
  );
  const selectReportsFrom = database
    .prepare<[number], number | null>('SELECT reports_from_ms FROM node_state WHERE node = ?')
    .pluck();
  const quarantine = database.prepare(
    `INSERT INTO quarantined_batches (stream, number, hash, seq, recorded_at_ms, why, body)
     SELECT :stream, :number, :hash, :seq, :nowMs, :why, :body
     WHERE (SELECT count(*) FROM quarantined_batches WHERE stream = :stream) < ${QUARANTINED_PER_STREAM}
     ON CONFLICT DO NOTHING`,
  );
  const addProblem = database.prepare(
    'INSERT INTO node_problems (node, at_ms, source, message) VALUES (?, ?, ?, ?)',
  );
  const trimProblems = database.prepare(
    `DELETE FROM node_problems WHERE node = :node AND problem NOT IN
       (SELECT problem FROM node_problems WHERE node = :node ORDER BY at_ms DESC, problem DESC LIMIT ${PROBLEMS_PER_NODE})`,
  );
  const addPersonal = createPersonalWriter(sqlite);
  const isCalm = createCalmReader(sqlite);
  const files = createNodeFiles(sqlite);

  function writeProblems(node: number, problems: readonly AgentProblem[]): void {
    if (problems.length === 0) return;
    for (const problem of problems.slice(-PROBLEMS_PER_NODE))
      addProblem.run(node, problem.atMs, problem.source, problem.message);
    trimProblems.run({ node });
  }

  function signatureOf(
    node: NodeRow & { readonly name: string },
    { signature }: BatchWrite,
    use: { fromMs: number; seq: number; nowMs: number; by: string },
  ): { key: number | null; signature: Buffer | null } {
    if (signature === null) return { key: null, signature: null };
    const key = keys.take(node, { publicKey: signature.key, ...use });
    return { key, signature: Buffer.from(signature.value, 'hex') };
  }

  function writeBatch(node: NodeRow, stream: number, batch: BatchWrite, post: PostWrite): void {
    const { number, hourMs, fromMs, toMs, hash, body, inventory, bootId } = batch;
    const nowMs = post.recordedAtMs;
    const seq = sqlite.nextSeq();
    insertBatch.run({
      ...{ stream, number, node: node.node, hourMs, fromMs, toMs, seq, nowMs, hash, body },
      ...signatureOf({ ...node, name: post.node }, batch, { fromMs, seq, nowMs, by: post.recordedBy }),
    });
    if (inventory !== null) devices.takeInventory(node, { bootId, inventory, atMs: fromMs }, seq, nowMs);
    for (const record of batch.personal) addPersonal(record, hourMs);
    writeProblems(node.node, batch.problems);
  }

  return (post) => {
    const nowMs = post.recordedAtMs;
    const node = ids.node(post.cluster, post.node, nowMs);
    insertStream.run(node.node, post.stream, nowMs);
    const { stream, head_number } = required(selectStream.get(node.node, post.stream));
    if (head_number !== post.expectedHead) throw new StoreConflict(`stream ${post.stream} has moved on`);
    for (const batch of post.batches) writeBatch(node, stream, batch, post);
    for (const { number, hash, why, body } of post.quarantined)
      quarantine.run({ stream, number, hash, why, body, seq: sqlite.nextSeq(), nowMs });
    writeProblems(node.node, post.problems);
    const newest = post.batches.at(-1);
    if (newest !== undefined && post.agent !== null) {
      moveHead.run(newest.number, newest.hash, stream);
      enrol.run(nowMs, node.node);
      const reportsFromMs = Math.min(...post.batches.map((batch) => batch.fromMs));
      const beforeMs = selectReportsFrom.get(node.node) ?? Number.MAX_SAFE_INTEGER;
      hear.run({ node: node.node, stream, number: newest.number, nowMs, reportsFromMs, ...post.agent });
      for (const batch of post.batches) files.take(node.node, batch);
      // Time that was booked as not enrolled is silence now.
      dirty.markRange(node.node, reportsFromMs, beforeMs, sqlite.lastSeq(), nowMs);
    }
    const seq = sqlite.lastSeq();
    const fromMs = Math.min(...post.batches.map((batch) => batch.fromMs));
    const toMs = Math.max(...post.batches.map((batch) => batch.toMs));
    const calm =
      post.dirtyHours.some((one) => one.quiet) && isCalm(post.cluster, post.node, { fromMs, toMs });
    for (const { hourMs, urgent, quiet } of post.dirtyHours)
      if (quiet && calm) dirty.markQuiet(node.node, hourMs, seq, nowMs);
      else dirty.mark(node.node, hourMs, urgent, seq, nowMs);
  };
}

/** The function that tells whether no verdict on a node changes by the mere passing of this time. */
function createCalmReader(sqlite: Sqlite): (cluster: string, node: string, time: Interval) => boolean {
  const edge = sqlite.database
    .prepare<[{ cluster: string; node: string; fromMs: number; toMs: number }], number>(
      `SELECT EXISTS (SELECT 1 FROM policies WHERE json_array_length(rest, '$.exemptions') > 0)
         OR EXISTS (
           SELECT 1 FROM job_allocations a JOIN jobs j ON j.job = a.job
           JOIN sources s ON s.source = j.source JOIN clusters c ON c.cluster = s.cluster
           WHERE c.name = :cluster AND a.node = :node AND a.until_ms > :fromMs
             AND (a.until_ms <= :toMs OR a.from_ms BETWEEN :fromMs AND :toMs OR j.start_ms BETWEEN :fromMs AND :toMs))`,
    )
    .pluck();
  return (cluster, node, { fromMs, toMs }) =>
    edge.get({ cluster, node, fromMs: fromMs - EDGE_MS, toMs }) === 0;
}

function createPersonalWriter(sqlite: Sqlite): (record: PersonalRecord, hourMs: number) => void {
  const insert = sqlite.database.prepare(
    `INSERT INTO personal (digest, kind, salt, user_name, command_line, command_line_cut, peers, last_hour_ms)
     VALUES (:digest, :kind, :salt, :user, :commandLine, :cut, :peers, :hourMs)
     ON CONFLICT (digest) DO UPDATE SET last_hour_ms = excluded.last_hour_ms
       WHERE last_hour_ms < excluded.last_hour_ms`,
  );
  return ({ digest, salt, value }, hourMs) => {
    const row =
      value.kind === 'process'
        ? { user: value.user, commandLine: value.commandLine, cut: value.commandLineCut ? 1 : 0, peers: null }
        : { user: null, commandLine: null, cut: null, peers: value.peers.join('\n') };
    insert.run({ digest, kind: value.kind, salt, hourMs, ...row });
  };
}
