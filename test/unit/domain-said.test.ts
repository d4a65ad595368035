// What a job said beside its executables, and what runs around a job's program without being foreign to it.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { ObservedProcess } from '../../api/domain/cell.ts';
import { fitOf } from '../../api/domain/fit.ts';
import type { JobDeclares } from '../../api/domain/job.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { matchesGlob } from '../../api/domain/wildcards.ts';
import { cell, holds, job, pidOf, processFact, SESSION_CGROUP, span } from './domain-facts.ts';

const file = (path: string) => ({ path, device: '8:1', inode: `i${path}`, deleted: false, fileSystem: null });
/** How the last of a chain of processes, each the parent of the next, fits. */
function fitOfLast(declares: Partial<JobDeclares>, ...chain: Parameters<typeof processFact>[1][]) {
  const processes = chain.map((change, at) =>
    processFact(at + 1, { ...(at === 0 ? {} : { parentPid: at }), ...change }),
  );
  const all = new Map<ObservedProcess['id'], ObservedProcess>(processes.map((one) => [one.id, one]));
  const of = job('8101', { declares: { executables: [], root: null, ...declares } });
  const last = processes.at(-1);
  return last === undefined ? null : fitOf(last, all, of, DEFAULT_POLICY);
}
const python = { path: '/env/bin/python3.11' };
const shell = { path: '/usr/bin/bash' };

describe('a job that declares nothing: what is normal around its program does not cry wolf', () => {
  test.each([
    ['nsys', [shell, { path: '/opt/nsight/nsys' }, { path: '/opt/nsight/nsys-launcher' }, python]],
    ['ncu', [shell, { path: '/opt/nsight/ncu' }, python]],
    [
      'conda run, a script of another python',
      [shell, { path: '/conda/bin/python3.12', comm: 'conda' }, python],
    ],
    ['tini', [{ path: '/usr/bin/tini' }, shell, python]],
    ['torchrun of another python', [shell, { path: '/usr/bin/python3', comm: 'torchrun' }, python]],
    [
      'an elastic restart: new processes of the same program',
      [shell, python, { ...python, startedMs: 60_000 }],
    ],
    ['a title', [shell, python, { ...python, comm: 'ray::Trainer.st', commandLine: 'ray::Trainer.step' }]],
    [
      'runc, which starts from memory, and the entrypoint in the same process',
      [
        {
          ...python,
          earlierExecutables: [
            { ...file('/memfd:runc_cloned:/proc/self/exe (deleted)') },
            file('/usr/bin/tini'),
          ],
        },
      ],
    ],
    [
      'the server of MPS',
      [{ path: '/usr/bin/nvidia-cuda-mps-control' }, { path: '/usr/bin/nvidia-cuda-mps-server' }],
    ],
  ])('%s', (_, chain) => {
    expect(fitOfLast({}, ...chain)).toBe('fits');
  });

  test.each([
    ['another program below it', [shell, python, { path: '/tmp/m' }]],
    ['a program in memory below it', [shell, python, { path: '/memfd:x (deleted)' }]],
    ['nothing but a program in memory', [{ path: '/memfd:x (deleted)' }]],
    ['a program that calls itself a launcher', [shell, python, { path: '/tmp/m', comm: 'conda' }]],
  ])('but %s is marked', (_, chain) => {
    expect(fitOfLast({}, ...chain)).toBe('other');
  });
});

