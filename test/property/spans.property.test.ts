// Whatever the readings are, every device-millisecond is in exactly one span or gap, and the service takes what comes of it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ACCOUNTED_TYPE, type Gap, HOUR_MS, type Tenancy } from '../../api/contract/batch.ts';
import { attribute } from '../../api/domain/attribute.ts';
import { decodeNodeHour, spansOf } from '../../api/domain/decode.ts';
import { checkBatchRequest } from '../../api/services/validate-batch.ts';
import { headAfter, makeBatches, newHead } from '../../collector/batch.ts';
import type { EndedTenant } from '../../collector/parts.ts';
import type { DeviceReading, Reading } from '../../collector/reading.ts';
import { createSpanBuilder, type Taken } from '../../collector/spans.ts';
import { cell } from '../unit/domain-facts.ts';

const POLL_MS = 5000;
const WINDOW_MS = 30_000;
const DEVICES = ['GPU-a', 'GPU-b', 'GPU-c'];

interface Step {
  afterMs: number;
  clockStepMs: number;
  devices: (DeviceReading | null)[];
  ended: [string, EndedTenant[]][];
  takeUntilMs: number | null;
}

const partition = fc.constantFrom(...[[], [], [], [{ gpuInstance: 0, slices: 7 }]], [
  { gpuInstance: 1, slices: 3 },
  { gpuInstance: 2, slices: 4 },
]);

const ended = fc.uniqueArray(
  fc.record({
    process: fc.constantFrom('8/?1', '9/?1', '9/?2', '1/1'),
    type: fc.constantFrom(ACCOUNTED_TYPE, '?'),
    stayed: fc.boolean(),
    openMs: fc.oneof(fc.integer({ min: 0, max: 6000 }), fc.constant(HOUR_MS)),
    busyPercent: fc.option(fc.constantFrom(0, 1, 50, 100)),
    memoryBytes: fc.option(fc.constant(7)),
  }),
  { selector: ({ process }) => process, maxLength: 3 },
);

const device = (uuid: string): fc.Arbitrary<DeviceReading | null> =>
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        ok: fc.constant<true>(true),
        uuid: fc.constant(uuid),
        utilisationPercent: fc.oneof(
          { weight: 8, arbitrary: fc.constantFrom(0, 0, 1, 33, 67, 100) },
          { weight: 1, arbitrary: fc.constant({ unknown: 'mig' }) },
        ),
        memoryUsedBytes: fc.constant(0),
        powerMilliwatts: fc.oneof(fc.constantFrom(0, 300_000), fc.constant({ unknown: 'none' })),
        powerLimitMilliwatts: fc.constantFrom(700_000, 0),
        partition,
        processes: fc.uniqueArray(
          fc.record({
            pid: fc.integer({ min: 1, max: 4 }),
            type: fc.constant('C'),
            smPercent: fc.option(fc.integer({ min: 0, max: 100 })),
            memoryBytes: fc.option(fc.integer({ min: 0, max: 1000 })),
            gpuInstance: fc.constantFrom(null, null, 1, 2),
            computeInstance: fc.constant(null),
          }),
          { selector: ({ pid, gpuInstance }) => `${pid} ${gpuInstance}`, maxLength: 4 },
        ),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        ok: fc.constant<false>(false),
        uuid: fc.constant(uuid),
        reason: fc.constantFrom('tool_timeout' as const, 'device_error' as const),
        detail: fc.constant('planted'),
      }),
    },
    { weight: 1, arbitrary: fc.constant(null) },
  );

const step = (clockStepMs: fc.Arbitrary<number>): fc.Arbitrary<Step> =>
  fc.record({
    afterMs: fc.oneof(
      { weight: 8, arbitrary: fc.double({ min: 4500, max: 5500, noNaN: true }) },
      { weight: 1, arbitrary: fc.constantFrom(0, 0.4, 15_000, 15_001, 90_000) },
    ),
    clockStepMs,
    devices: fc.tuple(...DEVICES.map(device)),
    ended: ended.map((one): [string, EndedTenant[]][] => [[DEVICES[0] ?? '', one]]),
    takeUntilMs: fc.option(fc.integer({ min: -40_000, max: 5000 })),
  });

const smallSteps = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(0, 0, 3, -3) },
  { weight: 1, arbitrary: fc.integer({ min: -200_000, max: 200_000 }) },
);
const anySteps = fc.oneof(
  { weight: 12, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: -30 * HOUR_MS, max: 30 * HOUR_MS }) },
);

const startMs = fc.integer({ min: 1_790_000_000_000, max: 1_790_000_000_000 + HOUR_MS });

interface Run {
  taken: Taken[];
  clockSteps: number;
}

