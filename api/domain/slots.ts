// A cell's time, cut into slots in which holders, verdicts and booking do not change.
import type { CellFacts } from './cell.ts';
import { outermostOf } from './inside.ts';
import { type Interval, intersect } from './interval.ts';
import type { Holding, Job } from './job.ts';

/** `shareMilli` of a whole device. */
export const WHOLE_MILLI = 1000;

export interface Slot extends Interval {
  /** Whether the device had capacity then, and the time is booked. */
  readonly booked: boolean;
  /** Job ids in ascending order; null, the last, where a part is held by nobody. */
  readonly holders: readonly (string | null)[];
  /** What each holder gets of the slot's time, in proportion. */
  readonly weights: readonly number[];
  /** Whether they claim more of the device than there is. */
  readonly contested: boolean;
  /** The holders that are known jobs, and the jobs inside of them that were given a part. */
  readonly jobs: readonly Job[];
}

/** The booked capacity of a cell: ascending and disjoint, inside the cell, before `bookedToMs`. */
export function capacityOf(cell: Pick<CellFacts, 'interval' | 'capacity' | 'bookedToMs'>): Interval[] {
  const booked = { fromMs: cell.interval.fromMs, toMs: Math.min(cell.interval.toMs, cell.bookedToMs) };
  const merged: { fromMs: number; toMs: number }[] = [];
  for (const interval of [...cell.capacity].sort((a, b) => a.fromMs - b.fromMs)) {
    const inside = intersect(interval, booked);
    if (inside === null) continue;
    const last = merged.at(-1);
    if (last !== undefined && last.toMs >= inside.fromMs) last.toMs = Math.max(last.toMs, inside.toMs);
    else merged.push({ ...inside });
  }
  return merged;
}

/**
 * Cuts the booked part of a cell at the edges of capacity and holdings, and at `edges`. Not at watermarks: a cut may move
 * a millisecond that does not divide, and how far a source is must never move time.
 */
export function slotsOf(
  cell: Pick<CellFacts, 'holdings'>,
  capacity: readonly Interval[],
  jobs: ReadonlyMap<string, Job>,
  edges: readonly number[],
): Slot[] {
  const first = capacity[0];
  const last = capacity.at(-1);
  if (first === undefined || last === undefined) return [];
  const hull = { fromMs: first.fromMs, toMs: last.toMs };
  const holdings = cell.holdings.flatMap((holding) => {
    const inside = intersect(holding, hull);
    return inside === null ? [] : [{ ...holding, ...inside }];
  });
  const cuts = new Set<number>([hull.toMs]);
  const cut = (ms: number): void => {
    if (ms > hull.fromMs && ms < hull.toMs) cuts.add(ms);
  };
  for (const interval of [...capacity, ...holdings]) {
    cut(interval.fromMs);
    cut(interval.toMs);
  }
  for (const edge of edges) cut(edge);
  const slots: Slot[] = [];
  let fromMs = hull.fromMs;
  for (const toMs of [...cuts].sort((a, b) => a - b)) {
    const booked = capacity.some((interval) => interval.fromMs <= fromMs && fromMs < interval.toMs);
    slots.push({ fromMs, toMs, booked, ...sharesAt(fromMs, holdings, jobs) });
    fromMs = toMs;
  }
  return slots;
}

/**
 * How a device's time divides between those who hold it: by declared share, the rest held by nobody; where the shares
 * exceed the device, two claims conflict and all count equally.
 */
function sharesAt(
  atMs: number,
  holdings: readonly Holding[],
  jobs: ReadonlyMap<string, Job>,
): Pick<Slot, 'holders' | 'weights' | 'contested' | 'jobs'> {
  const shares = new Map<string, number>();
  for (const holding of holdings)
    if (holding.fromMs <= atMs && atMs < holding.toMs)
      shares.set(holding.job, Math.max(shares.get(holding.job) ?? 0, holding.shareMilli));
  const known = [...shares.keys()].sort().flatMap((id) => jobs.get(id) ?? []);
  // What a job inside of another holder was given is a part of that one's, and counts once.
  if (known.length > 1) for (const job of known) if (outermostOf(job, known) !== null) shares.delete(job.id);
  const inOrder = [...shares].sort(([a], [b]) => (a < b ? -1 : 1));
  const holders = inOrder.map(([id]) => id);
  const declared = inOrder.map(([, share]) => share);
  const sum = declared.reduce((total, share) => total + share, 0);
  const contested = sum > WHOLE_MILLI;
  if (holders.length === 0) return { holders: [null], weights: [WHOLE_MILLI], contested, jobs: known };
  if (contested) return { holders, weights: declared.map(() => 1), contested, jobs: known };
  if (sum === WHOLE_MILLI) return { holders, weights: declared, contested, jobs: known };
  return { holders: [...holders, null], weights: [...declared, WHOLE_MILLI - sum], contested, jobs: known };
}
