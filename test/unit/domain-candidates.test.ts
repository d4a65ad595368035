// Why a job does not cover a use: the first test that it fails, in words, and what else is to be known of it.
import { describe, expect, test } from 'vitest';
import { candidatesOf, conflictsOf } from '../../api/domain/candidates.ts';
import type { ObservedProcess } from '../../api/domain/cell.ts';
import { summarise } from '../../api/domain/finding.ts';
import type { Allocation, Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import type { StoryFacts } from '../../api/domain/story.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import {
  BOOT,
  cell,
  GPU,
  HOUR_MS,
  holds,
  job,
  MINUTE_MS,
  NODE,
  processFact,
  SESSION_CGROUP,
} from './domain-facts.ts';

const row = {
  ...{
    device: GPU,
    job: null,
    reason: 'no_job' as const,
    evidence: null,
    activeMs: MINUTE_MS,
    residentMs: 0,
  },
  ...{ provisionalActiveMs: 0, provisionalResidentMs: 0, fromMs: 10 * MINUTE_MS, toMs: 20 * MINUTE_MS },
};

function facts(
  process: ObservedProcess | null,
  jobs: readonly Job[],
  change: Partial<StoryFacts> = {},
): StoryFacts {
  const node = cell({ processes: process === null ? [] : [process], jobs });
  const summary = summarise([{ ...row, process: process?.id ?? null }], 0);
  if (summary === null) throw new Error('a row is a finding');
  return {
    ...{ summary, node: NODE, devices: ['GPU 0'], lineage: process === null ? [] : [process] },
    ties: process === null ? null : createJudge(node).tiesOf(process.id),
    ...{
      jobs,
      holdings: jobs.map((one) => holds(one)),
      deviceUuids: [GPU],
      sources: [],
      policy: DEFAULT_POLICY,
    },
    ...{ dark: [], pollIntervalMs: 5000, externalConnections: 0, attempts: 0, holders: [] },
    ...{ unseen: { processes: 0, openMs: 0, executedMs: 0 }, details: [], running: false, resolved: false },
    ...change,
  };
}
const why = (process: ObservedProcess | null, one: Job, change: Partial<StoryFacts> = {}) =>
  candidatesOf(facts(process, [one], change))[0]?.why;

const given = (change: Partial<Allocation> = {}): Allocation => ({
  ...{ node: NODE, devices: [GPU], count: null, fromMs: 0, toMs: null, shareMilli: 1000 },
  ...change,
});
const inJob = processFact(1);
const claiming = processFact(1, {
  cgroup: SESSION_CGROUP,
  claims: [{ name: 'SLURM_JOB_ID', value: '8101' }],
});

describe('why a job does not cover a use', () => {
  test('below its root, inside its boundary: where the process is comes first', () => {
    const root = { node: NODE, bootId: BOOT, pid: 1, startTicks: 10 };
    const rooted = job('1', { boundaries: [], declares: { executables: ['/opt/x'], root } });
    expect(why(inJob, rooted)).toBe(
      'The process is below its root process, but /usr/bin/python3 is none of what the job declared: /opt/x.',
    );
    const declared = job('8101', { declares: { executables: ['/opt/x', '/opt/y'], root: null } });
    expect(why(inJob, declared)).toBe(
      'The process is inside its kernel boundary, but /usr/bin/python3 is none of what the job declared: /opt/x and /opt/y.',
    );
  });

  test('a part of the time is outside, where the rest is the job’s own', () => {
    const partly = 'a part of the time is outside of what the job was given.';
    expect(why(inJob, job('8101'))).toContain(partly);
    const fitting = job('8101', { declares: { executables: ['/usr/**'], root: null } });
    expect(why(inJob, fitting)).toContain(partly);
    expect(why({ ...inJob, executable: null }, { ...fitting })).toContain(partly);
  });

  test('a claim alone ties nothing, unless the process is inside the job that the inner one runs in', () => {
    expect(why(claiming, job('8101'))).toContain('Only the environment of the process names it');
    const base = facts(claiming, [job('8101')]);
    const summary = { ...base.summary, insideJob: 'j_8101' };
    expect(why(claiming, job('8101'), { summary })).toBe(
      'The process is inside the job that it runs in, and names it; a part of the time is outside of what the job was given.',
    );
  });

  test('a job that only a further variable names is tied by a claim too', () => {
    const two = processFact(1, {
      cgroup: SESSION_CGROUP,
      claims: [
        { name: 'SLURM_JOB_ID', value: '1' },
        { name: 'RAY_JOB_ID', value: '2' },
      ],
    });
    const second = job('2', { source: 'ray', boundaries: [] });
    const told = candidatesOf(
      facts(two, [job('1', { boundaries: [] }), second, job('3', { boundaries: [] })]),
    );
    expect(told.map((one) => one.why.startsWith('Only the environment'))).toEqual([true, true, false]);
  });

  test('another account, by name or by number', () => {
    const bob = { ...inJob, user: 'bob', uid: 2002 };
    expect(why(bob, job('8101'))).toContain('but ran as bob while the job states alice.');
    expect(why({ ...bob, user: null }, job('8101', { user: null }))).toContain(
      'but ran as uid 2002 while the job states uid 2001.',
    );
  });

  test('a declaration for somebody else covers nothing, whoever made it', () => {
    const other = job('8101', { marks: ['other_user'], recordedBy: 'carol', user: 'dave' });
    expect(why(inJob, other)).toBe('It states dave, for whom carol does not declare: it covers nothing.');
    const { recordedBy: _, ...nameless } = other;
    expect(why(inJob, { ...nameless, user: null })).toBe(
      'It states any account, for whom its declarer does not declare: it covers nothing.',
    );
  });

  test('notes follow: what was added later, and what would cover anything', () => {
    const said = why(
      inJob,
      job('8101', { marks: ['extended', 'broad'], version: 2, recordedAtMs: 0, recordedBy: 'carol' }),
    );
    expect(said).toContain(
      'Version 2 of it was recorded at 1970-01-01 00:00:00 UTC by carol: what a later version adds',
    );
    expect(said).toContain('This declaration would cover anything');
    expect(why(inJob, job('8101', { marks: ['late'] }))).not.toContain('Version');
  });
});

