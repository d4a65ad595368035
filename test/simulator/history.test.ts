/** Two nodes, two hours: the real agent and the real service book what the model knows to be true. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { Finding } from '../../api/contract/findings.ts';
import { LedgerAnswer } from '../../api/contract/ledger.ts';
import { createNetwork } from '../../collector/ports/network.ts';
import { createFeed } from './feed.ts';
import { createHistory, HISTORY_POLL_MS } from './history.ts';
import { createPids, slurmCgroup, startJob } from './job-processes.ts';
import { addProcess, type Load } from './model.ts';
import { createRandom } from './random.ts';
import { createServiceClient, type ServiceClient } from './service-client.ts';
import { type ServiceProcess, startServiceProcess } from './service-process.ts';
import { buildNodes, buildProcess, personNamed, type SiteNode } from './site-nodes.ts';
import { type Buckets, truthOf } from './truth.ts';
import type { SimJob } from './workload.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** Three to one hours ago, so that nothing lies in the service's future. */
const END_MS = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - HOUR_MS;
const START_MS = END_MS - 2 * HOUR_MS;
const at = (minutes: number): number => START_MS + Math.round(minutes * MINUTE_MS);

const random = createRandom(3);
const pids = createPids(random);
const nodes = buildNodes(random, 2, START_MS);
const nodeAt = (index: number): SiteNode => {
  const node = nodes[index];
  if (node === undefined) throw new Error('no such node');
  return node;
};
const slurm = nodeAt(0);
const pods = nodeAt(1);

const flat = (smPercent: number): Load => ({
  phases: [{ lengthMs: HOUR_MS, smPercent }],
  jitterPercent: 0,
  seed: 0,
});
const TRAINER = '/opt/torch/bin/python3.11';
const training: SimJob = {
  ...{
    source: 'slurm',
    externalId: '9001',
    name: 'training',
    person: personNamed('asharma'),
    shape: 'stalled',
  },
  ...{
    startMs: at(10.4),
    endMs: at(80.3),
    executable: TRAINER,
    argv: [TRAINER, 'train.py'],
    declares: [TRAINER],
  },
  placements: [{ node: slurm, devices: [0, 1] }],
};
const notebook: SimJob = {
  ...{ source: 'kubernetes', externalId: '0e6fb8c7-1111-4222-a333-444455556666', name: 'notebook' },
  ...{ person: personNamed('hkim'), shape: 'stalled', startMs: at(5.2), endMs: at(110) },
  ...{ executable: '/opt/conda/bin/python3.12', argv: ['python3'], declares: [] },
  placements: [{ node: pods, devices: [0] }],
};

/** Executes on a device of the Slurm node with the given share. */
function compute(
  of: { device: number; fromMin: number; toMin: number; sm: number; cgroup: string; exePath: string },
  cover: SimJob | null,
): void {
  const uid = cover?.person.uid ?? personNamed('egarcia').uid;
  addProcess(
    slurm,
    buildProcess({
      ...{ pid: pids.next(slurm), ppid: 1, startMs: at(of.fromMin), endMs: at(of.toMin), uid },
      ...{ exePath: of.exePath, argv: [of.exePath], cgroup: of.cgroup },
      uses: [
        {
          device: of.device,
          fromMs: at(of.fromMin),
          toMs: at(of.toMin),
          memoryMiB: 8000,
          load: flat(of.sm),
          type: 'C',
        },
      ],
      cover: cover === null ? null : { job: cover.externalId, toMs: cover.endMs },
    }),
  );
}

let service: ServiceProcess;
let admin: ServiceClient;
const folder = mkdtempSync(join(tmpdir(), 'gpuledger-history-'));

