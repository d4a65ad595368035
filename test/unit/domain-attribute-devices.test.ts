// What else a device says of a span: that it contradicts itself, how it is divided, and who was there unseen.
import { describe, expect, test } from 'vitest';
import { ACCOUNTED_TYPE } from '../../api/contract/batch.ts';
import { at } from '../../api/domain/at.ts';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts, Entry, ObservedSpan } from '../../api/domain/cell.ts';
import { processId } from '../../api/domain/cell.ts';
import { cutSpan, inTenantOrder } from '../../api/domain/cutter.ts';
import { groupFindings, summarise } from '../../api/domain/finding.ts';
import { changedTime } from '../../api/domain/interval.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { runsOf } from '../../api/domain/runs.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import {
  BOOT,
  cell,
  GPU,
  HOUR_MS,
  holds,
  job,
  MINUTE_MS,
  pidOf,
  processFact,
  SESSION_CGROUP,
  slurmCgroup,
  span,
} from './domain-facts.ts';

const entriesOf = (facts: CellFacts): readonly Entry[] => attribute(facts).entries;
const findingsOf = (facts: CellFacts) =>
  groupFindings(facts, createJudge(facts), [{ device: GPU, entries: entriesOf(facts) }]);

const CONFLICT_MS = 10 * MINUTE_MS;
const inConflict = (of: ObservedSpan, conflictMs = CONFLICT_MS): ObservedSpan => ({ ...of, conflictMs });
const session = (pid: number) => processFact(pid, { cgroup: SESSION_CGROUP });
const NOTHING_YET = [{ source: 'slurm', sourceInstance: 'main', completeToMs: 0 }];

