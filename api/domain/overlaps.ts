// Two declarations that claim one device at one time.
import type { Interval } from './interval.ts';
import { intersect } from './interval.ts';
import type { Allocation, Job } from './job.ts';
import { WHOLE_MILLI } from './slots.ts';

type Claiming = Pick<Job, 'startMs' | 'endMs' | 'allocations'>;

export interface Overlap extends Interval {
  readonly node: string;
  /** Device UUIDs; null: all of the node's. */
  readonly devices: readonly string[] | null;
}

/** What two jobs both state, beyond what their shares leave room for. "n of a node" are placed where room is. */
export function overlapsOf(a: Claiming, b: Claiming): Overlap[] {
  const found: Overlap[] = [];
  for (const one of a.allocations)
    for (const other of b.allocations) {
      if (one.node !== other.node || one.shareMilli + other.shareMilli <= WHOLE_MILLI) continue;
      const span = intersect(spanOf(a, one), spanOf(b, other));
      const devices = commonDevices(one, other);
      if (span !== null && devices !== 'none') found.push({ node: one.node, devices, ...span });
    }
  return found;
}

const spanOf = (job: Claiming, { fromMs, toMs }: Allocation): Interval => ({
  fromMs: Math.max(fromMs, job.startMs),
  toMs: Math.min(toMs ?? Number.POSITIVE_INFINITY, job.endMs ?? Number.POSITIVE_INFINITY),
});

function commonDevices(a: Allocation, b: Allocation): readonly string[] | null | 'none' {
  if (a.count !== null || b.count !== null) return 'none';
  if (a.devices === null || b.devices === null) return a.devices ?? b.devices;
  const both = a.devices.filter((device) => b.devices?.includes(device));
  return both.length === 0 ? 'none' : both;
}