beforeAll(async () => {
  startJob(random, pids, training);
  startJob(random, pids, notebook);
  const inJob = { exePath: TRAINER, cgroup: slurmCgroup('9001', 'batch') };
  compute({ ...inJob, device: 0, fromMin: 12, toMin: 80, sm: 100 }, training);
  // Half of the second device, and on after the job's end.
  compute({ ...inJob, device: 1, fromMin: 12, toMin: 100, sm: 50 }, training);
  const session = { exePath: '/home/egarcia/fontd', cgroup: '/user.slice/user-2011.slice/session-4.scope' };
  compute({ ...session, device: 5, fromMin: 20, toMin: 50, sm: 100 }, null);
  compute({ ...session, device: 6, fromMin: 20, toMin: 50, sm: 100 }, null);
  slurm.devices[6]?.lies.push({ fromMs: at(20), toMs: at(50), utilisationPercent: 0, hideProcesses: true });
  // Between the polls, each time another process. Two in one interval would be booked as if side by side: at least so much.
  slurm.accounting = { on: true, fromMs: START_MS, rows: [] };
  for (let minute = 60; minute < 100; minute += 1)
    compute({ ...session, device: 7, fromMin: minute + 5 / 60, toMin: minute + 35 / 60, sm: 100 }, null);
  pods.devices[7]?.faults.push({ fromMs: at(30), toMs: at(61), kind: 'requires_reset' });
  pods.agentOff.push({ fromMs: at(90), toMs: at(100) });

  service = await startServiceProcess({
    ...{ dataFolder: folder, cluster: 'test', port: 0 },
    tokens: [
      { name: 'admin', role: 'admin', node: null },
      { name: 'scheduler', role: 'scheduler', node: null },
      ...nodes.map(({ name }) => ({ name, role: 'agent', node: name }) as const),
    ],
  });
  admin = createServiceClient(service.url, service.token('admin'));
  const history = createHistory({
    ...{ cluster: 'test', nodes, startMs: START_MS },
    feed: createFeed([training, notebook], createServiceClient(service.url, service.token('scheduler'))),
    networkOf: ({ name }) => createNetwork({ apiUrl: service.url, token: () => service.token(name) }),
  });
  await history.advance(END_MS);
  await history.stop();
});
afterAll(async () => {
  await service?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Asks again until nothing waits to be booked. */
async function ledger(groupBy: string): Promise<LedgerAnswer> {
  const range = `from=${new Date(START_MS).toISOString()}&to=${new Date(END_MS).toISOString()}`;
  for (let tries = 0; tries < 300; tries += 1) {
    const answer = await admin.send('GET', `/v1/ledger?${range}&group_by=${groupBy}`, LedgerAnswer);
    if (answer.complete.pendingCells === 0) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('cells are still pending');
}

test('the books balance and agree with the truth, device by device, within a poll for every transition', async () => {
  const { rows, total } = await ledger('device');
  expect(total.usedMs + total.heldMs + total.unaccountedMs + total.idleMs + total.unobservedMs).toBe(
    total.capacityMs,
  );
  expect(total.capacityMs).toBe(16 * 2 * HOUR_MS);
  for (const node of nodes) {
    const truth = truthOf(node, [training, notebook], START_MS, END_MS);
    for (const [index, { uuid }] of node.devices.entries()) {
      const row = rows.find(({ group }) => group['device'] === uuid);
      const booked: Buckets = {
        ...{ used: row?.usedMs ?? 0, held: row?.heldMs ?? 0, idle: row?.idleMs ?? 0 },
        ...{ unaccounted: row?.unaccountedMs ?? 0, unobserved: row?.unobservedMs ?? 0 },
      };
      const expected = truth[index];
      for (const [bucket, ms] of Object.entries(expected ?? {})) {
        const off = Math.abs((Object.entries(booked).find(([name]) => name === bucket)?.[1] ?? 0) - ms);
        // No bucket of a device here has more than four transitions.
        expect(
          off,
          `${node.name} device ${index} ${bucket}: ${JSON.stringify({ booked, expected })}`,
        ).toBeLessThanOrEqual(4 * HISTORY_POLL_MS);
      }
    }
  }
});

test('each undeclared use is a finding with its reason and executable', async () => {
  await ledger('device');
  const { items } = await admin.send('GET', '/v1/findings', z.object({ items: z.array(Finding) }));
  const found = items
    .filter(({ kind }) => kind === 'compute')
    .map(({ reasons, source }) => [...reasons, source.executable]);
  expect(found).toHaveLength(4);
  expect(found).toContainEqual(['after_end', TRAINER]);
  expect(found).toContainEqual(['no_job', '/home/egarcia/fontd']);
  expect(found).toContainEqual(['telemetry_conflict', 'no_process', null]);
  expect(found).toContainEqual(['no_process', null]);
});
