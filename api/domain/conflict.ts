// Where jobs claim more of a device at one time than there is: the ledger divides it, and says so.
import type { CellFacts } from './cell.ts';
import type { Interval } from './interval.ts';
import type { Holding, Job } from './job.ts';
import { capacityOf, slotsOf, WHOLE_MILLI } from './slots.ts';

/** What the same jobs claim of a node's devices: from the first such moment of a time to the last one. */
export interface Conflict extends Interval {
  /** Ids, ascending; jobs inside of one of them are a part of that one. */
  readonly jobs: readonly string[];
  /** UUIDs, ascending. */
  readonly devices: readonly string[];
  /** Booked device time that is divided between them; gaps between `fromMs` and `toMs` are not in it. */
  readonly ms: number;
}

type Claimed = Pick<CellFacts, 'device' | 'interval' | 'capacity' | 'bookedToMs' | 'holdings'>;

/** Of the cells of one node: one for each set of jobs, in the order in which they begin. */
export function conflictsOf(cells: readonly Claimed[], jobs: ReadonlyMap<string, Job>): Conflict[] {
  const found = new Map<
    string,
    { jobs: string[]; devices: Set<string> } & Mutable<Interval & { ms: number }>
  >();
  for (const cell of cells) {
    if (!exceedsAnywhere(cell.holdings)) continue;
    for (const { booked, contested, holders, fromMs, toMs } of slotsOf(cell, capacityOf(cell), jobs, [])) {
      if (!booked || !contested) continue;
      const ids = holders.filter((holder) => holder !== null);
      const key = ids.join(' ');
      const one = found.get(key) ?? { jobs: ids, devices: new Set<string>(), fromMs, toMs, ms: 0 };
      found.set(key, one);
      one.devices.add(cell.device);
      one.fromMs = Math.min(one.fromMs, fromMs);
      one.toMs = Math.max(one.toMs, toMs);
      one.ms += toMs - fromMs;
    }
  }
  return [...found.values()]
    .map((one) => ({ ...one, devices: [...one.devices].sort() }))
    .sort((a, b) => a.fromMs - b.fromMs);
}

type Mutable<T> = { -readonly [Member in keyof T]: T[Member] };

/** A quick look: nearly every device has nothing to divide. */
function exceedsAnywhere(holdings: readonly Holding[]): boolean {
  return holdings.length > 1 && holdings.reduce((sum, holding) => sum + holding.shareMilli, 0) > WHOLE_MILLI;
}
