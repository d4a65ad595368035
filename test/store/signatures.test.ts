/** Who sent what: keys are taken on the first word and told when they change, wrong signatures are refused, verify checks them. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Batch } from '../../api/contract/batch.ts';
import { sha256Hex } from '../../api/contract/canonical.ts';
import { createNodeKeyService } from '../../api/services/node-keys.ts';
import { createSealer } from '../../api/services/seal.ts';
import { type VerifyReport, verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { files } from '../../collector/ports/real.ts';
import { openSigner, type Signer } from '../../collector/signer.ts';
import { type Service, startService } from './service.ts';
import {
  agentOf,
  CLUSTER,
  caller,
  device,
  HOUR,
  MINUTE,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from './site.ts';

let service: Service;
let stream: Stream;
let signer: Signer;
const gpu = device('n1', 0);
const worker = processFact(10);
const newKey = (): Signer => openSigner(files, mkdtempSync(join(tmpdir(), 'gpuledger-key-')));

beforeEach(() => {
  service = startService(START + 5 * HOUR);
  stream = new Stream('n1');
  signer = newKey();
});
afterEach(async () => {
  expect(service.failures).toEqual([]);
  await service.stop();
});

/** The next half hour of a stream, unsigned. */
const half = (of = stream, at = of.seq): Batch =>
  of.batch(START + at * 30 * MINUTE, START + (at + 1) * 30 * MINUTE, {
    inventory: [gpu],
    processes: [worker],
    tenancies: [tenancy(gpu.uuid, START + at * 30 * MINUTE, 30 * MINUTE, worker)],
  });
const send = (batch: Batch, by: Signer | null = signer): Promise<void> =>
  service.send(by === null ? batch : by.sign(batch));
const keys = () => createNodeKeyService(service.store, service.clock, CLUSTER);
const sealer = () => createSealer(service.store, service.clock, { error: () => undefined });
const changes = () =>
  service.rows(
    "SELECT severity, resolved_at_ms IS NOT NULL AS resolved FROM findings WHERE reason = 'key_changed'",
  );

async function report(signatures = true): Promise<VerifyReport> {
  await service.attribution.whenIdle();
  const store = openSqlite({ file: service.file, readOnly: true });
  try {
    return await verify(store, () => undefined, { signatures });
  } finally {
    await store.close();
  }
}
const clean = { ok: true, chain: [], differences: [], pending: 0 };

describe('a signature', () => {
  test('that is wrong is refused by name, and nothing is stored or lost', async () => {
    const [one, other] = [half(), half()];
    const wrong = { ...one, signature: signer.sign(other).signature };
    await expect(service.ingest.accept(agentOf('n1'), post(wrong))).rejects.toMatchObject({
      code: 'invalid',
      errors: [{ field: 'batches.0.signature', message: expect.stringContaining('not of this batch') }],
    });
    expect(service.rows('SELECT * FROM batches UNION ALL SELECT * FROM batches')).toEqual([]);
    expect(service.rows('SELECT * FROM quarantined_batches')).toEqual([]);
    await send(one);
    await send(other);
    expect(await report()).toMatchObject({ ...clean, batches: 2, signatures: 2 });
  });

  test('is asked for once a node has signed; what came before may lack it', async () => {
    await send(half(), null);
    await send(half());
    await expect(service.ingest.accept(agentOf('n1'), post(half()))).rejects.toMatchObject({
      errors: [{ field: 'batches.0.signature', message: expect.stringContaining('is missing') }],
    });
    expect(await report()).toMatchObject({ ...clean, batches: 2, signatures: 1 });
    expect(changes()).toEqual([]);
  });

  test('of another node by the same key is of that node, too', async () => {
    await send(half());
    await send(half(new Stream('n2')));
    expect((await keys().list(null, false)).items.map(({ node, first }) => [node, first])).toEqual([
      ['n1', true],
      ['n2', true],
    ]);
  });
});

