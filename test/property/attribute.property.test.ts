// Properties of attribution over arbitrary cells: the books balance on both axes, and what must not matter does not.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { apportion, partBetween } from '../../api/domain/apportion.ts';
import { attribute } from '../../api/domain/attribute.ts';
import type { CellFacts, Entry, ObservedSpan } from '../../api/domain/cell.ts';
import { lengthMs } from '../../api/domain/interval.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import {
  cell,
  HOUR_MS,
  holds,
  job,
  processFact,
  SESSION_CGROUP,
  slurmCgroup,
  span,
} from '../unit/domain-facts.ts';
import { aCell, aJob, JOB_IDS, moment, PIDS, RUNS } from './attribute-cells.ts';

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

/** What is left of a cell's entries when nothing is said of what still awaits a record. */
function settledSums(entries: readonly Entry[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { provisional, ms, fromMs, toMs, ...kind } of entries) {
    const key = JSON.stringify(kind);
    sums.set(key, (sums.get(key) ?? 0) + ms);
  }
  return sums;
}

describe('conservation', () => {
  test('how far the sources are says what is provisional, and moves no millisecond', () => {
    fc.assert(
      fc.property(aCell, moment, (facts, completeToMs) => {
        const sources = facts.sources.map((source) => ({ ...source, completeToMs }));
        const [here, there] = [attribute(facts), attribute({ ...facts, sources })];
        expect(settledSums(there.entries)).toEqual(settledSums(here.entries));
      }),
      RUNS,
    );
  });

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
