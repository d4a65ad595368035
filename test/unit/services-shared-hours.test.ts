import { expect, test } from 'vitest';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { decodeHour, type NodeHourInputs, placeNodeHour } from '../../api/services/node-hour.ts';
import { createPlacer } from '../../api/services/shared-hours.ts';
import { HOUR_MS, job, NODE } from './domain-facts.ts';

const whole = { node: NODE, devices: null, count: null, fromMs: 0, toMs: null, shareMilli: 1000 };
const holder = job('1', { allocations: [whole] });
const noProcesses = new Map();
const NO_SOURCES: NodeHourInputs['sources'] = [];

/** The first hour of a node without reports, and the second one. */
function hourOf(at: 0 | 1, devices: readonly string[], change: Partial<NodeHourInputs> = {}): NodeHourInputs {
  const hour = { cluster: 'c1', nodeName: NODE, hourMs: at * HOUR_MS };
  const capacity = [{ fromMs: hour.hourMs, toMs: hour.hourMs + HOUR_MS }];
  const facts = { reportsFromMs: 0, policy: DEFAULT_POLICY };
  return {
    ...{ ...hour, decoded: decodeHour(hour, [], new Map()), processes: noProcesses },
    facts: { ...facts, devices: devices.map((device) => ({ device, capacity })) },
    ...{ bookedToMs: 2 * HOUR_MS, sources: NO_SOURCES, jobs: [holder], firstSeenElsewhere: new Map() },
    ...change,
  };
}

test('an hour that differs in nothing but spans is placed as the one before', () => {
  const place = createPlacer();
  expect(place(hourOf(1, ['GPU-1']))).toBe(place(hourOf(0, ['GPU-1'])));
});

const grant = { namespace: 'lab', pod: 'train', atMs: 0, device: 'GPU-1', shareMilli: 1000 };
const drained = { condition: 'drained', fromMs: 0, toMs: HOUR_MS } as const;
const plain = hourOf(1, ['GPU-1']);

test.each<[string, NodeHourInputs]>([
  ['another device', hourOf(1, ['GPU-2'])],
  ['a further device', hourOf(1, ['GPU-1', 'GPU-2'])],
  ['another job', hourOf(1, ['GPU-1'], { jobs: [job('2', { allocations: [whole] })] })],
  ['a job more', hourOf(1, ['GPU-1'], { jobs: [holder, job('2')] })],
  [
    'a job that only counts its devices',
    hourOf(1, ['GPU-1'], { jobs: [job('3', { allocations: [{ ...whole, count: 1 }] })] }),
  ],
  ['processes', hourOf(1, ['GPU-1'], { processes: new Map() })],
  ['sources', hourOf(1, ['GPU-1'], { sources: [] })],
  ['a policy', { ...plain, facts: { ...plain.facts, policy: { ...DEFAULT_POLICY } } }],
  ['a condition', { ...plain, facts: { ...plain.facts, conditions: [drained] } }],
  ['what the kubelet says', { ...plain, decoded: { ...plain.decoded, grants: [grant] } }],
])('an hour that differs in %s is placed by itself', (_what, inputs) => {
  const place = createPlacer();
  const before = place(hourOf(0, ['GPU-1']));
  const placed = place(inputs);
  expect(placed).not.toBe(before);
  expect(placed.holdings).toEqual(placeNodeHour(inputs).holdings);
});

test('hours with a job that counts its devices are placed each by itself', () => {
  const jobs = [job('3', { allocations: [{ ...whole, count: 1 }] })];
  const place = createPlacer();
  const before = place(hourOf(0, ['GPU-1'], { jobs }));
  expect(place(hourOf(1, ['GPU-1'], { jobs }))).not.toBe(before);
});
