/** The batches of a node-hour, sealed or not. */
import type { BatchBody } from '../../contract/batch.ts';
import type { KnownBatches, NodeHourKey, StoredBatch, StreamKey } from '../batches.ts';
import type { Sqlite } from './connection.ts';
import { createTextsOfDays, type TextsOfDays } from './day-texts.ts';
import type { NodeKeys } from './node-keys.ts';
import { type OpenedRecord, openHour, packHour, type RecordBatch, sealHash, textsNeeded } from './sealed.ts';
import type { SealedBatch } from './sealed-columns.ts';

export interface Hours {
  findHash(key: StreamKey, number: number): string | null;
  read(key: NodeHourKey): StoredBatch[];
  readSince(key: NodeHourKey, known: KnownBatches): StoredBatch[] | null;
  listSealable(beforeMs: number, limit: number): NodeHourKey[];
  seal(key: NodeHourKey, atMs: number): number;
}

interface BatchRow {
  readonly stream: number;
  readonly number: number;
  readonly seq: number;
  readonly recorded_at_ms: number;
  readonly from_ms: number;
  readonly to_ms: number;
  readonly hash: string;
  readonly body: string;
  readonly key: number | null;
  readonly signature: Buffer | null;
}

type Signature = RecordBatch['signature'];
type Named = (signature: Signature) => StoredBatch['signature'];

const signatureOf = ({ key, signature }: BatchRow): Signature =>
  key === null || signature === null ? null : { key, value: signature };

const stored = (row: BatchRow, named: Named): StoredBatch => ({
  stream: row.stream,
  number: row.number,
  seq: row.seq,
  recordedAtMs: row.recorded_at_ms,
  fromMs: row.from_ms,
  toMs: row.to_ms,
  hash: row.hash,
  body: row.body,
  decoded: null,
  hashed: false,
  signature: named(signatureOf(row)),
});

/**
 * A sealed batch. Text and hash are computed when somebody asks for them: the attribution does not. A class, since what an
 * object's own getters close over lives as long as its hidden class, which only a full collection of garbage ends.
 */
class OpenedBatch implements StoredBatch {
  readonly stream: number;
  readonly number: number;
  readonly seq: number;
  readonly recordedAtMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly decoded: BatchBody;
  readonly hashed: boolean;
  readonly signature: StoredBatch['signature'];
  readonly #record: OpenedRecord;
  readonly #at: number;

  constructor(record: OpenedRecord, at: number, batch: SealedBatch, signature: StoredBatch['signature']) {
    const { stream, seq, recordedAtMs, body } = batch;
    this.stream = stream;
    this.number = body.seq;
    this.seq = seq;
    this.recordedAtMs = recordedAtMs;
    this.fromMs = body.fromMs;
    this.toMs = body.toMs;
    this.decoded = body;
    this.hashed = record.hashed;
    this.signature = signature;
    this.#record = record;
    this.#at = at;
  }

  get hash(): string {
    return this.#record.whole()[this.#at]?.hash ?? '';
  }

  get body(): string {
    return this.#record.whole()[this.#at]?.text ?? '';
  }
}

const opened = (record: OpenedRecord, named: Named): StoredBatch[] =>
  record.batches.map((batch, at) => new OpenedBatch(record, at, batch, named(batch.signature)));

const byTime = (a: StoredBatch, b: StoredBatch): number => a.fromMs - b.fromMs || a.seq - b.seq;

