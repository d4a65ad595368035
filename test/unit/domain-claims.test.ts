// Declarations as evidence: what two of them both claim, what a later version adds, and what is worth knowing of one.
import { describe, expect, test } from 'vitest';
import type { Allocation, Job } from '../../api/domain/job.ts';
import { marksOf } from '../../api/domain/marks.ts';
import { overlapsOf } from '../../api/domain/overlaps.ts';
import { HOUR_MS, job, MINUTE_MS, NODE } from './domain-facts.ts';

const DAY_MS = 86_400_000;
const given = (change: Partial<Allocation> = {}): Allocation => ({
  ...{ node: NODE, devices: ['GPU-1', 'GPU-2'], count: null, fromMs: 0, toMs: null, shareMilli: 1000 },
  ...change,
});
const claiming = (change: Partial<Allocation>, of: Partial<Job> = {}) =>
  job('1', { startMs: 0, allocations: [given(change)], ...of });

describe('two declarations', () => {
  test('overlap in the devices and the time that both state', () => {
    const a = claiming({ toMs: HOUR_MS });
    const b = claiming({ devices: ['GPU-2', 'GPU-3'], fromMs: 10 }, { startMs: 20, endMs: 30 });
    expect(overlapsOf(a, b)).toEqual([{ node: NODE, devices: ['GPU-2'], fromMs: 20, toMs: 30 }]);
    expect(overlapsOf(b, a)).toEqual(overlapsOf(a, b));
  });

  test('overlap in all of a node, or in what one names of it', () => {
    const all = claiming({ devices: null });
    expect(overlapsOf(all, all)).toEqual([{ node: NODE, devices: null, fromMs: 0, toMs: Infinity }]);
    for (const [a, b] of [
      [all, claiming({})],
      [claiming({}), all],
    ] as const)
      expect(overlapsOf(a, b)).toMatchObject([{ devices: ['GPU-1', 'GPU-2'] }]);
  });

  test.each<[string, Partial<Allocation>]>([
    ['on another node', { node: 'n2' }],
    ['on other devices', { devices: ['GPU-3'] }],
    ['at another time', { fromMs: HOUR_MS }],
    ['where both fit by their shares', { shareMilli: 500 }],
    ['where room is found for one by number', { devices: null, count: 1 }],
  ])('do not overlap %s', (_, change) => {
    const one = claiming({ toMs: HOUR_MS, shareMilli: 500 });
    const other = claiming({ shareMilli: 501, ...change });
    expect([overlapsOf(one, other), overlapsOf(other, one)]).toEqual([[], []]);
    expect(overlapsOf(one, claiming({ shareMilli: 501 }))).toHaveLength(1);
  });
});

