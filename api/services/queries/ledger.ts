/** GET /v1/ledger: rows that balance, and their total. */
import type { z } from 'zod';
import type { LedgerAnswer, LedgerQuery, LedgerRow, Sums } from '../../contract/ledger.ts';
import { addSums, NO_SUMS } from '../../domain/sums.ts';
import type { LedgerFactsRow, LedgerGroup, Questions } from '../../store/questions.ts';
import { ServiceError } from '../errors.ts';
import { completeness, toTime } from './completeness.ts';
import { hourRange } from './range.ts';

const LEDGER_ROWS_MAX = 20_000;
/** A month of ten thousand devices. Days of accounts, users, nodes and models are sums already, and may be longer. */
const DEVICE_HOURS_MAX = 8_000_000;

/** Both axes, as they were asserted when the cells were written; a difference is a fault of ours and must not be served. */
export function assertBalanced(sums: Sums): void {
  const parts = sums.usedMs + sums.heldMs + sums.unaccountedMs + sums.idleMs + sums.unobservedMs;
  if (parts !== sums.capacityMs) throw new Error(`ledger out of balance: ${parts} of ${sums.capacityMs} ms`);
  if (sums.allocatedMs > sums.capacityMs)
    throw new Error(`ledger out of balance: ${sums.allocatedMs} ms allocated of ${sums.capacityMs} ms`);
}

/** Only the members of `Sums`, whatever else a row has. */
export const sumsOf = (row: Sums): Sums => addSums(NO_SUMS, row);

function groupValue(group: LedgerGroup, value: string | number | null): string | null {
  if (typeof value !== 'number') return value;
  return group === 'hour' || group === 'day' ? toTime(value) : String(value);
}

function toLedgerRow(groups: readonly LedgerGroup[], row: LedgerFactsRow): LedgerRow {
  const sums = sumsOf(row);
  assertBalanced(sums);
  return {
    ...sums,
    group: Object.fromEntries(
      groups.map((group, index) => [group, groupValue(group, row.group[index] ?? null)]),
    ),
  };
}

export async function askLedger(
  questions: Questions,
  query: z.output<typeof LedgerQuery>,
  nowMs: number,
  deviceHoursMax = DEVICE_HOURS_MAX,
): Promise<LedgerAnswer> {
  const range = hourRange(query);
  const groups = [...new Set(query.group_by)];
  const deviceHours = await questions.ledgerHours({ ...range, groups });
  if (deviceHours > deviceHoursMax)
    throw new ServiceError(
      'invalid',
      `${deviceHours} device-hours are too many for one answer: ask for a shorter time, or for neither job, device nor hour`,
      [{ field: 'to', message: `gives more than ${deviceHoursMax} device-hours` }],
    );
  const facts = await questions.ledger({ ...range, groups, maxRows: LEDGER_ROWS_MAX });
  if (facts.rows.length > LEDGER_ROWS_MAX)
    throw new ServiceError(
      'invalid',
      `More than ${LEDGER_ROWS_MAX} rows: ask for a shorter time or a coarser group`,
      [{ field: 'group_by', message: `gives more than ${LEDGER_ROWS_MAX} rows` }],
    );
  const rows = facts.rows.map((row) => toLedgerRow(groups, row));
  const total = rows.reduce<Sums>((sum, row) => addSums(sum, row), NO_SUMS);
  assertBalanced(total);
  return {
    from: toTime(range.fromMs),
    to: toTime(range.toMs),
    groupBy: groups,
    complete: completeness(facts.progress, nowMs),
    total,
    rows,
  };
}
