// Billing periods: calendar months in a site's billing zone.
import { Temporal } from 'temporal-polyfill';
import type { Interval } from './interval.ts';

const DEFAULT_BILLING_ZONE = 'UTC';

/** The months of a zone begin at its own midnight, so one may be an hour shorter or longer than another. Throws `RangeError`. */
export function periodInterval(period: string, zone: string = DEFAULT_BILLING_ZONE): Interval {
  const month = Temporal.PlainYearMonth.from(period);
  const startOf = (start: Temporal.PlainYearMonth): number =>
    start.toPlainDate({ day: 1 }).toZonedDateTime(zone).epochMilliseconds;
  return { fromMs: startOf(month), toMs: startOf(month.add({ months: 1 })) };
}

/** The month, such as "2026-10", that a moment belongs to. */
export function periodOf(ms: number, zone: string = DEFAULT_BILLING_ZONE): string {
  return Temporal.Instant.fromEpochMilliseconds(ms)
    .toZonedDateTimeISO(zone)
    .toPlainDate()
    .toPlainYearMonth()
    .toString();
}
