// The check that both axes of a cell sum to its booked capacity.
import type { CellFacts, Entry } from './cell.ts';
import { type Interval, lengthMs } from './interval.ts';

/** The books of a cell do not balance. Never caught to be ignored: the cell is wrong, or its facts are. */
export class ConservationError extends Error {
  constructor(device: string, interval: Interval, axis: string, expectedMs: number, actualMs: number) {
    super(`cell ${device} from ${interval.fromMs}: ${axis} is ${actualMs} ms and should be ${expectedMs} ms`);
    this.name = 'ConservationError';
  }
}

/**
 * Throws `ConservationError` unless the entries sum to the booked capacity, and each holder's to what it was allotted
 * (`columns`; null: nobody).
 */
export function assertConserved(
  { device, interval }: Pick<CellFacts, 'device' | 'interval'>,
  capacity: readonly Interval[],
  columns: ReadonlyMap<string | null, number>,
  entries: readonly Pick<Entry, 'holder' | 'ms'>[],
): void {
  const bookedMs = capacity.reduce((sum, one) => sum + lengthMs(one), 0);
  const byHolder = new Map<string | null, number>();
  let totalMs = 0;
  for (const { holder, ms } of entries) {
    totalMs += ms;
    byHolder.set(holder, (byHolder.get(holder) ?? 0) + ms);
  }
  if (totalMs !== bookedMs)
    throw new ConservationError(device, interval, 'the sum of buckets', bookedMs, totalMs);
  let allottedMs = 0;
  for (const [holder, ms] of columns) {
    allottedMs += ms;
    const actualMs = byHolder.get(holder) ?? 0;
    if (actualMs !== ms)
      throw new ConservationError(device, interval, `the share of ${holder ?? 'nobody'}`, ms, actualMs);
  }
  if (allottedMs !== bookedMs)
    throw new ConservationError(device, interval, 'the sum of holders', bookedMs, allottedMs);
}
