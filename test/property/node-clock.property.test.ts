// Whatever is done to a node's clock while the service's time is known: readings lie where they belong, once each.
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { HOUR_MS } from '../../api/contract/batch.ts';
import { NodeClock } from '../../collector/node-clock.ts';
import type { AgentClock } from '../../collector/ports.ts';
import { createSpanBuilder, type Taken } from '../../collector/spans.ts';

const START_MS = 1_790_002_800_000;
const POLL_MS = 5000;
/** How far a reading may be off: what counts as no step, beside what the answers leave open. */
const NO_STEP_MS = 1000;

/** A machine and a service; `trueMs` is the service's time. */
class Machine {
  trueMs = START_MS;
  setMs = 0;
  sleptMs = 0;
  uptime = true;
  readonly clock: NodeClock;

  constructor(setMs = 0) {
    this.setMs = setMs;
    const raw: AgentClock = {
      wallMs: () => Math.floor(this.trueMs + this.setMs),
      monotonicMs: () => this.trueMs - START_MS - this.sleptMs,
      sleep: () => Promise.resolve(),
    };
    this.clock = new NodeClock(raw, () => (this.uptime ? this.trueMs - START_MS : null));
  }

  hear(tripMs = 0): void {
    const sentMs = this.clock.monotonicMs();
    this.trueMs += tripMs;
    this.clock.heard(Math.round(this.trueMs), sentMs, this.clock.monotonicMs());
  }

  get offMs(): number {
    return this.clock.wallMs() - this.trueMs;
  }
}

const happening = fc.record({
  afterMs: fc.integer({ min: 4500, max: 5500 }),
  stepMs: fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(-2 * HOUR_MS, 2 * HOUR_MS, -90_000, 90_000, -2000, 2000) },
    { weight: 1, arbitrary: fc.integer({ min: -30 * HOUR_MS, max: 30 * HOUR_MS }) },
  ),
  tripMs: fc.option(fc.integer({ min: 0, max: 800 })),
});

describe('a node’s clock', () => {
  it('stays where the service’s is, whatever it is set to, and every reading is placed there once', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
        const machine = new Machine();
        machine.hear();
        const builder = createSpanBuilder({ pollIntervalMs: POLL_MS, windowMs: 30_000 });
        const device = {
          ...{
            ok: true as const,
            uuid: 'GPU-a',
            utilisationPercent: 100,
            memoryUsedBytes: 0,
            powerMilliwatts: 0,
          },
          ...{ powerLimitMilliwatts: 0, partition: [] },
          processes: [
            {
              pid: 1,
              type: 'C',
              smPercent: null,
              memoryBytes: null,
              gpuInstance: null,
              computeInstance: null,
            },
          ],
        };
        const read = (): void => {
          const reading = { wallMs: machine.clock.wallMs(), monotonicMs: machine.clock.monotonicMs() };
          builder.add({ ...reading, devices: [device], ended: [], problems: [] }, new Map([[1, '1/1']]));
        };
        read();
        for (const { afterMs, stepMs, tripMs } of happenings) {
          machine.trueMs += afterMs;
          machine.setMs += stepMs;
          read();
          expect(Math.abs(machine.offMs)).toBeLessThanOrEqual(NO_STEP_MS * (happenings.length + 1));
          if (tripMs !== null) machine.hear(tripMs);
        }
        const taken: Taken[] = [];
        for (let one = builder.take(Infinity); one !== null; one = builder.take(Infinity)) taken.push(one);
        const stretches = taken
          .flatMap(({ tenancies }) => tenancies)
          .map(({ startMs, lengthMs }) => [startMs, lengthMs.reduce((a, b) => a + b, 0)] as const);
        let atMs = START_MS;
        for (const [startMs, lengthMs] of stretches) {
          expect(Math.abs(startMs - atMs)).toBeLessThanOrEqual(NO_STEP_MS * (happenings.length + 1));
          atMs = startMs + lengthMs;
        }
        // Not one millisecond twice, and none lost: all that passed by the monotonic clock.
        const allMs = stretches.reduce((sum, [, lengthMs]) => sum + lengthMs, 0);
        expect(Math.abs(allMs - (machine.trueMs - START_MS))).toBeLessThanOrEqual(
          800 + NO_STEP_MS * happenings.length,
        );
      }),
      { numRuns: 200 },
    );
  });

  test('tells each step that it did not follow, once, where the readings are', () => {
    const machine = new Machine();
    machine.hear();
    machine.setMs = -2 * HOUR_MS;
    expect(machine.offMs).toBe(0);
    machine.trueMs += 60_000;
    machine.setMs = 0;
    expect(machine.offMs).toBe(0);
    expect(machine.clock.takeRefused(START_MS)).toEqual([{ atMs: START_MS, stepMs: -2 * HOUR_MS }]);
    expect(machine.clock.takeRefused(START_MS + 60_000)).toEqual([
      { atMs: START_MS + 60_000, stepMs: 2 * HOUR_MS },
    ]);
    expect(machine.clock.takeRefused(Infinity)).toEqual([]);
  });

  test('follows a step towards the service’s time', () => {
    const machine = new Machine(50_000);
    machine.hear();
    expect(machine.offMs).toBe(50_000);
    machine.setMs = 0;
    expect(machine.offMs).toBe(0);
    expect(machine.clock.takeRefused(Infinity)).toEqual([]);
  });

  test('is put right when it is more than a minute off from the start; less is left alone', () => {
    for (const setMs of [-3 * HOUR_MS, 11 * 60_000, 86_400_000]) {
      const machine = new Machine(setMs);
      machine.hear(10);
      expect(Math.abs(machine.offMs)).toBeLessThanOrEqual(5);
      expect(Math.abs(machine.clock.repairedMs + setMs)).toBeLessThanOrEqual(5);
    }
  });

  test('follows every step while the service’s time is not known', () => {
    const machine = new Machine();
    for (const setMs of [-2 * HOUR_MS, 5000]) {
      machine.setMs = setMs;
      expect(machine.offMs).toBe(setMs);
    }
  });

  test('goes on with true time when the machine was suspended, also where nothing tells that from a step', () => {
    for (const uptime of [true, false]) {
      const machine = new Machine();
      machine.uptime = uptime;
      machine.hear();
      machine.trueMs += 1_234_567;
      machine.sleptMs += 1_234_567;
      expect(Math.abs(machine.offMs)).toBeLessThanOrEqual(1);
      machine.hear();
      expect(Math.abs(machine.offMs)).toBeLessThanOrEqual(1);
      // And is set back while it sleeps.
      machine.trueMs += 100_000;
      machine.sleptMs += 100_000;
      machine.setMs -= HOUR_MS;
      if (uptime) expect(Math.abs(machine.offMs)).toBeLessThanOrEqual(1);
    }
  });

  test('takes no time from an answer that took long, or that is none', () => {
    const machine = new Machine();
    machine.hear(20_000);
    machine.clock.heard(Number.NaN, 0, 0);
    machine.setMs = -HOUR_MS;
    expect(machine.offMs).toBe(-HOUR_MS);
  });
});
