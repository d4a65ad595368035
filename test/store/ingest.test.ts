import { chmodSync, cpSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createIngest, type Ingest, MAX_AHEAD_MS } from '../../api/services/ingest.ts';
import { createLive } from '../../api/services/live.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import type { Store } from '../../api/store/store.ts';
import {
  agentOf,
  CLUSTER,
  caller,
  device,
  type HandClock,
  HOUR,
  handClock,
  MINUTE,
  personalOf,
  post,
  processFact,
  START,
  Stream,
  temporaryFolder,
  tenancy,
} from './site.ts';

let file: string;
let store: Store;
let clock: HandClock;
let ingest: Ingest;
let reader: Database.Database;

beforeEach(() => {
  file = join(temporaryFolder(), 'gpuledger.sqlite');
  store = openSqlite({ file });
  clock = handClock(START + 10 * MINUTE);
  ingest = createIngest(store, clock, createLive(), CLUSTER);
  reader = new Database(file, { readonly: true });
});
afterEach(async () => {
  reader.close();
  await store.close();
});

const rows = (sql: string) => reader.prepare(sql).all();
const minutes = (from: number, to: number) => [START + from * MINUTE, START + to * MINUTE] as const;

test('a problem that says when it will be is one of now', async () => {
  const stream = new Stream('n1');
  const problems = [{ atMs: 253_402_300_799_999, source: 'a tool', message: 'later' }];
  await ingest.accept(agentOf('n1'), post(stream.batch(...minutes(0, 1), { problems })));
  expect(rows('SELECT at_ms FROM node_problems')).toEqual([{ at_ms: clock.nowMs() }]);
});

describe('a clock that cannot be meant', () => {
  test.each([
    ['1970', 0],
    ['far behind', START - 93 * 24 * HOUR],
    ['far ahead', START + 2 * 24 * HOUR],
    ['the last hour of 9999', 253_402_300_800_000 - HOUR],
  ])('%s: the batches are set aside, capacity opens nowhere, and the agent can go on', async (_, fromMs) => {
    const wrong = new Stream('n1');
    const inventory = [device('n1', 0)];
    const answer = await ingest.accept(
      agentOf('n1'),
      post(
        wrong.batch(fromMs, fromMs + 1, { inventory }),
        wrong.batch(fromMs + 1, fromMs + 2, { inventory }),
      ),
    );
    expect(answer).toMatchObject({
      results: [
        { status: 'quarantined', message: expect.stringContaining('clock') },
        { status: 'quarantined' },
      ],
      expectedSeq: 1,
    });
    expect(rows('SELECT from_ms FROM capacity')).toEqual([]);
    expect(rows('SELECT hour_ms FROM dirty_hours')).toEqual([]);
    const again = new Stream('n1', 'again');
    const right = await ingest.accept(agentOf('n1'), post(again.batch(...minutes(0, 1), { inventory })));
    expect(right.results[0]?.status).toBe('stored');
    expect(rows('SELECT from_ms FROM capacity')).toEqual([{ from_ms: START }]);
  });
});

