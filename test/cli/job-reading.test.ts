/** `gpuledger jobs show` and `conflicts`, over a real service. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConflictList } from '../../api/contract/conflicts.ts';
import { JobDetail, JobOut } from '../../api/contract/jobs.ts';
import { type Service, startService } from '../http/service.ts';
import { agentOf, CLUSTER, device, HOUR, handClock, post, START, Stream, tenancy } from '../store/site.ts';
import { type Ran, run } from './gpuledger.ts';

const DAY = 24 * HOUR;
const gpu = device('n1', 0);
const time = (ms: number): string => new Date(ms).toISOString();
const RANGE = ['--from', time(START), '--to', time(START + HOUR)];
let service: Service;
let environment: Record<string, string>;
let job: JobOut;

/** Two jobs on one GPU for an hour. */
beforeAll(async () => {
  service = await startService({ clock: handClock(START + HOUR), cluster: CLUSTER });
  environment = { GPULEDGER_URL: service.url, GPULEDGER_TOKEN: await service.tokenFor('admin') };
  const declare = async (source: string, externalId: string): Promise<JobOut> => {
    const body = {
      ...{ source, externalId, account: 'research', start: time(START), name: 'train' },
      ...{ allocations: [{ node: 'n1', devices: [gpu.uuid] }], attributes: { partition: 'gpu' } },
    };
    const token = await service.tokenFor('admin');
    return JobOut.parse((await service.ask('POST', '/v1/jobs', { token, body })).json);
  };
  job = await declare('slurm', '8101');
  await declare('kubernetes', 'pod-1');
  const batch = new Stream('n1').batch(START, START + HOUR, {
    inventory: [gpu],
    tenancies: [tenancy(gpu.uuid, START, HOUR)],
  });
  await service.app.services.ingest.accept(agentOf('n1'), post(batch));
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

const ask = (...args: string[]): Promise<Ran> => run(['jobs', ...args], environment);

test('conflicts are a table, and JSON as the API has it', async () => {
  const { code, stdout } = await ask('conflicts', ...RANGE, '--running');
  expect(code).toBe(0);
  expect(stdout).toMatch(/n1 +0 +.* goes on +1\.00 /);
  const { items } = ConflictList.parse(JSON.parse((await ask('conflicts', ...RANGE, '--json')).stdout));
  expect(items.map((one) => one.claims.map((claim) => claim.externalId).sort())).toEqual([['8101', 'pod-1']]);
  expect((await ask('conflicts', ...RANGE, '--node', 'n2')).stdout).toMatch(/^No conflicts: no two jobs/);
});

test('a job says plainly that no rule maps it, and to whom it is charged where one does', async () => {
  const before = await ask('show', job.id);
  expect([before.code, before.stderr]).toEqual([0, '']);
  expect(before.stdout).toMatch(
    /^charged to +account research, not mapped: no rule matches, the declared account pays$/m,
  );
  expect(before.stdout).toMatch(/^also claimed +by kubernetes\/pod-1 on n1$/m);
  expect(before.stdout).toMatch(/^name +train$/m);
  const token = await service.tokenFor('admin');
  const rules = [{ match: { partitions: ['gpu'] }, account: 'lab', project: 'asr', costCentre: '4711' }];
  const dayMs = Math.floor(START / DAY) * DAY;
  const put = await service.ask('PUT', '/v1/mapping', { token, body: { from: time(dayMs), rules } });
  expect(put.status).toBe(200);
  expect((await ask('show', job.id)).stdout).toMatch(
    /^charged to +account lab, project asr, cost centre 4711$/m,
  );
  const { charged } = JobDetail.parse(JSON.parse((await ask('show', job.id, '--json')).stdout));
  expect(charged).toEqual([
    { from: time(START), to: null, account: 'lab', project: 'asr', costCentre: '4711', mapped: true },
  ]);
  expect((await ask('show', 'j_0000000000000000')).code).not.toBe(0);
});
