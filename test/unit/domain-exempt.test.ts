import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts, ObservedProcess } from '../../api/domain/cell.ts';
import { nearExemptions } from '../../api/domain/exempt.ts';
import type { Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY, type Exemption, type ExemptionMatch } from '../../api/domain/policy.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import {
  type CellParts,
  cell,
  HOUR_MS,
  holds,
  job,
  MINUTE_MS,
  NODE,
  pidOf,
  processFact,
  SESSION_CGROUP,
  slurmCgroup,
  span,
} from './domain-facts.ts';

const UNIT = 'systemd:/system.slice/nvidia-dcgm.service';
const CGROUP = '0::/system.slice/nvidia-dcgm.service\n';
const NVVS = '/usr/share/nvvs/nvvs';
const NOTHING: ExemptionMatch = {
  ...{ executables: [], boundaries: [], uids: [], types: [], nodes: [], windows: [], daily: [] },
};
const DIAGNOSIS: ExemptionMatch = { ...NOTHING, executables: [NVVS], boundaries: [UNIT], uids: [0] };

const standsFor = (id: string): Job =>
  job(id, {
    ...{ id: `j_x_${id}`, source: 'policy', account: 'overhead', user: 'ops', boundaries: [], uid: null },
  });
const exemption = (match: ExemptionMatch, change: Partial<Exemption> = {}): Exemption => ({
  ...{ id: 'diag', job: 'j_x_diag', owner: 'ops', account: 'overhead', reason: 'known' },
  ...{ fromMs: 0, toMs: 10 * HOUR_MS, match, ...change },
});
const root = (pid: number, change: Parameters<typeof processFact>[1] = {}): ObservedProcess =>
  processFact(pid, { uid: 0, user: 'root', cgroup: CGROUP, path: NVVS, ...change });

function judged(process: ObservedProcess, one: Exemption, more: CellParts = {}, atMs = 0, type = 'C') {
  const jobs = [standsFor('diag'), ...(more.jobs ?? [])];
  const facts = cell({
    ...more,
    ...{ jobs, processes: [process, ...(more.processes ?? [])] },
    policy: { ...DEFAULT_POLICY, exemptions: [one] },
  });
  const { reason, evidence, job: by } = createJudge(facts).judge(process.id, atMs, [], type);
  return [reason, evidence, by?.id ?? null];
}
const COVERED = [null, 'policy', 'j_x_diag'];
const NO_JOB = ['no_job', null, null];

describe('what an exemption covers', () => {
  test('a process of its unit, account and executable', () => {
    expect(judged(root(1), exemption(DIAGNOSIS))).toEqual(COVERED);
  });

  test.each<[string, Parameters<typeof processFact>[1]]>([
    ['the same name elsewhere', { path: '/home/mallory/nvvs' }],
    ['the exempt file in a login session', { cgroup: SESSION_CGROUP }],
    ['the exempt file in another unit', { cgroup: '0::/system.slice/cron.service\n' }],
    ['another account', { uid: 1007 }],
    ['an account that cannot be read', { uid: null }],
    ['an executable that cannot be read', { executable: null }],
    ['a control group that cannot be read', { cgroup: '' }],
    ['what moved into the unit', { earlierCgroups: [SESSION_CGROUP] }],
    ['what moved out of every unit', { cgroup: '0::/\n', earlierCgroups: [CGROUP] }],
    ['what moved out of the unit', { cgroup: SESSION_CGROUP, earlierCgroups: [CGROUP] }],
  ])('not %s', (_name, change) => {
    expect(judged(root(1, change), exemption(DIAGNOSIS))).toEqual(NO_JOB);
  });

  test('not what sits in a job, whatever the job says of it', () => {
    const wide = exemption({ ...NOTHING, uids: [0], types: ['C'] });
    const [inside, unknown] = [root(1, { cgroup: slurmCgroup(7) }), root(2, { cgroup: slurmCgroup(8) })];
    const ended = job('7', { endMs: 0, user: null, uid: null });
    expect(judged(inside, wide, { jobs: [ended] })).toEqual(['after_end', 'cgroup', 'j_7']);
    expect(judged(unknown, wide)).toEqual(['unknown_job', null, null]);
    expect(judged(root(3, { earlierCgroups: [slurmCgroup(8)] }), wide)[0]).toBe('unknown_job');
    expect(judged(root(4), wide)).toEqual(COVERED);
  });

  test('a job that is named in the environment alone stands in nobody’s way', () => {
    const epilog = root(1, { claims: [{ name: 'SLURM_JOB_ID', value: '7' }] });
    expect(judged(epilog, exemption(DIAGNOSIS), { jobs: [job('7')] })).toEqual(COVERED);
  });

  test('nobody is covered by naming the exemption', () => {
    const claims = [{ name: 'GPULEDGER_JOB_ID', value: 'diag' }];
    expect(judged(root(1, { claims, cgroup: SESSION_CGROUP }), exemption(DIAGNOSIS))[0]).toBe('unknown_job');
  });

  test('patterns of units and paths, types and nodes', () => {
    const units = exemption({ ...NOTHING, boundaries: ['systemd:/system.slice/nvidia-*.service'] });
    expect(judged(root(1), units)).toEqual(COVERED);
    expect(judged(root(1, { cgroup: '0::/system.slice/x.slice/nvidia-dcgm.service\n' }), units)).toEqual(
      NO_JOB,
    );
    const graphics = exemption({ ...NOTHING, types: ['G'], nodes: [NODE] });
    expect(judged(root(1), graphics, {}, 0, 'G')).toEqual(COVERED);
    expect(judged(root(1), graphics, {}, 0, 'C+G')).toEqual(NO_JOB);
    expect(judged(root(1), exemption({ ...NOTHING, types: ['G'], nodes: ['n2'] }), {}, 0, 'G')).toEqual(
      NO_JOB,
    );
  });

  test('the first one that matches counts, and one that nothing stands for does not', () => {
    const facts = cell({
      ...{ processes: [root(1)], jobs: [standsFor('b'), standsFor('c')] },
      policy: {
        ...DEFAULT_POLICY,
        exemptions: ['a', 'b', 'c'].map((id) => exemption(DIAGNOSIS, { id, job: `j_x_${id}` })),
      },
    });
    expect(createJudge(facts).judge(pidOf(1), 0, [], 'C').job?.id).toBe('j_x_b');
  });
});

