/** To whom time is charged: rules over what jobs declare, versioned, tried before they are set, and never in the ledger's way. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Statement } from '../../api/contract/finance.ts';
import { JobOut } from '../../api/contract/jobs.ts';
import { LedgerAnswer } from '../../api/contract/ledger.ts';
import { MappingResult, Mappings } from '../../api/contract/mapping.ts';
import { Problem, type Role } from '../../api/contract/primitives.ts';
import { verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { agentOf, CLUSTER, device, HOUR, handClock, post, START, Stream, tenancy } from '../store/site.ts';
import { type Service, startService } from './service.ts';

const DAY = 24 * HOUR;
const [D1, D2] = [Math.floor(START / DAY) * DAY + DAY, Math.floor(START / DAY) * DAY + 2 * DAY];
const time = (ms: number): string => new Date(ms).toISOString();
const clock = handClock(D2 + 3 * HOUR);
let service: Service;
let admin: string;

const declare = async (externalId: string, more: Record<string, unknown>, index: number): Promise<JobOut> => {
  const answer = await service.ask('POST', '/v1/jobs', {
    token: admin,
    body: {
      ...{ source: 'slurm', externalId, start: time(D1), end: time(D2 + 2 * HOUR), ...more },
      allocations: [D1, D2].map((fromMs) => ({
        ...{ node: 'n1', devices: [device('n1', index).uuid] },
        ...{ start: time(fromMs), end: time(fromMs + 2 * HOUR) },
      })),
    },
  });
  expect(answer.status).toBeLessThan(300);
  return JobOut.parse(answer.json);
};

/** Two hours on each of two days, three GPUs, a job of its own on each of two of them. */
beforeAll(async () => {
  service = await startService({ clock, cluster: CLUSTER });
  admin = await service.tokenFor('admin');
  await service.ask('PUT', '/v1/rates', {
    token: admin,
    body: { effectiveFrom: time(D1), currency: 'EUR', perGpuHour: { default: '2.50' } },
  });
  await declare('1', { account: 'research', user: 'alice', attributes: { partition: 'gpu' } }, 0);
  await declare('2', { account: 'research', user: 'bob', attributes: { 'label:team': 'speech' } }, 1);
  const gpus = [0, 1, 2].map((index) => device('n1', index));
  const stream = new Stream('n1');
  for (const fromMs of [D1, D1 + HOUR, D2, D2 + HOUR]) {
    const tenancies = gpus.map((gpu) => tenancy(gpu.uuid, fromMs, HOUR));
    const batch = stream.batch(fromMs, fromMs + HOUR, { inventory: gpus, tenancies });
    await service.app.services.ingest.accept(agentOf('n1'), post(batch));
  }
  await service.app.attribution.whenIdle();
});
afterAll(() => service.stop());

const put = (body: unknown, token = admin) => service.ask('PUT', '/v1/mapping', { token, body });
const problems = (json: unknown): string[] => [
  ...new Set((Problem.parse(json).errors ?? []).map((error) => error.field)),
];
const charged = async (): Promise<string[]> => {
  await service.app.attribution.whenIdle();
  const period = time(D1).slice(0, 7);
  const answer = await service.ask('GET', `/v1/statements?period=${period}`, { token: admin });
  const statement = Statement.parse(answer.json);
  expect(statement.check).toMatchObject({ balanced: true, differenceMs: 0 });
  return statement.accounts.flatMap(({ lines }) =>
    lines.map((one) => `${one.account}|${one.project}|${one.costCentre}|${one.gpuHours}|${one.amount}`),
  );
};
const grouped = async (by: string): Promise<(string | number | null)[][]> => {
  const path = `/v1/ledger?from=${time(D1)}&to=${time(D2 + DAY)}&group_by=${by}`;
  const { rows } = LedgerAnswer.parse((await service.ask('GET', path, { token: admin })).json);
  return rows.map((row) => [...Object.values(row.group), row.allocatedMs / HOUR]);
};

const RULES = [
  { match: { labels: { team: ['speech'] } }, account: 'speech', project: '=asr', costCentre: '4711' },
  { match: { partitions: ['g*'], users: ['alice'] }, costCentre: '0815' },
];

test('finance reads it, administrators set it', async () => {
  const roles: readonly Role[] = ['viewer', 'finance', 'auditor', 'owner', 'scheduler', 'agent'];
  for (const role of roles) {
    const token = await service.tokenFor(role);
    const mayRead = ['finance', 'auditor'].includes(role);
    expect((await service.ask('GET', '/v1/mapping', { token })).status, role).toBe(mayRead ? 200 : 403);
    expect((await put({ rules: [] }, token)).status, role).toBe(403);
  }
  const { current, items } = Mappings.parse((await service.ask('GET', '/v1/mapping', { token: admin })).json);
  expect([current.version, current.from, items]).toEqual([0, null, []]);
});

