// Jobs inside jobs: time is counted once, and what outlives an inner job is seen.
import { describe, expect, test } from 'vitest';
import { attribute } from '../../api/domain/attribute.ts';
import type { Entry } from '../../api/domain/cell.ts';
import { isInside, outermostOf } from '../../api/domain/inside.ts';
import type { Job } from '../../api/domain/job.ts';
import {
  BOOT,
  type CellParts,
  cell,
  HOUR_MS,
  holds,
  job,
  MINUTE_MS,
  NODE,
  processFact,
  slurmCgroup,
  span,
} from './domain-facts.ts';

const outer = job('8180');
const ray = (change: Partial<Job> = {}) =>
  job('raysubmit_A', { source: 'ray', boundaries: [], endMs: 20 * MINUTE_MS, ...change });
const CLAIM = [{ name: 'RAY_JOB_ID', value: 'raysubmit_A' }];
const inOuter = { cgroup: '0::/system.slice/slurmstepd.scope/job_8180/step_0/user/task_0\n' };

/** What became of the hour: bucket, reason, job and holder, in minutes. */
function booked(parts: CellParts): Record<string, number> {
  const { entries } = attribute(cell(parts));
  expect(entries.reduce((sum, entry) => sum + entry.ms, 0)).toBe(HOUR_MS);
  const name = ({ bucket, reason, job: of, holder }: Entry) => `${reason ?? bucket} ${of} ${holder}`;
  return Object.fromEntries(
    [...Map.groupBy(entries, name)].map(([key, own]) => [
      key,
      own.reduce((sum, entry) => sum + entry.ms, 0) / MINUTE_MS,
    ]),
  );
}
const working = span(0, HOUR_MS, { 1: HOUR_MS });
const sources = [
  { source: 'slurm', sourceInstance: 'main', completeToMs: HOUR_MS },
  { source: 'ray', sourceInstance: 'main', completeToMs: HOUR_MS },
];

describe('a process that names an inner job', () => {
  const facts = (inner: Job, claims = CLAIM): CellParts => ({
    ...{
      jobs: [outer, inner],
      processes: [processFact(1, { ...inOuter, claims })],
      spans: [working],
      sources,
    },
    holdings: [holds(outer), holds(inner, { shareMilli: 10 })],
  });

  test('works for it while it runs, and after its end is nobody’s; the outer job holds all of it', () => {
    expect(booked(facts(ray()))).toEqual({
      'used j_raysubmit_A j_8180': 20,
      'after_end j_raysubmit_A j_8180': 40,
    });
  });

  test('works for it no longer than it ran, where it was given nothing of the device', () => {
    expect(booked({ ...facts(ray({ startMs: 10 * MINUTE_MS })), holdings: [holds(outer)] })).toEqual({
      ...{ 'used j_8180 j_8180': 10, 'used j_raysubmit_A j_8180': 10 },
      'after_end j_raysubmit_A j_8180': 40,
    });
  });

  test('is the outer job’s before the inner one began', () => {
    expect(booked(facts(ray({ startMs: 10 * MINUTE_MS })))).toEqual({
      'used j_8180 j_8180': 10,
      'used j_raysubmit_A j_8180': 10,
      'after_end j_raysubmit_A j_8180': 40,
    });
  });

  test('stays the outer job’s where the inner one is of another account or user', () => {
    for (const change of [{ account: 'other' }, { user: 'bob', uid: 2002 }]) {
      const inner = ray(change);
      expect(booked({ ...facts(inner), holdings: [holds(outer)] })).toEqual({ 'used j_8180 j_8180': 60 });
    }
  });

  test('is not excused by it: what the outer job did not declare is foreign', () => {
    const strict = { ...outer, declares: { executables: ['/opt/train'], root: null } };
    expect(booked({ ...facts(ray()), jobs: [strict, ray()] })).toEqual({
      'foreign_in_job j_8180 j_8180': 60,
    });
  });

  test('awaits the word of the inner job’s source', () => {
    const behind = sources.map((one) => (one.source === 'ray' ? { ...one, completeToMs: 0 } : one));
    const { entries } = attribute(cell({ ...facts(ray()), sources: behind }));
    expect(entries.filter((entry) => entry.reason === 'after_end').every((entry) => entry.provisional)).toBe(
      true,
    );
  });

  test('of two, one that ended and one that runs, works for the one that runs', () => {
    const next = job('second', { source: 'ray', boundaries: [] });
    const claims = [...CLAIM, { name: 'RAY_SUBMISSION_ID', value: 'second' }];
    const parts = facts(ray(), claims);
    expect(booked({ ...parts, jobs: [outer, ray(), next] })).toEqual({ 'used j_second j_8180': 60 });
    const last = { ...parts, processes: [processFact(1, { ...inOuter, claims: claims.toReversed() })] };
    expect(booked({ ...last, jobs: [outer, ray(), next] })).toEqual({ 'used j_second j_8180': 60 });
  });
});

test('processes of the outer job that name no inner one are its own, before and after', () => {
  const processes = [processFact(1, inOuter)];
  const holdings = [holds(outer), holds(ray(), { shareMilli: 10 })];
  expect(booked({ jobs: [outer, ray()], processes, holdings, spans: [working], sources })).toEqual({
    'used j_8180 j_8180': 60,
  });
});

