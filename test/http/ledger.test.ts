/** What comes out of a site with declared, foreign and undeclared use: sums, findings, jobs, statements, events. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Statement } from '../../api/contract/finance.ts';
import { FindingDetail, FindingList } from '../../api/contract/findings.ts';
import { DeviceList, NodeList, NodeOut } from '../../api/contract/fleet.ts';
import { JobDetail, JobList } from '../../api/contract/jobs.ts';
import { LEDGER_GROUPS, LedgerAnswer, type Sums } from '../../api/contract/ledger.ts';
import { Overview } from '../../api/contract/overview.ts';
import {
  agentOf,
  BOOT,
  CLUSTER,
  device,
  HOUR,
  handClock,
  MINUTE,
  personalOf,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const time = (ms: number): string => new Date(ms).toISOString();
const slurm = (id: string): string => `0::/system.slice/slurmstepd.scope/job_${id}/step_0/user/task_0`;
const clock = handClock(START + 3 * HOUR);
const [gpu0, gpu1] = [device('n1', 0), device('n1', 1)];

let service: Service;
let admin: string;
let jobId: string;

/** Job 7 of account "=research" holds both GPUs; its trainer uses one, a foreign program the other; later nobody declared. */
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  admin = await service.tokenFor('admin');
  const { ingest, declarations } = service.app.services;
  const me = { name: 'test', role: 'admin', node: null, accounts: null } as const;
  await declarations.putRates(me, {
    effectiveFrom: time(START - 24 * HOUR),
    currency: 'EUR',
    perGpuHour: { default: '2.50' },
  });
  const declared = await service.ask('POST', '/v1/jobs', {
    token: admin,
    body: {
      source: 'slurm',
      externalId: '7',
      account: '=research',
      user: 'alice',
      start: time(START),
      end: time(START + HOUR),
      allocations: [{ node: 'n1', devices: [gpu0.uuid, gpu1.uuid] }],
      executables: ['/usr/bin/python*'],
    },
  });
  expect(declared.status).toBe(201);
  // Another job of the same node, long after: it is nobody's candidate.
  await service.ask('POST', '/v1/jobs', {
    token: admin,
    body: {
      ...{ source: 'slurm', externalId: '8', account: 'physics', start: time(START + 2.5 * HOUR) },
      allocations: [{ node: 'n1' }],
    },
  });
  jobId = JobList.shape.items.element.shape.id.parse((declared.json as { id: string }).id);
  const personal = personalOf('alice', './xmrig\u001b[31m --pool');
  const shell = processFact(20, { cgroup: slurm('7'), comm: 'bash', executable: exe('/usr/bin/bash') });
  const trainer = processFact(10, { cgroup: slurm('7'), parent: shell.key });
  const foreign = processFact(11, {
    cgroup: slurm('7'),
    comm: 'xmrig',
    parent: shell.key,
    executable: exe('/tmp/xmrig'),
    personal: personal.digest,
  });
  const stray = processFact(12, { executable: exe('/home/bob/stray') });
  const stream = new Stream('n1');
  const answer = await ingest.accept(
    agentOf('n1'),
    post(
      stream.batch(
        START,
        START + HOUR,
        {
          inventory: [gpu0, gpu1],
          processes: [shell, trainer, foreign],
          tenancies: [
            tenancy(gpu0.uuid, START, HOUR, trainer),
            tenancy(gpu1.uuid, START, 30 * MINUTE),
            tenancy(gpu1.uuid, START + 30 * MINUTE, 30 * MINUTE, foreign),
          ],
          connections: [
            {
              process: foreign.key,
              kind: 'established',
              peerClass: 'external',
              localPort: 40_000,
              firstMs: START + 40 * MINUTE,
              lastMs: START + 50 * MINUTE,
              peers: 1,
              personal: null,
            },
          ],
        },
        [personal],
      ),
      stream.batch(START + HOUR, START + 2 * HOUR, {
        inventory: [gpu0, gpu1],
        processes: [stray],
        tenancies: [tenancy(gpu0.uuid, START + HOUR, HOUR, stray)],
      }),
    ),
  );
  expect(answer.results.map((result) => result.status)).toEqual(['stored', 'stored']);
  const watermark = await service.ask('PUT', '/v1/sources/slurm/default', {
    token: admin,
    body: { completeTo: time(START + 3 * HOUR) },
  });
  expect(watermark.status).toBe(200);
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

function exe(path: string) {
  return { path, device: '8:1', inode: String(path.length), deleted: false, fileSystem: null };
}

