/** The life of a finding: awaiting a record, settled, covered by a late record, and back when that is corrected. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FindingDetail, FindingList } from '../../api/contract/findings.ts';
import {
  agentOf,
  CLUSTER,
  device,
  HOUR,
  handClock,
  MINUTE,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const clock = handClock(START + HOUR + 10_000);
const gpu = device('n1', 0);
const time = (ms: number): string => new Date(ms).toISOString();
const me = { name: 'test', role: 'admin', node: null, accounts: null } as const;

let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  token = await service.tokenFor('admin');
  const process = processFact(10, { cgroup: '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0' });
  const hour = new Stream('n1').batch(START, START + HOUR, {
    inventory: [gpu],
    processes: [process],
    tenancies: [tenancy(gpu.uuid, START, HOUR, process)],
  });
  await service.app.services.ingest.accept(agentOf('n1'), post(hour));
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

const list = async () => FindingList.parse((await service.ask('GET', '/v1/findings', { token })).json).items;
const show = async (id: string) =>
  FindingDetail.parse((await service.ask('GET', `/v1/findings/${id}`, { token })).json);

test('a verdict changes with the records, and what was said before stays', async () => {
  const { declarations } = service.app.services;
  const [first] = await list();
  if (first === undefined) throw new Error('there is no finding');
  expect(first).toMatchObject({ reason: 'unknown_job', provisionalMs: 50_000, resolvedAt: null });

  // Nobody reports any more; the wait for a self-declaration passes all the same.
  clock.set(START + HOUR + MINUTE);
  await service.app.attribution.whenIdle();
  expect(await list()).toMatchObject([{ id: first.id, state: 'settled', activeMs: HOUR, provisionalMs: 0 }]);

  clock.set(START + 2 * HOUR);
  const job = {
    ...{ source: 'slurm', externalId: '7', account: 'research', start: time(START), end: time(START + HOUR) },
    allocations: [{ node: 'n1', devices: [gpu.uuid] }],
  };
  const declared = await service.ask('POST', '/v1/jobs', { token, body: job });
  expect(declared.status).toBe(201);
  await service.app.attribution.whenIdle();
  expect(await list()).toEqual([]);
  const covered = await show(first.id);
  expect(covered).toMatchObject({
    ...{ activeMs: 0, residentMs: 0, running: false, resolvedAt: time(START + 2 * HOUR), timelines: [] },
    story: { candidates: [], innocentCauses: [] },
  });
  expect(covered.story.observed[0]).toContain('no time of this source is');
  expect(covered.history.map((entry) => entry.text)).toEqual([
    'Until now 1 h 00 min were unaccounted (inside a job that nobody had declared). ' +
      'Later records cover all of it: slurm 7 (version 1, recorded at 2026-10-05 10:00:00 UTC by admin token).',
  ]);

  // The end turns out to have been earlier, then later again.
  const [{ id } = { id: '' }] = (await service.app.services.queries.jobs(me, { limit: 1 })).items;
  await declarations.patchJob(me, id, { end: time(START + 30 * MINUTE) });
  await service.app.attribution.whenIdle();
  expect(await list()).toMatchObject([
    { id: first.id, reason: 'after_end', activeMs: 30 * MINUTE, resolvedAt: null },
  ]);
  await declarations.patchJob(me, id, { end: time(START + 50 * MINUTE) });
  await service.app.attribution.whenIdle();
  expect(await list()).toMatchObject([{ id: first.id, activeMs: 10 * MINUTE }]);
  expect((await show(first.id)).history.map((entry) => entry.text).slice(1)).toEqual([
    'It was covered by records before; corrected records no longer cover it.',
    'Until now 30 min 00 s were unaccounted. ' +
      'Later records cover 20 min 00 s of it: slurm 7 (version 3, recorded at 2026-10-05 10:00:00 UTC by test).',
  ]);
});
