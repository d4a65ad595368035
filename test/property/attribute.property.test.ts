// Properties of attribution over arbitrary cells: the books balance on both axes, and what must not matter does not.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BatchBody } from '../../api/contract/batch.ts';
import { apportion, partBetween } from '../../api/domain/apportion.ts';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts, Entry, ObservedProcess, ObservedSpan } from '../../api/domain/cell.ts';
import { decodeNodeHour } from '../../api/domain/decode.ts';
import { lengthMs } from '../../api/domain/interval.ts';
import type { Job } from '../../api/domain/job.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import {
  BOOT,
  cell,
  GPU,
  HOUR_MS,
  holds,
  job,
  NODE,
  processFact,
  SESSION_CGROUP,
  slurmCgroup,
  span,
} from '../unit/domain-facts.ts';

const RUNS = { numRuns: 150 };
const PIDS = [11, 12, 13, 14] as const;
const JOB_IDS = ['1', '2', '3'] as const;

const moment = fc.integer({ min: -600_000, max: HOUR_MS + 600_000 });

const aJob = (id: string): fc.Arbitrary<Job> =>
  fc
    .record({
      startMs: moment,
      lengthMs: fc.option(fc.integer({ min: 0, max: HOUR_MS })),
      recordedMs: moment,
      selfDeclared: fc.boolean(),
      boundaries: fc.constantFrom<readonly string[]>([], [`slurm:${id}`], [`slurm:${id}`], ['slurm:9']),
      executables: fc.constantFrom<readonly string[]>([], ['/usr/**'], ['/opt/x']),
      uid: fc.constantFrom(null, 2001, 2002),
    })
    .map((from) =>
      job(id, {
        startMs: from.startMs,
        endMs: from.lengthMs === null ? null : from.startMs + from.lengthMs,
        firstRecordedAtMs: from.recordedMs,
        selfDeclared: from.selfDeclared,
        boundaries: from.boundaries,
        declares: { executables: from.executables, root: null },
        user: null,
        uid: from.uid,
      }),
    );

const aProcess = (pid: number): fc.Arbitrary<ObservedProcess> =>
  fc
    .record({
      cgroup: fc.constantFrom(SESSION_CGROUP, ...JOB_IDS.map(slurmCgroup), slurmCgroup(9), '0::/\n'),
      claim: fc.option(fc.constantFrom(...JOB_IDS, '9')),
      path: fc.constantFrom('/usr/bin/python3', '/opt/x', '/tmp/m', '/usr/bin/bash'),
      uid: fc.constantFrom(2001, 2002),
      startedMs: fc.option(moment),
      parentPid: fc.constantFrom(undefined, ...PIDS.filter((other) => other < pid)),
    })
    .map((from) =>
      processFact(pid, {
        cgroup: from.cgroup,
        path: from.path,
        uid: from.uid,
        user: null,
        startedMs: from.startedMs,
        ...(from.parentPid === undefined ? {} : { parentPid: from.parentPid }),
        claims: from.claim === null ? [] : [{ name: 'SLURM_JOB_ID', value: from.claim }],
      }),
    );

/** Consecutive stretches, each a span, a gap or nothing. */
const aTimeline = fc.array(
  fc.record({
    lengthMs: fc.integer({ min: 1, max: 600_000 }),
    what: fc.constantFrom('span', 'span', 'span', 'unknown', 'gap', 'silence'),
    weights: fc.record({
      total: fc.integer({ min: 0, max: 1000 }),
      each: fc.array(fc.nat(100), { minLength: 4, maxLength: 4 }),
    }),
    pids: fc.subarray([...PIDS]),
  }),
  { maxLength: 12 },
);

