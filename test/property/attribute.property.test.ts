// Properties of attribution over arbitrary cells: the books balance on both axes, and what must not matter does not.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ACCOUNTED_TYPE } from '../../api/contract/batch.ts';
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

  /** The whole hour is capacity, all of it is booked, and only whole spans of `drawn` are in it. */
  const wholeHour = (drawn: CellFacts, keep: (span: ObservedSpan) => boolean): CellFacts => ({
    ...drawn,
    capacity: [{ fromMs: 0, toMs: HOUR_MS }],
    bookedToMs: HOUR_MS,
    spans: drawn.spans.filter((one) => one.fromMs >= 0 && one.toMs <= HOUR_MS && keep(one)),
  });
  const isUnseen = ({ type }: ObservedSpan['tenants'][number]): boolean => type === ACCOUNTED_TYPE;
  const total = <T>(all: readonly T[], ms: (one: T) => number): number =>
    all.reduce((sum, one) => sum + ms(one), 0);

  test('active time is used or unaccounted, or of nobody who was seen in what a job holds', () => {
    fc.assert(
      fc.property(aCell, (drawn) => {
        const facts = wholeHour(drawn, ({ activeMs }) => activeMs !== null);
        const { entries } = attribute(facts);
        const activeMs = total(facts.spans, (one) => one.activeMs ?? 0);
        const unseenMs = total(facts.spans, ({ tenants }) =>
          total(tenants.filter(isUnseen), (tenant) => tenant.activeMs ?? 0),
        );
        const booked = (which: (entry: Entry) => boolean) =>
          total(entries.filter(which), (entry) => entry.ms);
        const executedMs = booked(
          ({ activity, reason }) => activity === 'active' && reason !== 'telemetry_conflict',
        );
        const namelessMs = booked(
          ({ bucket, activity, process }) => bucket === 'held' && activity === 'unknown' && process === null,
        );
        expect(executedMs + namelessMs).toBe(activeMs);
        expect(namelessMs).toBeLessThanOrEqual(unseenMs);
        const contradictedMs = booked(
          ({ bucket, activity, process, reason }) =>
            reason === 'telemetry_conflict' ||
            (activity === 'unknown' && process !== null && (bucket === 'held' || bucket === 'idle')),
        );
        expect(contradictedMs).toBe(total(facts.spans, (one) => one.conflictMs));
      }),
      RUNS,
    );
  });

  test('a device that contradicts itself is never idle, or still, for that time', () => {
    fc.assert(
      fc.property(aCell, (drawn) => {
        const facts = wholeHour(drawn, ({ activeMs }) => activeMs !== null);
        const stillMs = total(facts.spans, (one) => lengthMs(one) - (one.activeMs ?? 0) - one.conflictMs);
        const booked = attribute(facts).entries.filter(
          ({ activity }) => activity === 'none' || activity === 'resident',
        );
        expect(total(booked, (entry) => entry.ms)).toBe(stillMs);
      }),
      RUNS,
    );
  });

  test('contexts of an instance have its part of a divided device, whoever holds what', () => {
    fc.assert(
      fc.property(aCell, (drawn) => {
        const facts = wholeHour(
          drawn,
          ({ partition, tenants }) =>
            partition !== null &&
            tenants.every(({ gpuInstance, type }) => gpuInstance !== null && type === 'C'),
        );
        const wanted = new Map<string, number>();
        for (const one of facts.spans)
          for (const tenant of one.tenants) {
            const beside = one.tenants.filter(({ gpuInstance }) => gpuInstance === tenant.gpuInstance).length;
            const instance = one.partition?.instances.find((each) => each.gpuInstance === tenant.gpuInstance);
            const ms = (lengthMs(one) * (instance?.slices ?? 0)) / 7 / beside;
            wanted.set(tenant.process, (wanted.get(tenant.process) ?? 0) + ms);
          }
        const got = new Map<string, number>();
        for (const { process, ms } of attribute(facts).entries)
          if (process !== null) got.set(process, (got.get(process) ?? 0) + ms);
        // Each piece is divided into whole milliseconds, twice; holdings and jobs cut spans into pieces.
        const pieces = facts.spans.length + 2 * (facts.holdings.length + 3 * facts.jobs.size);
        for (const key of new Set([...wanted.keys(), ...got.keys()]))
          expect(Math.abs((got.get(key) ?? 0) - (wanted.get(key) ?? 0))).toBeLessThanOrEqual(2 * pieces);
      }),
      RUNS,
    );
  });
});

/** Splits a span at `atMs`: active time in proportion to length, contradicted time to what is not active, tenants' parts summing. */
function split(whole: ObservedSpan, atMs: number): ObservedSpan[] {
  if (atMs <= whole.fromMs || atMs >= whole.toMs) return [whole];
  const { activeMs } = whole;
  const before = { ...whole, toMs: atMs };
  const after = { ...whole, fromMs: atMs };
  if (activeMs === null) return [before, after];
  const leftMs = partBetween(activeMs, lengthMs(whole), 0, atMs - whole.fromMs);
  const stillMs = lengthMs(before) - leftMs;
  const conflictMs = Math.floor((whole.conflictMs * stillMs) / Math.max(1, lengthMs(whole) - activeMs));
  const left = { ...before, conflictMs };
  const right = { ...after, conflictMs: whole.conflictMs - conflictMs };
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
          const conflictMs = Math.floor((HOUR_MS - activeMs) / 3);
          const whole = { ...span(0, HOUR_MS, { 11: a, 12: b, 13: c }), conflictMs };
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
