/** Many nodes without jobs, shortly after a source's record stopped, are one suspect source. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NodeDetail } from '../../api/contract/integrity.ts';
import { SourceList } from '../../api/contract/sources.ts';
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

const clock = handClock(START + MINUTE);
const time = (ms: number) => new Date(ms).toISOString();
let service: Service;
let token: string;
let auditor: string;
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  token = await service.tokenFor('scheduler');
  auditor = await service.tokenFor('auditor');
});
afterAll(() => service.stop());

const NODES = ['n1', 'n2', 'n3', 'n4'];
const slurm = (id: string) => `0::/system.slice/slurmstepd.scope/job_${id}/step_0/user/task_0`;
const job = (node: string, incarnation: number, more: Record<string, unknown>) => ({
  ...{ source: 'slurm', sourceInstance: 'main', externalId: node, incarnation, account: 'physics' },
  ...{ allocations: [{ node }], boundaries: [`slurm:${node.slice(1)}${incarnation}`], ...more },
});
const declare = async (jobs: unknown[]) =>
  expect((await service.ask('POST', '/v1/jobs/bulk', { token, body: { jobs } })).status).toBe(200);
const say = async (body: unknown) =>
  expect((await service.ask('PUT', '/v1/sources/slurm/main', { token, body })).status).toBe(200);

async function source() {
  await service.app.attribution.whenIdle();
  const { items } = SourceList.parse((await service.ask('GET', '/v1/sources', { token })).json);
  return items.find((one) => one.source === 'slurm');
}

/** An hour in which each node's next job executes, which nobody has declared. */
async function use(nodes: readonly string[]) {
  for (const node of nodes) {
    const gpu = device(node, 0);
    const process = processFact(7, { cgroup: slurm(`${node.slice(1)}1`), startedMs: START });
    const batch = new Stream(node).batch(START, START + HOUR, {
      inventory: [gpu],
      processes: [process],
      tenancies: [tenancy(gpu.uuid, START + 30 * MINUTE, 30 * MINUTE, process)],
      gaps: [{ device: null, fromMs: START, toMs: START + 30 * MINUTE, reason: 'tool_failed', detail: '' }],
    });
    await service.app.services.ingest.accept(agentOf(node), post(batch));
  }
}

test('is named once, with how many nodes, while its record stands still, and no longer when it goes on', async () => {
  await declare(NODES.map((node) => job(node, 0, { start: time(START), end: time(START + 20 * MINUTE) })));
  await say({
    completeTo: time(START + MINUTE),
    health: { state: 'following', lastSuccess: time(START + MINUTE) },
  });
  clock.set(START + HOUR + MINUTE);
  await use(NODES.slice(0, 2));
  await say({ health: { state: 'failing' } });
  expect((await source())?.suspect).toBeNull();
  await use(NODES.slice(2));
  const suspect = { since: time(START + MINUTE), nodes: 4, findings: 4, activeMs: 4 * 30 * MINUTE };
  expect(await source()).toMatchObject({ lagging: true, suspect });
  const metrics = await service.ask('GET', '/metrics', { token: auditor });
  expect(metrics.text).toContain('gpuledger_source_suspect_nodes{source="slurm",instance="main"} 4');
  expect(metrics.text).toContain('gpuledger_source_failing{source="slurm",instance="main"} 1');

  await declare(NODES.map((node) => job(node, 1, { start: time(START + 20 * MINUTE) })));
  await say({ completeTo: time(START + HOUR), health: { state: 'following' } });
  expect(await source()).toMatchObject({ lagging: false, suspect: null, health: { state: 'following' } });
});

test('a node shows what schedulers say of it, and how much of its time that explains', async () => {
  const said = {
    node: 'n1',
    condition: 'drained',
    from: time(START + 20 * MINUTE),
    to: null,
    reason: 'bad fan',
  };
  const path = '/v1/sources/slurm/main/conditions';
  expect((await service.ask('PUT', path, { token, body: { conditions: [said] } })).json).toEqual({
    recorded: 1,
  });
  await service.app.attribution.whenIdle();
  const { json } = await service.ask('GET', '/v1/nodes/n1', { token: auditor });
  const { node: _, ...shown } = said;
  expect(NodeDetail.parse(json)).toMatchObject({
    conditions: [{ source: 'slurm', sourceInstance: 'main', ...shown }],
    reasons: [{ bucket: 'unobserved', condition: 'drained', ms: 10 * MINUTE }],
  });
});

test('a source whose record stops while nothing is used without a job is not suspect', async () => {
  clock.set(START + 3 * HOUR);
  expect(await source()).toMatchObject({ lagging: true, suspect: null });
});
