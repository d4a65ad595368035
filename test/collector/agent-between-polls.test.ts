// What the agent reports of power without utilisation, of processes that no poll saw, and of divided devices.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ACCOUNTED_TYPE, type BatchBody, type Tenancy } from '../../api/contract/batch.ts';
import { checkBatchRequest } from '../../api/services/validate-batch.ts';
import { type FakeDevice, Node, START_MS, uuidOf } from './agent-fixture.ts';
import { BOOT_SECONDS } from './proc-fixture.ts';
import { faultyFiles, temporaryFolder } from './spool-fixture.ts';

let folder: ReturnType<typeof temporaryFolder>;
let node: Node;
beforeEach(() => {
  folder = temporaryFolder();
  node = new Node(folder.path, faultyFiles());
});
afterEach(() => {
  node.proc.destroy();
  folder.remove();
});

function device(index: number): FakeDevice {
  const found = node.devices[index];
  if (found === undefined) throw new Error(`no device ${index}`);
  return found;
}

/** Everything that the agent told, which the service would take. */
async function told(): Promise<{ bodies: BatchBody[]; tenancies: Tenancy[] }> {
  await node.agent.stop();
  const batches = await node.stored();
  expect(() => checkBatchRequest({ batches })).not.toThrow();
  const bodies = batches.map(({ body }) => body);
  return { bodies, tenancies: bodies.flatMap((body) => body.tenancies) };
}
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const conflictOf = (tenancies: readonly Tenancy[], uuid: string): number =>
  sum(tenancies.filter((one) => one.device === uuid).flatMap((one) => one.conflictMs));

describe('a device that draws working power and claims to be still', () => {
  it('is told as a conflict, and its neighbour is not', async () => {
    await node.pass(2);
    device(0).watts = 300;
    await node.pass(4);
    device(0).watts = 40;
    await node.pass(2);
    const { tenancies } = await told();
    expect(conflictOf(tenancies, uuidOf(0))).toBe(20_000);
    expect(conflictOf(tenancies, uuidOf(1))).toBe(0);
    expect(sum(tenancies.flatMap((one) => one.activeMs ?? []))).toBe(0);
  });

  it('is told with the processes that it lists', async () => {
    node.proc.put({ pid: 50, comm: 'quiet' });
    device(0).processes = [{ pid: 50 }];
    device(0).watts = 300;
    await node.pass(4);
    const { tenancies } = await told();
    expect(
      tenancies.find((one) => one.device === uuidOf(0) && one.conflictMs.length > 0)?.tenants,
    ).toMatchObject([{ type: 'C' }]);
  });
});