describe('the chain', () => {
  test('tells its time with every answer, and to a post without batches nothing else', async () => {
    const first = new Stream('n1').batch(...minutes(0, 1));
    const { serviceTimeMs } = await ingest.accept(agentOf('n1'), post(first));
    expect(await ingest.accept(agentOf('n1'), { batches: [] })).toEqual({
      ...{ results: [], expectedSeq: 1, serviceTimeMs },
    });
    expect(serviceTimeMs).toEqual(expect.any(Number));
    await expect(ingest.accept(caller('viewer'), { batches: [] })).rejects.toThrow('only an agent');
  });

  test('stores batches in order and answers with the next number', async () => {
    const stream = new Stream('n1');
    const first = stream.batch(...minutes(0, 1), { inventory: [device('n1', 0)] });
    const second = stream.batch(...minutes(1, 2));
    const answer = await ingest.accept(agentOf('n1'), post(first, second));
    expect(answer).toMatchObject({
      results: [
        { seq: 1, status: 'stored', message: null },
        { seq: 2, status: 'stored', message: null },
      ],
      expectedSeq: 3,
    });
    expect(rows('SELECT number, from_ms, to_ms, hash FROM batches ORDER BY number')).toEqual([
      { number: 1, from_ms: START, to_ms: START + MINUTE, hash: first.hash },
      { number: 2, from_ms: START + MINUTE, to_ms: START + 2 * MINUTE, hash: second.hash },
    ]);
  });

  test('the same batch again is a duplicate and changes nothing', async () => {
    const stream = new Stream('n1');
    const first = stream.batch(...minutes(0, 1));
    await ingest.accept(agentOf('n1'), post(first));
    const before = rows('SELECT last FROM sequence');
    const answer = await ingest.accept(agentOf('n1'), post(first));
    expect(answer).toMatchObject({
      results: [{ seq: 1, status: 'duplicate', message: null }],
      expectedSeq: 2,
    });
    expect(rows('SELECT last FROM sequence')).toEqual(before);
  });

  test('two posts of the same batch at once store it once', async () => {
    const stream = new Stream('n1');
    const first = stream.batch(...minutes(0, 1));
    const answers = await Promise.all([1, 2, 3].map(() => ingest.accept(agentOf('n1'), post(first))));
    expect(answers.map((one) => one.results[0]?.status).sort()).toEqual(['duplicate', 'duplicate', 'stored']);
  });

  test('another content under a known number is set aside and reported', async () => {
    const stream = new Stream('n1');
    await ingest.accept(agentOf('n1'), post(stream.batch(...minutes(0, 1))));
    const other = new Stream('n1').batch(...minutes(0, 2));
    const answer = await ingest.accept(agentOf('n1'), post(other));
    expect(answer.results[0]?.status).toBe('quarantined');
    expect(rows('SELECT number, hash FROM quarantined_batches')).toEqual([{ number: 1, hash: other.hash }]);
    expect(rows('SELECT count(*) AS batches FROM batches')).toEqual([{ batches: 1 }]);
    expect(rows('SELECT source FROM node_problems')).toEqual([{ source: 'service' }]);
  });

  test('a batch ahead of the chain is out of order', async () => {
    const stream = new Stream('n1');
    const [first, , third] = [1, 2, 3].map((n) => stream.batch(...minutes(n - 1, n)));
    if (!first || !third) throw new Error('no batches');
    await ingest.accept(agentOf('n1'), post(first));
    const answer = await ingest.accept(agentOf('n1'), post(third));
    expect(answer).toMatchObject({ results: [{ seq: 3, status: 'out_of_order' }], expectedSeq: 2 });
  });

  test('a new stream must begin at 1', async () => {
    const stream = new Stream('n1');
    stream.batch(...minutes(0, 1));
    const answer = await ingest.accept(agentOf('n1'), post(stream.batch(...minutes(1, 2))));
    expect(answer).toMatchObject({ results: [{ seq: 2, status: 'out_of_order' }], expectedSeq: 1 });
    expect(rows('SELECT * FROM batches')).toEqual([]);
  });

  test('a batch that is not chained to the one before it is set aside', async () => {
    const stream = new Stream('n1');
    await ingest.accept(agentOf('n1'), post(stream.batch(...minutes(0, 1))));
    stream.head = 'f'.repeat(64);
    const answer = await ingest.accept(agentOf('n1'), post(stream.batch(...minutes(1, 2))));
    expect(answer).toMatchObject({ results: [{ status: 'quarantined' }], expectedSeq: 2 });
  });

  test('a re-installed agent starts a new stream beside the old one', async () => {
    await ingest.accept(agentOf('n1'), post(new Stream('n1', 'a').batch(...minutes(0, 1))));
    const answer = await ingest.accept(agentOf('n1'), post(new Stream('n1', 'b').batch(...minutes(1, 2))));
    expect(answer.results[0]?.status).toBe('stored');
    expect(rows('SELECT name, head_number FROM streams ORDER BY name')).toEqual([
      { name: 'a', head_number: 1 },
      { name: 'b', head_number: 1 },
    ]);
  });
});