export function createHours(sqlite: Sqlite, keys: Pick<NodeKeys, 'name'>): Hours {
  const { database } = sqlite;
  const texts = createTextsOfDays(sqlite);
  const named: Named = (signature) =>
    signature === null
      ? null
      : { key: keys.name(signature.key), value: Buffer.from(signature.value).toString('hex') };
  const selectLoose = database.prepare<[number, number, number], BatchRow>(
    `SELECT stream, number, seq, recorded_at_ms, from_ms, to_ms, hash, body, key, signature FROM batches
     WHERE node = ? AND hour_ms = ? AND seq > ?`,
  );
  const selectSealed = database.prepare<[number, number], { body: Buffer; sealed_at_ms: number }>(
    'SELECT body, sealed_at_ms FROM sealed_hours WHERE node = ? AND hour_ms = ?',
  );
  const countSealed = database
    .prepare<[number, number], number>('SELECT batch_count FROM sealed_hours WHERE node = ? AND hour_ms = ?')
    .pluck();
  const selectStream = database
    .prepare<[string, string, string], number>(
      `SELECT s.stream FROM streams s JOIN nodes n ON n.node = s.node JOIN clusters c ON c.cluster = n.cluster
       WHERE c.name = ? AND n.name = ? AND s.name = ?`,
    )
    .pluck();
  const selectHash = database
    .prepare<[number, number], string>('SELECT hash FROM batches WHERE stream = ? AND number = ?')
    .pluck();
  const selectRun = database.prepare<[number, number, number], { node: number; hour_ms: number }>(
    `SELECT node, hour_ms FROM sealed_runs WHERE stream = ? AND first_number <= ? AND last_number >= ?
     ORDER BY first_number DESC LIMIT 1`,
  );
  const selectSealable = database.prepare<[number, number], { node: number; hour_ms: number }>(
    `SELECT DISTINCT b.node, b.hour_ms FROM batches b JOIN node_state t ON t.node = b.node
     WHERE b.hour_ms + 3600000 <= ? AND t.complete_to_ms >= b.hour_ms + 3600000
       AND NOT EXISTS (SELECT 1 FROM dirty_hours d WHERE d.node = b.node AND d.hour_ms = b.hour_ms)
     ORDER BY b.hour_ms LIMIT ?`,
  );
  const writeSeal = createSealWriter(sqlite, texts);

  const open = (key: NodeHourKey): OpenedRecord | null => {
    const row = selectSealed.get(key.node, key.hourMs);
    return row === undefined ? null : openHour(row.body, texts.read(key, textsNeeded(row.body)));
  };
  const unseal = (key: NodeHourKey): StoredBatch[] => {
    const record = open(key);
    return record === null ? [] : opened(record, named);
  };
  const loose = (key: NodeHourKey, seq: number): StoredBatch[] =>
    selectLoose.all(key.node, key.hourMs, seq).map((row) => stored(row, named));

  return {
    findHash(key, number) {
      const stream = selectStream.get(key.cluster, key.node, key.stream);
      if (stream === undefined) return null;
      const hash = selectHash.get(stream, number);
      if (hash !== undefined) return hash;
      const run = selectRun.get(stream, number, number);
      if (run === undefined) return null;
      const found = unseal({ node: run.node, hourMs: run.hour_ms }).find(
        (one) => one.stream === stream && one.number === number,
      );
      return found?.hash ?? null;
    },
    read: (key) => [...unseal(key), ...loose(key, 0)].sort(byTime),
    readSince(key, { seq, count }) {
      // A late batch that was sealed meanwhile is one more than were known.
      const sealed = countSealed.get(key.node, key.hourMs);
      return sealed === undefined || sealed === count ? loose(key, seq).sort(byTime) : null;
    },
    listSealable: (beforeMs, limit) =>
      selectSealable.all(beforeMs, limit).map((row) => ({ node: row.node, hourMs: row.hour_ms })),
    seal(key, atMs) {
      const rows = selectLoose.all(key.node, key.hourMs, 0).map(toRecord);
      const batches = [...(open(key)?.whole() ?? []), ...rows].sort((a, b) => a.seq - b.seq);
      if (batches.length > 0) writeSeal(key, batches, atMs);
      return batches.length;
    },
  };
}

function toRecord(row: BatchRow): RecordBatch {
  const { stream, seq, recorded_at_ms: recordedAtMs, hash, body: text } = row;
  const body: BatchBody = JSON.parse(text);
  return { stream, seq, recordedAtMs, hash, text, body, signature: signatureOf(row) };
}

function createSealWriter(
  sqlite: Sqlite,
  texts: TextsOfDays,
): (key: NodeHourKey, batches: readonly RecordBatch[], atMs: number) => void {
  const { database } = sqlite;
  const insertSealed = database.prepare(
    `INSERT INTO sealed_hours (node, hour_ms, batch_count, head_hash, body_bytes, sealed_at_ms, body)
     VALUES (:node, :hourMs, :count, :headHash, :bytes, :atMs, :body)
     ON CONFLICT (node, hour_ms) DO UPDATE SET batch_count = excluded.batch_count, head_hash = excluded.head_hash,
       body_bytes = excluded.body_bytes, sealed_at_ms = excluded.sealed_at_ms, body = excluded.body`,
  );
  const removeRuns = database.prepare('DELETE FROM sealed_runs WHERE node = ? AND hour_ms = ?');
  const insertRun = database.prepare(
    'INSERT INTO sealed_runs (stream, first_number, last_number, node, hour_ms) VALUES (?, ?, ?, ?, ?)',
  );
  const removeLoose = database.prepare('DELETE FROM batches WHERE node = ? AND hour_ms = ?');

  return (key, batches, atMs) => {
    const { node, hourMs } = key;
    const bytes = batches.reduce((sum, one) => sum + Buffer.byteLength(one.text), 0);
    const ofDay = texts.open(key);
    const before = ofDay.count;
    const { record, columns } = packHour(batches, ofDay);
    if (columns && ofDay.count > before) texts.write(key, ofDay);
    insertSealed.run({
      node,
      hourMs,
      count: batches.length,
      headHash: sealHash(batches),
      bytes,
      atMs,
      body: record,
    });
    removeRuns.run(node, hourMs);
    for (const run of runsOf(batches)) insertRun.run(run.stream, run.first, run.last, node, hourMs);
    removeLoose.run(node, hourMs);
  };
}

/** Runs of consecutive numbers of each stream. */
function runsOf(batches: readonly RecordBatch[]): { stream: number; first: number; last: number }[] {
  const runs: { stream: number; first: number; last: number }[] = [];
  for (const one of [...batches].sort((a, b) => a.stream - b.stream || a.body.seq - b.body.seq)) {
    const open = runs.at(-1);
    if (open !== undefined && open.stream === one.stream && open.last + 1 === one.body.seq)
      open.last = one.body.seq;
    else runs.push({ stream: one.stream, first: one.body.seq, last: one.body.seq });
  }
  return runs;
}