test('what is wrong is named by its field, with what to do', async () => {
  const rule = { match: { users: ['a'] }, account: 'b' };
  const cases: [unknown, string[]][] = [
    [{}, ['rules']],
    [{ rules: [{ match: { users: ['a'] } }] }, ['rules.0']],
    [{ rules: [{ ...rule, match: { user: ['a'] } }] }, ['rules.0.match.user']],
    [{ rules: [{ ...rule, match: { users: 'a' } }] }, ['rules.0.match.users']],
    [{ rules: [{ ...rule, match: { users: new Array(65).fill('a') } }] }, ['rules.0.match.users']],
    [{ rules: [{ ...rule, match: { labels: { team: [] } } }] }, ['rules.0.match.labels.team']],
    [{ rules: [{ account: 'all' }, rule] }, ['rules.0.match']],
    [{ rules: [{ ...rule, project: '\u0000' }] }, ['rules.0.project']],
    [{ rules: new Array(501).fill(rule) }, ['rules']],
    [{ rules: [rule], from: time(D1 + HOUR) }, ['from']],
    [{ rules: [rule], from: time(D1) }, ['from']],
    [{ rules: [rule], from: time(D1 - 500 * DAY), reach: 'past' }, ['from']],
    [{ rules: [rule], dryRun: true, trial: { from: time(D2), to: time(D1) } }, ['trial.to']],
    [{ rules: [rule], dryRun: true, trial: { from: time(0), to: time(D1) } }, ['trial.to']],
  ];
  for (const [body, fields] of cases) {
    const answer = await put(body);
    expect([answer.status, problems(answer.json)], JSON.stringify(body).slice(0, 200)).toEqual([400, fields]);
  }
});

test('a dry run says what would move, and nothing does', async () => {
  const before = await charged();
  expect(before).toEqual(['research|null|null|8|20.00']);
  const tried = MappingResult.parse((await put({ rules: RULES, dryRun: true })).json);
  const research = { account: 'research', project: null, costCentre: null };
  const half = { allocatedMs: 4 * HOUR, gpuHours: '4', amount: '10.00' };
  expect(tried.trial).toMatchObject({ allocatedMs: 8 * HOUR, currency: 'EUR' });
  expect(tried.trial?.moves.map((one) => one.to.account).sort()).toEqual(['research', 'speech']);
  expect(tried.trial?.moves).toContainEqual({
    ...{ from: research, to: { account: 'speech', project: '=asr', costCentre: '4711' }, ...half },
  });
  const day = { from: time(D1), to: time(D2) };
  const one = MappingResult.parse((await put({ rules: RULES, dryRun: true, trial: day })).json);
  expect(one.trial?.moves.map((move) => move.amount)).toEqual(['5.00', '5.00']);
  expect(await charged()).toEqual(before);
  const shown = Mappings.parse((await service.ask('GET', '/v1/mapping', { token: admin })).json);
  expect(shown.items).toEqual([]);
});

test('it moves charges from its day on, in statement, CSV and ledger; the declared account stays', async () => {
  const set = MappingResult.parse((await put({ rules: RULES })).json);
  expect(set).toMatchObject({ dryRun: false, mapping: { version: 1, from: time(D2) }, trial: null });
  const fromToday = ['research|null|null|4|10.00', 'research|null|0815|2|5.00', 'speech|=asr|4711|2|5.00'];
  expect(await charged()).toEqual(fromToday);
  expect(await grouped('account')).toEqual([
    [null, 0],
    ['research', 8],
  ]);
  expect(await grouped('charged_account')).toEqual([
    [null, 0],
    ['research', 6],
    ['speech', 2],
  ]);
  expect(await grouped('cost_centre,project')).toEqual([
    [null, null, 4],
    ['0815', null, 2],
    ['4711', '=asr', 2],
  ]);
  const csv = await service.ask('GET', `/v1/statements?period=${time(D1).slice(0, 7)}&format=csv`, {
    token: admin,
  });
  expect(csv.text.split('\n')[0]).toMatch(/,project,costCentre$/);
  expect(csv.text).toMatch(/\nline,[^\n]*,speech,[^\n]*,'=asr,4711\n/);
});

test('what a job says later counts too, and the past moves where it is meant to', async () => {
  await declare('2', { account: 'research', user: 'bob', attributes: { 'label:team': 'vision' } }, 1);
  expect(await charged()).toEqual(['research|null|null|6|15.00', 'research|null|0815|2|5.00']);
  await declare('2', { account: 'research', user: 'bob', attributes: { 'label:team': 'speech' } }, 1);
  const past = { rules: [RULES[0]], from: time(D1), reach: 'past' };
  expect((await put(past)).status).toBe(200);
  // From today on the version that begins today still holds.
  expect(await charged()).toEqual([
    'research|null|null|2|5.00',
    'research|null|0815|2|5.00',
    'speech|=asr|4711|4|10.00',
  ]);
});

test('each version is journalled, and verify finds one that was changed', async () => {
  await service.app.attribution.whenIdle();
  const file = join(service.folder, 'gpuledger.sqlite');
  const chain = async (): Promise<readonly string[]> => {
    const store = openSqlite({ file, readOnly: true });
    const report = await verify(store, () => {});
    await store.close();
    return report.chain;
  };
  expect(await chain()).toEqual([]);
  const database = new Database(file);
  database.exec(`UPDATE mappings SET rules = '[]' WHERE version = 2`);
  expect(await chain()).toEqual(['mapping: version 2 was changed']);
  database.exec('DELETE FROM mappings WHERE version = 2');
  expect(await chain()).toEqual(['mapping: version 2 is missing']);
  database.close();
});
