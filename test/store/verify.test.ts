import { zstdCompressSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { canonicalJson } from '../../api/contract/canonical.ts';
import { PolicyIn } from '../../api/contract/policy.ts';
import { createSealer, SEAL_AFTER_MS } from '../../api/services/seal.ts';
import { type VerifyReport, verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { createTexts } from '../../api/store/sqlite/texts.ts';
import { type Service, startService } from './service.ts';
import {
  agentOf,
  caller,
  device,
  HOUR,
  MINUTE,
  personalOf,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from './site.ts';
import { tamperEntries } from './tamper-entries.ts';

let service: Service;
let stream: Stream;
const gpu = device('n1', 0);
const declared = processFact(10, { cgroup: '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0' });
const alice = personalOf('alice', 'python train.py');
const undeclared = processFact(11, { comm: 'miner', personal: alice.digest });

const hourBatches = (hourMs: number) => [
  stream.batch(
    hourMs,
    hourMs + 30 * MINUTE,
    {
      inventory: [gpu],
      processes: [declared, undeclared],
      tenancies: [tenancy(gpu.uuid, hourMs, 30 * MINUTE, declared, undeclared)],
    },
    [alice],
  ),
  stream.batch(hourMs + 30 * MINUTE, hourMs + HOUR, {
    tenancies: [tenancy(gpu.uuid, hourMs + 30 * MINUTE, 20 * MINUTE, declared)],
    connections: [
      {
        ...{
          process: declared.key,
          kind: 'attempt',
          peerClass: 'internal',
          localPort: 0,
          peers: 40,
          personal: null,
        },
        ...{ firstMs: hourMs, lastMs: hourMs + MINUTE },
      },
    ],
  }),
];

beforeEach(async () => {
  service = startService(START + 5 * HOUR);
  stream = new Stream('n1');
  await service.declare({
    externalId: '7',
    start: new Date(START).toISOString(),
    allocations: [{ node: 'n1', devices: [gpu.uuid] }],
  });
  for (const hour of [0, 1]) await service.send(...hourBatches(START + hour * HOUR));
  await service.attribution.whenIdle();
  expect(service.failures).toEqual([]);
});
afterEach(() => service.stop());

async function report(): Promise<VerifyReport> {
  const store = openSqlite({ file: service.file, readOnly: true });
  try {
    return await verify(store, () => undefined);
  } finally {
    await store.close();
  }
}
const sealer = () => createSealer(service.store, service.clock, { error: () => undefined });
const clean = { ok: true, differences: [], chain: [] };

describe('an untouched ledger', () => {
  test('verifies, sealed and unsealed', async () => {
    expect(await report()).toMatchObject({ ...clean, batches: 4, cells: 2, checked: 2, pending: 0 });
    service.clock.set(START + 2 * HOUR + SEAL_AFTER_MS);
    expect(await sealer().tick()).toBe(2);
    expect(service.rows('SELECT count(*) AS n FROM batches')).toEqual([{ n: 0 }]);
    expect(await report()).toMatchObject({ ...clean, batches: 4, checked: 2 });
  });

  test('verifies while verdicts await a record, much later', async () => {
    service.clock.set(START + 5 * HOUR + 3 * MINUTE);
    await service.declarations.putSource(caller('scheduler'), 'slurm', 'default', START + HOUR + 10 * MINUTE);
    await service.send(...hourBatches(START + 2 * HOUR));
    await service.attribution.whenIdle();
    expect(service.rows('SELECT count(*) AS n FROM entries WHERE provisional = 1')).not.toEqual([{ n: 0 }]);
    expect(await report()).toMatchObject(clean);
  });

  test('says what waits rather than calling it wrong', async () => {
    await service.send(...hourBatches(START + 2 * HOUR));
    expect(await report()).toMatchObject({ ...clean, pending: 1, checked: 2 });
  });
});

describe('sealing', () => {
  test('a batch sent again after its hour was sealed is a duplicate, another content is set aside', async () => {
    const before = new Stream('n1');
    stream = before;
    const again = hourBatches(START);
    await sealer().tick();
    const answer = await service.ingest.accept(agentOf('n1'), post(...again));
    expect(answer.results.map((one) => one.status)).toEqual(['duplicate', 'duplicate']);
    const other = new Stream('n1').batch(START, START + MINUTE);
    const { results } = await service.ingest.accept(agentOf('n1'), post(other));
    expect(results[0]?.status).toBe('quarantined');
  });

  test('a late batch joins a sealed hour, is attributed with it and sealed again', async () => {
    await sealer().tick();
    const late = new Stream('n1', 'recovered');
    await service.send(
      late.batch(START + 50 * MINUTE, START + HOUR, {
        tenancies: [tenancy(gpu.uuid, START + 50 * MINUTE, 10 * MINUTE)],
      }),
    );
    await service.attribution.whenIdle();
    expect(
      service.rows(`SELECT sum(unobserved_ms) AS ms FROM ledger_hours WHERE hour_ms = ${START}`),
    ).toEqual([{ ms: 0 }]);
    expect(await report()).toMatchObject({ ...clean, batches: 5 });
    expect(await sealer().tick()).toBe(1);
    expect(service.rows(`SELECT batch_count FROM sealed_hours WHERE hour_ms = ${START}`)).toEqual([
      { batch_count: 3 },
    ]);
    expect(await report()).toMatchObject({ ...clean, batches: 5 });
  });

  test('an hour that cannot be sealed is told, stays as it came, and keeps nobody else waiting', async () => {
    await sealer().tick();
    service.tamper('UPDATE sealed_texts SET body = zeroblob(9)');
    await service.send(...hourBatches(START + 2 * HOUR));
    await service.send(new Stream('n2').batch(START, START + HOUR));
    await service.attribution.whenIdle();
    service.clock.set(START + 9 * HOUR);
    const told: string[] = [];
    const log = { error: (_: object, message: string) => void told.push(message) };
    expect(await createSealer(service.store, service.clock, log).tick()).toBe(1);
    expect(told).toEqual(['an hour could not be sealed: its batches stay as they came']);
    expect(service.rows('SELECT count(*) AS n FROM batches')).toEqual([{ n: 2 }]);
  });

  test('an hour that still waits to be attributed is not sealed', async () => {
    await service.send(...hourBatches(START + 2 * HOUR));
    service.clock.set(START + 9 * HOUR);
    expect(await sealer().tick()).toBe(2);
  });
});

describe('what was changed behind the back is found', () => {
  const planted: [string, string, RegExp][] = [
    ['time in an entry', tamperEntries({ ms: 'e.ms + 1' }, "e.bucket = 'used'"), /sums to|stored/],
    ['entries that are none', `UPDATE cells SET entries = '["used"]'`, /stored/],
    ['entries that are no JSON', "UPDATE cells SET entries = 'used'", /stored/],
    ['a bucket', tamperEntries({ bucket: "'used'", reason: 'NULL' }, "e.bucket = 'unaccounted'"), /stored/],
    ['an hourly sum', 'UPDATE ledger_hours SET used_ms = used_ms - 1, held_ms = held_ms + 1', /hourly sums/],
    ['a daily sum', 'UPDATE ledger_days SET used_ms = used_ms - 1, held_ms = held_ms + 1', /add up/],
    ['a finding', 'UPDATE findings SET active_ms = active_ms - 1', /add up/],
    [
      'a part of a finding',
      "UPDATE finding_parts SET reason = 'after_end' WHERE device <> 0",
      /another part/,
    ],
    ['what ranks a finding', 'UPDATE finding_signals SET strength = 1', /other signals/],
    ['a removed cell', `DELETE FROM cells WHERE hour_ms = ${START}`, /missing/],
    ['how far a cell is booked', 'UPDATE cells SET booked_to_ms = booked_to_ms - 1', /booked to/],
    ['a declaration', 'UPDATE job_versions SET end_ms = start_ms', /stored/],
    [
      'who is charged, in every sum',
      `UPDATE ledger_hours SET account = 'biology' WHERE holder <> 0;
       UPDATE ledger_days SET account = 'biology' WHERE account <> ''`,
      /is charged to/,
    ],
    ['how severe a finding is', "UPDATE findings SET severity = 'notice'", /not what its parts give/],
    ['a finding that was hidden', 'UPDATE findings SET resolved_at_ms = 1', /add up/],
    [
      'when a network observation was made',
      `UPDATE finding_parts SET first_ms = first_ms + 1, last_ms = last_ms + 1 WHERE device = 0;
       UPDATE findings SET first_seen_ms = first_seen_ms + 1, last_seen_ms = last_seen_ms + 1
         WHERE kind = 'network'`,
      /other observations/,
    ],
    [
      'the parent of a process',
      "UPDATE processes SET parent_key = '10/1000', parent_hour_ms = 0 WHERE key = '11/1100'",
      /no agent sent/,
    ],
    [
      'the executable of a process',
      "UPDATE processes SET executable_path = '/usr/bin/true'",
      /as the agent sent it/,
    ],
    ['where a device was seen', 'UPDATE device_sightings SET first_ms = first_ms + 1', /another first sight/],
    ['the capacity of a device', `UPDATE capacity SET from_ms = from_ms + ${HOUR}`, /capacity of GPU/],
    [
      'rules that never were',
      `UPDATE cells SET rules_version = 0; ${tamperEntries({ reason: "'after_end'" }, 'e.reason IS NOT NULL')}`,
      /stored/,
    ],
    [
      'text erased to cover a change',
      `UPDATE personal SET salt = NULL, user_name = NULL, command_line = NULL, erased_at_ms = 1;
       ${tamperEntries({ activity: "'none'" }, "e.bucket = 'used'")}`,
      /stored/,
    ],
  ];
  test.each(planted)('%s', async (_what, sql, expected) => {
    service.tamper(sql);
    const found = await report();
    expect(found.ok).toBe(false);
    expect(found.differences.map((one) => `${one.kind}: ${one.where} ${one.what}`).join('\n')).toMatch(
      expected,
    );
    expect(found.differences.every((one) => one.kind === 'tampered')).toBe(true);
  });

  test('an hour without reports that was taken out altogether', async () => {
    await service.send(
      stream.batch(START + 4 * HOUR, START + 4 * HOUR + MINUTE, {
        tenancies: [tenancy(gpu.uuid, START + 4 * HOUR, MINUTE)],
      }),
    );
    await service.attribution.whenIdle();
    expect(await report()).toMatchObject({ ...clean, cells: 5 });
    for (const table of ['cells', 'ledger_hours'])
      service.tamper(`DELETE FROM ${table} WHERE hour_ms = ${START + 3 * HOUR}`);
    service.tamper(
      `UPDATE ledger_days SET capacity_ms = capacity_ms - ${HOUR}, unobserved_ms = unobserved_ms - ${HOUR},
         unobserved_inside_ms = unobserved_inside_ms - ${HOUR}, allocated_ms = allocated_ms - ${HOUR} WHERE account <> ''`,
    );
    expect((await report()).differences.map((one) => one.what)).toEqual(['the cell is missing']);
  });

  test('a batch, and one that is gone', async () => {
    service.tamper("UPDATE batches SET body = replace(body, 'miner', 'mines') WHERE number = 1");
    expect((await report()).chain[0]).toMatch(/batch 1 is not what the agent sent/);
    service.tamper("UPDATE batches SET body = replace(body, 'mines', 'miner') WHERE number = 1");
    service.tamper('DELETE FROM batches WHERE number = 2');
    expect((await report()).chain.join('\n')).toMatch(/batches 2 to 2 are missing/);
  });

  test('the newest batch that is gone', async () => {
    service.tamper('DELETE FROM batches WHERE number = 4');
    expect((await report()).chain.join('\n')).toMatch(/ends with batch 3, and 4 was acknowledged/);
  });

  test('a body inside a sealed hour, whole or torn', async () => {
    await sealer().tick();
    const database = new Database(service.file);
    const body = database
      .prepare<[], Buffer>('SELECT body FROM sealed_hours ORDER BY hour_ms LIMIT 1')
      .pluck()
      .get();
    if (body === undefined) throw new Error('nothing is sealed');
    const put = database.prepare(`UPDATE sealed_hours SET body = ? WHERE hour_ms = ${START}`);
    // In the form of hours that were sealed before there were columns, which tells every hash.
    const lines = new Stream('n1');
    stream = lines;
    const text = hourBatches(START).map(
      ({ body: { seq, fromMs, toMs, ...rest }, hash }) =>
        `1 ${seq} ${seq} ${START} ${fromMs} ${toMs} ${hash}\n${canonicalJson({ seq, fromMs, toMs, ...rest })}\n`,
    );
    put.run(zstdCompressSync(Buffer.from(text.join(''))));
    expect((await report()).chain).toEqual([]);
    put.run(zstdCompressSync(Buffer.from(text.join('').replaceAll('miner', 'mines'))));
    expect((await report()).chain.join('\n')).toMatch(/is not what the agent sent/);
    put.run(body.subarray(0, body.length - 9));
    expect((await report()).chain.join('\n')).toMatch(/a sealed hour cannot be read/);
    put.run(body);
    expect((await report()).chain).toEqual([]);
    // A text that sealed hours share, as it would be put there by whoever can make such a record.
    const day = database.prepare<[], Buffer>('SELECT body FROM sealed_texts').pluck().get();
    if (day === undefined) throw new Error('no texts are sealed');
    const texts = createTexts(day, day.length * 1000);
    const forged = createTexts(null, 0);
    for (let number = 0; number < texts.count; number += 1)
      forged.numberOf(texts.text(number).replace('miner', 'mines'));
    database.prepare('UPDATE sealed_texts SET body = ?').run(forged.pack());
    expect((await report()).chain.join('\n')).toMatch(/the seal is not of the batches in the sealed hour/);
    database.close();
  });

  test('text about people', async () => {
    service.tamper("UPDATE personal SET user_name = 'bob'");
    expect((await report()).chain.join('\n')).toMatch(/the text behind digest/);
  });

  test('a policy that nobody recorded, and one that was recorded otherwise', async () => {
    service.tamper(
      `INSERT INTO policies (version, effective_from_ms, weakest_evidence, end_grace_ms, self_declaration_lead_ms,
         self_declaration_wait_ms, seq, recorded_at_ms, recorded_by) VALUES (2, 0, 'claim', 0, 0, 0, 0, 0, 'test')`,
    );
    expect((await report()).chain).toEqual(['policy: nobody recorded version 2']);
    service.tamper('DELETE FROM policies');
    await service.policies.put(caller('admin'), PolicyIn.parse({ endGraceMs: 1_000, exemptions: [] }));
    service.tamper('UPDATE policies SET end_grace_ms = 3600000');
    expect((await report()).chain).toEqual(['policy: version 2 was changed']);
    service.tamper('DELETE FROM policy_launchers; DELETE FROM policies');
    expect((await report()).chain).toEqual(['policy: version 2 is missing']);
  });

  test('the journal', async () => {
    service.tamper("UPDATE journal SET actor = 'nobody'");
    expect((await report()).chain).toEqual(['journal: entry 1 was changed']);
  });
});

describe('what explains a difference', () => {
  test('another policy', async () => {
    const from = new Date(START).toISOString();
    const policy = PolicyIn.parse({ from, reach: 'past', weakestEvidence: 'claim', exemptions: [] });
    await service.policies.put(caller('admin'), policy);
    // As if nothing had been attributed again since.
    service.tamper('DELETE FROM dirty_hours');
    service.tamper('UPDATE job_versions SET uid = 4711');
    const found = await report();
    expect(found.differences.filter((one) => one.kind !== 'rules')).toEqual([]);
    expect(found).toMatchObject({ ok: true, chain: [] });
    expect(found.differenceCount).toBeGreaterThan(0);
  });

  test('text that retention erased', async () => {
    service.tamper(
      'UPDATE personal SET salt = NULL, user_name = NULL, command_line = NULL, erased_at_ms = 1',
    );
    expect(await report()).toMatchObject({ ok: true, erased: 2, chain: [] });
  });
});
