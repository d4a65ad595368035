// Billing periods: calendar months in UTC.
import { Temporal } from 'temporal-polyfill';
import type { Interval } from './interval.ts';

/** Throws `RangeError`. */
export function periodInterval(period: string): Interval {
  const month = Temporal.PlainYearMonth.from(period);
  const startOf = (start: Temporal.PlainYearMonth): number =>
    start.toPlainDate({ day: 1 }).toZonedDateTime('UTC').epochMilliseconds;
  return { fromMs: startOf(month), toMs: startOf(month.add({ months: 1 })) };
}