describe('the command line that a job said', () => {
  const train = { ...python, commandLine: '/env/bin/python train.py --token [redacted]' };
  const titled = { ...python, commandLine: 'ray::Trainer.step' };
  const other = { ...python, commandLine: 'python mine.py' };
  const executables = ['/env/bin/python3.11'];

  test.each<[string, Partial<JobDeclares>, Parameters<typeof processFact>[1][], string]>([
    ['as the pattern', { commandPattern: '*python train.py*' }, [train], 'fits'],
    ['not as the pattern', { commandPattern: '*python train.py*' }, [train, other], 'other'],
    ['a title below one that is as the pattern', { commandPattern: '*train.py*' }, [train, titled], 'fits'],
    ['a title below one that is not', { commandPattern: '*train.py*' }, [other, titled], 'other'],
    ['a title alone', { commandPattern: '*train.py*' }, [titled], 'fits'],
    ['not readable', { commandPattern: '*train.py*' }, [{ ...python, commandLine: null }], 'fits'],
    ['begins as the entrypoint', { entrypoint: ['python', 'train.py'] }, [train], 'fits'],
    [
      'below it, and below wrappers',
      { entrypoint: ['python', 'train.py'] },
      [{ ...shell, commandLine: 'bash -c x' }, train, { ...python, commandLine: 'python -c spawn' }],
      'fits',
    ],
    ['a secret in the entrypoint', { entrypoint: ['python', 'train.py', '--token', 'abc'] }, [train], 'fits'],
    [
      'a script, which its interpreter runs',
      { entrypoint: ['torchrun', '--nproc', '8'] },
      [{ ...python, commandLine: '/env/bin/python3.11 -u /env/bin/torchrun --nproc 8 train.py' }],
      'fits',
    ],
    [
      'the entrypoint as the word of something else',
      { entrypoint: ['torchrun'] },
      [{ ...python, commandLine: 'python run.py --with this torchrun' }],
      'other',
    ],
    ['another entrypoint', { entrypoint: ['python', 'train.py'] }, [other], 'other'],
    ['shorter than the entrypoint', { entrypoint: ['python', 'mine.py', '--now'] }, [other], 'other'],
    ['a title where an entrypoint was said', { entrypoint: ['python', 'train.py'] }, [titled], 'fits'],
    ['nothing readable', { entrypoint: ['python'] }, [{ ...python, commandLine: null }], 'fits'],
  ])('%s', (_, declares, chain, fit) => {
    expect(fitOfLast({ executables, ...declares }, ...chain)).toBe(fit);
  });

  test('never decides: a declared executable stays used, and another one stays foreign', () => {
    expect(fitOfLast({ executables: ['/env/**'], commandPattern: 'nothing' }, train)).toBe('other');
    expect(fitOfLast({ executables: ['/opt/**'], commandPattern: '*' }, train)).toBe('foreign');
  });

  test('a pattern that would make a backtracking matcher explode is answered at once', () => {
    const pattern = `${'*a'.repeat(200)}b`;
    expect(matchesGlob(pattern, 'a'.repeat(4096), null)).toBe(false);
    expect(matchesGlob('a*/b', 'a/x/b', '/')).toBe(false);
    expect(matchesGlob('a*/b', 'a/x/b', null)).toBe(true);
  });
});

describe('processes on a device', () => {
  const of = (limit: number) =>
    job('8101', { declares: { executables: [], root: null, processesPerDevice: limit } });
  const pair = [processFact(1), processFact(2)];
  const entriesOf = (limit: number) =>
    attribute(
      cell({
        ...{ jobs: [of(limit)], holdings: [holds(of(limit))], processes: pair },
        spans: [span(0, 1_000_000, { 1: 400_000, 2: 600_000 }), span(1_000_000, 3_600_000, { 1: 2_600_000 })],
      }),
    ).entries.filter((entry) => entry.bucket === 'used');

  test('more than the job declared are marked while there are more, and stay used', () => {
    const sum = (suspicious: boolean) =>
      entriesOf(1).reduce((ms, entry) => ms + (entry.suspicious === suspicious ? entry.ms : 0), 0);
    expect([sum(true), sum(false)]).toEqual([1_000_000, 2_600_000]);
  });

  test('others beside them, and their own that are marked anyway, change nothing', () => {
    const strange = processFact(3, { cgroup: SESSION_CGROUP });
    const unread = processFact(2, { executable: null });
    const { entries } = attribute(
      cell({
        ...{ jobs: [of(1)], holdings: [holds(of(1))], processes: [processFact(1), unread, strange] },
        spans: [span(0, 900, { 1: 300, 2: 300, 3: 300 }), span(900, 3_600_000, { 1: 100, 3: 100 })],
      }),
    );
    const shown = entries.map(({ bucket, process, suspicious, ms }) => [bucket, process, suspicious, ms]);
    expect(shown).toEqual(
      expect.arrayContaining([
        ['used', pidOf(1), true, 300],
        ['used', pidOf(1), false, 100],
        ['used', pidOf(2), true, 300],
        ['unaccounted', pidOf(3), false, 400],
      ]),
    );
  });

  test('as many as it declared are not', () => {
    expect(entriesOf(2).some((entry) => entry.suspicious)).toBe(false);
  });
});
