import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PersonalRecord } from '../../api/contract/batch.ts';
import { canonicalJson, sha256Hex } from '../../api/contract/canonical.ts';
import { PolicyIn, type PolicyResult } from '../../api/contract/policy.ts';
import { verify } from '../../api/services/verify.ts';
import { type Service, startService } from './service.ts';
import {
  agentOf,
  caller,
  device,
  HOUR,
  MINUTE,
  personalOf,
  post,
  processFact,
  START,
  Stream,
  tenancy,
} from './site.ts';

let service: Service;
beforeEach(() => {
  service = startService(START);
});
afterEach(() => service.stop());

const time = (ms: number): string => new Date(ms).toISOString();
const gpu = device('n1', 0);
const nvvs = processFact(20, {
  ...{ uid: 0, comm: 'nvvs', cgroup: '0::/system.slice/nvidia-dcgm.service' },
  executable: { path: '/usr/bin/nvvs', device: '8:1', inode: '9', deleted: false, fileSystem: null },
});
const DIAGNOSIS = {
  ...{ id: 'diagnosis', owner: 'ops', account: 'overhead', reason: 'Diagnosis of drained nodes' },
  until: time(START + 30 * 24 * HOUR),
  match: {
    executables: ['/usr/bin/nvvs'],
    boundaries: ['systemd:/system.slice/nvidia-dcgm.service'],
    uids: [0],
  },
};
const put = (more: Record<string, unknown> = {}, who = caller('admin')): Promise<PolicyResult> =>
  service.policies.put(who, PolicyIn.parse({ exemptions: [DIAGNOSIS], ...more }));

/** Reports a whole hour in which the diagnosis ran, and attributes it. */
async function seeHour(): Promise<void> {
  service.clock.set(START + HOUR + MINUTE);
  const batch = new Stream('n1').batch(START, START + HOUR, {
    ...{ inventory: [gpu], processes: [nvvs] },
    tenancies: [tenancy(gpu.uuid, START, HOUR, nvvs)],
  });
  await service.ingest.accept(agentOf('n1'), post(batch));
  await service.attribution.whenIdle();
}

const books = () =>
  service.rows(
    `SELECT e.bucket, e.evidence, e.from_ms - ${START} AS fromMs, e.ms, h.account AS holder, j.account, c.policy_version AS version
     FROM entries e JOIN cells c ON c.hour_ms = e.hour_ms AND c.node = e.node AND c.device = e.device
     LEFT JOIN jobs h ON h.job = e.holder LEFT JOIN jobs j ON j.job = e.job ORDER BY e.from_ms`,
  );
const journal = () =>
  service.rows("SELECT subject, detail FROM journal WHERE action = 'policy.set' ORDER BY number");
const USED = { bucket: 'used', evidence: 'policy', holder: 'overhead', account: 'overhead' };

