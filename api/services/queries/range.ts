/** Time ranges of questions: checked, and rounded to the full UTC hours that the ledger keeps. */
import { HOUR_MS } from '../../contract/batch.ts';
import { ServiceError } from '../errors.ts';

export const DAY_MS = 24 * HOUR_MS;
const RANGE_MAX_DAYS = 400;

export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Throws `invalid` where the range is empty, reversed or longer than `maxDays`. */
export function hourRange({ from, to }: { from: string; to: string }, maxDays = RANGE_MAX_DAYS): Range {
  const fromMs = Math.floor(Date.parse(from) / HOUR_MS) * HOUR_MS;
  const toMs = Math.ceil(Date.parse(to) / HOUR_MS) * HOUR_MS;
  const problem =
    Date.parse(to) <= Date.parse(from)
      ? 'must lie after from'
      : toMs - fromMs > maxDays * DAY_MS
        ? `must lie within ${maxDays} days of from`
        : null;
  if (problem !== null)
    throw new ServiceError('invalid', `to ${problem}`, [{ field: 'to', message: problem }]);
  return { fromMs, toMs };
}

export const startOfHour = (ms: number): number => Math.floor(ms / HOUR_MS) * HOUR_MS;
export const startOfDay = (ms: number): number => Math.floor(ms / DAY_MS) * DAY_MS;