describe('a self-declaration that came too late', () => {
  const late = (change: Partial<Job> = {}) =>
    job('own', {
      ...{ selfDeclared: true, startMs: 0, firstRecordedAtMs: HOUR_MS, boundaries: [], recordedBy: 'carol' },
      ...{ allocations: [given()], ...change },
    });
  const outsider = processFact(1, { cgroup: SESSION_CGROUP });

  test('says so where it states the device for that time', () => {
    expect(why(outsider, late())).toBe(
      'It was declared at 1970-01-01 01:00:00 UTC by carol, after the use; a self-declaration does not reach back.',
    );
    const newer = late({ version: 2, recordedBy: 'dave', earlier: [late()] });
    expect(why(outsider, newer)).toContain('by carol, after the use');
    expect(why(outsider, late({ allocations: [given({ devices: null })] }))).toContain('after the use');
  });

  test.each<[string, Partial<Job>]>([
    ['another node', { allocations: [given({ node: 'n2' })] }],
    ['another device', { allocations: [given({ devices: ['GPU-9'] })] }],
    ['a time before', { allocations: [given({ toMs: 10 * MINUTE_MS })] }],
    ['a time after', { allocations: [given({ fromMs: 20 * MINUTE_MS })] }],
    ['an end before', { endMs: 10 * MINUTE_MS }],
  ])('does not where it states %s, and nothing ties the process to it', (_, change) => {
    expect(why(outsider, late(change))).not.toContain('after the use');
  });

  test('is nearer the more it states: tied first, then what held the device, then what states it', () => {
    const [none, stated, held, tied] = [
      job('1', { boundaries: [] }),
      job('2', { boundaries: [], allocations: [given()] }),
      job('3', { boundaries: [] }),
      job('8101'),
    ] as const;
    const jobs = [none, stated, held, tied, job('0', { boundaries: [] })];
    const told = candidatesOf(
      facts(inJob, jobs, { holdings: [holds(held), holds(none, { device: 'GPU-9' })] }),
    );
    expect(told.map((one) => one.job.externalId)).toEqual(['8101', '3', '2', '0', '1']);
  });
});

describe('two declarations of one device', () => {
  const [a, b] = [job('1'), job('2', { source: 'ray', boundaries: ['x'] })] as const;
  const conflicts = (
    jobs: readonly Job[],
    holdings: StoryFacts['holdings'],
    change: Partial<StoryFacts> = {},
  ) => conflictsOf(facts(inJob, jobs, { holdings, ...change }));

  test('are told once, in one order', () => {
    const words = ['Two declarations claim the same device at the same time: ray 2 and slurm 1.'];
    expect(conflicts([a, b], [holds(a), holds(b)])).toEqual(words);
    expect(conflicts([b, a], [holds(b), holds(a), holds(a)])).toEqual(words);
  });

  test.each<[string, StoryFacts['holdings']]>([
    ['on two devices', [holds(a), holds(b, { device: 'GPU-2' })]],
    ['of which one is not known', [holds(a), holds(job('9'))]],
    ['that fit by their shares', [holds(a, { shareMilli: 400 }), holds(b, { shareMilli: 600 })]],
    ['one after the other', [holds(a, { toMs: 15 * MINUTE_MS }), holds(b, { fromMs: 15 * MINUTE_MS })]],
    ['outside of the finding’s time', [holds(a, { toMs: 10 * MINUTE_MS }), holds(b)]],
    ['of one job', [holds(a, { toMs: 15 * MINUTE_MS }), holds(a)]],
  ])('are no conflict %s', (_, holdings) => {
    expect(conflicts([a, b], holdings, { deviceUuids: [GPU, 'GPU-2'] })).toEqual([]);
  });

  test('are no conflict where one runs inside of the other', () => {
    const inner = { ...b, boundaries: [], within: { source: 'slurm', externalId: '1' } };
    expect(conflicts([a, inner], [holds(a), holds(inner)])).toEqual([]);
    expect(conflicts([a, inner], [holds(inner), holds(a)])).toEqual([]);
  });

  test('are told up to five pairs', () => {
    const many = [1, 2, 3, 4].map((at) => job(`${at}`));
    expect(
      conflicts(
        many,
        many.map((one) => holds(one)),
      ),
    ).toHaveLength(5);
  });
});