describe('marks', () => {
  const own = (change: Partial<Job> = {}) =>
    job('1', { selfDeclared: true, startMs: 0, firstRecordedAtMs: 0, allocations: [given()], ...change });
  const marks = (of: Job, before: Job | null = null) => marksOf(of, before, MINUTE_MS, false);

  test('none on a declaration in time, with something that a process must be inside of', () => {
    expect(marks(own())).toEqual([]);
  });

  test('late, or backdated where its declarer alone vouches for it', () => {
    const late = { startMs: -MINUTE_MS - 1 };
    expect(marks(own(late))).toEqual(['backdated']);
    expect(marks(own({ ...late, selfDeclared: false }))).toEqual(['late']);
    expect(marks(own({ startMs: -MINUTE_MS }))).toEqual([]);
  });

  test('of another user, as its service says', () => {
    expect(marksOf(own(), null, MINUTE_MS, true)).toEqual(['other_user']);
  });

  test.each<[string, Partial<Job>]>([
    ['a later end', { endMs: 2 * HOUR_MS }],
    ['no end', { endMs: null }],
    ['an earlier start', { startMs: -1 }],
    ['another user', { user: 'bob' }],
    ['another account number', { uid: 7 }],
    ['any user', { user: null }],
    ['another program', { declares: { executables: ['/a', '/b'], root: null } }],
    ['any program', { declares: { executables: [], root: null } }],
    ['another device', { allocations: [given({ devices: ['GPU-1', 'GPU-3'] })] }],
    ['another node', { allocations: [given({ node: 'n2' })] }],
    ['a whole node', { allocations: [given({ devices: null })] }],
    ['devices by number', { allocations: [given({ devices: null, count: 1 })] }],
    ['devices by minor numbers', { allocations: [given({ devices: [], indices: [0] })] }],
  ])('extended: %s', (_, change) => {
    const before = own({ endMs: HOUR_MS, declares: { executables: ['/a'], root: null } });
    expect(marks({ ...before, ...change }, before)).toEqual(['extended']);
    expect(marks({ ...before, selfDeclared: false, ...change }, before)).toEqual([]);
  });

  test.each<[string, Partial<Allocation>, Partial<Allocation>]>([
    ['fewer devices', {}, { devices: ['GPU-2'] }],
    ['devices of a whole node', { devices: null }, { devices: ['GPU-3'] }],
    ['fewer by number', { devices: null, count: 2 }, { devices: null, count: 1 }],
    ['fewer by minor numbers', { devices: [], indices: [0, 1] }, { devices: [], indices: [1] }],
  ])('not extended: %s', (_, was, is) => {
    expect(marks(own({ allocations: [given(is)] }), own({ allocations: [given(was)] }))).toEqual([]);
  });

  test.each<[string, Partial<Allocation>, Partial<Allocation>]>([
    ['more by number', { devices: null, count: 1 }, { devices: null, count: 2 }],
    ['named ones for some by number', { devices: null, count: 1 }, {}],
    ['all for some by number', { devices: null, count: 1 }, { devices: null }],
    ['other minor numbers', { devices: [], indices: [0] }, { devices: [], indices: [0, 1] }],
    ['named ones for minor numbers', { devices: [], indices: [0] }, {}],
  ])('extended: %s', (_, was, is) => {
    expect(marks(own({ allocations: [given(is)] }), own({ allocations: [given(was)] }))).toEqual([
      'extended',
    ]);
  });

  test('what was extended once stays so', () => {
    const before = own({ marks: ['extended'] });
    expect(marks(before, before)).toEqual(['extended']);
    expect(marks(own(), own({ marks: ['broad'] }))).toEqual([]);
  });

  test('fewer programs or any user before are nothing more', () => {
    const wide = own({ user: null, uid: null });
    expect(marks(own(), wide)).toEqual([]);
    const two = own({ declares: { executables: ['/a', '/b'], root: null } });
    expect(marks(own({ declares: { executables: ['/b'], root: null } }), two)).toEqual([]);
  });

  test('broad: it names no program and nothing to be inside of, and no user, or a whole node for any time', () => {
    const open = { boundaries: [], endMs: 8 * DAY_MS };
    const anyUser = { user: null, uid: null };
    const root = { node: NODE, bootId: 'b', pid: 1, startTicks: 1 };
    expect(marks(own({ ...open, ...anyUser }))).toEqual(['broad']);
    expect(marks(own({ ...open, allocations: [given({ devices: null })] }))).toEqual(['broad']);
    expect(marks(own({ ...open, endMs: null, allocations: [given({ devices: null })] }))).toEqual(['broad']);
    for (const change of [
      { endMs: 7 * DAY_MS, allocations: [given({ devices: null })] },
      { allocations: [given({ devices: null, count: 8 })] },
      { ...anyUser, uid: 0 },
      { ...anyUser, boundaries: ['slurm:1'] },
      { ...anyUser, declares: { executables: ['/a'], root: null } },
      { ...anyUser, declares: { executables: [], root } },
      { ...anyUser, selfDeclared: false },
    ])
      expect(marks(own({ ...open, ...change }))).toEqual([]);
  });
});
