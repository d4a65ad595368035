// Devices declared by their minor numbers: which device a number means, when, and what an inventory changes by coming.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DeviceFact } from '../../api/contract/batch.ts';
import { JobIn } from '../../api/contract/jobs.ts';
import { minorStretches } from '../../api/domain/minors.ts';
import { verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { type Service, startService } from './service.ts';
import { caller, device, HOUR, START, Stream, tenancy } from './site.ts';

const SECOND_BOOT = '5e0a7b1c-0000-4000-8000-000000000002';
let service: Service;
beforeEach(() => {
  service = startService(START + 6 * HOUR);
});
afterEach(async () => {
  expect(service.failures).toEqual([]);
  const store = openSqlite({ file: service.file, readOnly: true });
  const report = await verify(store, () => undefined);
  await store.close();
  expect(report).toMatchObject({ ok: true, differences: [], chain: [] });
  await service.stop();
});

const time = (ms: number) => new Date(ms).toISOString();
/** The driver's order (index) is not the kernel's (minor): 0 is minor 1 and 1 is minor 0. */
const crossed: readonly DeviceFact[] = [
  { ...device('n1', 0), minor: 1 },
  { ...device('n1', 1), minor: 0 },
];
const [ZERO, ONE] = ['GPU-n1-0', 'GPU-n1-1'];

/** An hour of a node whose devices idle. */
const hourOf = (stream: Stream, hour: number, inventory: readonly DeviceFact[], bootId?: string) =>
  stream.batch(START + hour * HOUR, START + (hour + 1) * HOUR, {
    inventory: [...inventory],
    tenancies: inventory.map((one) => tenancy(one.uuid, START + hour * HOUR, HOUR)),
    ...(bootId === undefined ? {} : { bootId }),
  });

const held = () =>
  service
    .rows(
      `SELECT (l.hour_ms - ${START}) / ${HOUR} AS hour, j.external_id AS job, d.uuid, l.allocated_ms AS ms
       FROM ledger_hours l JOIN jobs j ON j.job = l.holder JOIN devices d ON d.device = l.device ORDER BY 1, 2, 3`,
    )
    .map((row) => `${row['hour']} ${row['job']} ${row['uuid']} ${Number(row['ms']) / HOUR}`);

const declare = async (externalId: string, from: number, to: number | null, indices: number[]) => {
  const input = JobIn.parse({
    ...{ source: 'slurm', account: 'physics', externalId, start: time(START + from * HOUR) },
    end: to === null ? null : time(START + to * HOUR),
    allocations: [{ node: 'n1', indices }],
  });
  return (await service.declarations.declareJob(caller('scheduler'), input)).job;
};

describe('devices declared by minor number', () => {
  test('are pending until an inventory of the node comes, and then hold from the start', async () => {
    const before = await declare('7', 0, null, [0, 9]);
    expect(before.allocations).toMatchObject([
      { devices: [], indices: [0, 9], pending: [0, 9], count: null },
    ]);
    await service.send(hourOf(new Stream('n1'), 0, crossed));
    await service.attribution.whenIdle();
    expect(held()).toEqual([`0 7 ${ONE} 1`]);
    const again = await declare('7', 0, null, [9, 0]);
    expect(again).toMatchObject({
      version: 1,
      allocations: [{ devices: [ONE], indices: [0, 9], pending: [9] }],
    });
  });

  test('a later inventory changes what was attributed without it', async () => {
    const stream = new Stream('n1');
    const silent = crossed.map((one) => ({ ...one, minor: null }));
    await service.send(hourOf(stream, 0, silent));
    await declare('7', 0, 2, [1]);
    await service.attribution.whenIdle();
    expect(held()).toEqual([]);
    await service.send(hourOf(stream, 1, crossed));
    await service.attribution.whenIdle();
    expect(held()).toEqual([`0 7 ${ZERO} 1`, `1 7 ${ZERO} 1`]);
  });

  test('a number that means another device after a boot means the old one before it', async () => {
    const stream = new Stream('n1');
    await declare('a', 0, 1, [0]);
    await declare('b', 1, 2, [0]);
    await declare('c', 0, 2, [0, 1]);
    await service.send(hourOf(stream, 0, crossed));
    const swapped = [device('n1', 0), device('n1', 1)];
    await service.send(hourOf(stream, 1, swapped, SECOND_BOOT));
    await service.attribution.whenIdle();
    const halves = (job: string, hour: number, uuid: string) => `${hour} ${job} ${uuid} 0.5`;
    expect(held()).toEqual([
      halves('a', 0, ONE),
      `0 c ${ZERO} 1`,
      halves('c', 0, ONE),
      halves('b', 1, ZERO),
      halves('c', 1, ZERO),
      `1 c ${ONE} 1`,
    ]);
  });

  test('a device that a boot no longer shows is nobody’s by number', async () => {
    const stream = new Stream('n1');
    await service.send(hourOf(stream, 0, crossed));
    await service.send(hourOf(stream, 1, crossed.slice(1), SECOND_BOOT));
    await declare('7', 0, 2, [1]);
    await service.attribution.whenIdle();
    expect(held()).toEqual([`0 7 ${ZERO} 1`]);
  });
});

test('the order in which inventories come does not matter', () => {
  const sightings = [
    { bootId: 'a', minor: 0, device: 'x', firstMs: 10 },
    { bootId: 'b', minor: 0, device: 'y', firstMs: 20 },
    { bootId: 'b', minor: 1, device: 'x', firstMs: 20 },
    { bootId: 'b', minor: 2, device: 'x', firstMs: 30 },
  ];
  const expected = [
    { minor: 0, device: 'x', fromMs: Number.NEGATIVE_INFINITY, toMs: 20 },
    { minor: 0, device: 'y', fromMs: 20, toMs: Number.POSITIVE_INFINITY },
    { minor: 1, device: 'x', fromMs: 20, toMs: 30 },
    { minor: 2, device: 'x', fromMs: 30, toMs: Number.POSITIVE_INFINITY },
  ];
  expect(minorStretches(sightings)).toEqual(expected);
  const back = minorStretches(sightings.toReversed());
  expect(back).toHaveLength(expected.length);
  expect(back).toEqual(expect.arrayContaining(expected));
});
