/** Declarations that come too late, for somebody else, or beside another one: what the pages say of them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FindingDetail, FindingList } from '../../api/contract/findings.ts';
import { JobDetail, JobOut } from '../../api/contract/jobs.ts';
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

const clock = handClock(START + HOUR + 10 * MINUTE);
const gpu = device('n1', 0);
const time = (ms: number) => new Date(ms).toISOString();
let service: Service;
let auditor: string;

/** A process without a job, for an hour. */
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  auditor = await service.tokenFor('auditor');
  const process = processFact(7, { startedMs: START });
  const tenancies = [tenancy(gpu.uuid, START, HOUR, process)];
  const batch = new Stream('n1').batch(START, START + HOUR, {
    inventory: [gpu],
    processes: [process],
    tenancies,
  });
  await service.app.services.ingest.accept(agentOf('n1'), post(batch));
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

async function declare(externalId: string, users: string[] | null, more: Record<string, unknown> = {}) {
  const { text: token } = await service.app.services.tokens.create({
    ...{ name: `token of ${externalId}`, role: 'owner', node: null, accounts: ['theory'], users },
  });
  const body = {
    ...{ externalId, account: 'theory', user: 'mallory', start: time(START), end: time(START + HOUR) },
    ...{ allocations: [{ node: 'n1', devices: [gpu.uuid] }], ...more },
  };
  const answer = await service.ask('POST', '/v1/jobs', { token, body });
  expect(answer.status).toBe(201);
  return JobOut.parse(answer.json);
}

async function finding(): Promise<FindingDetail> {
  await service.app.attribution.whenIdle();
  const list = FindingList.parse((await service.ask('GET', '/v1/findings', { token: auditor })).json);
  return FindingDetail.parse(
    (await service.ask('GET', `/v1/findings/${list.items[0]?.id}`, { token: auditor })).json,
  );
}

test('what was declared afterwards is a candidate, with who said it when, and changes nothing', async () => {
  const before = await finding();
  expect(before.story.candidates).toEqual([]);
  const job = await declare('eval-run', null);
  expect(job.marks).toEqual(['backdated']);
  const after = await finding();
  expect(after).toMatchObject({ id: before.id, reason: 'no_job', activeMs: HOUR, resolvedAt: null });
  expect(after.story.candidates).toMatchObject([
    {
      job: { externalId: 'eval-run' },
      why: 'It was declared at 2026-10-05 09:10:00 UTC by token of eval-run, after the use; a self-declaration does not reach back.',
    },
  ]);
});

test('what is declared for an account that the token does not stand for covers nothing, and says so', async () => {
  const root = { node: 'n1', bootId: '5e0a7b1c-0000-4000-8000-000000000001', pid: 7, startTicks: 700 };
  clock.set(START + HOUR);
  const job = await declare('other', ['alice'], { root });
  clock.set(START + HOUR + 10 * MINUTE);
  expect(job.marks).toContain('other_user');
  const { reasons, story } = await finding();
  expect(reasons).toEqual(expect.arrayContaining(['wrong_user']));
  expect(story.candidates.find((one) => one.job.externalId === 'other')?.why).toMatch(
    /^It states mallory, for whom token of other does not declare: it covers nothing\./,
  );
});

test('two declarations of one device at one time are shown with each other', async () => {
  const from = { start: time(START + HOUR), end: time(START + 3 * HOUR) };
  clock.set(START + HOUR + 10 * MINUTE);
  const one = await declare('one', null, from);
  const two = await declare('two', null, { ...from, allocations: [{ node: 'n1' }] });
  await declare('later', null, { start: time(START + 3 * HOUR), end: time(START + 4 * HOUR) });
  await declare('half', null, { ...from, allocations: [{ node: 'n1', devices: ['GPU-other'] }] });
  const detail = await service.ask('GET', `/v1/jobs/${one.id}`, { token: auditor });
  expect(JobDetail.parse(detail.json).overlaps).toEqual([
    {
      job: expect.objectContaining({ id: two.id, externalId: 'two' }),
      node: 'n1',
      devices: [gpu.uuid],
      from: time(START + HOUR),
      to: time(START + 3 * HOUR),
    },
  ]);
});
