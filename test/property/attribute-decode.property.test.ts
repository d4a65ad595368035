// Properties of decoding a node-hour: disjoint, order-free, and nothing lost on the way into cells.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BatchBody } from '../../api/contract/batch.ts';
import { apportion } from '../../api/domain/apportion.ts';
import { attribute } from '../../api/domain/attribute.ts';
import { decodeNodeHour } from '../../api/domain/decode.ts';
import { lengthMs } from '../../api/domain/interval.ts';
import { sumEntries } from '../../api/domain/sums.ts';
import { BOOT, cell, GPU, HOUR_MS, NODE } from '../unit/domain-facts.ts';
import { aProcess, moment, PIDS, RUNS } from './attribute-cells.ts';

const aBatch = (seq: number, stream: string): fc.Arbitrary<BatchBody> =>
  fc
    .record({
      startMs: fc.integer({ min: 0, max: 3_000_000 }),
      lengths: fc.array(fc.integer({ min: 1, max: 120_000 }), { maxLength: 4 }),
      busy: fc.integer({ min: 0, max: 1000 }),
      conflict: fc.integer({ min: 0, max: 1000 }),
      pids: fc.shuffledSubarray([...PIDS]),
      instances: fc.array(fc.constantFrom(null, 1, 2, 3), { minLength: 4, maxLength: 4 }),
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
            tenants: from.pids.map((pid, row) => ({
              process: `${pid}/${pid * 10}`,
              type: 'C',
              memoryBytes: null,
              gpuInstance: from.instances[row] ?? null,
            })),
            startMs: from.startMs,
            lengthMs: from.lengths,
            activeMs: active,
            shareMs: from.pids.map((_, row) => columns.map((column) => column[row] ?? 0)),
            method: 'equal',
            conflictMs: from.lengths.map((ms, column) =>
              Math.floor(((ms - (active[column] ?? 0)) * from.conflict) / 1000),
            ),
            partition: [],
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
        ...{ accounted: [], holders: [], dials: [], integrity: [], tools: null, host: null },
        clockSteps: [],
        problems: [],
      };
    });

const someBatches = fc.tuple(aBatch(1, 'a'), aBatch(2, 'a'), aBatch(3, 'a'), aBatch(1, 'b'), aBatch(2, 'b'));
const hour = { fromMs: 0, toMs: HOUR_MS };
const decode = (batches: readonly BatchBody[]) => decodeNodeHour(hour, batches, new Map());

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
        for (const one of decoded.spansByDevice.get(GPU) ?? []) {
          expect((one.activeMs ?? 0) + one.conflictMs).toBeLessThanOrEqual(lengthMs(one));
          expect(one.conflictMs).toBeGreaterThanOrEqual(0);
          if (one.tenants.length > 0)
            expect(one.tenants.reduce((sum, tenant) => sum + (tenant.activeMs ?? 0), 0)).toBe(one.activeMs);
        }
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
          const plain = ({ memory, ...rest }: ReturnType<typeof decode>) => ({ ...rest, memory: memory() });
          expect(plain(decode(again))).toEqual(plain(decode(batches)));
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