describe('what is refused', () => {
  test("another node's batches, and callers that are no agents", async () => {
    const batch = new Stream('n1').batch(...minutes(0, 1));
    await expect(ingest.accept(agentOf('n2'), post(batch))).rejects.toMatchObject({ code: 'forbidden' });
    await expect(ingest.accept(caller('admin'), post(batch))).rejects.toMatchObject({ code: 'forbidden' });
    expect(rows('SELECT * FROM nodes')).toEqual([]);
  });

  test('a hash that is not of the body', async () => {
    const batch = new Stream('n1').batch(...minutes(0, 1));
    const changed = { ...batch, body: { ...batch.body, agentVersion: 'changed' } };
    await expect(ingest.accept(agentOf('n1'), post(changed))).rejects.toMatchObject({
      code: 'invalid',
      errors: [{ field: 'batches.0.hash' }],
    });
  });

  test('a personal digest that is not of its text', async () => {
    const record = personalOf('alice', 'python train.py');
    const batch = new Stream('n1').batch(...minutes(0, 1), {}, [
      { ...record, value: { kind: 'process', user: 'bob', commandLine: 'x', commandLineCut: false } },
    ]);
    await expect(ingest.accept(agentOf('n1'), post(batch))).rejects.toMatchObject({
      errors: [{ field: 'batches.0.personal.0.digest' }],
    });
  });

  test('a batch from the future, one millisecond beyond the limit', async () => {
    const limitMs = clock.nowMs() + MAX_AHEAD_MS;
    const stream = new Stream('n1');
    const late = stream.batch(START, limitMs + 1);
    await expect(ingest.accept(agentOf('n1'), post(late))).rejects.toMatchObject({
      errors: [{ field: 'batches.0.body.toMs' }],
    });
    const inTime = new Stream('n1').batch(START, limitMs);
    expect((await ingest.accept(agentOf('n1'), post(inTime))).results[0]?.status).toBe('stored');
  });

  test("another cluster's batches", async () => {
    const other = new Stream('n1').batch(...minutes(0, 1), { cluster: 'elsewhere' });
    await expect(ingest.accept(agentOf('n1'), post(other))).rejects.toMatchObject({
      errors: [{ field: 'batches.0.body.cluster' }],
    });
  });
});