const RANGE = `from=${time(START)}&to=${time(START + 2 * HOUR)}`;
const get = async (path: string): Promise<unknown> => {
  const answer = await service.ask('GET', path, { token: admin });
  expect([path, answer.status, answer.text.slice(0, 300)]).toEqual([path, 200, expect.anything()]);
  return answer.json;
};

const SUMS = {
  capacityMs: 4 * HOUR,
  usedMs: HOUR,
  heldMs: HOUR / 2,
  unaccountedMs: 1.5 * HOUR,
  idleMs: 0,
  unobservedMs: HOUR,
  allocatedMs: 2 * HOUR,
  unaccountedActiveMs: 1.5 * HOUR,
  unaccountedProvisionalMs: 0,
  unaccountedInsideMs: HOUR / 2,
  unobservedInsideMs: 0,
};

describe('the ledger', () => {
  test('balances, and says the same by every group and combination', async () => {
    const groups = [
      ...LEDGER_GROUPS,
      ...LEDGER_GROUPS.flatMap((a) => LEDGER_GROUPS.filter((b) => a !== b).map((b) => `${a},${b}`)),
      'account,model,day',
      'job,device,hour',
    ];
    for (const by of groups) {
      const answer = LedgerAnswer.parse(await get(`/v1/ledger?${RANGE}&group_by=${by}`));
      expect([by, answer.total]).toEqual([by, SUMS]);
      for (const name of Object.keys(SUMS)) {
        const key = name as keyof Sums;
        expect(answer.rows.reduce((sum, row) => sum + row[key], 0)).toBe(SUMS[key]);
      }
    }
  });

  test('says who, where and when', async () => {
    const byAccount = LedgerAnswer.parse(await get(`/v1/ledger?${RANGE}&group_by=account,job,user`));
    expect(byAccount.rows.map((row) => [row.group, row.capacityMs])).toEqual([
      [{ account: null, job: null, user: null }, 2 * HOUR],
      [{ account: '=research', job: jobId, user: 'alice' }, 2 * HOUR],
    ]);
    const byHour = LedgerAnswer.parse(await get(`/v1/ledger?${RANGE}&group_by=hour,device`));
    expect(byHour.rows.map((row) => row.group)).toEqual(
      [START, START + HOUR].flatMap((ms) =>
        [gpu0, gpu1].map((gpu) => ({ hour: time(ms), device: gpu.uuid })),
      ),
    );
    expect(byHour.complete).toMatchObject({ completeTo: time(START + 2 * HOUR), pendingCells: 0 });
  });

  test('takes days where they are full and hours at the edges', async () => {
    const wide = `from=${time(START - 20 * HOUR)}&to=${time(START + 50 * HOUR)}`;
    const answer = LedgerAnswer.parse(await get(`/v1/ledger?${wide}&group_by=day`));
    expect(answer.total).toEqual(SUMS);
    const half = `from=${time(START + HOUR)}&to=${time(START + 40 * HOUR)}`;
    expect(LedgerAnswer.parse(await get(`/v1/ledger?${half}&group_by=node`)).total.capacityMs).toBe(2 * HOUR);
  });
});

