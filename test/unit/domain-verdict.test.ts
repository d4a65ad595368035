// Verdicts at the edges: what decides between two ties, whose record is waited for and until when, and what a process ran when.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { ObservedProcess } from '../../api/domain/cell.ts';
import type { Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY, type Policy } from '../../api/domain/policy.ts';
import { awaitsRecord, createJudge } from '../../api/domain/verdict.ts';
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
  span,
} from './domain-facts.ts';

const at = (minute: number) => minute * MINUTE_MS;
const source = (name: string, completeToMs: number) => ({
  source: name,
  sourceInstance: 'main',
  completeToMs,
});
const judgeOf = (
  process: ObservedProcess | null,
  jobs: readonly Job[],
  change: Parameters<typeof cell>[0] = {},
) => createJudge(cell({ processes: process === null ? [] : [process], jobs, ...change }));
const verdict = (
  process: ObservedProcess | null,
  jobs: readonly Job[],
  atMs = 0,
  change: Parameters<typeof cell>[0] = {},
) => judgeOf(process, jobs, change).judge(process?.id ?? pidOf(1), atMs, jobs, 'C');

const inJob = processFact(1);
const outsider = processFact(1, { cgroup: SESSION_CGROUP });
const claims = [{ name: 'SLURM_JOB_ID', value: '1' }];

describe('what ties a process to a job', () => {
  const bound = job('2', { boundaries: [] });

  test('the device that is bound to a job goes before what the environment says', () => {
    const judge = judgeOf({ ...outsider, claims }, [job('1'), bound]);
    expect(judge.judge(outsider.id, 0, [bound], 'C')).toMatchObject({
      reason: null,
      job: bound,
      evidence: 'binding',
    });
  });

  test('nothing binds a process of which nothing is known, and no exemption covers it', () => {
    expect(verdict(null, [bound])).toMatchObject({ reason: 'no_job', job: null, evidence: null });
    const match = {
      executables: [],
      boundaries: [],
      uids: [],
      types: ['C'],
      nodes: [],
      windows: [],
      daily: [],
    };
    const exemption = {
      id: 'x',
      job: 'j_x',
      owner: 'o',
      account: 'a',
      reason: 'r',
      fromMs: 0,
      toMs: HOUR_MS,
      match,
    };
    const policy: Policy = { ...DEFAULT_POLICY, exemptions: [exemption] };
    const jobs = [job('x', { source: 'policy' })];
    expect(verdict(null, jobs, 0, { policy })).toMatchObject({ reason: 'no_job' });
    expect(verdict(outsider, jobs, 0, { policy })).toMatchObject({
      reason: null,
      evidence: 'policy',
      suspicious: false,
    });
  });

  test('a boundary or root that a later version added counts from then on', () => {
    const root = { node: NODE, bootId: BOOT, pid: 1, startTicks: 10 };
    const own = { selfDeclared: true, startMs: 0, firstRecordedAtMs: 0, recordedAtMs: 0 };
    const first = job('1', { ...own, boundaries: [] });
    const versions = [
      { ...first, version: 2, recordedAtMs: at(10), declares: { executables: [], root } },
      { ...first, version: 2, recordedAtMs: at(10), boundaries: ['slurm:8101'] },
    ];
    for (const second of versions) {
      const process = second.boundaries.length > 0 ? inJob : { ...inJob, cgroup: '' };
      const jobs = [{ ...second, earlier: [first] }];
      expect(verdict(process, jobs, at(8)).reason).toBe('before_start');
      expect(verdict(process, jobs, at(9)).reason).toBeNull();
    }
  });

  test('a version that is for another user covers nobody, whoever runs it', () => {
    const other = job('8101', { marks: ['other_user'] });
    expect(verdict(inJob, [other]).reason).toBe('wrong_user');
    expect(verdict(inJob, [{ ...other, marks: ['late'] }]).reason).toBeNull();
  });

  test('by name where no number tells the account, and of a container neither', () => {
    const named = job('8101', { uid: null });
    expect(verdict(inJob, [named]).reason).toBeNull();
    expect(verdict({ ...inJob, user: 'bob' }, [named]).reason).toBe('wrong_user');
    expect(verdict({ ...inJob, user: null }, [named]).reason).toBeNull();
    const id = 'a'.repeat(64);
    const box = processFact(1, { user: 'bob', cgroup: `0::/system.slice/docker-${id}.scope\n` });
    expect(verdict(box, [job('1', { uid: null, boundaries: [`docker:${id}`] })]).reason).toBeNull();
  });
});