describe('a device that draws working power while it claims to be still', () => {
  test('is in use by nobody who can be named where no process shows, whoever holds it, and at once', () => {
    const j = job('8101');
    for (const holdings of [[], [holds(j)]]) {
      const spans = [inConflict(span(0, HOUR_MS, {}))];
      const facts = cell({ jobs: [j], holdings, spans, sources: NOTHING_YET });
      expect(entriesOf(facts)).toContainEqual(
        expect.objectContaining({
          ...{ bucket: 'unaccounted', reason: 'telemetry_conflict', activity: 'active', ms: CONFLICT_MS },
          ...{ process: null, provisional: false, holder: holdings.length === 0 ? null : 'j_8101' },
        }),
      );
      expect(sumEntries(entriesOf(facts)).unaccountedMs).toBe(CONFLICT_MS);
    }
  });

  test('is in use by the only undeclared process there, in its finding, as a suspicion', () => {
    const facts = cell({
      processes: [session(100)],
      spans: [span(0, HOUR_MS / 2, { 100: 600 }), inConflict(span(HOUR_MS / 2, HOUR_MS, { 100: 0 }))],
    });
    const conflict = entriesOf(facts).find((entry) => entry.reason === 'telemetry_conflict');
    expect(conflict).toMatchObject({ process: pidOf(100), ms: CONFLICT_MS });
    const parts = findingsOf(facts);
    expect(parts).toHaveLength(1);
    expect(summarise(parts[0]?.rows ?? [], 0)).toMatchObject({
      ...{ reason: 'telemetry_conflict', reasons: ['no_job', 'telemetry_conflict'] },
      ...{ activeMs: CONFLICT_MS + 600, severity: 'warn', strength: 'suspicion' },
    });
  });

  test('goes to the same finding as the other use of what a job did not declare', () => {
    const j = job('8101', { declares: { executables: ['/usr/**'], root: null } });
    const facts = cell({
      processes: [processFact(90), processFact(100, { path: '/tmp/m', parentPid: 90 })],
      jobs: [j],
      holdings: [holds(j)],
      spans: [span(0, 1000, { 100: 600 }), inConflict(span(HOUR_MS / 2, HOUR_MS, { 100: 0 }))],
    });
    const parts = findingsOf(facts);
    expect(parts.map(({ root }) => root)).toEqual([pidOf(100)]);
    expect(parts[0]?.rows.map(({ reason, job: inside }) => [reason, inside])).toEqual([
      ['foreign_in_job', 'j_8101'],
      ['telemetry_conflict', 'j_8101'],
    ]);
  });

  test('is in use by nobody who can be named where several undeclared processes are there', () => {
    const facts = cell({
      processes: [session(100), session(200)],
      spans: [inConflict(span(0, HOUR_MS, { 100: 0, 200: 0 }))],
    });
    const conflicts = entriesOf(facts).filter((entry) => entry.reason === 'telemetry_conflict');
    expect(conflicts).toMatchObject([{ process: null, ms: CONFLICT_MS }]);
    expect(findingsOf(facts).map(({ root }) => root)).toContain(null);
  });

  test('speaks against no declared process: its job holds the time, activity unknown', () => {
    const j = job('8101');
    const parts = { processes: [processFact(100), session(200)], jobs: [j] };
    const spans = [inConflict(span(0, HOUR_MS, { 100: 0, 200: 0 }), HOUR_MS)];
    expect(entriesOf(cell({ ...parts, spans, holdings: [holds(j)] }))).toMatchObject([
      { bucket: 'held', activity: 'unknown', holder: 'j_8101', process: pidOf(100), ms: HOUR_MS },
    ]);
    expect(entriesOf(cell({ ...parts, spans, holdings: [holds(j, { shareMilli: 250 })] }))).toMatchObject([
      { bucket: 'held', activity: 'unknown', holder: 'j_8101', ms: HOUR_MS / 4 },
      { bucket: 'idle', activity: 'unknown', holder: null, ms: (HOUR_MS * 3) / 4 },
    ]);
  });

  test('is a matter of declared processes only, whatever is exempt or unseen beside them', () => {
    const j = job('8101');
    const match = {
      executables: [],
      boundaries: [],
      uids: [7],
      types: [],
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
    const exempt = processFact(2, { cgroup: SESSION_CGROUP, uid: 7, user: 'x' });
    const both = inConflict(span(0, HOUR_MS, { 1: 0, 2: 0, 3: 0 }));
    const unseen = { ...both.tenants[2], process: processId(BOOT, '3/?0'), type: ACCOUNTED_TYPE };
    const facts = cell({
      ...{
        processes: [processFact(1), exempt],
        jobs: [j, job('x', { source: 'policy' })],
        holdings: [holds(j)],
      },
      spans: [
        { ...both, tenants: both.tenants.map((one, index) => (index === 2 ? { ...one, ...unseen } : one)) },
      ],
      policy: { ...DEFAULT_POLICY, exemptions: [exemption] },
    });
    const unknown = entriesOf(facts).filter((entry) => entry.activity === 'unknown');
    expect(unknown).toMatchObject([{ bucket: 'held', process: pidOf(1), ms: CONFLICT_MS }]);
    expect(entriesOf(facts).some((entry) => entry.bucket === 'unaccounted')).toBe(false);
  });

  test('takes nothing of what is active', () => {
    const facts = cell({ spans: [inConflict(span(0, HOUR_MS, {}, HOUR_MS - CONFLICT_MS))] });
    expect(entriesOf(facts).map(({ reason, ms }) => [reason, ms])).toEqual([
      ['no_process', HOUR_MS - CONFLICT_MS],
      ['telemetry_conflict', CONFLICT_MS],
    ]);
  });
});

/** Contexts as pid and instance on a device of `slices`, cut into instances as number and slices. */
function mig(
  contexts: readonly (readonly [pid: number, gpuInstance: number | null])[],
  instances: readonly (readonly [gpuInstance: number, slices: number])[],
  slices = 7,
): ObservedSpan {
  return {
    ...span(0, HOUR_MS, {}),
    activeMs: null,
    tenants: contexts.map(([pid, gpuInstance]) => {
      return { process: pidOf(pid), type: 'C', gpuInstance, activeMs: null };
    }),
    partition: { slices, instances: instances.map(([gpuInstance, own]) => ({ gpuInstance, slices: own })) },
  };
}

describe('a device that is divided into instances', () => {
  const j = job('8101');
  const parts = { processes: [processFact(100), session(200), session(300)], jobs: [j] };
  const seventh = (slices: number): number => Math.round((HOUR_MS * slices) / 7);
  const brief = (facts: CellFacts) =>
    entriesOf(facts).map(({ bucket, activity, process, ms }) => [bucket, activity, process, ms]);

  test('contexts have their own instance’s part; the rest is idle where nobody holds it', () => {
    const facts = cell({
      ...parts,
      spans: [
        mig(
          [[200, 5]],
          [
            [1, 4],
            [5, 2],
          ],
        ),
      ],
    });
    expect(brief(facts)).toEqual([
      ['unaccounted', 'resident', pidOf(200), seventh(2)],
      ['idle', 'none', null, HOUR_MS - seventh(2)],
    ]);
  });

  test('an undeclared context takes its part of a held device, and no more', () => {
    const spans = [
      mig(
        [
          [100, 1],
          [200, 5],
          [300, 5],
        ],
        [
          [1, 3],
          [5, 3],
        ],
      ),
    ];
    const entries = brief(cell({ ...parts, holdings: [holds(j)], spans }));
    expect(entries).toHaveLength(4);
    expect(entries).toEqual(
      expect.arrayContaining([
        ['held', 'unknown', pidOf(100), seventh(3)],
        ['unaccounted', 'resident', pidOf(200), Math.ceil(seventh(3) / 2)],
        ['unaccounted', 'resident', pidOf(300), Math.floor(seventh(3) / 2)],
        ['held', 'none', null, HOUR_MS - 2 * seventh(3)],
      ]),
    );
  });

  test('models that count four slices', () => {
    const facts = cell({ ...parts, spans: [mig([[200, 0]], [[0, 1]], 4)] });
    expect(brief(facts)).toContainEqual(['unaccounted', 'resident', pidOf(200), HOUR_MS / 4]);
  });

  test('a process in two instances has both parts', () => {
    const facts = cell({
      ...parts,
      spans: [
        mig(
          [
            [200, 1],
            [200, 2],
          ],
          [
            [1, 3],
            [2, 4],
          ],
        ),
      ],
    });
    expect(brief(facts)).toEqual([['unaccounted', 'resident', pidOf(200), HOUR_MS]]);
  });

  test('with a context in no known instance all share the whole device', () => {
    for (const [instance, other] of [
      [null, 1],
      [9, 1],
    ] as const) {
      const spans = [
        mig(
          [
            [200, other],
            [300, instance],
          ],
          [[1, 1]],
        ),
      ];
      expect(brief(cell({ ...parts, spans }))).toEqual([
        ['unaccounted', 'resident', pidOf(200), HOUR_MS / 2],
        ['unaccounted', 'resident', pidOf(300), HOUR_MS / 2],
      ]);
    }
  });
});

describe('processes that only the driver’s accounting lists', () => {
  const hidden = (pid: number, activeMs: number) => {
    const process = processId(BOOT, `${pid}/?${HOUR_MS}`);
    return { process, type: ACCOUNTED_TYPE, gpuInstance: null, activeMs };
  };
  const unseen: ObservedSpan = {
    ...span(0, HOUR_MS, {}, 50_000),
    tenants: [hidden(7, 30_000), hidden(8, 20_000)],
  };

  test('are unaccounted where no job holds the device, in one finding of the device', () => {
    const facts = cell({ spans: [unseen] });
    expect(entriesOf(facts)).toMatchObject([
      { reason: 'no_process', activity: 'active', process: null, ms: 50_000 },
      { reason: 'no_process', activity: 'resident', process: null, ms: HOUR_MS - 50_000 },
    ]);
    const parts = findingsOf(facts);
    expect(parts.map(({ root, rows }) => [root, rows.length])).toEqual([[null, 1]]);
    expect(summarise(parts[0]?.rows ?? [], 0)).toMatchObject({ strength: 'suspicion' });
  });

  test('speak against no job that holds it', () => {
    const j = job('8101');
    const entries = entriesOf(cell({ jobs: [j], holdings: [holds(j)], spans: [unseen] }));
    expect(entries.map(({ bucket, activity, ms }) => [bucket, activity, ms])).toEqual([
      ['held', 'resident', HOUR_MS - 50_000],
      ['held', 'unknown', 50_000],
    ]);
    const half = entriesOf(cell({ jobs: [j], holdings: [holds(j, { shareMilli: 500 })], spans: [unseen] }));
    expect(sumEntries(half)).toMatchObject({ heldMs: HOUR_MS / 2, unaccountedActiveMs: 25_000 });
  });

  test('await the record of a job that held the device', () => {
    const j = job('8101');
    const waiting = { spans: [unseen], sources: NOTHING_YET };
    expect(sumEntries(entriesOf(cell(waiting))).unaccountedProvisionalMs).toBe(HOUR_MS);
    const held = entriesOf(cell({ ...waiting, jobs: [j], holdings: [holds(j)] }));
    expect(held.every(({ provisional }) => !provisional)).toBe(true);
  });

  test('leave what others execute to them', () => {
    const facts = cell({
      processes: [processFact(100, { cgroup: slurmCgroup('8101') })],
      jobs: [job('8101')],
      holdings: [holds(job('8101'))],
      spans: [
        {
          ...unseen,
          activeMs: 90_000,
          tenants: [...unseen.tenants, ...span(0, 1, { 100: 40_000 }).tenants],
        },
      ],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({ usedMs: 40_000, unaccountedMs: 0 });
  });

  test('stay nameless when the device draws power beside them', () => {
    const facts = cell({ spans: [inConflict({ ...unseen, tenants: unseen.tenants.slice(0, 1) })] });
    const conflict = entriesOf(facts).filter((entry) => entry.reason === 'telemetry_conflict');
    expect(conflict).toMatchObject([{ process: null, ms: CONFLICT_MS }]);
  });
});

describe('one process on several instances, and on none that is told', () => {
  const place = (gpuInstance: number | null) => ({ process: pidOf(1), gpuInstance });

  test('has one order, the one that is not told first', () => {
    const sorted = [place(null), place(0), place(3)];
    expect(sorted.toReversed().sort(inTenantOrder)).toEqual(sorted);
    expect([place(3), place(null), place(0)].sort(inTenantOrder)).toEqual(sorted);
  });

  test('is cut with the rest, activity staying unknown', () => {
    const whole = span(0, 1000, { 1: null });
    expect(cutSpan(whole, { fromMs: 0, toMs: 400 })).toEqual({ ...whole, toMs: 400 });
  });

  test('is no run with spans in which it is elsewhere', () => {
    const on = (fromMs: number, gpuInstance: number | null) => {
      const one = span(fromMs, fromMs + 10, { 1: 5 });
      return { ...one, tenants: one.tenants.map((tenant) => ({ ...tenant, gpuInstance })) };
    };
    const runs = runsOf([on(0, null), on(10, null), on(20, 1), on(30, 1)]);
    expect(runs.map(({ first, count }) => [first, count])).toEqual([
      [0, 2],
      [2, 2],
    ]);
  });
});

test('an index beside a list is a fault, and no zero', () => {
  expect(() => at([1], 1)).toThrow('there is no item 1 among 1');
  expect(at([0], 0)).toBe(0);
});

describe('what changed between two sets of times', () => {
  const one = (key: string, fromMs: number, toMs: number) => ({ key, fromMs, toMs });

  test('is what only one of them has, of each kind', () => {
    const before = [one('a', 0, 10), one('a', 20, 30), one('b', 0, 5)];
    const after = [one('a', 5, 25), one('c', 1, 2)];
    expect(changedTime(before, after)).toEqual([
      ...[one('a', 0, 5), one('a', 10, 20), one('a', 25, 30)],
      ...[one('b', 0, 5), one('c', 1, 2)],
    ]);
    expect(changedTime(after, before).map(({ fromMs, toMs }) => toMs - fromMs)).toEqual([5, 10, 5, 1, 5]);
  });

  test('is nothing where both have the same, however it is cut', () => {
    expect(changedTime([one('a', 0, 10)], [one('a', 0, 10)])).toEqual([]);
  });
});