const aCell: fc.Arbitrary<CellFacts> = fc
  .record({
    jobs: fc.tuple(...JOB_IDS.map(aJob)),
    processes: fc.tuple(...PIDS.map(aProcess)),
    timeline: aTimeline,
    startMs: fc.integer({ min: -300_000, max: 300_000 }),
    holdings: fc.array(
      fc.record({
        of: fc.nat(2),
        fromMs: moment,
        lengthMs: fc.integer({ min: 0, max: HOUR_MS }),
        shareMilli: fc.constantFrom(1000, 500, 250, 333),
      }),
      { maxLength: 4 },
    ),
    capacity: fc.array(fc.tuple(moment, fc.integer({ min: 1, max: HOUR_MS })), {
      minLength: 1,
      maxLength: 3,
    }),
    bookedToMs: fc.constantFrom(HOUR_MS, HOUR_MS, 1_234_567, 0),
    completeToMs: moment,
  })
  .map((from) => {
    const spans: ObservedSpan[] = [];
    const gaps: CellFacts['gaps'][number][] = [];
    let atMs = from.startMs;
    for (const stretch of from.timeline) {
      const toMs = atMs + stretch.lengthMs;
      if (stretch.what === 'gap') gaps.push({ fromMs: atMs, toMs, reason: 'tool_failed' });
      if (stretch.what === 'span' || stretch.what === 'unknown') {
        const activeMs = Math.floor((stretch.lengthMs * stretch.weights.total) / 1000);
        const shares = apportion(activeMs, stretch.weights.each.slice(0, stretch.pids.length));
        const unknown = stretch.what === 'unknown';
        spans.push(
          stretch.pids.length === 0
            ? { ...span(atMs, toMs, {}, activeMs), ...(unknown ? { activeMs: null } : {}) }
            : span(
                atMs,
                toMs,
                Object.fromEntries(stretch.pids.map((pid, i) => [pid, unknown ? null : (shares[i] ?? 0)])),
              ),
        );
      }
      atMs = toMs;
    }
    return cell({
      jobs: from.jobs,
      processes: from.processes,
      spans,
      gaps,
      holdings: from.holdings.flatMap(({ of, fromMs, lengthMs: ms, shareMilli }) => {
        const holder = from.jobs[of];
        return holder === undefined ? [] : [holds(holder, { fromMs, toMs: fromMs + ms, shareMilli })];
      }),
      capacity: from.capacity.map(([fromMs, ms]) => ({ fromMs, toMs: fromMs + ms })),
      bookedToMs: from.bookedToMs,
      sources: [{ source: 'slurm', sourceInstance: 'main', completeToMs: from.completeToMs }],
    });
  });

/** Milliseconds of the hour that are inside capacity and before the watermark, counted apart from the code under test. */
function bookedMs(facts: CellFacts): number {
  const edges = [
    0,
    HOUR_MS,
    facts.bookedToMs,
    ...facts.capacity.flatMap(({ fromMs, toMs }) => [fromMs, toMs]),
  ]
    .filter((ms) => ms >= 0 && ms <= Math.min(HOUR_MS, facts.bookedToMs))
    .sort((a, b) => a - b);
  let sum = 0;
  for (const [at, fromMs] of edges.entries()) {
    const toMs = edges[at + 1] ?? fromMs;
    if (facts.capacity.some((part) => part.fromMs <= fromMs && toMs <= part.toMs)) sum += toMs - fromMs;
  }
  return sum;
}

describe('conservation', () => {
  test('capacity is the sum of the buckets, and of holders and unheld', () => {
    fc.assert(
      fc.property(aCell, (facts) => {
        const { entries } = attribute(facts);
        const sums = sumEntries(entries);
        const unheldMs = entries.reduce((sum, { holder, ms }) => sum + (holder === null ? ms : 0), 0);
        expect(sums.capacityMs).toBe(bookedMs(facts));
        expect(sums.allocatedMs + unheldMs).toBe(sums.capacityMs);
        for (const entry of entries) {
          expect(entry.ms).toBeGreaterThan(0);
          expect(Number.isInteger(entry.ms)).toBe(true);
          expect(entry.ms).toBeLessThanOrEqual(lengthMs(entry));
          if (entry.bucket === 'held') expect(entry.holder).not.toBeNull();
          if (entry.bucket === 'idle') expect(entry.holder).toBeNull();
          expect(entry.reason !== null).toBe(entry.bucket === 'unaccounted');
        }
      }),
      RUNS,
    );
  });

  test('active time is used or unaccounted, to the millisecond', () => {
    fc.assert(
      fc.property(aCell, (drawn) => {
        const facts = { ...drawn, capacity: [{ fromMs: 0, toMs: HOUR_MS }], bookedToMs: HOUR_MS };
        const whole = facts.spans.filter(({ fromMs, toMs }) => fromMs >= 0 && toMs <= HOUR_MS);
        const measured = { ...facts, spans: whole };
        const activeMs = whole.reduce((sum, one) => sum + (one.activeMs ?? 0), 0);
        const booked = attribute(measured).entries.reduce(
          (sum, { activity, ms }) => sum + (activity === 'active' ? ms : 0),
          0,
        );
        expect(booked).toBe(activeMs);
      }),
      RUNS,
    );
  });
});