describe('in force', () => {
  test('its use stands under its account, on both axes, by a job of its own', async () => {
    const { policy, changes } = await put();
    expect(policy).toMatchObject({ version: 2, from: time(START), recordedBy: 'admin' });
    expect(changes).toEqual([
      expect.stringMatching(/^Exemption diagnosis is new: executables .*ops answers for it/),
    ]);
    await seeHour();
    expect(books()).toEqual([{ ...USED, fromMs: 0, ms: HOUR, version: 2 }]);
    expect(service.rows('SELECT account, user_name, allocated_ms, used_ms FROM ledger_hours')).toEqual([
      { account: 'overhead', user_name: 'ops', allocated_ms: HOUR, used_ms: HOUR },
    ]);
    expect(service.rows('SELECT * FROM findings')).toEqual([]);
    expect(service.rows('SELECT external_id, name FROM jobs')).toEqual([
      { external_id: 'diagnosis', name: 'Diagnosis of drained nodes' },
    ]);
    expect(await verify(service.store, () => {})).toMatchObject({ ok: true, chain: [], differenceCount: 0 });
  });

  test('from when it was recorded, and until its end', async () => {
    service.clock.set(START + 10 * MINUTE);
    await put({ exemptions: [{ ...DIAGNOSIS, until: time(START + 40 * MINUTE) }] });
    await seeHour();
    expect(
      books().map(({ bucket, fromMs, ms }) => [bucket, Number(ms) / MINUTE, Number(fromMs) / MINUTE]),
    ).toEqual([
      ['unaccounted', 30, 0],
      ['used', 30, 10],
    ]);
  });

  test('the same exemption in a later version goes on; another one begins anew; one that is left out ends', async () => {
    await put();
    service.clock.set(START + 10 * MINUTE);
    const again = await put({ exemptions: [{ ...DIAGNOSIS, reason: 'Said better' }], endGraceMs: 1000 });
    expect(again.policy.exemptions[0]?.from).toBe(time(START));
    expect(again.changes).toEqual([
      'endGraceMs was 30000 and becomes 1000.',
      'Exemption diagnosis has another reason: Said better',
    ]);
    const wider = await put({ exemptions: [{ ...DIAGNOSIS, match: { ...DIAGNOSIS.match, uids: [0, 1] } }] });
    expect(wider.policy.exemptions[0]?.from).toBe(time(START + 10 * MINUTE));
    const none = await put({ from: time(START + HOUR), exemptions: [] });
    expect(none.changes).toEqual(['Exemption diagnosis of ops ends.']);
    expect(service.rows('SELECT version, end_ms FROM jobs')).toEqual([{ version: 4, end_ms: START + HOUR }]);
    const { current, items } = await service.policies.show();
    expect([current.version, items.map((one) => one.version)]).toEqual([4, [5, 4, 3, 2, 1]]);
    expect(items.at(-1)).toMatchObject({ from: null, recordedBy: null, exemptions: [] });
    expect(journal().map((one) => one['subject'])).toEqual([2, 3, 4, 5].map((one) => `version ${one}`));
  });
});

describe('the past', () => {
  test('stays as it was judged, unless it is said that it is meant', async () => {
    await seeHour();
    expect(books()).toMatchObject([{ bucket: 'unaccounted', version: 1 }]);
    await expect(put({ from: time(START) })).rejects.toMatchObject({
      code: 'invalid',
      errors: [{ field: 'from' }],
    });
    await put();
    await service.attribution.whenIdle();
    expect(books()).toMatchObject([{ bucket: 'unaccounted', version: 1 }]);
    await put({ from: time(START), reach: 'past' });
    expect(journal().at(-1)?.['detail']).toMatch(/changes verdicts of the past/);
    await service.attribution.whenIdle();
    expect(books()).toEqual([{ ...USED, fromMs: 0, ms: HOUR, version: 3 }]);
    expect(service.rows('SELECT resolved_at_ms IS NOT NULL AS resolved FROM findings')).toEqual([
      { resolved: 1 },
    ]);
    expect(await verify(service.store, () => {})).toMatchObject({ ok: true, differenceCount: 0 });
    const long = put({ from: time(START - 401 * 24 * HOUR), reach: 'past' });
    await expect(long).rejects.toMatchObject({
      errors: [{ field: 'from', message: expect.stringMatching(/400/) }],
    });
  });

  test('is what a dry run tries it on, and nothing is recorded', async () => {
    await seeHour();
    const { policy, trial } = await put({ dryRun: true });
    expect(policy.version).toBe(2);
    const [finding] = service.rows('SELECT id FROM findings');
    expect(trial).toMatchObject({ hours: 1, leftOut: 0 });
    expect(trial?.covered).toEqual([
      { finding: finding?.['id'], exemption: 'diagnosis', executable: '/usr/bin/nvvs', node: 'n1', ms: HOUR },
    ]);
    const elsewhere = { ...DIAGNOSIS, match: { ...DIAGNOSIS.match, nodes: ['n2'] } };
    expect((await put({ dryRun: true, exemptions: [elsewhere] })).trial?.covered).toEqual([]);
    expect([journal(), service.rows('SELECT * FROM policies'), service.rows('SELECT * FROM jobs')]).toEqual([
      [],
      [],
      [],
    ]);
  });
});

