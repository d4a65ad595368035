// Devices that several share, and verdicts that await a record.
import { describe, expect, test } from 'vitest';
import { ACCOUNTED_TYPE } from '../../api/contract/batch.ts';
import { attribute } from '../../api/domain/attribute.ts';
import { bindNode } from '../../api/domain/bind.ts';
import type { CellFacts, Entry } from '../../api/domain/cell.ts';
import { assertConserved, ConservationError } from '../../api/domain/conservation.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import {
  BOOT,
  cell,
  GPU,
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
const REST_MS = HOUR_MS - ACTIVE_MS;

const entriesOf = (facts: CellFacts): readonly Entry[] => attribute(facts).entries;
const unaccounted = (facts: CellFacts): Entry[] =>
  entriesOf(facts).filter((entry) => entry.bucket === 'unaccounted');
const reasons = (facts: CellFacts): (string | null)[] => [
  ...new Set(unaccounted(facts).map((entry) => entry.reason)),
];
/** One process, active for 50 of the 60 minutes. */
const busy = (pid = 100): CellFacts['spans'] => [span(0, HOUR_MS, { [pid]: ACTIVE_MS })];

describe('shared devices', () => {
  test('two jobs share by declaration: each one’s use counts in its own share first', () => {
    const a = job('1');
    const b = job('2');
    const entries = entriesOf(
      cell({
        processes: [
          processFact(100, { cgroup: slurmCgroup(1) }),
          processFact(200, { cgroup: slurmCgroup(2) }),
        ],
        jobs: [a, b],
        holdings: [holds(a, { shareMilli: 250 }), holds(b, { shareMilli: 750 })],
        spans: [span(0, HOUR_MS, { 100: 30 * MINUTE_MS, 200: 10 * MINUTE_MS })],
      }),
    );
    const of = (bucket: string, holder: string | null) =>
      entries
        .filter((entry) => entry.bucket === bucket && entry.holder === holder)
        .map(({ job: j, ms }) => [j, ms]);
    expect(of('used', 'j_1')).toEqual([['j_1', 15 * MINUTE_MS]]);
    expect(of('used', 'j_2')).toEqual([
      ['j_1', 15 * MINUTE_MS],
      ['j_2', 10 * MINUTE_MS],
    ]);
    expect(of('held', 'j_2')).toEqual([[null, 20 * MINUTE_MS]]);
  });

  test('half a device is held, the other half is idle', () => {
    const a = job('1');
    const facts = cell({
      jobs: [a],
      holdings: [holds(a, { shareMilli: 500 })],
      spans: [span(0, HOUR_MS, {})],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({ heldMs: HOUR_MS / 2, idleMs: HOUR_MS / 2 });
  });

  test('two claims on the whole device count half each, and no millisecond twice', () => {
    const a = job('1');
    const b = job('2');
    const entries = entriesOf(
      cell({ jobs: [a, b], holdings: [holds(a), holds(b)], spans: [span(0, HOUR_MS, {})] }),
    );
    expect(entries.map(({ holder, ms }) => [holder, ms])).toEqual([
      ['j_1', HOUR_MS / 2],
      ['j_2', HOUR_MS / 2],
    ]);
  });

  test('undeclared contexts on a free device share what nobody executed', () => {
    const facts = cell({
      processes: [processFact(100, { cgroup: SESSION_CGROUP }), processFact(200, { cgroup: SESSION_CGROUP })],
      spans: [span(0, HOUR_MS, { 100: ACTIVE_MS, 200: 0 })],
    });
    expect(unaccounted(facts).map(({ process, activity, ms }) => ({ process, activity, ms }))).toEqual([
      { process: pidOf(100), activity: 'active', ms: ACTIVE_MS },
      { process: pidOf(100), activity: 'resident', ms: REST_MS / 2 },
      { process: pidOf(200), activity: 'resident', ms: REST_MS / 2 },
    ]);
  });

  test('an undeclared context that does not execute on a held device costs its holder nothing', () => {
    const j = job('8101');
    const facts = cell({
      processes: [processFact(200, { cgroup: SESSION_CGROUP })],
      jobs: [j],
      holdings: [holds(j)],
      spans: [span(0, HOUR_MS, { 200: 0 })],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({ heldMs: HOUR_MS, unaccountedMs: 0 });
  });

  test('activity unknown: declared contexts are held, undeclared ones resident, in equal shares', () => {
    const j = job('8101');
    const facts = cell({
      processes: [processFact(100), processFact(200, { cgroup: SESSION_CGROUP })],
      jobs: [j],
      holdings: [holds(j)],
      spans: [span(0, HOUR_MS, { 100: null, 200: null })],
    });
    expect(entriesOf(facts)).toMatchObject([
      { bucket: 'held', activity: 'unknown', process: pidOf(100), ms: HOUR_MS / 2, holder: 'j_8101' },
      { bucket: 'unaccounted', activity: 'resident', process: pidOf(200), ms: HOUR_MS / 2 },
    ]);
  });

  test('activity unknown and nothing there: held or idle as ever', () => {
    const empty = { ...span(0, HOUR_MS, {}), activeMs: null };
    expect(sumEntries(entriesOf(cell({ spans: [empty] }))).idleMs).toBe(HOUR_MS);
  });

  test('a declared context whose activity is unknown spills over into what no job holds', () => {
    const j = job('8101');
    const facts = cell({
      processes: [processFact(100)],
      jobs: [j],
      holdings: [holds(j, { shareMilli: 500 })],
      spans: [span(0, HOUR_MS, { 100: null })],
    });
    expect(entriesOf(facts)).toMatchObject([
      { bucket: 'held', holder: 'j_8101', ms: HOUR_MS / 2 },
      { bucket: 'idle', holder: null, activity: 'unknown', ms: HOUR_MS / 2 },
    ]);
  });
});

describe('whose word, and when', () => {
  const session = processFact(100, { cgroup: SESSION_CGROUP });

  test('what a record could still cover is provisional from the watermark on', () => {
    const facts = cell({
      processes: [session],
      spans: [span(0, HOUR_MS, { 100: HOUR_MS })],
      sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: 40 * MINUTE_MS }],
    });
    const result = attribute(facts);
    expect(result.entries.map(({ provisional, ms }) => [provisional, ms])).toEqual([
      [false, 40 * MINUTE_MS],
      [true, 20 * MINUTE_MS],
    ]);
    expect(result.settlesAtMs).toBe(HOUR_MS);
  });

  test('of spans in a row each is settled for itself, and nothing is said of when nothing was', () => {
    const spans = [span(0, MINUTE_MS, { 100: MINUTE_MS }), span(MINUTE_MS, 2 * MINUTE_MS, { 100: 10_000 })];
    const process = processFact(100, { cgroup: SESSION_CGROUP });
    const shown = (type: string) =>
      entriesOf(
        cell({
          ...{ processes: [process], bookedToMs: 2 * MINUTE_MS },
          spans: spans.map((one) => ({
            ...one,
            tenants: one.tenants.map((tenant) => ({ ...tenant, type })),
          })),
          sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: MINUTE_MS }],
        }),
      ).map(({ activity, provisional, fromMs, ms }) => [activity, provisional, fromMs, ms]);
    const settled = [
      ['active', false, 0, MINUTE_MS],
      ['active', true, MINUTE_MS, 10_000],
      ['resident', true, MINUTE_MS, MINUTE_MS - 10_000],
    ];
    expect(shown('C')).toEqual(settled);
    expect(shown(ACCOUNTED_TYPE)).toEqual(settled);
  });

  test('the source that lags most decides', () => {
    const sources = [
      { source: 'slurm', sourceInstance: 'main', completeToMs: HOUR_MS },
      { source: 'api', sourceInstance: 'default', completeToMs: 0 },
    ];
    const facts = cell({ processes: [session], spans: busy(), sources });
    expect(sumEntries(entriesOf(facts))).toMatchObject({ unaccountedProvisionalMs: HOUR_MS });
  });

  test('a scheduler that cannot have made a boundary is not waited for', () => {
    const sources = [
      { source: 'slurm', sourceInstance: 'main', completeToMs: HOUR_MS },
      { source: 'kubernetes', sourceInstance: 'main', completeToMs: 0 },
    ];
    const facts = cell({ processes: [processFact(100)], spans: busy(), sources });
    expect(unaccounted(facts).every((entry) => entry.reason === 'unknown_job' && !entry.provisional)).toBe(
      true,
    );
  });

  test('with no source that could answer there is nothing to wait for', () => {
    expect(attribute(cell({ processes: [session], spans: busy(), sources: [] })).settlesAtMs).toBeNull();
  });

  test('the grace at a job’s end defers the verdict until the record has passed it', () => {
    const endMs = HOUR_MS - 40_000;
    const j = job('8101', { endMs });
    const parts = { processes: [processFact(100)], jobs: [j], holdings: [holds(j)] };
    const at = (completeToMs: number) =>
      attribute(
        cell({
          ...parts,
          spans: [span(endMs, endMs + 10_000, { 100: 10_000 })],
          sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs }],
        }),
      );
    expect(at(endMs + 20_000).settlesAtMs).toBe(endMs + DEFAULT_POLICY.endGraceMs);
    expect(at(endMs + 30_000).settlesAtMs).toBeNull();
    expect(sumEntries(at(endMs + 30_000).entries).unaccountedActiveMs).toBe(10_000);
  });

  test('a self-declaration counts from a minute before it was recorded, whatever start it states', () => {
    const j = job('late', {
      source: 'api',
      boundaries: [],
      selfDeclared: true,
      startMs: 0,
      firstRecordedAtMs: 31 * MINUTE_MS,
      allocations: [{ node: NODE, devices: [GPU], count: null, fromMs: 0, toMs: null, shareMilli: 1000 }],
    });
    const facts = cell({
      processes: [session],
      jobs: [j],
      holdings: bindNode(NODE, [j], new Map(), [GPU], DEFAULT_POLICY),
      spans: [span(0, HOUR_MS, { 100: HOUR_MS })],
    });
    expect(sumEntries(entriesOf(facts))).toMatchObject({
      usedMs: 30 * MINUTE_MS,
      unaccountedMs: 30 * MINUTE_MS,
      allocatedMs: 30 * MINUTE_MS,
    });
  });

  test('a self-declared root names the earlier time before_start', () => {
    const root = { node: NODE, bootId: BOOT, pid: 100, startTicks: 1000 };
    const j = job('late', {
      boundaries: [],
      declares: { executables: [], root },
      selfDeclared: true,
      startMs: 0,
      firstRecordedAtMs: 31 * MINUTE_MS,
    });
    const facts = cell({ processes: [session], jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(reasons(facts)).toEqual(['before_start']);
  });

  test('a scheduler’s late record reaches back to the start that it states', () => {
    const j = job('8101', { startMs: 0, firstRecordedAtMs: 50 * MINUTE_MS });
    const facts = cell({ processes: [processFact(100)], jobs: [j], holdings: [holds(j)], spans: busy() });
    expect(sumEntries(entriesOf(facts)).usedMs).toBe(ACTIVE_MS);
  });
});

