// Declarations as evidence: whose word counts from when on, what later versions may change, and what is marked.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ProcessFact } from '../../api/contract/batch.ts';
import { JobIn, type JobPatch } from '../../api/contract/jobs.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { type Service, startService } from './service.ts';
import {
  BOOT,
  caller,
  device,
  HOUR,
  MINUTE,
  personalOf,
  processFact,
  START,
  Stream,
  tenancy,
} from './site.ts';

let service: Service;
beforeEach(() => {
  service = startService(START);
});
afterEach(async () => {
  expect(service.failures).toEqual([]);
  await service.stop();
});

const gpus = [device('n1', 0), device('n1', 1)];
const [first = '', second = ''] = gpus.map((gpu) => gpu.uuid);
const time = (ms: number) => new Date(ms).toISOString();
const at = (minute: number) => START + minute * MINUTE;
const root = { node: 'n1', bootId: BOOT, pid: 10, startTicks: 1000 };

/** An hour in which these processes run on both devices. */
async function hourOf(...processes: ProcessFact[]): Promise<void> {
  const known = service.clock.nowMs();
  service.clock.set(at(60));
  const personal = personalOf('alice', 'python');
  await service.send(
    new Stream('n1').batch(
      START,
      at(60),
      {
        inventory: gpus,
        processes: processes.map((process) => ({ ...process, personal: personal.digest })),
        tenancies: gpus.map((gpu) => tenancy(gpu.uuid, START, HOUR, ...processes)),
      },
      [personal],
    ),
  );
  service.clock.set(known);
}

async function declare(minute: number, job: Record<string, unknown>, who: Caller = caller('admin')) {
  service.clock.set(at(minute));
  const input = JobIn.parse({
    ...{ source: 'run', externalId: 'r', account: 'physics', start: time(START), root },
    ...job,
  });
  return (await service.declarations.declareJob(who, input)).job;
}

const patch = (minute: number, id: string, change: JobPatch, who = caller('admin')) => {
  service.clock.set(at(minute));
  return service.declarations.patchJob(who, id, change);
};

/** Minutes of each device, in the order of time: what happened and why. */
async function booked(uuid = first): Promise<string[]> {
  service.clock.set(at(200));
  await service.attribution.whenIdle();
  const sums = service.rows(
    'SELECT sum(capacity_ms) AS a, sum(used_ms + held_ms + unaccounted_ms + idle_ms + unobserved_ms) AS b FROM ledger_hours',
  );
  expect(sums).toEqual([{ a: 2 * HOUR, b: 2 * HOUR }]);
  return service
    .rows(
      `SELECT e.bucket, e.reason, sum(e.ms) AS ms FROM entries e
       JOIN devices d ON d.device = e.device WHERE d.uuid = '${uuid}'
       GROUP BY e.bucket, e.reason ORDER BY min(e.from_ms)`,
    )
    .map((row) => `${row['reason'] ?? row['bucket']} ${Number(row['ms']) / MINUTE}`);
}

const both = [{ node: 'n1' }];
const process = processFact(10);

describe('a version of a self-declaration counts from a minute before it was recorded', () => {
  beforeEach(() => hourOf(process));

  test('an end that is put off: what lay between stays after the end', async () => {
    const { id } = await declare(0, { allocations: both, end: time(at(20)) });
    const { marks } = await patch(41, id, { end: time(at(50)) });
    expect(marks).toEqual(['extended']);
    expect(await booked()).toEqual(['used 30', 'after_end 30']);
    expect(service.rows("SELECT from_ms, to_ms FROM entries WHERE bucket = 'used' LIMIT 1")).toMatchObject([
      { from_ms: START },
    ]);
  });

  test('in time it is no gap', async () => {
    const { id } = await declare(0, { allocations: both, end: time(at(20)) });
    await patch(19, id, { end: time(at(40)) });
    await patch(40, id, { end: time(at(60)) });
    expect(await booked()).toEqual(['used 60']);
  });

  test('an end that is said late to have been earlier counts at once', async () => {
    const { id } = await declare(0, { allocations: both });
    const { marks } = await patch(59, id, { end: time(at(20)) });
    expect(marks).toEqual([]);
    expect(await booked()).toEqual(['used 20', 'after_end 40']);
  });

  test('devices that are added', async () => {
    const { id } = await declare(0, { allocations: [{ node: 'n1', devices: [first] }] });
    await patch(31, id, { allocations: [{ node: 'n1', devices: [first, second], share: 1 }] });
    expect(await booked()).toEqual(['used 60']);
    expect(await booked(second)).toEqual(['outside_allocation 30', 'used 30']);
  });

  test('executables that are added', async () => {
    const { id } = await declare(0, { allocations: both, executables: ['/opt/train'] });
    const { marks } = await patch(31, id, { executables: ['/opt/train', '/usr/bin/python3'] });
    expect(marks).toEqual(['extended']);
    expect(await booked()).toEqual(['foreign_in_job 30', 'used 30']);
  });

  test('a user that is corrected', async () => {
    const { id } = await declare(0, { allocations: both, user: 'bob' });
    await patch(31, id, { user: 'alice' });
    expect(await booked()).toEqual(['wrong_user 30', 'used 30']);
  });

  test('a job that moves to another node keeps what it held until then', async () => {
    const { id } = await declare(0, { allocations: both });
    await patch(31, id, { allocations: [{ node: 'n2', share: 1 }] });
    expect(await booked()).toEqual(['used 30', 'outside_allocation 30']);
  });

  test('a root that is named later', async () => {
    await declare(0, { allocations: [], root: null });
    await declare(31, { allocations: both });
    expect(await booked()).toEqual(['before_start 30', 'used 30']);
  });

  test('a scheduler’s later word holds for all time', async () => {
    const slurm = { source: 'slurm', boundaries: [], allocations: both };
    const { id, marks } = await declare(10, { ...slurm, end: time(at(20)) });
    expect(marks).toEqual(['late']);
    await patch(41, id, { end: time(at(50)) });
    expect(await booked()).toEqual(['used 50', 'after_end 10']);
  });
});

