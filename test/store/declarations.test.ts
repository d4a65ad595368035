import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JobIn } from '../../api/contract/jobs.ts';
import { type Service, startService } from './service.ts';
import { caller, HOUR, START } from './site.ts';

let service: Service;
beforeEach(() => {
  service = startService();
});
afterEach(() => service.stop());

const time = (ms: number) => new Date(ms).toISOString();
const job = (more: Record<string, unknown> = {}) =>
  JobIn.parse({
    source: 'slurm',
    externalId: '7',
    account: 'physics',
    start: time(START),
    allocations: [],
    ...more,
  });
const declare = (more: Record<string, unknown>, who = caller('scheduler')) =>
  service.declarations.declareJob(who, job(more));

describe('who may declare what', () => {
  test.each(['agent', 'viewer', 'finance', 'auditor'] as const)('a %s declares nothing', async (role) => {
    await expect(declare({ source: 'api' }, caller(role))).rejects.toMatchObject({ code: 'forbidden' });
  });

  test('an owner declares jobs of own accounts, in no scheduler’s name', async () => {
    const owner = caller('owner', { accounts: ['physics'] });
    expect((await declare({ source: 'api' }, owner)).job.selfDeclared).toBe(true);
    await expect(declare({ source: 'slurm' }, owner)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(declare({ source: 'api', account: 'biology' }, owner)).rejects.toMatchObject({
      code: 'forbidden',
    });
  });

  test('an owner cannot take over the job of another account', async () => {
    const { job: known } = await declare({ source: 'api', account: 'biology' }, caller('admin'));
    const owner = caller('owner', { accounts: ['physics'] });
    await expect(
      service.declarations.patchJob(owner, known.id, { account: 'physics' }),
    ).rejects.toMatchObject({
      code: 'not_found',
    });
    // By its id neither, and without being told whose it is.
    const refused = declare({ source: 'api', account: 'physics' }, owner);
    await expect(refused).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.not.stringContaining('biology'),
    });
  });
});

describe('what a declaration becomes', () => {
  test('times, shares and the default boundary of a scheduler', async () => {
    const { job: out, created } = await declare({
      end: time(START + HOUR),
      allocations: [{ node: 'n1', devices: ['GPU-b', 'GPU-a', 'GPU-b'], share: 0.0001 }],
    });
    expect(created).toBe(true);
    expect(out).toMatchObject({
      boundaries: ['slurm:7'],
      selfDeclared: false,
      version: 1,
      allocations: [
        { node: 'n1', devices: ['GPU-a', 'GPU-b'], count: null, start: time(START), end: null, share: 0.001 },
      ],
    });
    expect(out.id).toMatch(/^j_[0-9a-f]{16}$/);
  });

  test('the same again, whoever says it and however it is ordered, is the same version', async () => {
    const first = await declare({ executables: ['/a', '/b'] });
    const again = await declare({ executables: ['/b', '/a', '/a'] }, caller('admin'));
    expect(again).toEqual({ job: first.job, created: false });
  });

  test('two at once are one job', async () => {
    const both = await Promise.all([declare({}), declare({})]);
    expect(both.map((one) => one.created).sort()).toEqual([false, true]);
  });

  test('another incarnation or instance is another job', async () => {
    const jobs = [
      await declare({}),
      await declare({ incarnation: 1 }),
      await declare({ sourceInstance: 'east' }),
    ];
    expect(new Set(jobs.map((one) => one.job.id)).size).toBe(3);
  });

  test('a start that moves takes along the allocations that began with the job', async () => {
    const { job: known } = await declare({
      allocations: [{ node: 'n1' }, { node: 'n2', start: time(START + HOUR) }],
    });
    const moved = await service.declarations.patchJob(caller('scheduler'), known.id, {
      start: time(START + 60_000),
    });
    expect(moved.allocations.map((one) => one.start)).toEqual([time(START + 60_000), time(START + HOUR)]);
  });

  test('contradictions name the field', async () => {
    const { job: known } = await declare({});
    await expect(
      service.declarations.patchJob(caller('scheduler'), known.id, { end: time(START - 1) }),
    ).rejects.toMatchObject({ code: 'invalid', errors: [{ field: 'end' }] });
    const early = { allocations: [{ node: 'n1', end: time(START - 1) }] };
    await expect(declare({ externalId: '8', ...early })).rejects.toMatchObject({
      errors: [{ field: 'allocations.0.end' }],
    });
    await expect(
      service.declarations.patchJob(caller('scheduler'), 'j_0000000000000000', { name: 'x' }),
    ).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('sources', () => {
  const put = (source: string, ms: number, who = caller('scheduler')) =>
    service.declarations.putSource(who, source, 'default', ms);

  test('move forward only, and keep every move', async () => {
    await put('slurm', START - HOUR);
    await put('slurm', START - 2 * HOUR);
    await put('slurm', START);
    expect(service.rows('SELECT complete_to_ms FROM sources')).toEqual([{ complete_to_ms: START }]);
    expect(service.rows('SELECT complete_to_ms FROM source_watermarks ORDER BY seq')).toEqual([
      { complete_to_ms: START - HOUR },
      { complete_to_ms: START },
    ]);
  });

  test('refuse the future, self-declared ones, and others than schedulers', async () => {
    await expect(put('slurm', START + HOUR)).rejects.toMatchObject({ errors: [{ field: 'completeTo' }] });
    await expect(put('run', START)).rejects.toMatchObject({ errors: [{ field: 'source' }] });
    await expect(put('slurm', START, caller('viewer'))).rejects.toMatchObject({ code: 'forbidden' });
  });
});

describe('rates', () => {
  const card = {
    effectiveFrom: time(START),
    currency: 'EUR',
    perGpuHour: { default: '2.5', H100: '123456789012345.000001' },
  };

  test('are kept exactly and written to the journal', async () => {
    await service.declarations.putRates(caller('finance'), card);
    expect(service.rows('SELECT model, micros_per_gpu_hour AS micros FROM rates ORDER BY model')).toEqual([
      { model: 'H100', micros: '123456789012345000001' },
      { model: 'default', micros: '2500000' },
    ]);
    expect(service.rows('SELECT action, actor FROM journal')).toEqual([
      { action: 'rates.set', actor: 'finance' },
    ]);
  });

  test('are set by finance and administrators only', async () => {
    await expect(service.declarations.putRates(caller('scheduler'), card)).rejects.toMatchObject({
      code: 'forbidden',
    });
  });
});