describe('findings', () => {
  test('are listed with value and place, page by page, in every order', async () => {
    const all = FindingList.parse(await get('/v1/findings?kind=compute'));
    expect(all.items.map((one) => [one.reason, one.activeMs, one.value?.amount, one.mode])).toEqual([
      ['no_job', HOUR, '2.50', 'live'],
      ['foreign_in_job', HOUR / 2, '1.25', 'live'],
    ]);
    expect(all.items[1]).toMatchObject({
      severity: 'critical',
      state: 'settled',
      insideJob: { id: jobId, account: '=research' },
      source: { executable: '/tmp/xmrig', user: 'alice', pid: 11 },
      devices: [{ uuid: gpu1.uuid, index: 1 }],
    });
    for (const sort of ['lastSeen', 'firstSeen', 'activeMs', 'residentMs', 'value', 'severity', 'rank'])
      for (const order of ['asc', 'desc']) {
        const seen: string[] = [];
        let cursor: string | null = '';
        while (cursor !== null) {
          const after: string = cursor === '' ? '' : `&cursor=${cursor}`;
          const page: FindingList = FindingList.parse(
            await get(`/v1/findings?limit=1&sort=${sort}&order=${order}${after}`),
          );
          seen.push(...page.items.map((one) => one.id));
          cursor = page.nextCursor;
        }
        const whole = FindingList.parse(await get(`/v1/findings?sort=${sort}&order=${order}`));
        expect([sort, order, seen]).toEqual([sort, order, whole.items.map((one) => one.id)]);
      }
  });

  test('are filtered by what they are', async () => {
    const ids = async (query: string): Promise<number> =>
      FindingList.parse(await get(`/v1/findings?kind=compute&${query}`)).items.length;
    expect(await ids('reason=foreign_in_job')).toBe(1);
    expect(await ids('search=xmr')).toBe(1);
    expect(await ids('search=%25')).toBe(0);
    expect(await ids('state=provisional')).toBe(0);
    expect(await ids('node=n2')).toBe(0);
    expect(await ids(`from=${time(START + 90 * MINUTE)}`)).toBe(1);
    expect(await ids(`to=${time(START + 45 * MINUTE)}`)).toBe(1);
    expect(await ids('running=true')).toBe(1);
    expect(await ids('running=false')).toBe(1);
  });

  test('tell their story: lineage, time line, candidates, cost', async () => {
    const list = FindingList.parse(await get('/v1/findings?reason=foreign_in_job&kind=compute'));
    const finding = FindingDetail.parse(await get(`/v1/findings/${list.items[0]?.id}`));
    const role = (pid: number) => finding.processes.find((process) => process.pid === pid)?.role;
    expect([role(11), role(20), role(10)]).toEqual(['source', 'ancestor', 'declared']);
    expect(finding.processes.find((process) => process.pid === 11)).toMatchObject({
      parentId: `${BOOT}/20/2000`,
      boundary: 'slurm:7',
      activeMs: HOUR / 2,
    });
    const line = finding.timelines.find((one) => one.device === gpu1.uuid);
    const sum = (kind: string): number =>
      line?.series.find((one) => one.kind === kind)?.ms.reduce((a, b) => a + b, 0) ?? -1;
    expect(sum('source')).toBe(HOUR / 2);
    expect((line?.series[0]?.ms.length ?? 999) <= 301).toBe(true);
    expect(finding.story.observed.join(' ')).toContain('/tmp/xmrig');
    expect(finding.story.candidates.map((one) => one.job.id)).toEqual([jobId]);
    expect(finding.cost).toMatchObject({
      occupiedMs: HOUR / 2,
      charged: [{ account: '=research', ms: HOUR / 2, amount: { amount: '1.25', currency: 'EUR' } }],
    });
    expect(finding.connections).toMatchObject([{ pid: 11, peerClass: 'external', peers: 1 }]);
  });

  test('of others are not there for an owner', async () => {
    const own = await service.tokenFor('owner', { accounts: ['=research'] });
    const other = await service.tokenFor('owner', { accounts: ['chemistry'] });
    const seen = async (token: string): Promise<string[]> =>
      FindingList.parse((await service.ask('GET', '/v1/findings?kind=compute', { token })).json).items.map(
        (one) => one.id,
      );
    const [id] = await seen(own);
    expect(await seen(own)).toHaveLength(1);
    expect(await seen(other)).toEqual([]);
    expect((await service.ask('GET', `/v1/findings/${id}`, { token: own })).status).toBe(200);
    expect((await service.ask('GET', `/v1/findings/${id}`, { token: other })).status).toBe(404);
    expect((await service.ask('GET', `/v1/jobs/${jobId}`, { token: other })).status).toBe(404);
    expect(JobList.parse((await service.ask('GET', '/v1/jobs', { token: other })).json).items).toEqual([]);
  });
});

test('a job shows its use, its versions and what ran inside', async () => {
  const job = JobDetail.parse(await get(`/v1/jobs/${jobId}`));
  expect(job.use).toEqual({
    allocatedMs: 2 * HOUR,
    usedMs: HOUR,
    heldMs: HOUR / 2,
    unaccountedInsideMs: HOUR / 2,
    unobservedInsideMs: 0,
  });
  expect(job.inside.map((row) => [row.executable, row.bucket, row.activeMs])).toEqual([
    ['/usr/bin/python3.11', 'used', HOUR],
    ['/tmp/xmrig', 'unaccounted', HOUR / 2],
  ]);
  expect(job.inside[1]?.finding).toMatch(/^f_/);
  expect(job.devices.map((one) => [one.device, one.assumed])).toEqual([
    [gpu0.uuid, false],
    [gpu1.uuid, false],
  ]);
  const again = {
    source: 'slurm',
    externalId: '7',
    account: '=research',
    user: 'alice',
    start: time(START),
    end: time(START + HOUR),
    allocations: [{ node: 'n1', devices: [gpu0.uuid, gpu1.uuid] }],
    executables: ['/usr/bin/python*'],
  };
  const same = await service.ask('POST', '/v1/jobs', { token: admin, body: again });
  expect([same.status, (same.json as { version: number }).version]).toEqual([200, 1]);
});