/** Splits a span at `atMs`: active time in proportion to length, tenants' parts summing to it. */
function split(whole: ObservedSpan, atMs: number): ObservedSpan[] {
  if (atMs <= whole.fromMs || atMs >= whole.toMs) return [whole];
  const { activeMs } = whole;
  const left = { ...whole, toMs: atMs };
  const right = { ...whole, fromMs: atMs };
  if (activeMs === null) return [left, right];
  const leftMs = partBetween(activeMs, lengthMs(whole), 0, atMs - whole.fromMs);
  const shares = apportion(
    leftMs,
    whole.tenants.map((tenant) => tenant.activeMs ?? 0),
  );
  return [
    {
      ...left,
      activeMs: leftMs,
      tenants: whole.tenants.map((tenant, at) => ({ ...tenant, activeMs: shares[at] ?? 0 })),
    },
    {
      ...right,
      activeMs: activeMs - leftMs,
      tenants: whole.tenants.map((tenant, at) => ({
        ...tenant,
        activeMs: (tenant.activeMs ?? 0) - (shares[at] ?? 0),
      })),
    },
  ];
}

const keyOf = ({ ms, fromMs, toMs, ...kind }: Entry): string => JSON.stringify(kind);

describe('what must not matter', () => {
  test('splitting spans: the same where no time is cut again, else within a millisecond a cut', () => {
    fc.assert(
      fc.property(aCell, fc.array(moment, { minLength: 1, maxLength: 5 }), (facts, cuts) => {
        const spans = cuts.reduce<readonly ObservedSpan[]>(
          (parts, cut) => parts.flatMap((part) => split(part, cut)),
          facts.spans,
        );
        const before = attribute(facts).entries;
        const after = new Map(
          attribute({ ...facts, spans }).entries.map((entry) => [keyOf(entry), entry.ms]),
        );
        const tolerance = (spans.length - facts.spans.length) * (PIDS.length + JOB_IDS.length + 1);
        const keys = new Set([...before.map(keyOf), ...after.keys()]);
        const was = new Map(before.map((entry) => [keyOf(entry), entry.ms]));
        for (const key of keys)
          expect(Math.abs((was.get(key) ?? 0) - (after.get(key) ?? 0))).toBeLessThanOrEqual(tolerance);
        expect(sumEntries(attribute({ ...facts, spans }).entries).capacityMs).toBe(
          sumEntries(before).capacityMs,
        );
      }),
      RUNS,
    );
  });

  test('splitting spans of a device with one holder and settled records: exactly the same', () => {
    const j = job('1', { declares: { executables: ['/usr/**'], root: null } });
    const processes = [
      processFact(11, { cgroup: slurmCgroup('1') }),
      processFact(12, { cgroup: slurmCgroup('1'), path: '/tmp/m' }),
      processFact(13, { cgroup: SESSION_CGROUP }),
    ];
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: HOUR_MS }),
        fc.array(fc.nat(1000), { minLength: 3, maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: HOUR_MS - 1 }), { maxLength: 20 }),
        (activeMs, weights, cuts) => {
          const [a = 0, b = 0, c = 0] = apportion(activeMs, weights);
          const whole = span(0, HOUR_MS, { 11: a, 12: b, 13: c });
          const facts = cell({ processes, jobs: [j], holdings: [holds(j)], spans: [whole] });
          const spans = cuts.reduce<ObservedSpan[]>(
            (parts, cut) => parts.flatMap((part) => split(part, cut)),
            [whole],
          );
          const kindsOf = (of: CellFacts) =>
            attribute(of)
              .entries.map((entry) => [keyOf(entry), entry.ms])
              .sort();
          expect(kindsOf({ ...facts, spans })).toEqual(kindsOf(facts));
        },
      ),
      RUNS,
    );
  });

  test('the order of jobs, processes, tenants, holdings, capacity and sources', () => {
    fc.assert(
      fc.property(aCell, (facts) => {
        const turned: CellFacts = {
          ...facts,
          jobs: new Map([...facts.jobs].reverse()),
          processes: new Map([...facts.processes].reverse()),
          holdings: [...facts.holdings].reverse(),
          capacity: [...facts.capacity].reverse(),
          sources: [...facts.sources].reverse(),
          spans: facts.spans.map((one) => ({ ...one, tenants: [...one.tenants].reverse() })),
        };
        expect(attribute(turned)).toEqual(attribute(facts));
      }),
      RUNS,
    );
  });

  test('a job that has nothing to do with the device', () => {
    fc.assert(
      fc.property(aCell, aJob('77'), (facts, other) => {
        const jobs = new Map([...facts.jobs, [other.id, { ...other, boundaries: ['slurm:77'] }]]);
        expect(attribute({ ...facts, jobs })).toEqual(attribute(facts));
      }),
      RUNS,
    );
  });
});

