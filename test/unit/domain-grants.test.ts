// What the kubelet gave to a pod, as devices of the node.
import { describe, expect, test } from 'vitest';
import type { DeviceFact } from '../../api/contract/batch.ts';
import type { GrantsFact } from '../../api/contract/grants.ts';
import { bindNode } from '../../api/domain/bind.ts';
import { podGrantsOf, withGrants } from '../../api/domain/grants.ts';
import type { Allocation, Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { HOUR_MS, job, MINUTE_MS, NODE } from './domain-facts.ts';

const A = 'GPU-aaaaaaaa-0000-0000-0000-000000000000';
const B = 'GPU-bbbbbbbb-0000-0000-0000-000000000000';
const C = 'GPU-cccccccc-0000-0000-0000-000000000000';
const MIG = 'MIG-cccccccc-0000-0000-0000-000000000000';
const HOUR = { fromMs: 0, toMs: HOUR_MS };

const gpu = (uuid: string, minor: number, more: Partial<DeviceFact> = {}): DeviceFact => ({
  ...{
    uuid,
    index: minor,
    minor,
    busId: `0000:${minor}`,
    model: 'A100',
    memoryBytes: null,
    powerLimitMilliwatts: null,
  },
  ...{ migEnabled: false, slices: null, instances: [] },
  ...more,
});
const instance = { uuid: MIG, gpuInstance: 3, computeInstance: 0, profile: '2g.20gb', slices: 2 };
// The kernel's numbers are not the order of the list.
const INVENTORY = [
  gpu(A, 2),
  gpu(B, 0, { migEnabled: true, slices: 7, instances: [instance] }),
  gpu(C, 3, { slices: 4 }),
];

const fact = (ids: string[], more: Partial<GrantsFact> & { pod?: string } = {}): GrantsFact => ({
  atMs: MINUTE_MS,
  grants: [
    { namespace: 'team', pod: more.pod ?? 'llm-0', container: 'main', resource: 'nvidia.com/gpu', ids },
  ],
  replicas: [],
  ...(more.atMs === undefined ? {} : { atMs: more.atMs }),
  ...(more.replicas === undefined ? {} : { replicas: more.replicas }),
});
const grants = (...facts: GrantsFact[]) =>
  podGrantsOf(facts.map((one, at) => ({ inventory: at === 0 ? INVENTORY : null, grants: one })));
const parts = (ids: string[], replicas: GrantsFact['replicas'] = []) =>
  grants(fact(ids, { replicas })).map(({ device, shareMilli }) => [device, shareMilli]);

describe('an id means', () => {
  test.each([
    ['a device', A, [A, 1000]],
    ['an instance', MIG, [B, 285]],
    ['an instance, as older drivers name it', `MIG-${B}/3/0`, [B, 285]],
    ['a device by its minor number', 'nvidia2', [A, 1000]],
    ['an instance by numbers', 'nvidia0/gi3', [B, 285]],
    ['a dynamic resource', 'gpu-2', [A, 1000]],
    ['an instance as a dynamic resource', 'gpu-0-mig-9-4-4', [B, 428]],
    ['a part with another sign after the uuid', `${A}-7`, [A, 1000]],
    ['an instance of a profile that is not known, by its slices', 'gpu-0-mig-99-4-2', [B, 285]],
    ['an instance of a device that counts four', 'gpu-3-mig-14-0-2', [C, 500]],
    ['a device, where the instance is not known', 'nvidia0/gi9', [B, 1000]],
    ['nothing that is known', 'GPU-dddddddd', [null, 1000]],
    ['nothing, for a name that only begins like one', `${A}f`, [null, 1000]],
    ['nothing, for a number that no device has', 'nvidia9', [null, 1000]],
    ['nothing, for any other text', '__proto__', [null, 1000]],
  ])('%s', (_, id, part) => {
    expect(parts([id])).toEqual([part]);
  });

  test('replicas are parts of their device, as many as there are', () => {
    expect(parts([`${A}::0`, `${A}::3`], [{ device: A, count: 10 }])).toEqual([[A, 200]]);
    expect(parts(['nvidia2/vgpu1'], [{ device: 'nvidia2', count: 3 }])).toEqual([[A, 333]]);
    expect(parts([`${MIG}::1`], [{ device: MIG, count: 2 }])).toEqual([[B, 142]]);
    // How many there are is not known: they share it.
    expect(parts([`${A}::0`])).toEqual([[A, 1000]]);
  });
});

const asked = (change: Partial<Allocation> = {}): Allocation => ({
  ...{ node: NODE, devices: null, count: 1, fromMs: 0, toMs: null, shareMilli: 1000 },
  ...change,
});
const pod = (id: string, change: Partial<Job> = {}): Job =>
  job(id, {
    source: 'kubernetes',
    startMs: 0,
    allocations: [asked()],
    boundaries: [`kubernetes:${id}`],
    attributes: { namespace: 'team', pod: 'llm-0' },
    ...change,
  });
const placed = (jobs: Job[], ...facts: GrantsFact[]) => {
  const granted = withGrants(NODE, jobs, grants(...facts), HOUR);
  return bindNode(NODE, granted.jobs, new Map(), [A, B], DEFAULT_POLICY).map((one) => [
    one.job,
    one.device,
    one.shareMilli,
    one.assumed,
  ]);
};

describe('a pod', () => {
  test('holds what it was given, and not the first free device', () => {
    expect(placed([pod('p')])).toEqual([['j_p', A, 1000, true]]);
    expect(placed([pod('p')], fact(['nvidia0']))).toEqual([['j_p', B, 1000, false]]);
  });

  test('that asked for none by number holds what it was given all the same: a dynamic resource', () => {
    expect(placed([pod('p', { allocations: [] })], fact(['gpu-2']))).toEqual([['j_p', A, 1000, false]]);
  });

  test('keeps a number of devices where an id is not understood', () => {
    expect(placed([pod('p', { allocations: [asked({ count: 2 })] })], fact([A, 'odd']))).toEqual([
      ['j_p', A, 1000, false],
      ['j_p', B, 1000, true],
    ]);
  });

  test('of the same name as one before has its own devices', () => {
    const first = pod('first', { endMs: 10 * MINUTE_MS });
    const second = pod('second', { startMs: 11 * MINUTE_MS });
    expect(
      placed(
        [first, second],
        fact([A]),
        fact([A], { atMs: 10.5 * MINUTE_MS }),
        fact([B], { atMs: 12 * MINUTE_MS }),
      ),
    ).toEqual([
      ['j_first', A, 1000, false],
      ['j_second', B, 1000, false],
    ]);
  });

  test('that people declare, or another name, is given nothing', () => {
    const elsewhere = { attributes: { namespace: 'other', pod: 'llm-0' } };
    for (const one of [pod('p', { selfDeclared: true }), pod('p', elsewhere), pod('p', { source: 'slurm' })])
      expect(withGrants(NODE, [one], grants(fact([B])), HOUR).jobs).toEqual([one]);
  });

  test('keeps what it was given on another node', () => {
    const both = pod('p', { allocations: [asked({ node: 'n2' }), asked()] });
    const [changed] = withGrants(NODE, [both], grants(fact([A])), HOUR).jobs;
    expect(changed?.allocations.map(({ node, devices }) => [node, devices])).toEqual([
      ['n2', null],
      [NODE, [A]],
    ]);
  });
});

test('replicas of one device do not exceed it', () => {
  const pods = ['a', 'b', 'c'].map((name) =>
    pod(name, { attributes: { namespace: 'team', pod: name }, allocations: [asked()] }),
  );
  const facts = ['a', 'b', 'c'].map((name, at) =>
    fact([`${A}::${at}`], { pod: name, replicas: [{ device: A, count: 3 }] }),
  );
  expect(placed(pods, ...facts)).toEqual([
    ['j_a', A, 333, false],
    ['j_b', A, 333, false],
    ['j_c', A, 333, false],
  ]);
});

describe('of pods of one name', () => {
  const pod = (id: string, startMs: number, endMs: number | null, change: Partial<Job> = {}) =>
    job(id, {
      source: 'kubernetes',
      startMs,
      endMs,
      attributes: { pod: 'llm-0', namespace: 'team' },
      ...change,
    });
  const givenTo = (jobs: readonly Job[], atMs: number, ids = [A]) =>
    withGrants(NODE, jobs, grants(fact(ids, { atMs })), HOUR)
      .jobs.filter((one) => one.allocations.length > 0)
      .map((one) => one.externalId);

  test('the one that ran then, else the one that ended last, else the one about to start', () => {
    const first = pod('1', 0, 10_000);
    const second = pod('2', 0, 20_000);
    const twin = pod('3', 0, 20_000);
    for (const order of [
      [first, second, twin],
      [twin, second, first],
    ])
      expect(givenTo(order, 20_001)).toEqual(['2']);
    expect(givenTo([first, pod('4', 60_000, null)], 60_000)).toEqual(['4']);
    expect(givenTo([pod('5', MINUTE_MS + 1, null)], MINUTE_MS)).toEqual(['5']);
    expect(givenTo([pod('6', HOUR_MS / 2, null)], 0)).toEqual([]);
  });

  test('a job that is no pod of a scheduler’s record has none of it', () => {
    const open = [pod('1', 0, null, { selfDeclared: true }), pod('2', 0, null, { source: 'slurm' })];
    expect(givenTo([...open, pod('3', 0, null, { attributes: {} }), job('4')], 5)).toEqual([]);
    expect(givenTo([pod('5', 0, null, { attributes: { pod: 'llm-0' } })], 5)).toEqual([]);
  });

  test('what cannot be told by name is one device, whole, where nothing was asked', () => {
    const [one] = withGrants(NODE, [pod('1', 0, null)], grants(fact(['unknown'], { atMs: 5 })), HOUR).jobs;
    expect(one?.allocations).toMatchObject([{ devices: null, count: 1, shareMilli: 1000, fromMs: 0 }]);
  });
});