describe('broken facts', () => {
  test('more active time than there is time is refused', () => {
    expect(() => attribute(cell({ spans: [span(0, 1000, { 100: 1001 })] }))).toThrow(/active time/);
  });

  test('a device that tells its activity, and not what a process on it executed, is refused', () => {
    const told = span(0, HOUR_MS, { 100: 1000, 101: 0 });
    const tenants = told.tenants.map((tenant, at) => (at === 0 ? tenant : { ...tenant, activeMs: null }));
    expect(() => attribute(cell({ spans: [{ ...told, tenants }] }))).toThrow(
      /not what b1\/101\/1010 executed/,
    );
  });

  const books =
    (columns: [string | null, number][], entries: [string | null, number][], bookedMs = 10) =>
    () =>
      assertConserved(
        { device: 'GPU-1', interval: { fromMs: 0, toMs: 100 } },
        [{ fromMs: 0, toMs: bookedMs }],
        new Map(columns),
        entries.map(([holder, ms]) => ({ holder, ms })),
      );

  test('books balance where capacity, entries and what each holder was allotted agree', () => {
    const holders: [string | null, number][] = [
      ['a', 6],
      ['a', 1],
      [null, 3],
    ];
    expect(
      books(
        [
          ['a', 7],
          [null, 3],
        ],
        holders,
      ),
    ).not.toThrow();
    expect(
      books(
        [
          ['a', 7],
          ['b', 0],
          [null, 3],
        ],
        holders,
      ),
    ).not.toThrow();
  });

  test.each<[string, () => void]>([
    ['the sum of buckets is 9 ms and should be 10 ms', books([['a', 10]], [['a', 9]])],
    [
      'the share of a is 6 ms and should be 7 ms',
      books(
        [
          ['a', 7],
          [null, 3],
        ],
        [
          ['a', 6],
          [null, 4],
        ],
      ),
    ],
    [
      'the share of nobody is 3 ms and should be 4 ms',
      books(
        [
          [null, 4],
          ['a', 7],
        ],
        [
          ['a', 7],
          [null, 3],
        ],
      ),
    ],
    [
      'the share of b is 0 ms and should be 1 ms',
      books(
        [
          ['a', 10],
          ['b', 1],
        ],
        [['a', 10]],
      ),
    ],
    [
      'the sum of holders is 7 ms and should be 10 ms',
      books(
        [['a', 7]],
        [
          ['a', 7],
          ['b', 3],
        ],
      ),
    ],
  ])('books are refused where %s', (words, check) => {
    expect(check).toThrow(ConservationError);
    expect(check).toThrow(`cell GPU-1 from 0: ${words}`);
  });

  test('books that do not balance are refused with the numbers: here a part of a millisecond', () => {
    const jobs = [job('1'), job('2')];
    const facts = cell({
      jobs,
      holdings: jobs.map((one) => holds(one)),
      capacity: [{ fromMs: 0, toMs: 1000.5 }],
      spans: [span(0, HOUR_MS, {})],
    });
    expect(() => attribute(facts)).toThrow(ConservationError);
    expect(() => attribute(facts)).toThrow('the sum of buckets is 1000 ms and should be 1000.5 ms');
  });
});
