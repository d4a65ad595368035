// How evidence, runs of a job and its executables decide a cell.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts, Entry } from '../../api/domain/cell.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import {
  BOOT,
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

const ACTIVE_MS = 50 * MINUTE_MS;
const _REST_MS = HOUR_MS - ACTIVE_MS;

const entriesOf = (facts: CellFacts): readonly Entry[] => attribute(facts).entries;
const unaccounted = (facts: CellFacts): Entry[] =>
  entriesOf(facts).filter((entry) => entry.bucket === 'unaccounted');
const reasons = (facts: CellFacts): (string | null)[] => [
  ...new Set(unaccounted(facts).map((entry) => entry.reason)),
];
/** One process, active for 50 of the 60 minutes. */
const busy = (pid = 100): CellFacts['spans'] => [span(0, HOUR_MS, { [pid]: ACTIVE_MS })];

describe('evidence', () => {
  test('lineage: a descendant of the declared root, whatever its cgroup', () => {
    const root = { node: NODE, bootId: BOOT, pid: 50, startTicks: 500 };
    const j = job('r', { source: 'run', boundaries: [], declares: { executables: [], root } });
    const processes = [
      processFact(50, { cgroup: SESSION_CGROUP, path: '/usr/bin/bash' }),
      processFact(51, { cgroup: SESSION_CGROUP, parentPid: 50 }),
    ];
    const entries = entriesOf(cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy(51) }));
    expect(entries.find((entry) => entry.bucket === 'used')).toMatchObject({ evidence: 'lineage' });
  });

  test('lineage: the same pid of another start is another process', () => {
    const root = { node: NODE, bootId: BOOT, pid: 50, startTicks: 499 };
    const j = job('r', { source: 'run', boundaries: [], declares: { executables: [], root } });
    const processes = [processFact(50, { cgroup: SESSION_CGROUP })];
    expect(reasons(cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy(50) }))).toEqual([
      'no_job',
    ]);
  });

  describe('a step of Slurm without control groups', () => {
    const j = job('8101');
    const stepd = (change: Parameters<typeof processFact>[1] = {}) =>
      processFact(50, {
        ...{
          cgroup: '0::/system.slice/slurmd.service\n',
          path: '/usr/sbin/slurmstepd',
          uid: 0,
          user: 'root',
        },
        ...{ commandLine: 'slurmstepd: [8101.batch]', ...change },
      });
    const entries = (parent: ReturnType<typeof stepd>, cgroup = '0::/\n', jobs = [j]): readonly Entry[] => {
      const processes = [parent, processFact(51, { cgroup, parentPid: 50 })];
      return entriesOf(cell({ processes, jobs, holdings: [holds(j)], spans: busy(51) }));
    };
    const seen = (...of: Parameters<typeof entries>) =>
      entries(...of)
        .filter(({ bucket }) => bucket === 'used' || bucket === 'unaccounted')
        .map(({ evidence, reason }) => reason ?? evidence);

    test('is its job, by what Slurm started it with', () => {
      expect(seen(stepd())).toEqual(['lineage']);
      expect(seen(stepd({ path: '/usr/sbin/slurmstepd-wlm (deleted)' }))).toEqual(['lineage']);
      expect(seen(stepd({ commandLine: 'slurmstepd: [8102.0]' }))).toEqual(['unknown_job']);
      expect(seen(stepd({ commandLine: 'slurmstepd: [8101.extern]' }), SESSION_CGROUP)).toEqual(['lineage']);
    });

    test('is nothing that a user can write', () => {
      for (const forged of [
        { uid: 2001 },
        { path: '/home/bob/miner' },
        { executable: null },
        { commandLine: null },
        { commandLine: 'slurmstepd infinity' },
      ])
        expect(seen(stepd(forged))).toEqual(['no_job']);
    });

    test('says nothing where a control group names a job, and nothing before the job had its id', () => {
      expect(seen(stepd(), slurmCgroup(8102))).toEqual(['unknown_job']);
      expect(seen(stepd(), '0::/\n', [job('8101', { boundaries: ['slurm:1'] })])).toEqual(['unknown_job']);
    });
  });

  test('binding: the device is bound to one job without boundary or root, and the user matches', () => {
    const j = job('b', { boundaries: [] });
    const processes = [processFact(100, { cgroup: SESSION_CGROUP })];
    const facts = cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(entriesOf(facts).find((entry) => entry.bucket === 'used')).toMatchObject({ evidence: 'binding' });
  });

  test('binding: another account is not bound', () => {
    const j = job('b', { boundaries: [] });
    const processes = [processFact(100, { cgroup: SESSION_CGROUP, uid: 1, user: 'bob' })];
    expect(reasons(cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy() }))).toEqual(['no_job']);
  });

  test('binding: two jobs on one device bind nothing', () => {
    const jobs = [job('b', { boundaries: [] }), job('c', { boundaries: [] })];
    const processes = [processFact(100, { cgroup: SESSION_CGROUP })];
    expect(
      reasons(cell({ processes, jobs, holdings: jobs.map((one) => holds(one)), spans: busy() })),
    ).toEqual(['no_job']);
  });

  test('a policy that wants a kernel boundary does not accept lineage', () => {
    const root = { node: NODE, bootId: BOOT, pid: 50, startTicks: 500 };
    const j = job('r', { boundaries: [], declares: { executables: [], root } });
    const processes = [processFact(50, { cgroup: SESSION_CGROUP })];
    const policy = { ...DEFAULT_POLICY, weakestEvidence: 'cgroup' } as const;
    expect(reasons(cell({ processes, jobs: [j], holdings: [holds(j)], spans: busy(50), policy }))).toEqual([
      'unverified_claim',
    ]);
  });

  test('a process that left its job’s cgroup still belongs to it', () => {
    const j = job('8101');
    const process = processFact(100, { cgroup: SESSION_CGROUP, earlierCgroups: [slurmCgroup(8101)] });
    expect(reasons(cell({ processes: [process], jobs: [j], holdings: [holds(j)], spans: busy() }))).toEqual(
      [],
    );
  });

  test('a job of another cluster is no candidate', () => {
    const j = job('8101', { cluster: 'c2' });
    expect(reasons(cell({ processes: [processFact(100)], jobs: [j], spans: busy() }))).toEqual([
      'unknown_job',
    ]);
  });
});