describe('what comes near to an exemption', () => {
  const near = (process: ObservedProcess, one = exemption(DIAGNOSIS), node = NODE) =>
    nearExemptions({ policy: { ...DEFAULT_POLICY, exemptions: [one] }, node }, process, {
      fromMs: HOUR_MS,
      toMs: 2 * HOUR_MS,
    });
  test('is told with what is not as it names it', () => {
    expect(near(root(1, { cgroup: SESSION_CGROUP, uid: 1007 }))).toEqual([
      'The exemption diag of ops names another control group and another account than this.',
    ]);
    expect(near(root(1, { path: '/tmp/x' }))).toEqual([
      'The exemption diag of ops names another executable than this.',
    ]);
    expect(near(root(1, { path: '/tmp/x', uid: 1, cgroup: '' }))).toEqual([]);
    expect(near(root(1), exemption({ ...DIAGNOSIS, nodes: ['n2'] }))).toEqual([]);
  });

  test('is told with when it counts', () => {
    const at = (fromMs: number, toMs: number) => near(root(1), exemption(DIAGNOSIS, { fromMs, toMs }));
    expect(at(0, HOUR_MS)).toEqual(['The exemption diag of ops covered this until 1970-01-01 01:00:00 UTC.']);
    expect(at(2 * HOUR_MS, 3 * HOUR_MS)).toEqual([
      'The exemption diag of ops covers this only from 1970-01-01 02:00:00 UTC on.',
    ]);
    expect(at(0, 3 * HOUR_MS)).toEqual([expect.stringMatching(/at other times/)]);
  });
});

describe('when', () => {
  const at =
    (match: Partial<ExemptionMatch>, change: Partial<Exemption> = {}) =>
    (atMs: number) =>
      judged(root(1), exemption({ ...DIAGNOSIS, ...match }, change), {}, atMs)[0] === null;

  test('from its begin to before its end', () => {
    const inForce = at({}, { fromMs: 1000, toMs: 2000 });
    expect([999, 1000, 1999, 2000].map(inForce)).toEqual([false, true, true, false]);
  });

  test('within its windows', () => {
    const inForce = at({ windows: [{ fromMs: 10, toMs: 20 }] });
    expect([9, 10, 19, 20].map(inForce)).toEqual([false, true, true, false]);
  });

  test('daily, over midnight as well', () => {
    const day = 24 * HOUR_MS;
    const night = at({ daily: [{ fromMs: 23 * HOUR_MS, toMs: HOUR_MS }] }, { toMs: 3 * day });
    const hours = [22.9, 23, 24, 24.9, 25, 47].map((hour) => hour * HOUR_MS);
    expect(hours.map(night)).toEqual([false, true, true, true, false, true]);
    const noon = at({ daily: [{ fromMs: 12 * HOUR_MS, toMs: 13 * HOUR_MS }] }, { toMs: 3 * day });
    expect([11.9, 12, 13, 36.5].map((hour) => noon(hour * HOUR_MS))).toEqual([false, true, false, true]);
  });
});