describe('whose record is waited for', () => {
  const sources = [source('slurm', at(10)), source('ray', at(20)), source('run', at(30))];
  const fromMinute = (
    process: ObservedProcess | null,
    jobs: readonly Job[],
    change: Partial<Parameters<typeof cell>[0]> = {},
  ) => {
    const found = verdict(process, jobs, at(40), { sources, ...change });
    return found.reason === null ? null : found.provisionalFromMs / MINUTE_MS;
  };
  const late = { startMs: HOUR_MS };

  test('of a job that is known: its own source', () => {
    expect(fromMinute(inJob, [job('8101', late)])).toBe(10);
    expect(fromMinute(inJob, [job('8101', { ...late, source: 'ray' })])).toBe(20);
    expect(fromMinute(inJob, [job('8101', { ...late, source: 'ray', sourceInstance: 'other' })])).toBe(10);
  });

  test('of a claim: any that could declare what holds the process', () => {
    const ray = { ...outsider, claims: [{ name: 'RAY_JOB_ID', value: '1' }] };
    expect(fromMinute(ray, [job('1', { source: 'ray' })])).toBe(10);
  });

  test('of a boundary that only one scheduler makes: that one, and those that are no schedulers', () => {
    expect(fromMinute(inJob, [])).toBe(10);
    const docker = processFact(1, { cgroup: `0::/system.slice/docker-${'a'.repeat(64)}.scope\n` });
    expect(fromMinute(docker, [])).toBe(20);
    const unnamed = processFact(1, { cgroup: `0::/machine.slice/box-${'b'.repeat(64)}.scope\n` });
    expect(judgeOf(unnamed, []).tiesOf(unnamed.id).owner?.kind).toBe('container');
    expect(fromMinute(unnamed, [])).toBe(10);
  });

  test('of what is foreign in a job: none', () => {
    const strict = job('8101', { declares: { executables: ['/opt/x'], root: null } });
    const found = verdict(inJob, [strict], at(40), { sources });
    expect(found).toMatchObject({ reason: 'foreign_in_job', provisionalFromMs: Infinity, job: strict });
    expect(awaitsRecord(found, at(40))).toBe(false);
  });

  test('from where the source is on, and never of use', () => {
    const ended = verdict(inJob, [job('8101', late)], at(40), { sources });
    expect([at(10) - 1, at(10), at(40)].map((ms) => awaitsRecord(ended, ms))).toEqual([false, true, true]);
    expect(awaitsRecord(verdict(inJob, [job('8101')]), at(99))).toBe(false);
  });

  test('the grace after a job’s end puts off what is after the end, and nothing else', () => {
    const graceMs = DEFAULT_POLICY.endGraceMs;
    const ended = job('8101', { endMs: at(10) });
    const judged = (process: ObservedProcess, completeToMs: number) =>
      verdict(process, [ended], at(10), { sources: [source('slurm', completeToMs)] });
    const finalAtMs = at(10) + graceMs;
    expect(judged(inJob, finalAtMs - 1)).toMatchObject({ provisionalFromMs: -Infinity, finalAtMs });
    expect(judged(inJob, finalAtMs)).toMatchObject({ provisionalFromMs: finalAtMs, finalAtMs });
    const bob = { ...inJob, uid: 2002, user: 'bob' };
    expect(judged(bob, 5000)).toMatchObject({ reason: 'wrong_user', provisionalFromMs: 5000, finalAtMs: 0 });
  });
});

describe('what a process ran when', () => {
  const file = (path: string) => ({ path, device: '8:1', inode: path, deleted: false, fileSystem: null });
  const declared = job('8101', { declares: { executables: ['/opt/train'], root: null } });
  const changed = (executable: ObservedProcess['executable']): ObservedProcess => ({
    ...inJob,
    ...{ executable, earlierExecutables: [file('/opt/train')] },
    executions: [{ fromMs: at(30), executable: file('/tmp/m') }],
  });

  test('decides for its time: what was declared is used, what came after is foreign', () => {
    const judge = judgeOf(changed(file('/tmp/m')), [declared]);
    const reasons = [at(29), at(30), at(29)].map((ms) => judge.judge(inJob.id, ms, [declared], 'C').reason);
    expect(reasons).toEqual([null, 'foreign_in_job', null]);
    expect(judge.isForeign(inJob.id, declared)).toBe(true);
    expect(judge.isForeign(pidOf(9), declared)).toBe(false);
    expect(
      judgeOf({ ...inJob, executable: file('/opt/train') }, [declared]).isForeign(inJob.id, declared),
    ).toBe(false);
  });

  test('divides an hour of a device where it changed', () => {
    const { entries } = attribute(
      cell({
        ...{ processes: [changed(file('/tmp/m'))], jobs: [declared], holdings: [holds(declared)] },
        spans: [span(0, HOUR_MS, { 1: HOUR_MS })],
      }),
    );
    expect(entries.map(({ bucket, reason, toMs, ms }) => [bucket, reason, toMs, ms])).toEqual([
      ['used', null, at(30), at(30)],
      ['unaccounted', 'foreign_in_job', HOUR_MS, at(30)],
    ]);
  });

  test('of which the newest could not be read is no proof', () => {
    expect(verdict(changed(null), [declared], at(40))).toMatchObject({ reason: null, suspicious: true });
  });
});

describe('a job inside of a job', () => {
  const inner = (executables: readonly string[]) =>
    job('in', { source: 'ray', boundaries: [], declares: { executables, root: null } });
  const named = { ...inJob, claims: [{ name: 'RAY_JOB_ID', value: 'in' }] };

  test('is suspicious where the process is not what either of them declared', () => {
    const suspicious = (executables: readonly string[]) => {
      const one = inner(executables);
      const found = verdict(named, [job('8101'), one]);
      expect(found).toMatchObject({ reason: null, job: one, evidence: 'cgroup' });
      return found.reason === null && found.suspicious;
    };
    expect(suspicious(['/usr/bin/python3'])).toBe(false);
    expect(suspicious(['/opt/x'])).toBe(true);
    const unreadable = verdict({ ...named, executable: null }, [job('8101'), inner([])]);
    expect(unreadable).toMatchObject({ reason: null, suspicious: true });
  });
});
