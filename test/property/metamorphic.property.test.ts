// What must not matter to a cell, whatever it holds: names, whole hours, devices beside it, when a record came; and what divides exactly.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { apportion } from '../../api/domain/apportion.ts';
import { attribute, createAttributor } from '../../api/domain/attribute.ts';
import { contextParts } from '../../api/domain/booking.ts';
import type { CellFacts, CellResult, ObservedSpan } from '../../api/domain/cell.ts';
import { creditSpan } from '../../api/domain/credit.ts';
import { type Interval, lengthMs } from '../../api/domain/interval.ts';
import type { Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { HOUR_MS } from '../unit/domain-facts.ts';
import { aCell, RUNS } from './attribute-cells.ts';

const jobsOf = (facts: CellFacts, change: (job: Job) => Job): CellFacts['jobs'] =>
  new Map([...facts.jobs.values()].map(change).map((job) => [job.id, job]));

describe('names', () => {
  /** Job 1 becomes 101, and so on, wherever a job is named: their order stays. */
  const renumbered = (text: string): string => text.replace(/(?<=^j_|^slurm:|job_|^)\d(?=$|\/)/g, '10$&');
  const renamed = (facts: CellFacts): CellFacts => ({
    ...facts,
    jobs: jobsOf(facts, (job) => ({
      ...{ ...job, id: renumbered(job.id), name: 'another', externalId: renumbered(job.externalId) },
      boundaries: job.boundaries.map(renumbered),
    })),
    holdings: facts.holdings.map((one) => ({ ...one, job: renumbered(one.job) })),
    processes: new Map(
      [...facts.processes].map(([id, process]) => [
        id,
        {
          ...{ ...process, cgroup: renumbered(process.cgroup) },
          claims: process.claims.map((claim) => ({ ...claim, value: renumbered(claim.value) })),
        },
      ]),
    ),
  });
  const named = ({ entries, settlesAtMs }: CellResult, rename: (id: string) => string) => ({
    settlesAtMs,
    entries: entries.map((entry) => ({
      ...entry,
      holder: entry.holder === null ? null : rename(entry.holder),
      job: entry.job === null ? null : rename(entry.job),
    })),
  });

  test('of jobs', () => {
    fc.assert(
      fc.property(aCell, (facts) => {
        expect(attribute(renamed(facts))).toEqual(named(attribute(facts), renumbered));
      }),
      RUNS,
    );
  });

  test('of cluster, node and device, and what else is on the node', () => {
    fc.assert(
      fc.property(aCell, aCell, (facts, beside) => {
        const elsewhere = {
          ...{ ...facts, cluster: 'c2', node: 'n2', device: 'GPU-2' },
          jobs: jobsOf(facts, (job) => ({ ...job, cluster: 'c2' })),
        };
        expect(attribute(elsewhere)).toEqual(attribute(facts));
        // A node has its processes and jobs in common; devices differ in the rest.
        const other = { ...facts, spans: beside.spans, gaps: beside.gaps, capacity: beside.capacity };
        const there = createAttributor(facts);
        expect([there(other), there(facts), there(other)]).toEqual(
          [other, facts, other].map((cell) => attribute(cell)),
        );
      }),
      RUNS,
    );
  });
});

describe('time', () => {
  const shifted = (facts: CellFacts, byMs: number): CellFacts => {
    const at = <T extends number | null>(ms: T) => (ms === null ? ms : ms + byMs);
    const move = <T extends Interval>(one: T): T => ({
      ...one,
      fromMs: one.fromMs + byMs,
      toMs: one.toMs + byMs,
    });
    return {
      ...{ ...facts, interval: move(facts.interval), bookedToMs: facts.bookedToMs + byMs },
      ...{ capacity: facts.capacity.map(move), spans: facts.spans.map(move), gaps: facts.gaps.map(move) },
      holdings: facts.holdings.map(move),
      sources: facts.sources.map((one) => ({ ...one, completeToMs: one.completeToMs + byMs })),
      processes: new Map(
        [...facts.processes].map(([id, process]) => [id, { ...process, startedMs: at(process.startedMs) }]),
      ),
      jobs: jobsOf(facts, (job) => ({
        ...{ ...job, startMs: job.startMs + byMs, endMs: at(job.endMs) },
        ...{ firstRecordedAtMs: job.firstRecordedAtMs + byMs, recordedAtMs: job.recordedAtMs + byMs },
      })),
    };
  };

  test('by whole hours moves the ledger, and changes nothing in it', () => {
    fc.assert(
      fc.property(aCell, fc.integer({ min: 1, max: 500_000 }), (facts, hours) => {
        const byMs = hours * HOUR_MS;
        const { entries, settlesAtMs } = attribute(facts);
        expect(attribute(shifted(facts, byMs))).toEqual({
          entries: entries.map((one) => ({ ...one, fromMs: one.fromMs + byMs, toMs: one.toMs + byMs })),
          settlesAtMs: settlesAtMs === null ? null : settlesAtMs + byMs,
        });
      }),
      RUNS,
    );
  });

  test('at which a scheduler’s record came', () => {
    const moment = fc.integer({ min: -HOUR_MS, max: 48 * HOUR_MS });
    fc.assert(
      fc.property(aCell, moment, (drawn, recordedAtMs) => {
        const facts = { ...drawn, jobs: jobsOf(drawn, (job) => ({ ...job, selfDeclared: false })) };
        const late = jobsOf(facts, (job) => ({ ...job, recordedAtMs, firstRecordedAtMs: recordedAtMs }));
        expect(attribute({ ...facts, jobs: late })).toEqual(attribute(facts));
      }),
      RUNS,
    );
  });

  test('at which a self-declaration was recorded, up to its lead after its start', () => {
    fc.assert(
      fc.property(
        aCell,
        fc.integer({ min: 0, max: DEFAULT_POLICY.selfDeclarationLeadMs }),
        (drawn, afterMs) => {
          const recorded = (ms: number) =>
            jobsOf(drawn, (job) => ({ ...job, selfDeclared: true, firstRecordedAtMs: job.startMs + ms }));
          expect(attribute({ ...drawn, jobs: recorded(afterMs) })).toEqual(
            attribute({ ...drawn, jobs: recorded(0) }),
          );
        },
      ),
      RUNS,
    );
  });
});

describe('division', () => {
  const weights = fc.array(fc.oneof(fc.constant(0), fc.nat(1_000_000)), { maxLength: 12 });
  const total = fc.nat(HOUR_MS);

  test('is in proportion, exact in sum, by the largest remainders, the first of equal ones', () => {
    fc.assert(
      fc.property(total, weights, fc.integer({ min: 1, max: 1000 }), (ms, of, scale) => {
        const parts = apportion(ms, of);
        const sum = of.reduce((all, one) => all + one, 0);
        const counted = sum === 0 ? of.map(() => 1) : of;
        const all = sum === 0 ? of.length : sum;
        expect(parts.length === 0 ? ms : parts.reduce((done, one) => done + one, 0)).toBe(ms);
        const share = (index: number) => BigInt(ms) * BigInt(counted[index] ?? 0);
        const order = [...of.keys()].sort((a, b) => {
          const [left, right] = [share(a) % BigInt(all), share(b) % BigInt(all)];
          return left === right ? a - b : left < right ? 1 : -1;
        });
        const rounded = parts.map((part, index) => part - Number(share(index) / BigInt(all)));
        expect(rounded.every((up) => up === 0 || up === 1)).toBe(true);
        const ups = rounded.filter((up) => up === 1).length;
        expect(order.slice(0, ups).every((index) => rounded[index] === 1)).toBe(true);
        expect(
          apportion(
            ms,
            of.map((one) => one * scale),
          ),
        ).toEqual(parts);
      }),
      RUNS,
    );
  });

  test('of a partitioned device gives each instance its slices, and its contexts equal parts', () => {
    fc.assert(
      fc.property(aCell, ({ spans }) => {
        for (const { partition, tenants, ...span } of spans) {
          const ms = lengthMs(span);
          const parts = contextParts(ms, { tenants, partition });
          const sum = parts.reduce((all, one) => all + one, 0);
          if (tenants.length === 0) continue;
          const isPlaced = tenants.every(({ gpuInstance }) =>
            partition?.instances.some((one) => one.gpuInstance === gpuInstance),
          );
          if (partition === null || !isPlaced) {
            expect(sum).toBe(ms);
            expect(Math.max(...parts) - Math.min(...parts)).toBeLessThanOrEqual(1);
            continue;
          }
          const owned = apportion(ms, [
            ...partition.instances.map((one) => one.slices),
            partition.slices - partition.instances.reduce((all, one) => all + one.slices, 0),
          ]);
          for (const [index, instance] of partition.instances.entries()) {
            const own = parts.filter((_, at) => tenants[at]?.gpuInstance === instance.gpuInstance);
            if (own.length === 0) continue;
            expect(own.reduce((all, one) => all + one, 0)).toBe(owned[index]);
            expect(Math.max(...own) - Math.min(...own)).toBeLessThanOrEqual(1);
          }
        }
      }),
      RUNS,
    );
  });

  test('of what a go-between executed keeps the sum of each instance, in whatever order they come', () => {
    const sums = ({ tenants }: ObservedSpan) => {
      const byInstance = new Map<number | null, number>();
      for (const { gpuInstance, activeMs } of tenants)
        byInstance.set(gpuInstance, (byInstance.get(gpuInstance) ?? 0) + (activeMs ?? 0));
      return [...byInstance].filter(([, ms]) => ms > 0);
    };
    const byKey = ({ tenants }: ObservedSpan) =>
      tenants.map(({ process, gpuInstance, activeMs }) => `${process} ${gpuInstance} ${activeMs}`).sort();
    fc.assert(
      fc.property(aCell, ({ spans, processes }) => {
        for (const span of spans) {
          const credited = creditSpan(span, processes);
          expect(new Map(sums(credited))).toEqual(new Map(sums(span)));
          const turned = creditSpan({ ...span, tenants: span.tenants.toReversed() }, processes);
          expect(byKey(turned)).toEqual(byKey(credited));
        }
      }),
      RUNS,
    );
  });
});
