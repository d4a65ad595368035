// Ties of a process to jobs, contradictions between them, and whether it fits what was declared.
import { describe, expect, test } from 'vitest';
import { at } from '../../api/domain/at.ts';
import type { ObservedProcess } from '../../api/domain/cell.ts';
import { indexJobs, isLentAccount, runAt, tiesOf } from '../../api/domain/evidence.ts';
import { fitOf, isDeclared, matchesPath } from '../../api/domain/fit.ts';
import type { Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { lineageOf, mergeProcess, sameExecutable } from '../../api/domain/process.ts';
import { BOOT, job, NODE, pidOf, processFact, SESSION_CGROUP, slurmCgroup } from './domain-facts.ts';

const mapOf = (...processes: ObservedProcess[]) => new Map(processes.map((one) => [one.id, one]));
const indexOf = (...jobs: Job[]) => indexJobs('c1', NODE, new Map(jobs.map((one) => [one.id, one])));
const ties = (process: ObservedProcess, ...jobs: Job[]) => tiesOf(process, mapOf(process), indexOf(...jobs));

describe('ties', () => {
  test('the environment against the kernel is a contradiction, and the kernel is stronger', () => {
    const process = processFact(1, { claims: [{ name: 'SLURM_JOB_ID', value: '8120' }] });
    const known = ties(process, job('8101'), job('8120'));
    expect(known.ties.map((tie) => [tie.evidence, tie.jobs[0]?.externalId])).toEqual([
      ['cgroup', '8101'],
      ['claim', '8120'],
    ]);
    expect(known.contradictions).toEqual(['environment says 8120, cgroup says 8101']);
  });

  test('a claim that agrees with the kernel is no contradiction', () => {
    const process = processFact(1, { claims: [{ name: 'SLURM_JOB_ID', value: '8101' }] });
    expect(ties(process, job('8101')).contradictions).toEqual([]);
  });

  test('a claim against a boundary that nobody declared is a contradiction too', () => {
    const process = processFact(1, { claims: [{ name: 'SLURM_JOB_ID', value: '8120' }] });
    const known = ties(process, job('8120'));
    expect(known.contradictions).toEqual(['environment says 8120, cgroup says 8101']);
    expect(known.unknownJob).toBe('cgroup slurm:8101');
  });

  test.each([
    ['SLURM_JOB_ID', '7', 'slurm', true],
    ['SLURM_JOB_ID', '7', 'ray', false],
    ['RAY_JOB_ID', '7', 'ray', true],
    ['GPULEDGER_JOB_ID', '7', 'api', true],
    ['GPULEDGER_JOB_ID', 'j_7', 'api', true],
    ['HOME', '7', 'slurm', false],
  ])('%s=%s names a job of source %s: %s', (name, value, source, expected) => {
    const process = processFact(1, { cgroup: SESSION_CGROUP, claims: [{ name, value }] });
    expect(ties(process, job('7', { source })).ties.length > 0).toBe(expected);
  });

  test('a login session belongs to a job only when the job declares it', () => {
    const process = processFact(1, { cgroup: SESSION_CGROUP });
    const boundary = ties(process).owner?.boundary ?? '';
    expect(ties(process).unknownJob).toBeNull();
    expect(ties(process, job('s', { boundaries: [boundary] })).ties).toMatchObject([{ evidence: 'cgroup' }]);
  });

  test('of two clusters that count from one, the job of the cluster that has it on this node is meant', () => {
    const on = (sourceInstance: string, nodes: readonly string[], more: Partial<Job> = {}): Job => {
      const all = { devices: null, count: null, fromMs: 0, toMs: null, shareMilli: 1000 };
      const allocations = nodes.map((node) => ({ ...all, node }));
      return job('8101', {
        id: `j_${sourceInstance}${nodes.join('')}`,
        sourceInstance,
        allocations,
        ...more,
      });
    };
    const named = (...jobs: Job[]) => ties(processFact(1, {}), ...jobs).ties[0]?.jobs.map((one) => one.id);
    const [here, there] = [on('a', [NODE]), on('b', ['elsewhere'])];
    expect(named(here, there)).toEqual([here.id]);
    // Its other runs are of the same cluster; nobody knows of two clusters without devices which is meant.
    const earlier = on('a', ['another']);
    expect(named(here, there, earlier)?.sort()).toEqual([earlier.id, here.id].sort());
    expect(named(there, on('c', []))).toHaveLength(2);
    expect(named(there, on('api', [NODE], { source: 'api' }))).toHaveLength(2);
  });

  test('the nearest declared root wins', () => {
    const root = (pid: number) => ({ node: NODE, bootId: BOOT, pid, startTicks: pid * 10 });
    const outer = job('o', { boundaries: [], declares: { executables: [], root: root(1) } });
    const inner = job('i', { boundaries: [], declares: { executables: [], root: root(2) } });
    const processes = mapOf(
      processFact(1, { cgroup: '' }),
      processFact(2, { cgroup: '', parentPid: 1 }),
      processFact(3, { cgroup: '', parentPid: 2 }),
    );
    const leaf = processFact(3, { cgroup: '', parentPid: 2 });
    expect(tiesOf(leaf, processes, indexOf(outer, inner)).ties[0]?.jobs).toEqual([inner]);
  });

  test('an ancestor whose start could not be read hides no root above it', () => {
    const root = { node: NODE, bootId: BOOT, pid: 1, startTicks: 10 };
    const outer = job('o', { boundaries: [], declares: { executables: [], root } });
    const leaf = processFact(3, { cgroup: '', parentPid: 2 });
    const between = processFact(2, { cgroup: '', parentPid: 1, startTicks: null });
    const processes = mapOf(processFact(1, { cgroup: '' }), between, leaf);
    expect(tiesOf(leaf, processes, indexOf(outer)).ties).toEqual([{ evidence: 'lineage', jobs: [outer] }]);
  });

  test('a circle of parents ends', () => {
    const a = processFact(1, { parentPid: 2 });
    const b = processFact(2, { parentPid: 1 });
    expect([...lineageOf(a, mapOf(a, b))].length).toBeLessThanOrEqual(256);
  });
});

describe('runs of a job', () => {
  const run = (name: string, startMs: number, endMs: number | null, change: Partial<Job> = {}) =>
    job('1', { id: name, startMs, endMs, ...change });
  const runOf = (jobs: Job[], startedMs: number | null, atMs: number) =>
    runAt(jobs, startedMs, atMs, DEFAULT_POLICY).id;
  const first = run('a', 0, 10_000);
  const second = run('b', 20_000, null);

  test('the one that covers the time, else the nearest earlier, else the next', () => {
    expect(runOf([second, first], null, 5000)).toBe('a');
    expect(runOf([second, first], null, 15_000)).toBe('a');
    expect(runOf([second, first], null, 25_000)).toBe('b');
    expect(runOf([second, first], null, -5000)).toBe('a');
  });

  test('the one in which the process started, unless that is too near to its end to tell', () => {
    expect(runOf([first, second], 1000, 25_000)).toBe('a');
    expect(runOf([first, second], 9000, 25_000)).toBe('b');
  });

  test('of runs that began at once the same one, in whatever order they come', () => {
    const twins = [run('t', 20_000, null), run('s', 20_000, null)];
    expect([runOf(twins, null, 25_000), runOf(twins.toReversed(), null, 25_000)]).toEqual(['t', 't']);
    expect([runOf(twins, null, 0), runOf(twins.toReversed(), null, 0)]).toEqual(['s', 's']);
  });

  test('a self-declaration of the same boundary does not go before the scheduler’s record', () => {
    const own = run('c', 20_000, null, { selfDeclared: true, firstRecordedAtMs: 20_000 });
    expect(runOf([own, second], null, 25_000)).toBe('b');
  });
});

describe('fit', () => {
  test.each([
    ['/opt/x', '/opt/x', true],
    ['/opt/x', '/opt/xy', false],
    ['/opt/*/x', '/opt/a/x', true],
    ['/opt/*/x', '/opt/a/b/x', false],
    ['/opt/**/x', '/opt/a/b/x', true],
    ['/opt/**', '/opt/', true],
    ['/opt/**', '/opt', false],
    ['/opt/**', '/tmp/opt/x', false],
    ['*', '/x', false],
    ['**', '/any/thing', true],
    ['/a.b', '/aXb', false],
    ['/usr/bin/python', '/usr/bin/python3.11', true],
    ['/usr/bin/python3', '/usr/bin/python3.11', true],
    ['/usr/bin/python', '/usr/bin/python3-miner', false],
    ['/usr/bin/python', '/usr/bin/pythonx', false],
    ['/usr/bin/python', '/usr/bin/python-x3', false],
    ['', '/x', false],
  ])('%s matches %s: %s', (pattern, path, expected) => {
    expect(matchesPath(pattern, path)).toBe(expected);
  });

  test.each([
    ['/**/conda/bin/python*', false],
    ['**', false],
    ['/memfd:*', false],
    ['/memfd:**', true],
    ['/memfd:x/opt/conda/bin/python', true],
  ])(
    'a program in memory that calls itself after a declared one is not declared by %s: %s',
    (pattern, expected) => {
      const path = '/memfd:x/opt/conda/bin/python';
      const memory = { path, device: '0:1', inode: '9', deleted: true, fileSystem: 'memfd' };
      const one = job('8101', { declares: { executables: [pattern], root: null } });
      expect(isDeclared(memory, one)).toBe(expected);
    },
  );

  test('a pattern of many wildcards does not take forever', () => {
    expect(matchesPath(`/${'*a'.repeat(200)}b`, `/${'a'.repeat(1000)}`)).toBe(false);
  });

  test('launchers are passed over to find the baseline, also those that the same process was before', () => {
    const shell = { path: '/usr/bin/bash', device: '8:1', inode: '1', deleted: false, fileSystem: null };
    const root = processFact(1, { path: '/usr/bin/tini' });
    const main = processFact(2, { path: '/opt/train', parentPid: 1, earlierExecutables: [shell] });
    const worker = processFact(3, { path: '/opt/train', parentPid: 2 });
    const helper = processFact(4, { path: '/opt/helper', parentPid: 3 });
    const all = mapOf(root, main, worker, helper);
    const fits = (process: ObservedProcess) => fitOf(process, all, job('8101'), DEFAULT_POLICY);
    expect([main, worker, helper].map(fits)).toEqual(['fits', 'fits', 'other']);
  });

  const file = (path: string) => ({ path, device: '8:1', inode: path, deleted: false, fileSystem: null });

  test('the baseline of a job with a root is what runs below that root, wherever it runs', () => {
    const root = { node: NODE, bootId: BOOT, pid: 2, startTicks: 20 };
    const rooted = job('r', { declares: { executables: [], root } });
    const all = mapOf(
      processFact(1, { path: '/opt/agent', cgroup: SESSION_CGROUP }),
      processFact(2, { path: '/usr/bin/bash', parentPid: 1, cgroup: SESSION_CGROUP }),
      processFact(3, { path: '/opt/train', parentPid: 2, cgroup: slurmCgroup(7) }),
      processFact(4, { path: '/opt/helper', parentPid: 3, cgroup: SESSION_CGROUP }),
    );
    const fits = (of: Job) =>
      [3, 4].map((pid) => fitOf(all.get(pidOf(pid)) ?? processFact(pid), all, of, DEFAULT_POLICY));
    expect(fits(rooted)).toEqual(['fits', 'other']);
    for (const change of [{ bootId: 'b2' }, { pid: 9 }, { startTicks: 21 }]) {
      const elsewhere = job('r', { declares: { executables: [], root: { ...root, ...change } } });
      expect(fits(elsewhere)).toEqual(['other', 'other']);
    }
    expect(fits(job('b', { boundaries: [] }))).toEqual(['fits', 'fits']);
  });

  test('a process that moved between groups stays inside of its job’s', () => {
    const main = processFact(1, {
      path: '/opt/train',
      cgroup: SESSION_CGROUP,
      earlierCgroups: [slurmCgroup(8101)],
    });
    const helper = processFact(2, { path: '/opt/helper', parentPid: 1 });
    expect(fitOf(helper, mapOf(main, helper), job('8101'), DEFAULT_POLICY)).toBe('other');
    const outside = { ...main, earlierCgroups: [] };
    expect(fitOf(helper, mapOf(outside, helper), job('8101'), DEFAULT_POLICY)).toBe('fits');
  });

  test('what cannot be read is no baseline, and is not judged; a launcher’s name says nothing of what it ran before', () => {
    const unread = processFact(1, { executable: null });
    const main = processFact(2, { executable: file('/opt/train'), parentPid: 1 });
    expect(fitOf(main, mapOf(unread, main), job('8101'), DEFAULT_POLICY)).toBe('fits');
    expect(fitOf(unread, mapOf(unread), job('8101'), DEFAULT_POLICY)).toBe('unreadable');
    const was = {
      executable: file('/usr/bin/python3'),
      earlierExecutables: [file('/opt/first')],
      comm: 'conda',
    };
    const wrapper = processFact(1, was);
    expect(fitOf(main, mapOf(wrapper, main), job('8101'), DEFAULT_POLICY)).toBe('other');
    const script = { ...wrapper, earlierExecutables: [] };
    expect(fitOf(main, mapOf(script, main), job('8101'), DEFAULT_POLICY)).toBe('fits');
  });

  test('what is outside of the job’s boundary is not its baseline', () => {
    const outside = processFact(1, { path: '/opt/agent', cgroup: SESSION_CGROUP });
    const main = processFact(2, { path: '/opt/train', parentPid: 1 });
    expect(fitOf(main, mapOf(outside, main), job('8101'), DEFAULT_POLICY)).toBe('fits');
  });

  test('a process that became another executable after the job’s own is not the baseline', () => {
    const train = {
      path: '/opt/train',
      device: '8:1',
      inode: 'i/opt/train',
      deleted: false,
      fileSystem: null,
    };
    const changed = processFact(2, { path: '/memfd:x', earlierExecutables: [train] });
    expect(fitOf(changed, mapOf(changed), job('8101'), DEFAULT_POLICY)).toBe('other');
  });

  test('a job known by its device alone has no baseline to differ from', () => {
    const process = processFact(2, { path: '/opt/x', parentPid: 1, cgroup: SESSION_CGROUP });
    const parent = processFact(1, { path: '/opt/y', cgroup: SESSION_CGROUP });
    expect(fitOf(process, mapOf(parent, process), job('b', { boundaries: [] }), DEFAULT_POLICY)).toBe('fits');
  });

  test('one file is one executable, by device and inode, else by path', () => {
    const file = { path: '/a', device: '8:1', inode: '1', deleted: false, fileSystem: null };
    expect(sameExecutable(file, { ...file, path: '/b' })).toBe(true);
    expect(sameExecutable(file, { ...file, inode: '2' })).toBe(false);
    expect(
      sameExecutable(
        { ...file, inode: null },
        { ...file, path: '/a (deleted)', deleted: true, fileSystem: null },
      ),
    ).toBe(true);
  });
});

describe('facts of one process', () => {
  test('the later one wins, evidence once seen lasts', () => {
    const before = processFact(5, {
      cgroup: slurmCgroup(1),
      path: '/usr/bin/bash',
      parentPid: 4,
      claims: [{ name: 'SLURM_JOB_ID', value: '1' }],
    });
    const after = processFact(5, {
      cgroup: SESSION_CGROUP,
      path: '/tmp/x',
      firstSeenMs: 9,
      exitedMs: 10,
      uid: null,
      user: null,
    });
    expect(mergeProcess(before, after)).toMatchObject({
      cgroup: SESSION_CGROUP,
      earlierCgroups: [slurmCgroup(1)],
      executable: { path: '/tmp/x' },
      earlierExecutables: [{ path: '/usr/bin/bash' }],
      parentId: pidOf(4),
      claims: [{ name: 'SLURM_JOB_ID', value: '1' }],
      uid: 2001,
      user: 'alice',
      firstSeenMs: 0,
      exitedMs: 10,
    });
  });

  test('files of which neither device nor inode could be read are told apart by their paths', () => {
    const nameless = (path: string) => ({
      path,
      device: null,
      inode: null,
      deleted: false,
      fileSystem: null,
    });
    const facts = ['/a', '/b', '/a'].map((path) =>
      processFact(5, { executable: nameless(path), startTicks: null }),
    );
    const merged = [...facts, processFact(5, { executable: null })].reduce(mergeProcess);
    expect(merged).toMatchObject({
      executable: { path: '/a' },
      earlierExecutables: [{ path: '/b' }],
      startTicks: 50,
    });
    const late = mergeProcess(processFact(5, { executable: null }), at(facts, 0));
    expect(late).toMatchObject({ executable: { path: '/a' }, earlierExecutables: [], startTicks: 50 });
  });

  test('what became unreadable keeps its value', () => {
    const before = processFact(5);
    const after = processFact(5, { cgroup: '', executable: null });
    expect(mergeProcess(before, after)).toMatchObject({
      cgroup: slurmCgroup(8101),
      earlierCgroups: [],
      executable: { path: '/usr/bin/python3' },
      earlierExecutables: [],
    });
  });
});

describe('an account that a job lends to what it starts', () => {
  const HOST = 4_026_531_837;
  const spaces = (user: number) => ({ namespaces: { pid: 1, net: 2, mnt: 3, user } });
  const script = processFact(1, { uid: 2001, ...spaces(HOST) });
  const runtime = processFact(2, { uid: 165_535, parentPid: 1, ...spaces(7) });
  const worker = processFact(3, { uid: 166_535, parentPid: 2, user: null, ...spaces(7) });
  const lent = (one: ObservedProcess, ...above: ObservedProcess[]) =>
    isLentAccount(one, mapOf(one, ...above), job('8101', { uid: 2001 }), null);

  test('is that of a user namespace which began with its user, inside of it', () => {
    expect(lent(worker, runtime, script)).toBe(true);
  });

  test.each<[string, ObservedProcess, ObservedProcess]>([
    ['whose namespaces nobody read', { ...worker, namespaces: null }, script],
    ['in the namespace of its user', { ...worker, ...spaces(HOST) }, script],
    ['whose user nobody read the namespaces of', worker, { ...script, namespaces: null }],
    ['that came from outside', worker, { ...script, cgroup: SESSION_CGROUP }],
    ['that came from another user', worker, { ...script, uid: 2002 }],
  ])('is not one %s', (_what, one, first) => {
    expect(lent(one, runtime, first)).toBe(false);
  });
});