describe('runs of one job', () => {
  const first = job('8312', { endMs: 20 * MINUTE_MS });
  const second = job('8312', {
    id: 'j_8312b',
    incarnation: 1,
    startMs: 40 * MINUTE_MS,
  });
  const parts = {
    jobs: [first, second],
    holdings: [holds(first), holds(second)],
    spans: [span(0, HOUR_MS, { 100: HOUR_MS })],
  };

  test('a requeued job’s runs each take their own time, and between them nothing is covered', () => {
    const process = processFact(100, { cgroup: slurmCgroup(8312), startedMs: null });
    const entries = entriesOf(cell({ ...parts, processes: [process] }));
    expect(entries.map(({ reason, job: of, ms }) => ({ reason, of, ms }))).toEqual([
      { reason: null, of: 'j_8312', ms: 20 * MINUTE_MS },
      { reason: 'after_end', of: 'j_8312', ms: 20 * MINUTE_MS },
      { reason: null, of: 'j_8312b', ms: 20 * MINUTE_MS },
    ]);
  });

  test('a survivor of the first run is not the second run’s use', () => {
    const process = processFact(100, { cgroup: slurmCgroup(8312), startedMs: 5 * MINUTE_MS });
    const entries = entriesOf(cell({ ...parts, processes: [process] }));
    expect(
      entries.filter((entry) => entry.reason === 'after_end').reduce((sum, entry) => sum + entry.ms, 0),
    ).toBe(40 * MINUTE_MS);
  });
});

describe('declared executables and the baseline', () => {
  const bash = processFact(10, { path: '/usr/bin/bash' });
  const python = processFact(11, { path: '/usr/bin/python3.11', parentPid: 10 });
  const tool = processFact(12, { path: '/usr/bin/bash', parentPid: 11 });
  const other = processFact(13, { path: '/scratch/x', parentPid: 12 });
  const j = job('8101');
  const facts = cell({
    processes: [bash, python, tool, other],
    jobs: [j],
    holdings: [holds(j)],
    spans: [span(0, HOUR_MS, { 11: 20 * MINUTE_MS, 13: 30 * MINUTE_MS })],
  });

  test('a job that declares nothing: another executable deeper in its tree is used, and marked', () => {
    expect(entriesOf(facts).filter((entry) => entry.bucket === 'used')).toMatchObject([
      { process: pidOf(11), suspicious: false, ms: 20 * MINUTE_MS },
      { process: pidOf(13), suspicious: true, ms: 30 * MINUTE_MS },
    ]);
    expect(sumEntries(entriesOf(facts)).unaccountedMs).toBe(0);
  });

  test('an executable that cannot be read is not called foreign, but marked', () => {
    const declared = job('8101', { declares: { executables: ['/opt/a'], root: null } });
    const process = processFact(100, { executable: null });
    const entries = entriesOf(
      cell({ processes: [process], jobs: [declared], holdings: [holds(declared)], spans: busy() }),
    );
    expect(entries.find((entry) => entry.bucket === 'used')).toMatchObject({ suspicious: true });
  });

  test('a process that replaced its executable is judged by the one that runs', () => {
    const declared = job('8101', { declares: { executables: ['/usr/bin/python*'], root: null } });
    const process = processFact(100, {
      path: '/memfd:x',
      earlierExecutables: [
        { path: '/usr/bin/python3', device: '8:1', inode: '1', deleted: false, fileSystem: null },
      ],
    });
    expect(
      reasons(cell({ processes: [process], jobs: [declared], holdings: [holds(declared)], spans: busy() })),
    ).toEqual(['foreign_in_job']);
  });
});