describe('refused', () => {
  test.each(['agent', 'scheduler', 'viewer', 'owner', 'finance', 'auditor'] as const)(
    'a %s',
    async (role) => {
      await expect(put({}, caller(role))).rejects.toMatchObject({ code: 'forbidden' });
    },
  );

  test('another account for a known exemption, an end too far or before the begin', async () => {
    await put();
    const refused = put({
      exemptions: [
        { ...DIAGNOSIS, account: 'research' },
        { ...DIAGNOSIS, id: 'long', until: time(START + 401 * 24 * HOUR) },
        { ...DIAGNOSIS, id: 'over', until: time(START) },
      ],
    });
    await expect(refused).rejects.toMatchObject({
      errors: [
        { field: 'exemptions.0.account' },
        { field: 'exemptions.1.until' },
        { field: 'exemptions.2.until' },
      ],
    });
  });

  test('whoever would write the job of an exemption, or say how far the policy is complete', async () => {
    const { policy } = await put();
    const job = { source: 'policy', externalId: 'diagnosis', start: time(START), allocations: [] };
    await expect(service.declare(job)).rejects.toMatchObject({ errors: [{ field: 'source' }] });
    const patch = service.declarations.patchJob(caller('admin'), policy.exemptions[0]?.job ?? '', {
      account: 'x',
    });
    await expect(patch).rejects.toMatchObject({ errors: [{ field: 'id' }] });
    const complete = service.declarations.putSource(caller('scheduler'), 'policy', 'default', START);
    await expect(complete).rejects.toMatchObject({ errors: [{ field: 'source' }] });
  });

  test('two at once: one of them is told', async () => {
    const results = await Promise.allSettled([put(), put({ endGraceMs: 1 })]);
    expect(results.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  const match = (more: Record<string, unknown>) => ({ exemptions: [{ ...DIAGNOSIS, match: more }] });
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['a path alone', match({ executables: ['/usr/bin/nvvs'] }), /kernel or the driver holds.*can be copied/s],
    [
      'a path on nodes',
      match({ executables: ['/usr/bin/nvvs'], nodes: ['n1'] }),
      /kernel or the driver holds/,
    ],
    ['a type that also computes', match({ types: ['G', 'C+G'] }), /kernel or the driver holds/],
    ['nothing', match({}), /kernel or the driver holds/],
    ['all that root does', match({ uids: [0], nodes: ['n1'] }), /everything that an account runs/],
    ['all graphics everywhere', match({ types: ['G'] }), /every graphics context/],
    ['a job’s boundary', match({ boundaries: ['slurm:7'] }), /must be a unit/],
    ['units of everybody', match({ boundaries: ['systemd:/*/x.service'] }), /first part open/],
    ['units at any depth', match({ boundaries: ['systemd:/system.slice/**'] }), /must not hold \*\*/],
    ['a network of half the world', { internalRanges: ['0.0.0.0/1'] }, /wider than any site/],
    ['a tunnel to anywhere', { approvedTunnels: [{ peers: [], reason: 'x' }] }, /approvedTunnels/],
    ['half an hour', { from: '2026-10-05T08:30:00Z' }, /full UTC hour/],
    ['no word on exemptions', { exemptions: undefined }, /array/],
    ['the same id twice', { exemptions: [DIAGNOSIS, DIAGNOSIS] }, /is there twice/],
    ['an unknown member', { exemption: [] }, /exemption/],
    ['evidence of its own', { weakestEvidence: 'policy' }, /expected one of/],
  ])('%s', (_name, more, message) => {
    expect(() => PolicyIn.parse({ exemptions: [DIAGNOSIS], ...more })).toThrow(message);
  });
});

test('a tunnel to where the site approves of it is no finding, and is one elsewhere', async () => {
  const tunnel = (at: number, peer: string) => {
    const user = personalOf('alice', `ssh -N -R 2222:localhost:22 u@${peer}`);
    const value: PersonalRecord['value'] = { kind: 'connection', peers: [`${peer}:22`] };
    const salt = sha256Hex(peer).slice(0, 32);
    return {
      process: processFact(at, {
        ...{ comm: 'ssh', personal: user.digest },
        cgroup: '0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0',
      }),
      personal: [user, { digest: sha256Hex(canonicalJson({ salt, value })), salt, value }],
    };
  };
  const tunnels = [tunnel(30, '198.51.100.7'), tunnel(31, '192.0.2.7'), tunnel(32, '203.0.113.7')];
  await put({
    exemptions: [],
    internalRanges: ['203.0.113.0/24'],
    approvedTunnels: [
      { peers: ['198.51.100.0/28'], executables: ['/usr/bin/python3'], reason: 'The bastion' },
    ],
  });
  service.clock.set(START + HOUR + MINUTE);
  const batch = new Stream('n1').batch(
    START,
    START + HOUR,
    {
      ...{
        inventory: [gpu],
        processes: tunnels.map((one) => one.process),
        tenancies: [tenancy(gpu.uuid, START, HOUR)],
      },
      connections: tunnels.map(({ process, personal }) => ({
        ...{ process: process.key, kind: 'established', peerClass: 'external', localPort: 40_000, peers: 1 },
        ...{ personal: personal[1]?.digest ?? null, firstMs: START, lastMs: START + HOUR },
      })),
    },
    tunnels.flatMap((one) => one.personal),
  );
  await service.send(batch);
  await service.attribution.whenIdle();
  expect(
    service.rows(
      "SELECT p.pid FROM findings f JOIN processes p ON p.process = f.process WHERE f.kind = 'network'",
    ),
  ).toEqual([{ pid: 31 }]);
  expect(await verify(service.store, () => {})).toMatchObject({ ok: true, differenceCount: 0 });
});

test('every change is said in words', async () => {
  const tunnel = { peers: ['198.51.100.0/28'], uids: [1001], reason: 'The bastion' };
  const windows = [{ from: time(START), to: time(START + HOUR) }];
  const timed = {
    ...DIAGNOSIS,
    match: { ...DIAGNOSIS.match, windows, daily: [{ from: '23:00', to: '01:30' }] },
  };
  const first = await put({
    exemptions: [timed],
    approvedTunnels: [tunnel, { ...tunnel, uids: [] }],
    launchers: ['sh', 'ours'],
  });
  expect(first.policy.exemptions[0]?.match).toMatchObject({
    windows,
    daily: [{ from: '23:00', to: '01:30' }],
  });
  expect(first.changes).toEqual([
    'Launchers, new: ours.',
    expect.stringMatching(/^Launchers, no more: bash, dash/),
    'Approved tunnels, new: to 198.51.100.0/28 (uid 1001; The bastion), to 198.51.100.0/28 (any program; The bastion).',
    expect.stringContaining(`from ${time(START)} to ${time(START + HOUR)}, daily from 23:00 to 01:30 UTC`),
  ]);
  const until = time(START + HOUR);
  const second = await put({
    exemptions: [
      { ...timed, until, owner: 'desk' },
      { ...DIAGNOSIS, id: 'other' },
    ],
  });
  expect(second.changes.slice(2)).toEqual([
    expect.stringMatching(/^Approved tunnels, no more: to /),
    'Exemption diagnosis: desk answers for it instead of ops.',
    `Exemption diagnosis lasts until ${until} instead of ${DIAGNOSIS.until}.`,
    expect.stringMatching(/^Exemption other is new/),
  ]);
  const third = await put({
    exemptions: [{ ...DIAGNOSIS, id: 'other', match: { ...DIAGNOSIS.match, uids: [1] } }],
  });
  expect(third.changes).toEqual([
    expect.stringMatching(/^Exemption other covered .*uid 0, and now: .*uid 1\.$/),
    'Exemption diagnosis of desk ends.',
  ]);
});

test('what is wide is said', async () => {
  const wide = (id: string, match: Record<string, unknown>) => ({ ...DIAGNOSIS, id, match });
  const { warnings } = await put({
    weakestEvidence: 'claim',
    exemptions: [
      wide('unit', { boundaries: ['systemd:/system.slice/x.service'] }),
      wide('desk', { uids: [1010], executables: ['/opt/browser'] }),
      wide('draws', { types: ['G'], nodes: ['n1'] }),
      DIAGNOSIS,
    ],
    dryRun: true,
  });
  expect(warnings.map((line) => line.split(':')[0])).toEqual([
    'weakestEvidence claim',
    ...['unit', 'desk', 'draws'].map((id) => `Exemption ${id}`),
  ]);
});