/** `takes`: also take where the steps say so, not only at the end. */
function run(fromMs: number, steps: readonly Step[], takes: boolean): Run {
  const builder = createSpanBuilder({ pollIntervalMs: POLL_MS, windowMs: WINDOW_MS });
  const taken: Taken[] = [];
  const takeAll = (untilMs: number): void => {
    for (let one = builder.take(untilMs); one !== null; one = builder.take(untilMs)) taken.push(one);
  };
  let wallMs = fromMs;
  let monotonicMs = 1000.25;
  for (const { afterMs, clockStepMs, devices, ended, takeUntilMs } of steps) {
    monotonicMs += afterMs;
    wallMs += afterMs + clockStepMs;
    const present = devices.flatMap((one) => one ?? []);
    const reading: Reading = { wallMs, monotonicMs, devices: present, ended: [], problems: [] };
    const pids = present.flatMap((one) => (one.ok ? one.processes.map(({ pid }) => pid) : []));
    // Each process started two seconds before it was first seen at the latest; pid 1 is older than all.
    const keys = new Map(pids.map((pid) => [pid, `${pid}/${pid}`]));
    const startOf = (key: string): number => (key === '1/1' ? fromMs - 1 : wallMs - 2000);
    builder.add(reading, keys, startOf, new Map(ended));
    if (takes && takeUntilMs !== null) takeAll(wallMs + takeUntilMs);
  }
  takeAll(Number.MAX_SAFE_INTEGER);
  return { taken, clockSteps: taken.flatMap((one) => one.clockSteps).length };
}

const SENDER = {
  ...{ cluster: 'main', node: 'n1', bootId: '11111111-2222-3333-4444-555555555555', agentVersion: '1' },
  ...{ driverVersion: null, pollIntervalMs: POLL_MS },
};
const NOTHING_ELSE = {
  ...{ inventory: null, processes: [], tools: null, host: null, grants: null, problems: [], personal: [] },
  observations: { connections: [], accounted: [], holders: [], dials: [], integrity: [] },
};

const lengthOf = (tenancy: Tenancy): number => tenancy.lengthMs.reduce((a, b) => a + b, 0);
const covered = (tenancies: readonly Tenancy[], gaps: readonly Gap[], uuid: string): [number, number][] =>
  [
    ...tenancies
      .filter((tenancy) => tenancy.device === uuid)
      .map((tenancy): [number, number] => [tenancy.startMs, tenancy.startMs + lengthOf(tenancy)]),
    ...gaps.filter((gap) => gap.device === uuid).map((gap): [number, number] => [gap.fromMs, gap.toMs]),
  ].sort((a, b) => a[0] - b[0]);

function expectSound(tenancy: Tenancy): void {
  const hour = Math.floor(tenancy.startMs / HOUR_MS);
  expect(Math.floor((tenancy.startMs + lengthOf(tenancy) - 1) / HOUR_MS)).toBe(hour);
  expect(tenancy.lengthMs.every((ms) => ms > 0)).toBe(true);
  const places = tenancy.tenants.map(({ process, gpuInstance }) => `${process} ${gpuInstance}`);
  expect(new Set(places).size).toBe(places.length);
  expect([0, tenancy.activeMs === null ? 0 : tenancy.lengthMs.length]).toContain(tenancy.conflictMs.length);
  if (tenancy.activeMs === null) {
    expect(tenancy.shareMs).toEqual([]);
    return;
  }
  expect(tenancy.activeMs).toHaveLength(tenancy.lengthMs.length);
  expect(tenancy.shareMs).toHaveLength(tenancy.tenants.length);
  let atMs = tenancy.startMs;
  for (const [i, activeMs] of tenancy.activeMs.entries()) {
    const lengthMs = tenancy.lengthMs[i] ?? 0;
    expect(activeMs).toBeGreaterThanOrEqual(0);
    expect(activeMs).toBeLessThanOrEqual(lengthMs);
    expect(activeMs + (tenancy.conflictMs[i] ?? 0)).toBeLessThanOrEqual(lengthMs);
    if (tenancy.tenants.length > 0)
      expect(tenancy.shareMs.reduce((sum, row) => sum + (row[i] ?? 0), 0)).toBe(activeMs);
    if (activeMs > 0)
      expect(Math.floor(atMs / WINDOW_MS)).toBe(Math.floor((atMs + lengthMs - 1) / WINDOW_MS));
    atMs += lengthMs;
  }
}

function expectDisjoint(stretches: readonly [number, number][]): void {
  for (const [i, [from]] of stretches.entries())
    expect(from).toBeGreaterThanOrEqual(stretches[i - 1]?.[1] ?? from);
}