test('nodes and devices say how they are', async () => {
  const nodes = NodeList.parse(await get('/v1/nodes'));
  expect(nodes.items).toMatchObject([
    { name: 'n1', enrolled: true, devices: 2, models: [gpu0.model], last24h: SUMS, agent: { seq: 2 } },
  ]);
  expect(nodes.items[0]?.devicesNow.map(({ index, now }) => [index, now])).toEqual([
    [0, 'unaccounted'],
    [1, 'unobserved'],
  ]);
  expect(NodeOut.parse(await get('/v1/nodes/n1'))).toEqual(nodes.items[0]);
  expect((await service.ask('GET', '/v1/nodes/n', { token: admin })).status).toBe(404);
  const devices = DeviceList.parse(await get('/v1/devices'));
  expect(devices.items.map((one) => [one.uuid, one.now])).toEqual([
    [gpu0.uuid, 'unaccounted'],
    [gpu1.uuid, 'unobserved'],
  ]);
  const first = DeviceList.parse(await get('/v1/devices?limit=1'));
  const second = DeviceList.parse(await get(`/v1/devices?limit=1&cursor=${first.nextCursor}`));
  expect([...first.items, ...second.items]).toEqual(devices.items);
});

test('the overview turns red, from the same figures', async () => {
  const overview = Overview.parse(await get(`/v1/overview?${RANGE}`));
  expect(overview).toMatchObject({
    verdict: 'unaccounted',
    total: SUMS,
    today: { settledMs: 1.5 * HOUR, provisionalMs: 0, value: { amount: '3.75', currency: 'EUR' } },
    stillRunning: 1,
    newSinceYesterday: 2,
  });
  expect(overview.worst[0]?.reason).toBe('foreign_in_job');
  expect(overview.series.points.map((point) => point.capacityMs)).toEqual([2 * HOUR, 2 * HOUR]);
});

describe('a statement', () => {
  test('foots to capacity and charges what was allocated', async () => {
    const statement = (await get('/v1/statements?period=2026-10')) as Statement;
    expect(statement.check).toEqual({
      capacityMs: 4 * HOUR,
      accountsMs: 2 * HOUR,
      unheldMs: 2 * HOUR,
      differenceMs: 0,
      balanced: true,
    });
    expect(statement.accounts).toMatchObject([{ account: '=research', gpuHours: '2', total: '5.00' }]);
  });

  test('is a CSV in which an account cannot run as a formula', async () => {
    const answer = await service.ask('GET', '/v1/statements?period=2026-10&format=csv', { token: admin });
    expect(answer.headers.get('content-type')).toContain('text/csv');
    expect(answer.headers.get('content-disposition')).toBe('attachment; filename="gpuledger-2026-10.csv"');
    const lines = answer.text.trim().split('\n');
    expect(lines[1]).toMatch(/^line,2026-10,open,test,'=research,NVIDIA H100 80GB HBM3,2,2\.50,5\.00,EUR,/);
    expect(answer.text).not.toMatch(/(^|,)[=+@-]/m);
    expect(lines.at(-1)).toContain(`,${4 * HOUR},`);
  });
});

test('events arrive as they happen', async () => {
  const stopped = new AbortController();
  const response = await fetch(`${service.url}/v1/live`, {
    headers: { authorization: `Bearer ${admin}` },
    signal: stopped.signal,
  });
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const reader = response.body?.getReader();
  const next = async (): Promise<unknown> => {
    const { value } = (await reader?.read()) ?? {};
    return JSON.parse(new TextDecoder().decode(value).replace(/^data: /, ''));
  };
  expect(await next()).toEqual({ type: 'hello', now: time(clock.nowMs()) });
  service.app.services.live.publish({ type: 'node', node: 'n1' });
  expect(await next()).toEqual({ type: 'node', node: 'n1' });
  stopped.abort();
});

test('metrics name no job and no process', async () => {
  const { text } = await service.ask('GET', '/metrics');
  expect(text).toContain(
    'gpuledger_month_gpu_seconds{model="NVIDIA H100 80GB HBM3",bucket="unaccounted"} 5400',
  );
  expect(text).toContain(
    'gpuledger_findings{state="settled",severity="critical",mode="live",running="false"} 1',
  );
  expect(text).not.toMatch(new RegExp(`xmrig|${jobId}|alice|research|pid`));
});