describe('what a batch changes', () => {
  test('capacity opens at the first inventory, and a moved device closes it on the node that it left', async () => {
    const first = new Stream('n1').batch(...minutes(1, 2), { inventory: [device('n1', 0)] });
    await ingest.accept(agentOf('n1'), post(first));
    const moved = new Stream('n2').batch(...minutes(5, 6), { inventory: [device('n1', 0)] });
    await ingest.accept(agentOf('n2'), post(moved));
    expect(
      rows(
        'SELECT n.name, c.from_ms, c.to_ms FROM capacity c JOIN nodes n ON n.node = c.node ORDER BY c.from_ms',
      ),
    ).toEqual([
      { name: 'n1', from_ms: START + MINUTE, to_ms: START + 5 * MINUTE },
      { name: 'n2', from_ms: START + 5 * MINUTE, to_ms: null },
    ]);
  });

  test('an hour is urgent when the processes changed, and not when they stayed', async () => {
    const stream = new Stream('n1');
    const gpu = device('n1', 0);
    const job = processFact(10);
    const idle = stream.batch(...minutes(0, 1), {
      inventory: [gpu],
      tenancies: [tenancy(gpu.uuid, START, MINUTE)],
    });
    await ingest.accept(agentOf('n1'), post(idle));
    const write = new Database(file);
    write.exec('DELETE FROM dirty_hours');
    const same = stream.batch(...minutes(1, 2), { tenancies: [tenancy(gpu.uuid, START + MINUTE, MINUTE)] });
    await ingest.accept(agentOf('n1'), post(same));
    expect(rows('SELECT hour_ms, urgent FROM dirty_hours')).toEqual([{ hour_ms: START, urgent: 0 }]);
    const changed = stream.batch(...minutes(2, 3), {
      processes: [job],
      tenancies: [tenancy(gpu.uuid, START + 2 * MINUTE, MINUTE, job)],
    });
    await ingest.accept(agentOf('n1'), post(changed));
    expect(rows('SELECT hour_ms, urgent FROM dirty_hours')).toEqual([{ hour_ms: START, urgent: 1 }]);
    // And when they begin to execute, or the device to contradict itself.
    for (const [minute, activeMs, conflictMs] of [
      [3, [0], []],
      [4, [9], []],
      [5, [9], [9]],
    ] as const) {
      write.exec('DELETE FROM dirty_hours');
      const one = tenancy(gpu.uuid, START + minute * MINUTE, MINUTE, job);
      const news = { ...one, activeMs: [...activeMs], shareMs: [[...activeMs]], conflictMs: [...conflictMs] };
      await ingest.accept(
        agentOf('n1'),
        post(stream.batch(...minutes(minute, minute + 1), { tenancies: [news] })),
      );
      expect(rows('SELECT urgent FROM dirty_hours')).toEqual([{ urgent: 1 }]);
    }
    write.close();
  });

  test('an hour that is now booked to its end is attributed again', async () => {
    clock.set(START + 3 * HOUR);
    const stream = new Stream('n1');
    await ingest.accept(agentOf('n1'), post(stream.batch(...minutes(0, 30))));
    const write = new Database(file);
    write.exec('DELETE FROM dirty_hours');
    await ingest.accept(agentOf('n1'), post(stream.batch(...minutes(125, 126))));
    expect(rows('SELECT hour_ms FROM dirty_hours ORDER BY hour_ms')).toEqual(
      [0, 1, 2].map((hours) => ({ hour_ms: START + hours * HOUR })),
    );
    write.close();
  });
});

describe('opening', () => {
  test('what was acknowledged is there after the process dies in the middle of it', async () => {
    const stream = new Stream('n1');
    await ingest.accept(agentOf('n1'), post(stream.batch(...minutes(0, 1))));
    // The files as they lie on disk while the service still runs: what a killed process leaves.
    const folder = temporaryFolder();
    for (const end of ['', '-wal'])
      if (existsSync(file + end)) cpSync(file + end, join(folder, `copy.sqlite${end}`));
    const copy = openSqlite({ file: join(folder, 'copy.sqlite') });
    const [standing] = await copy.batches.readStandings([
      { cluster: CLUSTER, node: 'n1', stream: 'stream-1' },
    ]);
    expect(standing).toMatchObject({ headNumber: 1, completeToMs: START + MINUTE });
    await copy.close();
  });

  test('a file that is no database', () => {
    expect(() => openSqlite({ file: new URL(import.meta.url).pathname, readOnly: true })).toThrow(
      expect.objectContaining({ code: 'corrupt' }),
    );
  });

  test.skipIf(process.getuid?.() === 0)('a folder that may not be written', () => {
    const folder = join(temporaryFolder(), 'locked');
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    expect(() => openSqlite({ file: join(folder, 'x.sqlite') })).toThrow(
      expect.objectContaining({ code: 'not_writable' }),
    );
  });

  test('a path below a file', () => {
    expect(() => openSqlite({ file: join(file, 'x.sqlite') })).toThrow(
      expect.objectContaining({ code: 'not_writable' }),
    );
  });
});