/** Per device: all time, active time, each process's share, and gaps by reason. */
function totals({ taken }: Run): Record<string, number> {
  const sums: Record<string, number> = {};
  const add = (key: string, ms: number): void => {
    if (ms > 0) sums[key] = (sums[key] ?? 0) + ms;
  };
  for (const { tenancies, gaps } of taken) {
    for (const gap of gaps) add(`${gap.device} gap ${gap.reason}`, gap.toMs - gap.fromMs);
    for (const tenancy of tenancies) {
      const set = tenancy.tenants.map(({ process }) => process).join(' ');
      add(`${tenancy.device} [${set}] length`, lengthOf(tenancy));
      for (const ms of tenancy.activeMs ?? []) add(`${tenancy.device} [${set}] active`, ms);
      for (const ms of tenancy.conflictMs) add(`${tenancy.device} [${set}] conflict`, ms);
      for (const { gpuInstance, slices } of tenancy.partition)
        add(`${tenancy.device} instance ${gpuInstance} of ${slices}`, lengthOf(tenancy));
      for (const [i, row] of tenancy.shareMs.entries())
        for (const ms of row) add(`${tenancy.device} [${set}] ${i} ${tenancy.method}`, ms);
    }
  }
  return sums;
}

describe('spans', () => {
  it('tile each device from its first reading on, through failures, late polls and small clock steps', () => {
    fc.assert(
      fc.property(startMs, fc.array(step(smallSteps), { maxLength: 40 }), (fromMs, steps) => {
        const { taken } = run(fromMs, steps, true);
        for (const tenancy of taken.flatMap((one) => one.tenancies)) expectSound(tenancy);
        for (const [i, one] of taken.entries()) {
          expect(one.toMs).toBeGreaterThan(one.fromMs);
          if (i > 0) expect(one.fromMs).toBe(taken[i - 1]?.toMs);
          for (const uuid of DEVICES) {
            const stretches = covered(one.tenancies, one.gaps, uuid);
            const seenBefore = taken
              .slice(0, i)
              .some((other) => covered(other.tenancies, other.gaps, uuid).length);
            let atMs = seenBefore ? one.fromMs : (stretches[0]?.[0] ?? one.toMs);
            for (const [from, to] of stretches) {
              expect(from).toBe(atMs);
              expect(to).toBeGreaterThan(from);
              atMs = to;
            }
            expect(atMs).toBe(one.toMs);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('never give the same device-millisecond twice, whatever the wall clock does', () => {
    fc.assert(
      fc.property(startMs, fc.array(step(anySteps), { maxLength: 60 }), (fromMs, steps) => {
        const { taken } = run(fromMs, steps, true);
        const tenancies = taken.flatMap((one) => one.tenancies);
        for (const tenancy of tenancies) expectSound(tenancy);
        for (const uuid of DEVICES)
          expectDisjoint(
            covered(
              tenancies,
              taken.flatMap((one) => one.gaps),
              uuid,
            ),
          );
      }),
      { numRuns: 200 },
    );
  });

  it('give the same totals however often they are taken', () => {
    // In the end the wall clock jumps past everything, so that no clock step waits for it to catch up.
    const last: Step = {
      ...{ afterMs: 5000, clockStepMs: 20 * HOUR_MS, devices: [], ended: [], takeUntilMs: null },
    };
    // And all devices are there from the start: of one that comes later, the stretch that is not taken yet is missing.
    const sick = { ok: false, reason: 'device_error', detail: 'planted' } as const;
    const first: Step = {
      ...{ afterMs: 0, clockStepMs: 0, devices: DEVICES.map((uuid) => ({ uuid, ...sick })) },
      ...{ ended: [], takeUntilMs: null },
    };
    fc.assert(
      fc.property(startMs, fc.array(step(smallSteps), { maxLength: 40 }), (fromMs, steps) => {
        const often = run(fromMs, [first, ...steps, last], true);
        const once = run(fromMs, [first, ...steps, last], false);
        expect(totals(often)).toEqual(totals(once));
        expect(often.clockSteps).toBe(once.clockSteps);
      }),
      { numRuns: 200 },
    );
  });

  it('are booked to the millisecond: what was active, and what contradicts itself', () => {
    fc.assert(
      fc.property(startMs, fc.array(step(anySteps), { minLength: 1, maxLength: 40 }), (fromMs, steps) => {
        const bodies = run(fromMs, steps, true).taken.flatMap((taken) =>
          makeBatches({ ...NOTHING_ELSE, ...taken }, SENDER, newHead('s1')).map((batch) => batch.body),
        );
        const booked = { active: 0, conflict: 0 };
        for (const hourMs of new Set(bodies.map((body) => Math.floor(body.fromMs / HOUR_MS) * HOUR_MS))) {
          const hour = { fromMs: hourMs, toMs: hourMs + HOUR_MS };
          const numbered = bodies.map((body, index) => ({ ...body, seq: index + 1 }));
          const decoded = decodeNodeHour(hour, numbered, new Map());
          const facts = cell({ interval: hour, capacity: [hour], bookedToMs: hour.toMs });
          for (const uuid of DEVICES)
            for (const { activity, reason, ms } of attribute({ ...facts, spans: spansOf(decoded, uuid) })
              .entries)
              if (activity === 'active')
                booked[reason === 'telemetry_conflict' ? 'conflict' : 'active'] += ms;
        }
        const sum = (of: (tenancy: Tenancy) => readonly number[] | null): number =>
          bodies
            .flatMap((body) => body.tenancies.flatMap((one) => of(one) ?? []))
            .reduce((total, ms) => total + ms, 0);
        expect(booked).toEqual({
          active: sum((one) => one.activeMs),
          conflict: sum((one) => one.conflictMs),
        });
      }),
      { numRuns: 200 },
    );
  });

  it('make batches that the service takes', () => {
    fc.assert(
      fc.property(startMs, fc.array(step(anySteps), { minLength: 1, maxLength: 40 }), (fromMs, steps) => {
        let head = newHead('s1');
        for (const taken of run(fromMs, steps, true).taken) {
          const batches = makeBatches({ ...NOTHING_ELSE, ...taken }, SENDER, head);
          for (const batch of batches) head = headAfter(batch);
          expect(() => checkBatchRequest({ batches })).not.toThrow();
        }
      }),
      { numRuns: 200 },
    );
  });

  it('tell of power without utilisation only what two readings in a row show', () => {
    const still = fc.record({ afterMs: fc.integer({ min: 1, max: 14_999 }), works: fc.boolean() });
    fc.assert(
      fc.property(startMs, fc.array(still, { minLength: 1, maxLength: 60 }), (fromMs, polls) => {
        const steps = polls.map(({ afterMs, works }): Step => {
          const one: DeviceReading = {
            ...{ ok: true, uuid: 'GPU-a', utilisationPercent: 0, memoryUsedBytes: 0, processes: [] },
            ...{ powerMilliwatts: works ? 300_000 : 70_000, powerLimitMilliwatts: 700_000, partition: [] },
          };
          return { afterMs, clockStepMs: 0, devices: [one], ended: [], takeUntilMs: -10_000 };
        });
        const worked = (i: number): boolean => polls[i]?.works === true;
        const expected = polls.reduce(
          (sum, { afterMs }, i) =>
            i > 0 && worked(i) && (worked(i - 1) || worked(i + 1)) ? sum + afterMs : sum,
          0,
        );
        // What waits for another reading is not taken: the last poll decides nothing.
        const undecided = polls.length > 1 && worked(polls.length - 1) && !worked(polls.length - 2);
        const { taken } = run(fromMs, steps, true);
        const tenancies = taken.flatMap((one) => one.tenancies);
        const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
        expect(sum(tenancies.flatMap((one) => one.conflictMs))).toBe(expected);
        const allMs = sum(polls.slice(1, undecided ? -1 : undefined).map(({ afterMs }) => afterMs));
        expect(sum(tenancies.map(lengthOf))).toBe(allMs);
      }),
      { numRuns: 200 },
    );
  });

  it('keep long sums exact: active time is the sum of utilisation times length, to the millisecond', () => {
    const busy = fc.array(
      fc.record({ afterMs: fc.integer({ min: 1, max: 14_999 }), percent: fc.integer({ min: 0, max: 100 }) }),
      { minLength: 1, maxLength: 200 },
    );
    fc.assert(
      fc.property(startMs, busy, (fromMs, polls) => {
        const steps = [{ afterMs: 1, percent: 0 }, ...polls].map(({ afterMs, percent }): Step => {
          const processes = [1].map((pid) => ({
            ...{ pid, type: 'C', smPercent: null, memoryBytes: null },
            ...{ gpuInstance: null, computeInstance: null },
          }));
          const one: DeviceReading = {
            ...{ ok: true, uuid: 'GPU-a', utilisationPercent: percent, processes },
            ...{ memoryUsedBytes: 0, powerMilliwatts: 0, powerLimitMilliwatts: 0, partition: [] },
          };
          return { afterMs, clockStepMs: 0, devices: [one], ended: [], takeUntilMs: -10_000 };
        });
        const activeMs = run(fromMs, steps, true).taken.flatMap((one) =>
          one.tenancies.flatMap((tenancy) => tenancy.activeMs ?? []),
        );
        const hundredths = polls.reduce((sum, { afterMs, percent }) => sum + afterMs * percent, 0);
        expect(activeMs.reduce((a, b) => a + b, 0)).toBe(Math.floor(hundredths / 100));
      }),
      { numRuns: 100 },
    );
  });
});
