// From batches to absolute spans, gaps and processes.
import { describe, expect, test } from 'vitest';
import type { BatchBody } from '../../api/contract/batch.ts';
import { at } from '../../api/domain/at.ts';
import { processId } from '../../api/domain/cell.ts';
import { decodeNodeHour, gapsOf, spansOf } from '../../api/domain/decode.ts';
import { BOOT, GPU, HOUR_MS, NODE, pidOf, processFact } from './domain-facts.ts';

const batch = (seq: number, change: Partial<BatchBody> = {}): BatchBody => ({
  schema: 1,
  cluster: 'c1',
  node: NODE,
  stream: 's',
  seq,
  previousHash: '0'.repeat(64),
  bootId: BOOT,
  agentVersion: '1',
  driverVersion: null,
  pollIntervalMs: 5000,
  fromMs: 0,
  toMs: 60_000,
  inventory: null,
  processes: [],
  tenancies: [],
  gaps: [],
  connections: [],
  ...{ accounted: [], holders: [], dials: [], integrity: [], tools: null, host: null },
  clockSteps: [],
  problems: [],
  ...change,
});

const tenancy = (startMs: number, lengthMs: number[], activeMs: number[], share = activeMs) => ({
  device: GPU,
  tenants: [{ process: '7/70', type: 'C', memoryBytes: null, gpuInstance: null }],
  startMs,
  lengthMs,
  activeMs,
  shareMs: [share],
  method: 'sole' as const,
  conflictMs: [],
  partition: [],
});

const device = {
  ...{ uuid: GPU, index: 0, minor: 0, busId: 'x', model: 'A', memoryBytes: 1, powerLimitMilliwatts: null },
  ...{ migEnabled: true, slices: null, instances: [] },
};

const decode = (batches: BatchBody[], personal = new Map()) =>
  decodeNodeHour({ fromMs: 0, toMs: HOUR_MS }, batches, personal);