test('the finding keeps what was said of it, and on whose word that changed', async () => {
  await hourOf(process);
  const { id } = await declare(0, { allocations: both, end: time(at(20)) });
  service.clock.set(at(61));
  await service.attribution.whenIdle();
  await patch(62, id, { end: time(at(90)) });
  service.clock.set(at(70));
  await service.attribution.whenIdle();
  // Recorded two minutes after the hour: it reaches back one.
  expect(service.rows('SELECT reason, active_ms FROM findings')).toEqual([
    { reason: 'after_end', active_ms: 80 * MINUTE },
  ]);
  const { id: other } = await declare(63, {
    source: 'slurm',
    boundaries: [],
    externalId: '7',
    allocations: both,
  });
  service.clock.set(at(200));
  await service.attribution.whenIdle();
  expect(other).not.toBe(id);
  expect(service.rows('SELECT text FROM finding_history ORDER BY at_ms DESC LIMIT 1')).toEqual([
    { text: expect.stringContaining('slurm 7 (version 1, recorded at 2026-10-05 09:03:00 UTC by admin)') },
  ]);
});

describe('whose word', () => {
  const owner = (users: readonly string[] | null) => caller('owner', { accounts: ['physics'], users });

  test('an owner declares for the accounts that the token stands for; for others it covers nothing', async () => {
    await hourOf(process);
    const job = { allocations: both, user: 'alice' };
    expect((await declare(0, { ...job, user: 'bob' }, owner(['alice']))).marks).toEqual(['other_user']);
    expect(await booked()).toEqual(['wrong_user 60']);
  });

  test('an administrator vouches for it from then on by saying the same', async () => {
    await hourOf(process);
    const { id, marks } = await declare(0, { allocations: both, user: 'alice' }, owner(['bob']));
    expect(marks).toEqual(['other_user']);
    expect((await patch(31, id, { user: 'alice' })).marks).toEqual([]);
    expect(await booked()).toEqual(['wrong_user 30', 'used 30']);
  });

  test('who touches nothing of it leaves the mark, and cannot take it away', async () => {
    const { id } = await declare(0, { allocations: both, user: 'bob' }, owner(['alice']));
    expect((await patch(1, id, { name: 'x' }, owner(['alice']))).marks).toEqual(['other_user']);
    expect((await patch(2, id, { user: 'alice' }, owner(['alice']))).marks).toEqual(['extended']);
  });

  test('a token that stands for any account, and an administrator, are not asked', async () => {
    expect((await declare(0, { allocations: both, user: 'bob' }, owner(null))).marks).toEqual([]);
    expect((await declare(0, { allocations: both, user: 'bob', externalId: 'b' })).marks).toEqual([]);
  });
});

describe('marks', () => {
  const open = { source: 'api', root: null, allocations: both };

  test('what was declared late by a person is backdated, by a source late', async () => {
    expect((await declare(2, { allocations: [] })).marks).toEqual(['backdated']);
    expect((await declare(2, { allocations: [], source: 'slurm' })).marks).toEqual(['late']);
    expect((await declare(1, { allocations: [], externalId: 'b' })).marks).toEqual([]);
  });

  test('what would cover anything is broad, and covers it all the same', async () => {
    await hourOf(processFact(10));
    const end = time(START + 8 * 24 * HOUR);
    expect((await declare(0, { ...open, externalId: 'a', end })).marks).toEqual(['broad']);
    expect((await declare(0, { ...open, externalId: 'b', user: 'alice' })).marks).toEqual(['broad']);
    expect((await declare(0, { ...open, externalId: 'c', user: 'alice', end: time(at(60)) })).marks).toEqual(
      [],
    );
    expect((await declare(0, { ...open, externalId: 'd', executables: ['/a'] })).marks).toEqual([]);
    expect((await declare(0, { ...open, externalId: 'e', source: 'slurm' })).marks).toEqual([]);
    expect((await declare(0, { ...open, externalId: 'f', root })).marks).toEqual([]);
  });
});

test('what a job says it runs comes back, changes, and is kept in every version', async () => {
  const said = {
    image: 'registry/train@sha256:0123',
    entrypoint: ['python', 'train.py'],
    commandPattern: '*train.py*',
    peers: ['10.0.0.0/8', 'db.internal:5432'],
    processesPerDevice: 2,
    within: { source: 'slurm', externalId: '8' },
  };
  const job = await declare(0, { allocations: both, ...said });
  expect(job).toMatchObject(said);
  expect((await declare(1, { allocations: both, ...said })).version).toBe(1);
  const changed = await patch(2, job.id, { image: null, entrypoint: [], processesPerDevice: 3 });
  expect(changed).toMatchObject({ ...said, image: null, entrypoint: [], processesPerDevice: 3, version: 2 });
});

test('a job of people has so many versions at most', async () => {
  const { id } = await declare(0, { allocations: [] });
  for (let version = 2; version <= 100; version += 1) await patch(0, id, { name: `n${version}` });
  await expect(patch(0, id, { name: 'one more' })).rejects.toMatchObject({ code: 'invalid' });
});
