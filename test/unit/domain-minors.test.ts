// Which devices minor numbers mean when: a number is a device's for as long as a node is up.
import { describe, expect, test } from 'vitest';
import type { Allocation } from '../../api/domain/job.ts';
import { devicesMeant, type MinorSighting, minorStretches, withDevices } from '../../api/domain/minors.ts';
import { job, NODE } from './domain-facts.ts';

const seen = (bootId: string, minor: number, device: string, firstMs: number): MinorSighting => ({
  ...{ bootId, minor, device, firstMs },
});
const SIGHTINGS = [
  seen('a', 0, 'G0', 100),
  seen('a', 1, 'G1', 100),
  seen('b', 0, 'G1', 500),
  seen('b', 1, 'G0', 500),
];
const given = (change: Partial<Allocation> = {}): Allocation => ({
  ...{ node: NODE, devices: [], indices: [0], count: null, fromMs: 0, toMs: 1000, shareMilli: 1000 },
  ...change,
});
const devicesOf = (allocation: Allocation, sightings = SIGHTINGS) =>
  at(withDevices(job('1', { allocations: [allocation] }), NODE, minorStretches(sightings)).allocations);
const at = (all: readonly Allocation[]) => all.map(({ devices, fromMs, toMs }) => [devices, fromMs, toMs]);

describe('a number', () => {
  test('means a device from a boot’s first inventory to that of the next one', () => {
    expect(devicesOf(given())).toEqual([
      [['G0'], 0, 500],
      [['G1'], 500, 1000],
    ]);
    expect(devicesOf(given({ fromMs: 500, toMs: null }))).toEqual([[['G1'], 500, null]]);
    expect(minorStretches(SIGHTINGS.toReversed()).length).toBe(minorStretches(SIGHTINGS).length);
  });

  test('that another device takes within a boot is that one’s from then on', () => {
    const swapped = [seen('a', 0, 'G0', 100), seen('a', 0, 'G1', 300)];
    expect(devicesOf(given(), swapped)).toEqual([
      [['G0'], 0, 300],
      [['G1'], 300, 1000],
    ]);
    const atOnce = [seen('a', 0, 'G1', 100), seen('a', 0, 'G0', 100)];
    expect(devicesOf(given(), atOnce).at(-1)?.[0]).toEqual(['G1']);
  });

  test('that two devices of a later boot had at once is the last one’s', () => {
    const later = [seen('a', 0, 'G9', 0), seen('b', 0, 'G1', 100), seen('b', 0, 'G0', 100)];
    expect(minorStretches(later).map(({ device }) => device)).toEqual(['G9', 'G1']);
  });

  test('of boots that began at once has one order', () => {
    const twins = [seen('a', 0, 'G0', 100), seen('b', 0, 'G1', 100)];
    expect(devicesOf(given(), twins)).toEqual(devicesOf(given(), twins.toReversed()));
  });

  test('that no inventory has is told, and holds nothing', () => {
    expect(devicesOf(given({ indices: [7] }))).toEqual([[[], 0, 1000]]);
    expect(devicesMeant(given({ indices: [0, 7], toMs: 400 }), minorStretches(SIGHTINGS))).toEqual({
      ...{ devices: ['G0'], pending: [7] },
    });
    const { indices: _, ...named } = given({ devices: ['G9'] });
    expect(devicesMeant(named, minorStretches(SIGHTINGS))).toEqual({ devices: [], pending: [] });
  });
});

test('only what a node’s jobs state by numbers is changed, in every version', () => {
  const stretches = minorStretches(SIGHTINGS);
  const { indices: _, ...named } = given({ devices: ['G9'] });
  const plain = job('1', { allocations: [named, given({ node: 'n2' })] });
  expect(withDevices(plain, NODE, stretches)).toBe(plain);
  const newer = { ...plain, earlier: [job('1', { allocations: [given(), given({ node: 'n2' })] })] };
  const changed = withDevices(newer, NODE, stretches);
  expect(changed.earlier?.map(({ allocations }) => allocations.length)).toEqual([3]);
  expect(changed.allocations).toEqual(plain.allocations);
});