describe('in the books', () => {
  const books = (change: CellParts, match: ExemptionMatch = DIAGNOSIS, time: Partial<Exemption> = {}) => {
    const facts: CellFacts = cell({
      ...change,
      jobs: [standsFor('diag'), ...(change.jobs ?? [])],
      policy: { ...DEFAULT_POLICY, exemptions: [exemption(match, time)] },
    });
    return attribute(facts).entries.map(
      ({ bucket, reason, holder, job: by, evidence, fromMs, toMs, ms }) => ({
        ...{ bucket, reason, holder, by, evidence, fromMs, toMs, ms },
      }),
    );
  };

  test('what it takes of time that nobody holds is its own, and no more', () => {
    const entries = books({ processes: [root(1)], spans: [span(0, HOUR_MS, { 1: 20 * MINUTE_MS })] });
    expect(entries).toMatchObject([
      { bucket: 'used', holder: 'j_x_diag', by: 'j_x_diag', evidence: 'policy', ms: 20 * MINUTE_MS },
      { bucket: 'idle', holder: null, by: null, evidence: null, ms: 40 * MINUTE_MS },
    ]);
  });

  test('in a job’s allocation the time stays allocated to the job', () => {
    const alice = job('7');
    const entries = books({
      ...{ processes: [root(1)], jobs: [alice], holdings: [holds(alice)] },
      spans: [span(0, HOUR_MS, { 1: MINUTE_MS })],
    });
    expect(entries).toMatchObject([
      { bucket: 'used', holder: 'j_7', by: 'j_x_diag', ms: MINUTE_MS },
      { bucket: 'held', holder: 'j_7', by: null, ms: 59 * MINUTE_MS },
    ]);
  });

  test('from its end on it is unaccounted, to the millisecond', () => {
    const entries = books({ processes: [root(1)], spans: [span(0, HOUR_MS, { 1: HOUR_MS })] }, DIAGNOSIS, {
      toMs: 30 * MINUTE_MS + 1,
    });
    const cutMs = 30 * MINUTE_MS + 1;
    expect(entries).toMatchObject([
      { bucket: 'used', fromMs: 0, toMs: cutMs, ms: cutMs },
      { bucket: 'unaccounted', reason: 'no_job', fromMs: cutMs, toMs: HOUR_MS, ms: HOUR_MS - cutMs },
    ]);
  });

  test('within its windows and hours of the day only', () => {
    const minutes = (entries: ReturnType<typeof books>) =>
      entries.map(({ bucket, fromMs, toMs }) => [bucket, fromMs / MINUTE_MS, toMs / MINUTE_MS]);
    const facts = { processes: [root(1)], spans: [span(0, HOUR_MS, { 1: HOUR_MS })] };
    const windows = [{ fromMs: 10 * MINUTE_MS, toMs: 2 * HOUR_MS }];
    expect(minutes(books(facts, { ...DIAGNOSIS, windows }))).toEqual([
      ['unaccounted', 0, 10],
      ['used', 10, 60],
    ]);
    const daily = [{ fromMs: 23 * HOUR_MS, toMs: 20 * MINUTE_MS }];
    expect(minutes(books(facts, { ...DIAGNOSIS, daily }))).toEqual([
      ['used', 0, 20],
      ['unaccounted', 20, 60],
    ]);
  });

  test('a stranger beside it is not covered', () => {
    const stranger = processFact(2, { cgroup: SESSION_CGROUP, path: '/home/mallory/nvvs' });
    const entries = books({
      ...{ processes: [root(1), stranger] },
      spans: [span(0, HOUR_MS, { 1: 20 * MINUTE_MS, 2: 10 * MINUTE_MS })],
    });
    const sums = entries.map(({ bucket, ms }) => [bucket, ms / MINUTE_MS]);
    expect(sums).toContainEqual(['used', 20]);
    expect(sums.flatMap(([bucket, ms]) => (bucket === 'unaccounted' ? [ms] : [])).reduce(add, 0)).toBe(40);
  });

  test('a process can be covered for what it draws and not for what it computes', () => {
    const drawing = span(0, 30 * MINUTE_MS, { 1: MINUTE_MS });
    const computing = span(30 * MINUTE_MS, HOUR_MS, { 1: MINUTE_MS });
    const entries = books(
      {
        processes: [root(1)],
        spans: [{ ...drawing, tenants: drawing.tenants.map((one) => ({ ...one, type: 'G' })) }, computing],
      },
      { ...NOTHING, types: ['G'], uids: [0] },
    );
    expect(entries).toMatchObject([
      { bucket: 'used', ms: MINUTE_MS },
      { bucket: 'idle' },
      { bucket: 'unaccounted', reason: 'no_job', ms: MINUTE_MS },
      { bucket: 'unaccounted', reason: 'no_job', ms: 29 * MINUTE_MS },
    ]);
  });

  test('it answers neither for a device that contradicts itself nor for one of unknown activity', () => {
    const still = span(0, HOUR_MS, { 1: 0 });
    const entries = books({ processes: [root(1)], spans: [{ ...still, conflictMs: MINUTE_MS }] });
    expect(entries).toMatchObject([
      { bucket: 'unaccounted', reason: 'telemetry_conflict', by: null, ms: MINUTE_MS },
      { bucket: 'idle', ms: 59 * MINUTE_MS },
    ]);
    expect(books({ processes: [root(1)], spans: [span(0, HOUR_MS, { 1: null })] })).toMatchObject([
      { bucket: 'idle', holder: null, by: 'j_x_diag', ms: HOUR_MS },
    ]);
  });
});

const add = (a: number, b: unknown): number => a + Number(b);