describe('spans', () => {
  test('lie end to end from the start of their tenancy', () => {
    const decoded = decode([batch(1, { tenancies: [tenancy(1000, [500, 700], [100, 200])] })]);
    expect(spansOf(decoded, GPU)).toEqual([
      {
        fromMs: 1000,
        toMs: 1500,
        activeMs: 100,
        conflictMs: 0,
        method: 'sole',
        tenants: [{ process: pidOf(7), type: 'C', gpuInstance: null, activeMs: 100 }],
        partition: null,
      },
      {
        fromMs: 1500,
        toMs: 2200,
        activeMs: 200,
        conflictMs: 0,
        method: 'sole',
        tenants: [{ process: pidOf(7), type: 'C', gpuInstance: null, activeMs: 200 }],
        partition: null,
      },
    ]);
  });

  test('are clipped to the hour, active time in proportion', () => {
    const decoded = decode([batch(1, { tenancies: [tenancy(HOUR_MS - 400, [1000], [500])] })]);
    expect(spansOf(decoded, GPU)).toMatchObject([
      { toMs: HOUR_MS, activeMs: 200, tenants: [{ activeMs: 200 }] },
    ]);
  });

  test('of two streams that overlap, the first in order stays whole and the other fills around it', () => {
    const decoded = decode([
      batch(1, { stream: 'z', fromMs: 0, tenancies: [tenancy(0, [3000], [3000])] }),
      batch(1, { stream: 'a', fromMs: 0, tenancies: [tenancy(1000, [1000], [0])] }),
    ]);
    expect(spansOf(decoded, GPU).map(({ fromMs, toMs, activeMs }) => [fromMs, toMs, activeMs])).toEqual([
      [0, 1000, 1000],
      [1000, 2000, 0],
      [2000, 3000, 1000],
    ]);
  });

  test('that come in another order than their time lie in time', () => {
    const tenancies = [tenancy(2000, [500], [20]), tenancy(1000, [500], [10])];
    const other = batch(2, { stream: 't', fromMs: 1, tenancies: [tenancy(500, [100], [30])] });
    const spans = spansOf(decode([batch(1, { tenancies }), other]), GPU);
    expect(spans.map(({ fromMs, toMs, activeMs }) => [fromMs, toMs, activeMs])).toEqual([
      [500, 600, 30],
      [1000, 1500, 10],
      [2000, 2500, 20],
    ]);
  });

  test('know who is there, also where the driver lists another one next', () => {
    const first = { process: '8/80', type: 'C', memoryBytes: null, gpuInstance: null };
    const lists = [[first], [{ ...first, type: 'G' }], [{ ...first, type: 'G', gpuInstance: 1 }], []];
    const tenancies = lists.map((tenants, index) => ({
      ...tenancy(1000 * (index + 1), [500], [10]),
      ...{ tenants, shareMs: tenants.map(() => [10]) },
    }));
    const spans = spansOf(decode([batch(1, { tenancies: [tenancy(0, [500], [10]), ...tenancies] })]), GPU);
    expect(spans.map((span) => span.tenants.map((one) => [one.process, one.type, one.gpuInstance]))).toEqual([
      [[processId(BOOT, '7/70'), 'C', null]],
      [[processId(BOOT, '8/80'), 'C', null]],
      [[processId(BOOT, '8/80'), 'G', null]],
      [[processId(BOOT, '8/80'), 'G', 1]],
      [],
    ]);
  });

  test('a process that is listed twice is one tenant', () => {
    const one = { ...tenancy(0, [1000], [900]), shareMs: [[500], [400]] };
    one.tenants = [...one.tenants, { process: '7/70', type: 'G', memoryBytes: null, gpuInstance: null }];
    expect(spansOf(decode([batch(1, { tenancies: [one] })]), GPU)[0]?.tenants).toEqual([
      { process: pidOf(7), type: 'C+G', gpuInstance: null, activeMs: 900 },
    ]);
  });

  test('under MIG a process is a tenant of each instance that it is in', () => {
    const one = { ...tenancy(0, [1000], [0]), activeMs: null, shareMs: [] };
    const tenant = (gpuInstance: number) => ({ process: '7/70', type: 'C', memoryBytes: null, gpuInstance });
    const inventory = [{ ...device, slices: 7 }];
    const partition = [
      { gpuInstance: 5, slices: 3 },
      { gpuInstance: 1, slices: 3 },
    ];
    const tenancies = [{ ...one, tenants: [5, 1, 5].map(tenant), partition }];
    const [span] = spansOf(decode([batch(1, { inventory, tenancies })]), GPU);
    expect(span?.tenants.map(({ gpuInstance, activeMs }) => [gpuInstance, activeMs])).toEqual([
      [1, null],
      [5, null],
    ]);
    expect(span?.partition).toEqual({ slices: 7, instances: partition.toReversed() });
    for (const unknown of [null, [device]])
      expect(spansOf(decode([batch(1, { inventory: unknown, tenancies })]), GPU)[0]?.partition).toBeNull();
  });

  test('that contradict themselves are cut without exceeding what is not active', () => {
    const one = { ...tenancy(HOUR_MS - 400, [1000], [500]), conflictMs: [500] };
    expect(spansOf(decode([batch(1, { tenancies: [one] })]), GPU)).toMatchObject([
      { toMs: HOUR_MS, activeMs: 200, conflictMs: 200 },
    ]);
  });

  test('of several devices of a batch lie in their order, letters of the driver too', () => {
    const other = { ...tenancy(0, [500], [100]), device: 'GPU-0' };
    const first = { ...tenancy(0, [500], [100]) };
    const tenancies = [tenancy(500, [500], [200]), first, other];
    const decoded = decode([batch(1, { tenancies })]);
    expect([...decoded.spansByDevice.keys()]).toEqual(['GPU-0', GPU]);
    expect(spansOf(decoded, GPU).map(({ fromMs, activeMs }) => [fromMs, activeMs])).toEqual([
      [0, 100],
      [500, 200],
    ]);
    const types = ['X', 'A', 'G', 'M+C'].map((type) => ({ ...at(first.tenants, 0), type }));
    const listed = { ...first, tenants: types, shareMs: types.map(() => [25]) };
    expect(at(at(spansOf(decode([batch(1, { tenancies: [listed] })]), GPU), 0).tenants, 0)).toMatchObject({
      type: 'A+X+M+C+G',
      activeMs: 100,
    });
  });

  test('outside of the hour are none', () => {
    const before = decode([batch(1, { tenancies: [tenancy(-1000, [1000], [1000])] })]);
    expect(spansOf(before, GPU)).toEqual([]);
    expect(spansOf(before, 'GPU-unheard')).toEqual([]);
  });

  test('with shares that are missing are refused', () => {
    const broken = { ...tenancy(0, [500, 500], [100, 100]), shareMs: [[100]] };
    expect(() => decode([batch(1, { tenancies: [broken] })])).toThrow(RangeError);
  });

  test('activity that the device does not tell stays unknown', () => {
    const one = { ...tenancy(0, [1000], [0]), activeMs: null, shareMs: [] };
    expect(spansOf(decode([batch(1, { tenancies: [one] })]), GPU)).toMatchObject([
      { activeMs: null, tenants: [{ activeMs: null }] },
    ]);
  });
});