const aBatch = (seq: number, stream: string): fc.Arbitrary<BatchBody> =>
  fc
    .record({
      startMs: fc.integer({ min: 0, max: 3_000_000 }),
      lengths: fc.array(fc.integer({ min: 1, max: 120_000 }), { maxLength: 4 }),
      busy: fc.integer({ min: 0, max: 1000 }),
      pids: fc.subarray([...PIDS]),
      gap: fc.option(fc.tuple(moment, fc.integer({ min: 1, max: 600_000 }), fc.constantFrom(null, GPU))),
      processes: fc.tuple(...PIDS.map(aProcess)),
    })
    .map((from) => {
      const active = from.lengths.map((ms) => Math.floor((ms * from.busy) / 1000));
      const columns = active.map((ms) =>
        apportion(
          ms,
          from.pids.map(() => 1),
        ),
      );
      return {
        schema: 1,
        cluster: 'c1',
        node: NODE,
        stream,
        seq,
        previousHash: '0'.repeat(64),
        bootId: BOOT,
        agentVersion: '1',
        driverVersion: null,
        pollIntervalMs: 5000,
        fromMs: from.startMs,
        toMs: from.startMs + from.lengths.reduce((sum, ms) => sum + ms, 0),
        inventory: null,
        processes: from.processes.map(({ id, bootId, parentId, user, commandLine, ...fact }) => ({
          ...fact,
          earlierCgroups: [...fact.earlierCgroups],
        })),
        tenancies: [
          {
            device: GPU,
            tenants: from.pids.map((pid) => ({
              process: `${pid}/${pid * 10}`,
              type: 'C',
              memoryBytes: null,
            })),
            startMs: from.startMs,
            lengthMs: from.lengths,
            activeMs: active,
            shareMs: from.pids.map((_, row) => columns.map((column) => column[row] ?? 0)),
            method: 'equal',
          },
        ],
        gaps:
          from.gap === null
            ? []
            : [
                {
                  fromMs: from.gap[0],
                  toMs: from.gap[0] + from.gap[1],
                  device: from.gap[2],
                  reason: 'poll_late',
                  detail: '',
                },
              ],
        connections: [],
        clockSteps: [],
        problems: [],
      };
    });

const someBatches = fc.tuple(aBatch(1, 'a'), aBatch(2, 'a'), aBatch(3, 'a'), aBatch(1, 'b'), aBatch(2, 'b'));
const hour = { fromMs: 0, toMs: HOUR_MS };
const decode = (batches: readonly BatchBody[]) =>
  decodeNodeHour({ cluster: 'c1', node: NODE, hour, batches }, new Map());

describe('decoding a node-hour', () => {
  test('spans and gaps of a device are ascending, disjoint and inside the hour', () => {
    fc.assert(
      fc.property(someBatches, (batches) => {
        const decoded = decode(batches);
        const covered = [
          ...(decoded.spansByDevice.get(GPU) ?? []),
          ...(decoded.gapsByDevice.get(GPU) ?? []),
        ].sort((a, b) => a.fromMs - b.fromMs);
        let atMs = 0;
        for (const { fromMs, toMs } of covered) {
          expect(fromMs).toBeGreaterThanOrEqual(atMs);
          expect(toMs).toBeGreaterThan(fromMs);
          atMs = toMs;
        }
        expect(atMs).toBeLessThanOrEqual(HOUR_MS);
        for (const one of decoded.spansByDevice.get(GPU) ?? [])
          if (one.tenants.length > 0)
            expect(one.tenants.reduce((sum, tenant) => sum + (tenant.activeMs ?? 0), 0)).toBe(one.activeMs);
      }),
      RUNS,
    );
  });

  test('the order of batches, and batches that come again, change nothing', () => {
    fc.assert(
      fc.property(
        someBatches.chain((batches) =>
          fc.tuple(
            fc.constant(batches),
            fc.shuffledSubarray([...batches, ...batches], { minLength: batches.length * 2 }),
          ),
        ),
        ([batches, again]) => {
          expect(decode(again)).toEqual(decode(batches));
        },
      ),
      RUNS,
    );
  });

  test('decoded hours attribute without loss', () => {
    fc.assert(
      fc.property(someBatches, (batches) => {
        const decoded = decode(batches);
        const facts = {
          ...cell({}),
          processes: decoded.processes,
          spans: decoded.spansByDevice.get(GPU) ?? [],
          gaps: decoded.gapsByDevice.get(GPU) ?? [],
        };
        expect(sumEntries(attribute(facts).entries).capacityMs).toBe(HOUR_MS);
      }),
      RUNS,
    );
  });
});