test('a process below the root of an inner job needs no claim', () => {
  const root = { node: NODE, bootId: BOOT, pid: 2, startTicks: 20 };
  const inner = ray({ source: 'run', selfDeclared: true, declares: { executables: [], root } });
  const processes = [processFact(2, inOuter), processFact(1, { ...inOuter, parentPid: 2 })];
  const holdings = [holds(outer), holds(inner)];
  expect(booked({ jobs: [outer, inner], processes, holdings, spans: [working], sources })).toEqual({
    'used j_raysubmit_A j_8180': 20,
    'after_end j_raysubmit_A j_8180': 40,
  });
});

test('a container that says inside of what it runs uses what that holds', () => {
  const id = 'a'.repeat(64);
  const within = { source: 'slurm', externalId: '8180' };
  const inner = job('box', { source: 'docker', boundaries: [`docker:${id}`], within });
  const processes = [processFact(1, { cgroup: `0::/system.slice/docker-${id}.scope\n` })];
  const parts = { processes, holdings: [holds(outer)], spans: [working], sources };
  expect(booked({ ...parts, jobs: [outer, inner] })).toEqual({ 'used j_box j_8180': 60 });
  const { within: _, ...alone } = inner;
  expect(booked({ ...parts, jobs: [outer, alone] })).toEqual({ 'outside_allocation j_box j_8180': 60 });
});

describe('being inside', () => {
  test('may be said of another account’s job by a scheduler only', () => {
    const within = { source: 'slurm', externalId: '8180' };
    expect(isInside(ray({ within, account: 'other' }), outer)).toBe(true);
    expect(isInside(ray({ within, account: 'other', selfDeclared: true }), outer)).toBe(false);
    expect(isInside(ray({ within: { ...within, externalId: '1' } }), outer)).toBe(false);
  });

  test('needs a beginning in the outer job’s time, and no boundary of its own', () => {
    expect(isInside(ray({ startMs: outer.startMs - 1 }), outer)).toBe(false);
    expect(isInside(ray({ startMs: 0 }), { ...outer, endMs: 0 })).toBe(false);
    expect(isInside(ray({ boundaries: ['docker:1'] }), outer)).toBe(false);
    expect(isInside(ray(), { ...outer, boundaries: [] })).toBe(false);
    expect(isInside(ray({ uid: null }), { ...outer, uid: null })).toBe(true);
    expect(isInside(ray({ uid: null, user: null }), outer)).toBe(false);
    expect(isInside(outer, outer)).toBe(false);
  });

  test('of each other leaves both their shares', () => {
    const a = job('a', { within: { source: 'slurm', externalId: 'b' } });
    const b = job('b', { within: { source: 'slurm', externalId: 'a' } });
    expect(booked({ jobs: [a, b], holdings: [holds(a), holds(b)], spans: [span(0, HOUR_MS, {})] })).toEqual({
      'held null j_a': 30,
      'held null j_b': 30,
    });
  });
});

describe('jobs inside of jobs inside of jobs', () => {
  const HALF = { shareMilli: 500 };
  const within = (source: string, externalId: string) => ({ within: { source, externalId } });
  const pod = job('pod', { source: 'kubernetes', boundaries: [], ...within('slurm', '8180') });
  const step = ray({ endMs: null, ...within('kubernetes', 'pod') });
  const other = job('other');
  const parts: CellParts = {
    ...{ processes: [processFact(1, { ...inOuter, claims: CLAIM })], sources },
    spans: [span(0, HOUR_MS, { 1: HOUR_MS / 2 })],
  };

  const open = { ...outer, boundaries: ['slurm:1'] };
  const inside = { boundaries: ['slurm:8180'] };

  test('use what the outermost holds first, and leave what others hold to them', () => {
    const jobs = [open, pod, { ...step, ...inside }, other];
    expect(booked({ ...parts, jobs, holdings: jobs.map((one) => holds(one, HALF)) })).toEqual({
      'used j_raysubmit_A j_8180': 30,
      'held null j_other': 30,
    });
    expect([outermostOf(step, jobs)?.id, outermostOf(open, jobs)]).toEqual(['j_8180', null]);
  });

  test('use what all hold, where the one between was given nothing', () => {
    const jobs = [open, { ...pod, ...inside }, step, other];
    expect(booked({ ...parts, jobs, holdings: [holds(open, HALF), holds(other, HALF)] })).toEqual({
      ...{ 'used j_raysubmit_A j_8180': 15, 'used j_raysubmit_A j_other': 15 },
      ...{ 'held null j_8180': 15, 'held null j_other': 15 },
    });
  });

  test('in a circle keep their own shares: nobody else is charged for what they use', () => {
    const a = job('71', within('slurm', '72'));
    const b = job('72', within('slurm', '71'));
    const inA = processFact(1, { cgroup: slurmCgroup('71') });
    const holdings = [holds(a, { shareMilli: 250 }), holds(b, { shareMilli: 250 }), holds(other, HALF)];
    expect(
      booked({
        ...parts,
        processes: [inA],
        spans: [span(0, HOUR_MS, { 1: HOUR_MS / 4 })],
        jobs: [a, b, other],
        holdings,
      }),
    ).toEqual({ 'used j_71 j_71': 15, 'held null j_72': 15, 'held null j_other': 30 });
    expect(outermostOf(a, [a, b, other])).toBeNull();
  });
});