describe('a key', () => {
  test('is recorded with its token and in the journal when it is first used', async () => {
    await send(half());
    await send(half());
    const { items } = await keys().list('n1', false);
    expect(items).toMatchObject([
      { node: 'n1', key: signer.publicKey, first: true, recordedBy: 'agent', waiting: false },
    ]);
    expect(service.rows('SELECT actor, action, subject, detail FROM journal')).toEqual([
      { actor: 'agent', action: 'node.key', subject: 'n1', detail: signer.publicKey },
    ]);
  });

  const others: [string, () => Promise<void>][] = [
    [
      'of a node that was installed anew: a new stream',
      async () => send(half(new Stream('n1', 'anew'), 1), newKey()),
    ],
    ['of a stream that goes on', async () => send(half(), newKey())],
    [
      'of two agents with one token, in turns',
      async () => {
        const [theirs, key] = [new Stream('n1', 'theirs'), newKey()];
        for (const at of [1, 2, 3]) {
          await send(half(theirs, at), key);
          await send(half());
        }
      },
    ],
  ];
  test.each(others)('%s is told, taken, and is a finding until it is accepted', async (_, act) => {
    await send(half());
    await act();
    await service.attribution.whenIdle();
    expect(changes()).toEqual([{ severity: 'notice', resolved: 0 }]);
    const waiting = (await keys().list('n1', true)).items;
    expect(waiting).toHaveLength(1);
    const key = waiting[0]?.key ?? '';
    expect(await report()).toMatchObject(clean);

    await expect(keys().accept(caller('viewer'), 'n1', key)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(keys().accept(caller('admin'), 'n2', key)).rejects.toMatchObject({ code: 'not_found' });
    for (const _again of [1, 2])
      expect(await keys().accept(caller('admin'), 'n1', key)).toMatchObject({ waiting: false });
    expect(await report()).toMatchObject(clean);
    expect(changes()).toEqual([{ severity: 'notice', resolved: 1 }]);
    expect(service.rows("SELECT count(*) AS n FROM journal WHERE action = 'node.key_accept'")).toEqual([
      { n: 1 },
    ]);
  });

  test('that stays while the stream is new needs nobody, and so where the service lost what came last', async () => {
    await send(half());
    await send(half(new Stream('n1', 'after a broken chain'), 1));
    const older = startService(START + 5 * HOUR);
    await older.send(signer.sign(half(new Stream('n1', 'after a restore'), 2)));
    expect((await older.store.keys.list(CLUSTER, 'n1')).map(({ first }) => first)).toEqual([true]);
    await older.stop();
    expect(await report()).toMatchObject({ ...clean, signatures: 2 });
    expect(changes()).toEqual([]);
  });
});

describe('verify', () => {
  const hours = async (): Promise<void> => {
    for (let at = 0; at < 4; at += 1) await send(half());
    await service.attribution.whenIdle();
  };

  test('checks one signature for each stretch that is sealed, and all of those that are not', async () => {
    await hours();
    expect(await report()).toMatchObject({ ...clean, batches: 4, signatures: 4 });
    expect(await sealer().tick()).toBe(2);
    expect(await report()).toMatchObject({ ...clean, batches: 4, signatures: 2 });
    expect(await report(false)).toMatchObject({ ...clean, signatures: null });
  });

  const wrong: [string, string, RegExp][] = [
    [
      'a signature that was changed',
      'UPDATE batches SET signature = zeroblob(64) WHERE number = 2',
      /^node n1, 2026-10-05T08:00:00.000Z: batch 2 was not signed by the node's key$/,
    ],
    [
      'the last signatures that were taken away',
      'UPDATE batches SET signature = NULL, key = NULL WHERE number > 2',
      /^node n1, stream stream-1: batches 3 to 4 lack the node's signature$/,
    ],
    [
      'a key that was replaced',
      `UPDATE node_keys SET public_key = '${'1'.repeat(64)}'`,
      /batch 1 was not signed by the node's key/,
    ],
    [
      'an acceptance that nobody gave',
      "UPDATE node_keys SET accepted_by = 'admin', accepted_at_ms = 0",
      /^node n1: nobody accepted its key /,
    ],
    [
      'keys that were taken away',
      'UPDATE batches SET signature = NULL, key = NULL; DELETE FROM node_keys',
      /^node n1: its key [0-9a-f]{64} is missing$/,
    ],
  ];
  test.each(wrong)('finds %s', async (_, sql, expected) => {
    await hours();
    service.tamper(sql);
    const { ok, chain } = await report();
    expect(ok).toBe(false);
    expect(chain[0]).toMatch(expected);
  });

  test('finds a batch that was made up with every hash that depends on it, sealed or not', async () => {
    await hours();
    const [row] = service.rows('SELECT body FROM batches WHERE number = 4');
    const body = String(row?.['body']).replace('"agentVersion":"0.1.0"', '"agentVersion":"0.1.1"');
    const hash = sha256Hex(body);
    service.tamper(`UPDATE batches SET body = '${body}', hash = '${hash}' WHERE number = 4`);
    service.tamper(`UPDATE streams SET head_hash = '${hash}'`);
    const forged = ["node n1, 2026-10-05T09:00:00.000Z: batch 4 was not signed by the node's key"];
    expect(await report(false)).toMatchObject(clean);
    expect(await report()).toMatchObject({ ok: false, chain: forged, differences: [] });
    expect(await sealer().tick()).toBe(2);
    expect(await report(false)).toMatchObject(clean);
    expect(await report()).toMatchObject({ ok: false, chain: forged, differences: [] });
  });
});
