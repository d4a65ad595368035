import { afterAll, beforeAll, expect, test } from 'vitest';
import { Policies, PolicyResult } from '../../api/contract/policy.ts';
import { Problem, type Role } from '../../api/contract/primitives.ts';
import { type Service, startService } from './service.ts';

let service: Service;
let admin: string;
beforeAll(async () => {
  service = await startService();
  admin = await service.tokenFor('admin');
});
afterAll(() => service.stop());

const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();
const exemption = (more: Record<string, unknown> = {}) => ({
  ...{ id: 'epilog', owner: 'ops', account: 'overhead', reason: 'Checks between jobs', until: inDays(30) },
  match: { executables: ['/opt/site/**'], boundaries: ['systemd:/system.slice/slurmd.service'], uids: [0] },
  ...more,
});
const put = (body: unknown, token = admin) => service.ask('PUT', '/v1/policy', { token, body });
const problems = (json: unknown): string[] => (Problem.parse(json).errors ?? []).map((error) => error.field);

test('is read by those who read the ledger, and set by administrators alone', async () => {
  const roles: readonly Role[] = ['viewer', 'finance', 'auditor', 'owner', 'scheduler', 'agent'];
  for (const role of roles) {
    const token = await service.tokenFor(role);
    const mayRead = ['viewer', 'finance', 'auditor'].includes(role);
    expect((await service.ask('GET', '/v1/policy', { token })).status, role).toBe(mayRead ? 200 : 403);
    expect((await put({ exemptions: [] }, token)).status, role).toBe(403);
  }
  const { current, items } = Policies.parse((await service.ask('GET', '/v1/policy', { token: admin })).json);
  expect([current.version, current.from, items.length]).toEqual([1, null, 1]);
});

test('what is wrong is named by its field', async () => {
  const cases: [unknown, string[]][] = [
    [{}, ['exemptions']],
    [{ exemptions: [exemption({ match: { executables: ['/usr/bin/nvvs'] } })] }, ['exemptions.0.match']],
    [{ exemptions: [exemption({ match: { uids: [-1] } })] }, ['exemptions.0.match.uids.0']],
    [
      { exemptions: [exemption({ match: { boundaries: ['docker:x'] } })] },
      ['exemptions.0.match.boundaries.0'],
    ],
    [{ exemptions: [exemption({ until: inDays(500) })] }, ['exemptions.0.until']],
    [{ exemptions: [exemption({ id: 'Über' })] }, ['exemptions.0.id']],
    [{ exemptions: [exemption(), exemption()] }, ['exemptions.1.id']],
    [{ exemptions: [], from: '2026-01-01T00:30:00Z' }, ['from']],
    [{ exemptions: [], from: '2026-01-01T00:00:00Z' }, ['from']],
    [{ exemptions: [], endGraceMs: 3_600_001 }, ['endGraceMs']],
    [{ exemptions: new Array(201).fill(exemption()) }, ['exemptions']],
  ];
  for (const [body, fields] of cases) {
    const answer = await put(body);
    expect([answer.status, problems(answer.json)]).toEqual([400, fields]);
  }
});

test('is set, shown with its job, and tried without being set', async () => {
  const tried = PolicyResult.parse((await put({ exemptions: [exemption()], dryRun: true })).json);
  expect(tried).toMatchObject({ dryRun: true, trial: { hours: 0, covered: [] } });
  const set = PolicyResult.parse((await put({ exemptions: [exemption()] })).json);
  expect(set).toMatchObject({ dryRun: false, trial: null, policy: { version: 2 }, warnings: [] });
  const { current } = Policies.parse((await service.ask('GET', '/v1/policy', { token: admin })).json);
  expect(current).toEqual(set.policy);
  const job = current.exemptions[0]?.job ?? '';
  expect((await service.ask('GET', `/v1/jobs/${job}`, { token: admin })).json).toMatchObject({
    ...{ source: 'policy', externalId: 'epilog', account: 'overhead', user: 'ops' },
    ...{ name: 'Checks between jobs', recordedBy: 'admin token' },
  });
});
