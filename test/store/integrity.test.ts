/** Integrity facts become findings beside the ledger: of a process, a device or the node; and what nodes are read with is kept. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { INTEGRITY_KINDS, type IntegrityFact, type ToolFact } from '../../api/contract/batch.ts';
import { MAX_SUBJECTS } from '../../api/domain/integrity.ts';
import { createAttribution } from '../../api/services/attribution.ts';
import { createLive } from '../../api/services/live.ts';
import { createSealer, SEAL_AFTER_MS } from '../../api/services/seal.ts';
import { type VerifyReport, verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { type Service, startService } from './service.ts';
import { device, HOUR, MINUTE, processFact, START, Stream, tenancy } from './site.ts';

let service: Service;
let stream: Stream;
beforeEach(() => {
  service = startService(START + 4 * HOUR);
  stream = new Stream('n1');
});
afterEach(async () => {
  expect(service.failures).toEqual([]);
  await service.stop();
});

const gpu = device('n1', 0);
const time = (ms: number) => new Date(ms).toISOString();
const worker = processFact(10, { cgroup: '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0' });
const hidden = processFact(66, { key: `66/?${START}`, startTicks: null, startedMs: null, cgroup: '' });

const fact = (kind: IntegrityFact['kind'], more: Partial<IntegrityFact> = {}): IntegrityFact => ({
  ...{ kind, device: null, process: null, detail: `about ${kind}` },
  ...{ firstMs: START + MINUTE, lastMs: START + 2 * MINUTE },
  ...more,
});

/** A node's whole hour with these facts. */
const hour = (hourMs: number, ...integrity: IntegrityFact[]) =>
  stream.batch(hourMs, hourMs + HOUR, {
    inventory: [gpu],
    processes: [worker, hidden],
    tenancies: [tenancy(gpu.uuid, hourMs, HOUR, worker, hidden)],
    integrity,
  });

const findings = () =>
  service.rows(
    `SELECT f.reason, f.severity, f.active_ms AS active, p.pid, v.uuid, j.external_id AS job,
       f.first_seen_ms - ${START} AS first, f.last_seen_ms - ${START} AS last, f.resolved_at_ms IS NOT NULL AS resolved
     FROM findings f LEFT JOIN processes p ON p.process = f.process LEFT JOIN devices v ON v.device = f.device
     LEFT JOIN jobs j ON j.job = f.job WHERE f.kind = 'integrity' ORDER BY f.reason, p.pid`,
  );

async function report(): Promise<VerifyReport> {
  const store = openSqlite({ file: service.file, readOnly: true });
  try {
    return await verify(store, () => undefined);
  } finally {
    await store.close();
  }
}
const clean = { ok: true, differences: [], chain: [], pending: 0 };