describe('gaps', () => {
  const gap = (
    device: string | null,
    fromMs: number,
    toMs: number,
    reason: 'tool_failed' | 'agent_stopped',
  ) => ({
    device,
    fromMs,
    toMs,
    reason,
    detail: '',
  });

  test('what was measured beats what was not, and the device’s own gap beats the node’s', () => {
    const decoded = decode([
      batch(1, {
        tenancies: [tenancy(1000, [1000], [0])],
        gaps: [gap(null, 0, 4000, 'agent_stopped'), gap(GPU, 2500, 3000, 'tool_failed')],
      }),
    ]);
    expect(gapsOf(decoded, GPU).map(({ fromMs, toMs, reason }) => [fromMs, toMs, reason])).toEqual([
      [0, 1000, 'agent_stopped'],
      [2000, 2500, 'agent_stopped'],
      [2500, 3000, 'tool_failed'],
      [3000, 4000, 'agent_stopped'],
    ]);
  });

  test('of several at once the earliest counts, then the shorter one, then by their words', () => {
    const gaps = [
      gap(GPU, 1000, 4000, 'tool_failed'),
      gap(GPU, 0, 2000, 'tool_failed'),
      gap(GPU, 0, 2000, 'agent_stopped'),
      gap(GPU, 0, 1500, 'tool_failed'),
    ];
    const placed = (of: typeof gaps) =>
      gapsOf(decode([batch(1, { gaps: of })]), GPU).map(({ fromMs, toMs, reason }) => [fromMs, toMs, reason]);
    expect(placed(gaps)).toEqual([
      [0, 1500, 'tool_failed'],
      [1500, 2000, 'agent_stopped'],
      [2000, 4000, 'tool_failed'],
    ]);
    expect(placed(gaps.toReversed())).toEqual(placed(gaps));
  });

  test('gaps of the node hold for a device that the hour never names', () => {
    const decoded = decode([batch(1, { gaps: [gap(null, 0, 1000, 'agent_stopped')] })]);
    expect(gapsOf(decoded, 'GPU-unheard')).toEqual([{ fromMs: 0, toMs: 1000, reason: 'agent_stopped' }]);
  });
});

