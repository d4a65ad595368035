/** Two claims on one device at one time: in a list, on the overview and in the metrics, while the ledger divides the time. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConflictList } from '../../api/contract/conflicts.ts';
import { JobOut } from '../../api/contract/jobs.ts';
import { LedgerAnswer } from '../../api/contract/ledger.ts';
import { Overview } from '../../api/contract/overview.ts';
import {
  agentOf,
  CLUSTER,
  device,
  HOUR,
  handClock,
  MINUTE,
  post,
  START,
  Stream,
  tenancy,
} from '../store/site.ts';
import { type Service, startService } from './service.ts';

const NOW = START + 2 * HOUR + 10 * MINUTE;
const clock = handClock(NOW);
const gpus = [0, 1, 2, 3].map((index) => device('n1', index));
const time = (ms: number) => new Date(ms).toISOString();
const uuid = (index: number): string => gpus[index]?.uuid ?? '';
let service: Service;
let auditor: string;

async function declare(source: string, externalId: string, body: Record<string, unknown>): Promise<JobOut> {
  const token = await service.tokenFor('admin');
  const answer = await service.ask('POST', '/v1/jobs', {
    token,
    body: { source, externalId, account: source, start: time(START), ...body },
  });
  expect(answer.status).toBeLessThan(300);
  await service.app.attribution.whenIdle();
  return JobOut.parse(answer.json);
}
const on = (...indices: number[]) => ({
  allocations: [{ node: 'n1', devices: indices.map(uuid) }],
});

/** Two full hours and ten minutes of four GPUs. */
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  auditor = await service.tokenFor('auditor');
  const stream = new Stream('n1');
  for (const [fromMs, toMs] of [
    [START, START + HOUR],
    [START + HOUR, START + 2 * HOUR],
    [START + 2 * HOUR, NOW],
  ] as const) {
    const tenancies = gpus.map((gpu) => tenancy(gpu.uuid, fromMs, toMs - fromMs));
    const batch = stream.batch(fromMs, toMs, { inventory: gpus, tenancies });
    await service.app.services.ingest.accept(agentOf('n1'), post(batch));
  }
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

async function list(query = '', token = auditor): Promise<ConflictList> {
  const answer = await service.ask('GET', `/v1/conflicts${query}`, { token });
  expect(answer.status).toBe(200);
  return ConflictList.parse(answer.json);
}
const names = ({ items }: ConflictList): string[] =>
  items.map((one) => one.claims.map((claim) => `${claim.source} ${claim.externalId}`).join(' + '));
async function told(): Promise<{ overview: number; metric: string | undefined }> {
  const path = `/v1/overview?from=${time(START)}&to=${time(NOW)}`;
  const overview = Overview.parse((await service.ask('GET', path, { token: auditor })).json);
  const { text } = await service.ask('GET', '/metrics');
  return { overview: overview.conflicts, metric: /^gpuledger_conflicting_claims (\d+)$/m.exec(text)?.[1] };
}

test('without a conflict there is none', async () => {
  await declare('slurm', 'alone', on(3));
  expect(await list()).toEqual({ items: [], nextCursor: null });
  expect(await told()).toEqual({ overview: 0, metric: '0' });
});

test('two schedulers that claim the same devices are one conflict over all hours, and it goes on', async () => {
  const slurm = await declare('slurm', '8101', on(0, 1));
  const pod = await declare('kubernetes', 'pod-1', {
    ...on(0, 1, 2),
    ...{ start: time(START + 30 * MINUTE), end: null },
  });
  const { items } = await list();
  expect(items).toEqual([
    {
      ...{ id: expect.stringMatching(/^c_[0-9a-f]{16}$/), node: 'n1', running: true, moreClaims: 0 },
      devices: [0, 1].map((index) => ({ device: uuid(index), index })),
      claims: expect.arrayContaining([
        expect.objectContaining({ id: slurm.id, account: 'slurm' }),
        expect.objectContaining({ id: pod.id, account: 'kubernetes' }),
      ]),
      ...{ from: time(START + 30 * MINUTE), to: time(NOW), contestedMs: 2 * 100 * MINUTE },
    },
  ]);
  expect(await told()).toEqual({ overview: 1, metric: '2' });
});

test('the ledger divides the time between them and counts it once', async () => {
  const path = `/v1/ledger?from=${time(START)}&to=${time(NOW)}&group_by=account`;
  const { rows } = LedgerAnswer.parse((await service.ask('GET', path, { token: auditor })).json);
  const held = new Map(rows.map((row) => [row.group['account'], row.allocatedMs / MINUTE]));
  // slurm: GPU 3 alone, half an hour of two GPUs alone, then half of these; kubernetes: the other half, and GPU 2 alone.
  expect(held.get('slurm')).toBe(130 + 2 * 30 + 100);
  expect(held.get('kubernetes')).toBe(100 + 100);
  expect(rows.reduce((sum, row) => sum + row.capacityMs, 0)).toBe(4 * 130 * MINUTE);
});

test('one that ended is past: no longer counted, still listed', async () => {
  await declare('ray', 'late', { ...on(3), start: time(START + HOUR), end: time(START + 2 * HOUR) });
  expect(names(await list('?state=past'))).toEqual([
    expect.stringMatching(/slurm alone.*ray late|ray late.*slurm alone/),
  ]);
  expect(await list('?state=running')).toMatchObject({ items: [{ running: true }] });
  expect(await told()).toEqual({ overview: 1, metric: '2' });
});

test('the list is filtered and paged: what goes on comes first', async () => {
  const all = await list();
  expect(all.items.map((one) => one.running)).toEqual([true, false]);
  const first = await list('?limit=1');
  expect(first.items).toEqual(all.items.slice(0, 1));
  const second = await list(`?limit=1&cursor=${first.nextCursor}`);
  expect(second).toEqual({ items: all.items.slice(1), nextCursor: null });
  expect((await list('?source=ray')).items).toEqual(all.items.slice(1));
  expect((await list('?account=kubernetes')).items).toEqual(all.items.slice(0, 1));
  expect((await list('?node=n1')).items).toHaveLength(2);
  expect((await list('?node=n2')).items).toEqual([]);
  expect((await list(`?from=${time(START)}&to=${time(START + HOUR)}`)).items).toMatchObject([
    { running: false, to: time(START + HOUR), contestedMs: 2 * 30 * MINUTE },
  ]);
  const long = `/v1/conflicts?from=${time(START - 32 * 24 * HOUR)}&to=${time(START)}`;
  expect((await service.ask('GET', long, { token: auditor })).status).toBe(400);
  expect((await service.ask('GET', '/v1/conflicts?cursor=x', { token: auditor })).status).toBe(400);
});

test('owners see those of their accounts, and of others only that they are there', async () => {
  const { text: token } = await service.app.services.tokens.create({
    ...{ name: 'ray owner', role: 'owner', node: null, accounts: ['ray'], users: null },
  });
  const { items } = await list('', token);
  expect(items).toMatchObject([{ claims: [{ externalId: 'late' }], moreClaims: 1 }]);
  expect(JSON.stringify(items)).not.toContain('alone');
  expect((await list('?account=slurm', token)).items).toHaveLength(0);
});

test('when a record is corrected, the conflict is gone', async () => {
  await declare('kubernetes', 'pod-1', { ...on(2), start: time(START + 30 * MINUTE), end: null });
  expect(await list('?state=running')).toEqual({ items: [], nextCursor: null });
  expect(await told()).toEqual({ overview: 0, metric: '0' });
});