describe('findings', () => {
  test('are one for each kind and what it is about, carry no time, and name the job of the process', async () => {
    await service.declare({
      externalId: '7',
      start: time(START),
      allocations: [{ node: 'n1', devices: [gpu.uuid] }],
    });
    await service.send(
      hour(
        START,
        fact('process_hidden', { device: gpu.uuid, process: hidden.key }),
        fact('process_covered', { process: worker.key, lastMs: START + 5 * MINUTE }),
        fact('process_covered', { process: worker.key, firstMs: START, lastMs: START }),
        fact('member_hidden'),
        fact('member_hidden', { detail: 'another pid' }),
        fact('tool_changed'),
        fact('preload_set', { device: gpu.uuid }),
      ),
    );
    await service.attribution.whenIdle();
    const seen = { active: 0, resolved: 0, first: MINUTE, last: 2 * MINUTE };
    const nobody = { pid: null, uuid: null, job: null };
    expect(findings()).toEqual([
      { reason: 'member_hidden', severity: 'notice', ...nobody, ...seen },
      { reason: 'preload_set', severity: 'notice', ...nobody, uuid: gpu.uuid, ...seen },
      {
        ...{ reason: 'process_covered', severity: 'warn', pid: 10, uuid: null, job: '7' },
        ...{ ...seen, first: 0, last: 5 * MINUTE },
      },
      { reason: 'process_hidden', severity: 'warn', ...nobody, pid: 66, ...seen },
      { reason: 'tool_changed', severity: 'warn', ...nobody, ...seen },
    ]);
    expect(service.rows('SELECT sum(capacity_ms) AS ms FROM ledger_hours')).toEqual([{ ms: HOUR }]);
    expect(await report()).toMatchObject(clean);
  });

  test('of what is on no device are a notice, whatever the kind but a changed tool', async () => {
    const elsewhere = processFact(77);
    const facts = INTEGRITY_KINDS.map((kind) => fact(kind, { process: elsewhere.key }));
    await service.send(stream.batch(START, START + HOUR, { inventory: [gpu], integrity: facts }));
    await service.attribution.whenIdle();
    const grave = findings().filter(({ severity }) => severity !== 'notice');
    expect(findings()).toHaveLength(INTEGRITY_KINDS.length);
    expect(grave.map(({ reason }) => reason)).toEqual(['tool_changed']);
  });

  test('add up over hours and keep the gravest of them, in whatever order the hours come', async () => {
    const states: Record<string, unknown>[][] = [];
    for (const late of [0, 1]) {
      const own = startService(START + 4 * HOUR);
      stream = new Stream('n1');
      const onDevice = hour(START, fact('process_covered', { process: worker.key }));
      const offDevice = stream.batch(START + HOUR, START + 2 * HOUR, {
        processes: [worker],
        integrity: [
          fact('process_covered', { process: worker.key, firstMs: START + HOUR, lastMs: START + HOUR + 1 }),
        ],
      });
      await own.send(onDevice, offDevice);
      await own.attribution.whenIdle();
      own.tamper(`INSERT INTO dirty_hours (node, hour_ms, urgent, seq, since_ms)
        VALUES (1, ${START + late * HOUR}, 0, 1, 0)`);
      await own.attribution.whenIdle();
      states.push(own.rows('SELECT id, severity, first_seen_ms, last_seen_ms FROM findings ORDER BY id'));
      await own.stop();
    }
    expect(states[0]).toContainEqual(
      expect.objectContaining({ severity: 'warn', last_seen_ms: START + HOUR + 1 }),
    );
    expect(states[1]).toEqual(states[0]);
  });

  test('are the same after a restart, a second attribution and sealing', async () => {
    await service.send(hour(START, fact('tool_exposed'), fact('process_hidden', { process: hidden.key })));
    await service.attribution.whenIdle();
    const before = findings();
    expect(before).toHaveLength(2);
    service.tamper('INSERT INTO dirty_hours SELECT node, hour_ms, 0, 1, 0, 0, 0, NULL FROM cells');
    const store = openSqlite({ file: service.file });
    await createAttribution(store, service.clock, createLive(), {
      error: (details) => expect.fail(JSON.stringify(details)),
    }).whenIdle();
    service.clock.set(START + HOUR + SEAL_AFTER_MS);
    await createSealer(store, service.clock, { error: () => undefined }).tick();
    await store.close();
    expect(findings()).toEqual(before);
    expect(service.rows('SELECT text FROM finding_history')).toEqual([]);
    expect(await report()).toMatchObject(clean);
  });

  test('of more processes than are told apart are one of the node; nothing is left out', async () => {
    const facts = Array.from({ length: MAX_SUBJECTS + 5 }, (_, at) =>
      fact('process_covered', { process: `${at + 100}/1`, firstMs: START + at, lastMs: START + HOUR + 9 }),
    );
    await service.send(hour(START, ...facts));
    await service.attribution.whenIdle();
    const found = findings();
    expect(found).toHaveLength(MAX_SUBJECTS + 1);
    expect(found.filter(({ pid }) => pid === null)).toEqual([
      // The sixth from the end came first of those, and nothing is seen after the hour that reports it.
      expect.objectContaining({ first: MAX_SUBJECTS, last: HOUR }),
    ]);
  });

  test('whose facts are gone no longer stand, and say so', async () => {
    await service.send(hour(START, fact('preload_set')));
    await service.attribution.whenIdle();
    service.tamper(`UPDATE batches SET body = json_set(body, '$.integrity', json('[]'));
      INSERT INTO dirty_hours SELECT node, hour_ms, 0, 1, 0, 0, 0, NULL FROM cells`);
    // Another process of the service: this one has the batches in memory.
    const store = openSqlite({ file: service.file });
    await createAttribution(store, service.clock, createLive(), {
      error: (details) => expect.fail(JSON.stringify(details)),
    }).whenIdle();
    await store.close();
    expect(findings()).toEqual([expect.objectContaining({ reason: 'preload_set', resolved: 1 })]);
    expect(service.rows('SELECT text FROM finding_history')).toEqual([
      { text: 'By what is known now nothing reports it.' },
    ]);
  });

  test.each([
    ['severity', "UPDATE findings SET severity = 'notice' WHERE kind = 'integrity'"],
    [
      'severity in every place',
      `UPDATE findings SET severity = 'notice' WHERE kind = 'integrity';
      UPDATE finding_parts SET severity = 'notice' WHERE device = 0`,
    ],
    ['reason', "UPDATE findings SET reason = 'preload_set' WHERE kind = 'integrity'"],
    ['time', 'UPDATE finding_parts SET last_ms = last_ms + 1 WHERE device = 0'],
    ['process', 'UPDATE finding_parts SET process = NULL WHERE device = 0'],
  ])('whose %s was changed are told by verify', async (_, sql) => {
    await service.send(hour(START, fact('process_hidden', { process: hidden.key })));
    await service.attribution.whenIdle();
    expect(await report()).toMatchObject(clean);
    service.tamper(sql);
    expect((await report()).ok).toBe(false);
  });
});

