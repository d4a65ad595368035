/** What a finding tells an owner: of the own job everything, of others' jobs beside it nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FindingDetail, FindingList } from '../../api/contract/findings.ts';
import {
  agentOf,
  CLUSTER,
  device,
  HOUR,
  handClock,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const clock = handClock(START + 3 * HOUR);
const gpu = device('n1', 0);
let service: Service;
let admin: string;

/** Two jobs share a device; inside one of them runs what it did not declare. */
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  admin = await service.tokenFor('admin');
  for (const [externalId, account] of [
    ['7', 'mine'],
    ['8', 'theirs'],
  ]) {
    const body = {
      ...{ source: 'slurm', externalId, account, executables: ['/usr/bin/python*'] },
      start: new Date(START).toISOString(),
      end: new Date(START + HOUR).toISOString(),
      allocations: [{ node: 'n1', devices: [gpu.uuid], share: 0.5 }],
    };
    expect((await service.ask('POST', '/v1/jobs', { token: admin, body })).status).toBe(201);
  }
  const foreign = processFact(7, {
    cgroup: '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0',
    executable: { path: '/tmp/other', device: '8:1', inode: '9', deleted: false, fileSystem: null },
    startedMs: START,
  });
  const batch = new Stream('n1').batch(START, START + HOUR, {
    inventory: [gpu],
    processes: [foreign],
    tenancies: [tenancy(gpu.uuid, START, HOUR, foreign)],
  });
  await service.app.services.ingest.accept(agentOf('n1'), post(batch));
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

async function accountsFor(token: string): Promise<{ candidates: Set<string>; charged: Set<string> }> {
  const list = FindingList.parse((await service.ask('GET', '/v1/findings', { token })).json);
  const answer = await service.ask('GET', `/v1/findings/${list.items[0]?.id}`, { token });
  const { story, cost } = FindingDetail.parse(answer.json);
  return {
    candidates: new Set(story.candidates.map(({ job }) => job.account)),
    charged: new Set(cost.charged.map(({ account }) => account)),
  };
}

test('others are there for an admin, and not for an owner', async () => {
  const both = new Set(['mine', 'theirs']);
  expect(await accountsFor(admin)).toEqual({ candidates: both, charged: both });
  const owner = await service.tokenFor('owner', { accounts: ['mine'] });
  const own = new Set(['mine']);
  expect(await accountsFor(owner)).toEqual({ candidates: own, charged: own });
});