describe('a process that came and went between two polls', () => {
  const accounted = (bodies: readonly BatchBody[]) => bodies.flatMap((body) => body.accounted);
  const unseen = (tenancies: readonly Tenancy[]): Tenancy[] =>
    tenancies.filter(({ tenants }) => tenants.some(({ type }) => type === ACCOUNTED_TYPE));

  it('has its time from the accounting of the driver, as a process of which nothing else is known', async () => {
    device(0).accounted = [{ pid: 7, util: 90, ms: 1000 }];
    await node.pass(2);
    device(0).accounted = [
      { pid: 7, util: 90, ms: 1000 },
      { pid: 77, util: 80, ms: 2000 },
    ];
    await node.pass(2);
    const { bodies, tenancies } = await told();
    const seenMs = START_MS + 15_000;
    const key = `77/?${seenMs}`;
    expect(accounted(bodies)).toEqual([
      {
        ...{ device: uuidOf(0), process: key, openMs: 2000, busyPercent: 80, maxMemoryBytes: 7 * 1024 ** 2 },
        ...{ afterMs: seenMs - 5000, seenMs },
      },
    ]);
    expect(unseen(tenancies)).toMatchObject([
      {
        ...{
          device: uuidOf(0),
          startMs: seenMs - 2000,
          lengthMs: [2000],
          activeMs: [1600],
          shareMs: [[1600]],
        },
        tenants: [{ process: key, type: ACCOUNTED_TYPE, gpuInstance: null }],
      },
    ]);
    const facts = bodies.flatMap(({ processes }) => processes).filter((fact) => fact.key === key);
    expect(facts).toMatchObject([{ pid: 77, startTicks: null, exitedMs: seenMs, comm: '' }]);
    expect(facts[0]?.unreadable).toEqual([
      "process: only the driver's accounting tells of it: it began and ended between two readings",
    ]);
  });

  it('is no other process where a poll saw it: then the row only stands beside the ledger', async () => {
    node.proc.put({ pid: 50 });
    device(0).accounted = [{ pid: 50, util: 0, ms: 0 }];
    device(0).processes = [{ pid: 50 }];
    await node.pass(2);
    node.proc.remove(50);
    device(0).processes = [];
    device(0).accounted = [{ pid: 50, util: 60, ms: 9000 }];
    await node.pass(1);
    // The next one with this pid is another one.
    device(0).accounted = [{ pid: 50, util: 70, ms: 1500 }];
    await node.pass(1);
    const { bodies, tenancies } = await told();
    expect(accounted(bodies).map(({ process, openMs }) => [process, openMs])).toEqual([
      ['50/500', 9000],
      [`50/?${START_MS + 20_000}`, 1500],
    ]);
    expect(unseen(tenancies).map(({ lengthMs }) => lengthMs)).toEqual([[1500]]);
  });

  it('has the rest of its time where only one poll saw it', async () => {
    device(0).accounted = [{ pid: 9, util: 1, ms: 1 }];
    await node.pass(2);
    const startedMs = node.wallMs + 4000;
    node.proc.put({ pid: 50, startTicks: startedMs / 10 - BOOT_SECONDS * 100 });
    device(0).processes = [{ pid: 50 }];
    device(0).percent = 100;
    await node.pass(1);
    node.proc.remove(50);
    device(0).processes = [];
    device(0).percent = 0;
    device(0).accounted = [
      { pid: 9, util: 1, ms: 1 },
      { pid: 50, util: 100, ms: 3000 },
    ];
    await node.pass(1);
    const { tenancies } = await told();
    const own = tenancies.filter(({ tenants }) => tenants.some(({ process }) => process.startsWith('50/')));
    expect(own[0]).toMatchObject({ tenants: [{ type: 'C' }], startMs: startedMs });
    expect(sum(own.flatMap(({ lengthMs }) => lengthMs))).toBe(1000 + 2000);
    expect(sum(own.flatMap(({ activeMs }) => activeMs ?? []))).toBe(1000 + 2000);
  });

  it('is told by its own key where it lives on and only its context was short', async () => {
    node.proc.put({ pid: 60, comm: 'burst', startTicks: START_MS / 10 - BOOT_SECONDS * 100 });
    device(0).accounted = [{ pid: 9, util: 1, ms: 1 }];
    await node.pass(2);
    device(0).accounted = [
      { pid: 9, util: 1, ms: 1 },
      { pid: 60, util: 100, ms: 800 },
    ];
    await node.pass(1);
    const { bodies, tenancies } = await told();
    const [fact] = accounted(bodies);
    expect(bodies.flatMap(({ processes }) => processes).find(({ key }) => key === fact?.process)?.comm).toBe(
      'burst',
    );
    expect(unseen(tenancies)).toEqual([]);
    expect(tenancies.find(({ tenants }) => tenants.length > 0)).toMatchObject({
      tenants: [{ process: fact?.process, type: '?' }],
      activeMs: [800],
    });
  });

  it('is not looked for where accounting was not on all the time', async () => {
    await node.pass(2);
    device(0).accounted = [{ pid: 77, util: 80, ms: 2000 }];
    await node.pass(2);
    const { bodies, tenancies } = await told();
    expect(accounted(bodies)).toEqual([]);
    expect(unseen(tenancies)).toEqual([]);
  });
});

describe('a divided device', () => {
  it('is told with its instances and who is on which, also one process in two of them', async () => {
    node.proc.put({ pid: 50 });
    node.proc.put({ pid: 51 });
    device(0).mig = [
      { gpuInstance: 1, profile: '3g.40gb' },
      { gpuInstance: 2, profile: '4g.40gb' },
    ];
    device(0).processes = [
      { pid: 50, gpuInstance: 1 },
      { pid: 50, gpuInstance: 2 },
      { pid: 51, gpuInstance: 2 },
    ];
    await node.pass(4);
    const { bodies, tenancies } = await told();
    expect(bodies.find(({ inventory }) => inventory !== null)?.inventory?.[0]).toMatchObject({
      slices: 7,
      migEnabled: true,
    });
    const own = tenancies.filter((one) => one.device === uuidOf(0));
    expect(sum(own.flatMap(({ lengthMs }) => lengthMs))).toBe(15_000);
    for (const tenancy of own)
      expect(tenancy).toMatchObject({
        activeMs: null,
        partition: [
          { gpuInstance: 1, slices: 3 },
          { gpuInstance: 2, slices: 4 },
        ],
        tenants: [
          { process: '50/500', gpuInstance: 1 },
          { process: '50/500', gpuInstance: 2 },
          { process: '51/510', gpuInstance: 2 },
        ],
      });
  });

  it('is not measured while it is divided anew', async () => {
    device(0).mig = [{ gpuInstance: 0, profile: '7g.80gb' }];
    await node.pass(3);
    device(0).mig = [
      { gpuInstance: 1, profile: '3g.40gb' },
      { gpuInstance: 2, profile: '4g.40gb' },
    ];
    await node.pass(30);
    const { bodies, tenancies } = await told();
    const own = tenancies.filter((one) => one.device === uuidOf(0));
    expect(own.map(({ partition }) => partition.length).filter((n, i, all) => n !== all[i - 1])).toEqual([
      1, 2,
    ]);
    const gaps = bodies.flatMap((body) => body.gaps).filter((gap) => gap.device === uuidOf(0));
    // Instances are looked at twice a minute while nothing else changes.
    expect(gaps[0]?.fromMs).toBeLessThanOrEqual(START_MS + 15_000 + 30_000);
    expect(new Set(gaps.map(({ reason }) => reason))).toEqual(new Set(['value_unknown']));
    expect(
      sum(gaps.map(({ fromMs, toMs }) => toMs - fromMs)) + sum(own.flatMap(({ lengthMs }) => lengthMs)),
    ).toBe(160_000);
  });
});
