// Which devices an allocation by minor numbers means: the N of /dev/nvidiaN is a device's for as long as a node is up.
import { at } from './at.ts';
import { type Interval, intersect } from './interval.ts';
import type { Allocation, Job } from './job.ts';

/** That an inventory of a boot gave a device this number, for the first time. */
export interface MinorSighting {
  readonly bootId: string;
  readonly minor: number;
  /** UUID. */
  readonly device: string;
  readonly firstMs: number;
}

/** A number that means a device for a time. */
export interface MinorStretch extends Interval {
  readonly minor: number;
  readonly device: string;
}

/**
 * The numbers of a node's devices over time. A boot's count from its first inventory to that of the next boot, the first
 * one's for all time before too; a number that only a later inventory of the boot shows had no device known before.
 * The order of `sightings` does not matter.
 */
export function minorStretches(sightings: readonly MinorSighting[]): MinorStretch[] {
  const boots = [...Map.groupBy(sightings, (one) => one.bootId).values()]
    .map((own) => ({ own, bootId: at(own, 0).bootId, firstMs: Math.min(...own.map((one) => one.firstMs)) }))
    .sort((a, b) => a.firstMs - b.firstMs || (a.bootId < b.bootId ? -1 : 1));
  const stretches: MinorStretch[] = [];
  for (const [index, { own, firstMs }] of boots.entries()) {
    const endMs = boots[index + 1]?.firstMs ?? Number.POSITIVE_INFINITY;
    for (const one of own) {
      const before = own.some((other) => isSameSlot(one, other) && isBefore(other, one));
      const after = own.filter((other) => isSameSlot(one, other) && isBefore(one, other));
      const sinceMs = before ? one.firstMs : index === 0 ? Number.NEGATIVE_INFINITY : firstMs;
      const toMs = Math.min(endMs, ...after.map((other) => other.firstMs));
      if (sinceMs < toMs) stretches.push({ minor: one.minor, device: one.device, fromMs: sinceMs, toMs });
    }
  }
  return stretches;
}

/** Of two that say something of one number or one device, only the later holds. */
const isSameSlot = (a: MinorSighting, b: MinorSighting): boolean =>
  a !== b && (a.minor === b.minor || a.device === b.device);
const isBefore = (a: MinorSighting, b: MinorSighting): boolean =>
  a.firstMs < b.firstMs || (a.firstMs === b.firstMs && a.device < b.device);

/** A job whose allocations on one node name devices where they gave numbers, for the time in which a number means each. */
export function withDevices(job: Job, node: string, stretches: readonly MinorStretch[]): Job {
  const isByIndex = ({ allocations }: Pick<Job, 'allocations'>): boolean =>
    allocations.some((one) => one.node === node && one.indices !== undefined);
  if (!isByIndex(job) && !(job.earlier ?? []).some(isByIndex)) return job;
  const resolve = <T extends Pick<Job, 'allocations'>>(version: T): T => ({
    ...version,
    allocations: version.allocations.flatMap((one) => (one.node === node ? piecesOf(one, stretches) : one)),
  });
  const { earlier, ...newest } = job;
  return { ...resolve(newest), ...(earlier === undefined ? {} : { earlier: earlier.map(resolve) }) };
}

/** An allocation by numbers, cut where one of them comes to mean another device. */
function piecesOf(allocation: Allocation, stretches: readonly MinorStretch[]): Allocation[] {
  const own = meant(allocation, stretches);
  if (own.length === 0) return [allocation];
  const whole = spanOf(allocation);
  const inside = own
    .flatMap((one) => [one.fromMs, one.toMs])
    .filter((ms) => whole.fromMs < ms && ms < whole.toMs);
  const edges = [...new Set([whole.fromMs, ...inside])].sort((a, b) => a - b);
  return edges.map((fromMs, index) => {
    const here = own.filter((one) => one.fromMs <= fromMs && fromMs < one.toMs);
    const devices = [...new Set(here.map((one) => one.device))].sort();
    return { ...allocation, devices, fromMs, toMs: edges[index + 1] ?? allocation.toMs };
  });
}

export interface MeantDevices {
  readonly devices: readonly string[];
  /** Numbers that no inventory has. */
  readonly pending: readonly number[];
}

/** The devices that an allocation by numbers means at any of its time. */
export function devicesMeant(allocation: Allocation, stretches: readonly MinorStretch[]): MeantDevices {
  const own = meant(allocation, stretches);
  const known = new Set(own.map((one) => one.minor));
  return {
    devices: [...new Set(own.map((one) => one.device))].sort(),
    pending: (allocation.indices ?? []).filter((index) => !known.has(index)),
  };
}

const meant = (allocation: Allocation, stretches: readonly MinorStretch[]): MinorStretch[] =>
  stretches.filter(
    (one) => allocation.indices?.includes(one.minor) === true && intersect(one, spanOf(allocation)) !== null,
  );

const spanOf = ({ fromMs, toMs }: Allocation): Interval => ({
  fromMs,
  toMs: toMs ?? Number.POSITIVE_INFINITY,
});