describe('the rest', () => {
  test('processes know their boot, parent and, where it is not erased, their account', () => {
    const { id, bootId, parentId, user, commandLine, ...fact } = processFact(7, { parentPid: 6 });
    const text = { kind: 'process', user: 'alice', commandLine: 'x', commandLineCut: false } as const;
    const body = batch(1, { processes: [{ ...fact, personal: 'd1' }] });
    const known = decode([body], new Map([['d1', text]])).processes.get(pidOf(7));
    expect(known).toMatchObject({ bootId: BOOT, parentId: pidOf(6), user: 'alice', commandLine: 'x' });
    expect(decode([body]).processes.get(pidOf(7))).toMatchObject({ user: null, commandLine: null });
  });

  test('the same key after a reboot is another process', () => {
    const { id, bootId, parentId, user, commandLine, ...fact } = processFact(7);
    const decoded = decode([batch(1, { processes: [fact] }), batch(2, { bootId: 'b2', processes: [fact] })]);
    expect([...decoded.processes.keys()]).toEqual([pidOf(7), processId('b2', '7/70')]);
  });

  test('what the driver’s accounting lists names its process across boots', () => {
    const fact = { device: GPU, process: '7/?9', openMs: 5, busyPercent: 10, maxMemoryBytes: null };
    const row = { ...fact, afterMs: 0, seenMs: 9 };
    expect(decode([batch(1, { accounted: [row] })]).accounted).toEqual([
      { ...row, process: processId(BOOT, '7/?9') },
    ]);
  });

  test('dials, holders and what a node says of itself name their process across boots, within the hour', () => {
    const time = { firstMs: 1, lastMs: 9 * HOUR_MS };
    const dial = { process: '7/70', netNamespace: 1, attempts: 2, failed: 1, fromMs: 1, toMs: 2 };
    const holder = { device: GPU, process: '7/70', ...time };
    const said = { kind: 'process_hidden' as const, device: null, process: '7/70', detail: '', ...time };
    const decoded = decode([
      batch(1, { dials: [dial], holders: [holder], integrity: [said, { ...said, process: null }] }),
    ]);
    const whole = { process: pidOf(7), firstMs: 1 };
    expect(decoded.dials).toEqual([{ ...dial, process: pidOf(7) }]);
    expect(decoded.holders).toMatchObject([{ ...whole, lastMs: HOUR_MS }]);
    expect(decoded.integrity).toMatchObject([
      { ...whole, lastMs: HOUR_MS },
      { process: null, lastMs: HOUR_MS },
    ]);
  });

  test('memory is told for as long as its tenancy, and not where the driver does not tell it', () => {
    const tenants = [100, null].map((memoryBytes, index) => ({
      ...{ process: `${7 + index}/70`, type: 'C', memoryBytes, gpuInstance: null },
    }));
    const one = {
      ...tenancy(0, [500, 700], [0, 0]),
      tenants,
      shareMs: [
        [0, 0],
        [0, 0],
      ],
    };
    expect(decode([batch(1, { tenancies: [one] })]).memory()).toEqual([
      { device: GPU, process: pidOf(7), lengthMs: 1200, bytes: 100 },
    ]);
  });

  test('an exec that was noticed is one where the executable could be read', () => {
    const { id, bootId, parentId, user, commandLine, ...fact } = processFact(7);
    const executions = (executable: typeof fact.executable) =>
      decode([batch(1, { processes: [{ ...fact, executable, executedMs: 5 }] })]).processes.get(pidOf(7))
        ?.executions;
    expect(executions(fact.executable)).toEqual([{ fromMs: 5, executable: fact.executable }]);
    expect(executions(null)).toBeUndefined();
  });

  test('connections name their process across boots', () => {
    const fact = {
      process: '7/70',
      kind: 'attempt' as const,
      peerClass: 'internal' as const,
      localPort: 1,
      firstMs: 1,
      lastMs: 2,
      peers: 3,
      personal: null,
    };
    expect(decode([batch(1, { connections: [fact] })]).connections).toEqual([{ ...fact, process: pidOf(7) }]);
    const late = { ...fact, lastMs: 9 * HOUR_MS };
    expect(decode([batch(1, { connections: [late] })]).connections[0]?.lastMs).toBe(HOUR_MS);
    const tomorrow = { ...late, firstMs: 8 * HOUR_MS };
    expect(decode([batch(1, { connections: [tomorrow] })]).connections[0]?.firstMs).toBe(HOUR_MS);
  });
});

test('the pace is told for the time that it was kept', () => {
  const { paces } = decode([
    batch(3, { fromMs: 120_000, toMs: 180_000, pollIntervalMs: 30_000 }),
    batch(1),
    batch(2, { fromMs: 60_000, toMs: 120_000 }),
  ]);
  expect(paces).toEqual([
    { fromMs: 0, toMs: 120_000, pollMs: 5000 },
    { fromMs: 120_000, toMs: 180_000, pollMs: 30_000 },
  ]);
});