describe('what a node is read with', () => {
  const tool = (sha256: string): ToolFact => ({
    ...{ role: 'nvidia_smi', path: '/usr/bin/nvidia-smi', device: '8:1', inode: '5', ownerUid: 0 },
    ...{ sizeBytes: 100, sha256: sha256.repeat(64), version: null },
  });
  const listed = () =>
    service.rows(
      'SELECT substr(t.sha256, 1, 1) AS sha, s.tools_driver_version AS driver FROM node_tools t JOIN node_state s',
    );

  test('is what its newest list says, in whatever order lists come; verify holds it to that', async () => {
    const later = stream.batch(START + MINUTE, START + 2 * MINUTE, { tools: [tool('b')] });
    const silent = stream.batch(START + 2 * MINUTE, START + 3 * MINUTE, { driverVersion: '580.1' });
    const earlier = stream.batch(START, START + MINUTE, { tools: [tool('a'), tool('c')] });
    await service.send(later, silent, earlier);
    await service.attribution.whenIdle();
    expect(listed()).toEqual([{ sha: 'b', driver: '570.10' }]);
    expect(await report()).toMatchObject(clean);
    service.tamper(`UPDATE node_tools SET sha256 = '${'d'.repeat(64)}'`);
    expect((await report()).differences).toEqual([
      expect.objectContaining({ kind: 'tampered', where: expect.stringContaining('GPUs are read with') }),
    ]);
  });

  test('can be nothing, which is not the same as never told', async () => {
    await service.send(stream.batch(START, START + MINUTE, { tools: [tool('a')] }));
    await service.send(stream.batch(START + MINUTE, START + 2 * MINUTE, { tools: [] }));
    expect(listed()).toEqual([]);
    expect(service.rows('SELECT tools_from_ms FROM node_state')).toEqual([{ tools_from_ms: START + MINUTE }]);
    expect(await report()).toMatchObject({ ok: true });
  });
});
