import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FleetIn } from '../../api/contract/fleet.ts';
import { createLive } from '../../api/services/live.ts';
import { createSilence, SILENT_AFTER_MS, type Silence } from '../../api/services/silence.ts';
import { verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { type Service, startService } from './service.ts';
import { caller, device, HOUR, MINUTE, processFact, START, Stream, tenancy } from './site.ts';

let service: Service;
let silence: Silence;
beforeEach(() => {
  service = startService();
  silence = createSilence(service.store, service.clock, createLive(), { error: () => undefined });
});
afterEach(async () => {
  const store = openSqlite({ file: service.file, readOnly: true });
  expect(await verify(store, () => undefined)).toMatchObject({ ok: true, differences: [], chain: [] });
  await store.close();
  expect(service.failures).toEqual([]);
  await service.stop();
});

const gpu = device('n1', 0);
const sums = () =>
  service.rows(
    'SELECT sum(capacity_ms) AS capacity, sum(idle_ms) AS idle, sum(unobserved_ms) AS unobserved FROM ledger_hours',
  );
const causes = () => service.rows('SELECT DISTINCT cause FROM entries WHERE cause IS NOT NULL ORDER BY 1');

async function hear(stream: Stream, fromMs: number, toMs: number): Promise<void> {
  await service.send(
    stream.batch(fromMs, toMs, { inventory: [gpu], tenancies: [tenancy(gpu.uuid, fromMs, toMs - fromMs)] }),
  );
}

describe('an agent that falls silent', () => {
  test('is booked as not measured after the grace, not before, and further each time', async () => {
    const stream = new Stream('n1');
    service.clock.set(START + MINUTE);
    await hear(stream, START, START + MINUTE);
    service.clock.set(START + MINUTE + SILENT_AFTER_MS);
    expect(await silence.tick()).toBe(0);
    service.clock.set(START + 10 * MINUTE + SILENT_AFTER_MS);
    expect(await silence.tick()).toBe(1);
    await service.attribution.whenIdle();
    expect(sums()).toEqual([{ capacity: 10 * MINUTE, idle: MINUTE, unobserved: 9 * MINUTE }]);
    service.clock.set(START + 100 * MINUTE + SILENT_AFTER_MS);
    await silence.tick();
    await service.attribution.whenIdle();
    expect(sums()).toEqual([{ capacity: 100 * MINUTE, idle: MINUTE, unobserved: 99 * MINUTE }]);
    expect(causes()).toEqual([{ cause: 'agent_silent' }]);
    expect(service.rows('SELECT count(*) AS n FROM silences')).toEqual([{ n: 1 }]);
  });

  test('and reports late takes its time back', async () => {
    const stream = new Stream('n1');
    service.clock.set(START + MINUTE);
    await hear(stream, START, START + MINUTE);
    service.clock.set(START + HOUR);
    await silence.tick();
    await service.attribution.whenIdle();
    await hear(stream, START + MINUTE, START + 30 * MINUTE);
    await service.attribution.whenIdle();
    const booked = HOUR - SILENT_AFTER_MS;
    expect(sums()).toEqual([{ capacity: booked, idle: 30 * MINUTE, unobserved: booked - 30 * MINUTE }]);
  });

  test('with slow polls is given four of them', async () => {
    const stream = new Stream('n1');
    service.clock.set(START + MINUTE);
    await service.send(stream.batch(START, START + MINUTE, { inventory: [gpu], pollIntervalMs: MINUTE }));
    service.clock.set(START + 5 * MINUTE);
    expect(await silence.tick()).toBe(0);
    service.clock.set(START + 5 * MINUTE + 1);
    expect(await silence.tick()).toBe(1);
    await service.attribution.whenIdle();
  });

  test('while history is loaded is not silent', async () => {
    service.clock.set(START + 100 * HOUR);
    await hear(new Stream('n1'), START, START + MINUTE);
    expect(await silence.tick()).toBe(0);
    await service.attribution.whenIdle();
  });
});

describe('a node of the fleet list', () => {
  const list = (more: Record<string, unknown> = {}) =>
    FleetIn.parse({
      nodes: [
        {
          node: 'n1',
          group: 'new racks',
          mode: 'observe',
          from: new Date(START - 2 * HOUR).toISOString(),
          devices: [{ uuid: gpu.uuid, model: gpu.model, index: 0 }],
          ...more,
        },
      ],
    });
  const put = (more: Record<string, unknown> = {}) =>
    service.declarations.putFleet(caller('admin'), list(more));

  test('that never enrolled is not measured from its date on', async () => {
    const result = await put();
    expect(result.changes.map((one) => one.change)).toEqual([
      'new, in group new racks',
      'group new racks becomes observe',
      `capacity on n1 from ${new Date(START - 2 * HOUR).toISOString()}`,
    ]);
    await silence.tick();
    await service.attribution.whenIdle();
    const booked = 2 * HOUR - SILENT_AFTER_MS;
    expect(sums()).toEqual([{ capacity: booked, idle: 0, unobserved: booked }]);
    expect(causes()).toEqual([{ cause: 'not_enrolled' }]);
    expect(service.rows('SELECT name, mode FROM node_groups ORDER BY name')).toEqual([
      { name: 'default', mode: 'live' },
      { name: 'new racks', mode: 'observe' },
    ]);
  });

  test('imported again changes nothing; a dry run changes nothing either', async () => {
    const dry = await service.declarations.putFleet(caller('admin'), { ...list(), dryRun: true });
    expect(dry.changes).toHaveLength(3);
    expect(service.rows('SELECT * FROM nodes')).toEqual([]);
    await put();
    expect((await put()).changes).toEqual([]);
  });

  test('that enrols is measured from then on', async () => {
    await put();
    await silence.tick();
    await service.attribution.whenIdle();
    service.clock.set(START + MINUTE);
    await hear(new Stream('n1'), START, START + MINUTE);
    await service.attribution.whenIdle();
    expect(sums()).toEqual([{ capacity: 2 * HOUR + MINUTE, idle: MINUTE, unobserved: 2 * HOUR }]);
  });

  test('was not enrolled before its first report, whenever that comes and whoever was quicker', async () => {
    await put();
    await silence.tick();
    await service.attribution.whenIdle();
    service.clock.set(START + 2 * HOUR);
    await hear(new Stream('n1'), START + HOUR + MINUTE, START + HOUR + 2 * MINUTE);
    await service.attribution.whenIdle();
    const unmeasured = () =>
      service.rows(
        'SELECT cause, sum(ms) AS ms FROM entries WHERE cause IS NOT NULL GROUP BY cause ORDER BY 1',
      );
    expect(unmeasured()).toEqual([{ cause: 'not_enrolled', ms: 3 * HOUR + MINUTE }]);
    await hear(new Stream('n1', 'recovered'), START - HOUR, START - HOUR + MINUTE);
    await service.attribution.whenIdle();
    expect(unmeasured()).toEqual([
      { cause: 'agent_silent', ms: 2 * HOUR },
      { cause: 'not_enrolled', ms: HOUR },
    ]);
  });

  test('that is retired has no capacity after that', async () => {
    await put();
    await silence.tick();
    await put({ to: new Date(START - HOUR).toISOString() });
    await service.attribution.whenIdle();
    expect(sums()).toEqual([{ capacity: HOUR, idle: 0, unobserved: HOUR }]);
    service.clock.set(START + 10 * HOUR);
    expect(await silence.tick()).toBe(0);
  });

  test('whose capacity turns out to have opened earlier, before its agent', async () => {
    service.clock.set(START + MINUTE);
    await hear(new Stream('n1'), START, START + MINUTE);
    await put();
    await service.attribution.whenIdle();
    expect(sums()).toEqual([{ capacity: 2 * HOUR + MINUTE, idle: MINUTE, unobserved: 2 * HOUR }]);
  });

  test('may be imported by administrators only, without contradictions', async () => {
    await expect(service.declarations.putFleet(caller('scheduler'), list())).rejects.toMatchObject({
      code: 'forbidden',
    });
    const twice = { ...list(), nodes: [...list().nodes, ...list().nodes] };
    await expect(service.declarations.putFleet(caller('admin'), twice)).rejects.toMatchObject({
      errors: [{ field: 'nodes.1.devices.0.uuid' }],
    });
  });
});

test('a device that left is booked on its former node by reports that come late', async () => {
  service.clock.set(START + 5 * HOUR);
  await hear(new Stream('n2'), START + 2 * HOUR, START + 3 * HOUR);
  await service.attribution.whenIdle();
  await hear(new Stream('n1'), START, START + HOUR);
  await hear(new Stream('n1', 'other'), START + HOUR, START + HOUR + MINUTE);
  await service.attribution.whenIdle();
  expect(
    service.rows(
      'SELECT n.name, c.from_ms, c.to_ms FROM capacity c JOIN nodes n ON n.node = c.node ORDER BY 2',
    ),
  ).toEqual([
    { name: 'n1', from_ms: START, to_ms: START + 2 * HOUR },
    { name: 'n2', from_ms: START + 2 * HOUR, to_ms: null },
  ]);
  expect(sums()).toMatchObject([{ idle: 2 * HOUR + MINUTE }]);
});

test('a device whose model has another name now is summed under that, on all of its days', async () => {
  const days = () => service.rows('SELECT model, sum(capacity_ms) AS ms FROM ledger_days GROUP BY model');
  service.clock.set(START + 30 * HOUR);
  const stream = new Stream('n1');
  await hear(stream, START, START + MINUTE);
  await service.attribution.whenIdle();
  const renamed = { ...gpu, model: 'H100 SXM' };
  const at = START + 24 * HOUR;
  await service.send(stream.batch(at, at + MINUTE, { inventory: [renamed] }));
  await service.attribution.whenIdle();
  // An older inventory that comes later does not bring the old name back.
  await hear(new Stream('n1', 'recovered'), START + HOUR, START + HOUR + MINUTE);
  await service.attribution.whenIdle();
  expect(days()).toEqual([{ model: 'H100 SXM', ms: 24 * HOUR + MINUTE }]);
});

test('a device that moves takes its capacity along', async () => {
  service.clock.set(START + 3 * HOUR);
  await hear(new Stream('n1'), START, START + MINUTE);
  const other = new Stream('n2');
  const process = processFact(10);
  await service.send(
    other.batch(START + HOUR, START + HOUR + MINUTE, {
      inventory: [gpu],
      processes: [process],
      tenancies: [tenancy(gpu.uuid, START + HOUR, MINUTE, process)],
    }),
  );
  service.clock.set(START + 4 * HOUR);
  await silence.tick();
  await service.attribution.whenIdle();
  expect(
    service.rows(
      'SELECT n.name, sum(l.capacity_ms) AS ms FROM ledger_hours l JOIN nodes n ON n.node = l.node GROUP BY n.name ORDER BY 1',
    ),
  ).toEqual([
    { name: 'n1', ms: HOUR },
    { name: 'n2', ms: 3 * HOUR - SILENT_AFTER_MS },
  ]);
});
