// A month's statement: what each account is charged, footing to the fleet's capacity.
import type { Statement } from '../contract/finance.ts';
import type { Sums } from '../contract/ledger.ts';
import type { Completeness } from '../contract/primitives.ts';
import { at } from './at.ts';
import type { Interval } from './interval.ts';
import {
  addDecimals,
  type Decimal,
  equalDecimals,
  formatDecimal,
  minorDigits,
  multiplyDecimals,
  roundTotals,
  sumDecimals,
  ZERO,
} from './money.ts';
import { addSums, NO_SUMS } from './sums.ts';

/**
 * The unit of charging is job × device × UTC day × rate; hours are rounded there, and nowhere else. This is one such line,
 * or several of one account, project, cost centre, model and rate.
 */
export interface ChargeLine {
  /** null: held by nobody, charged to nobody. */
  readonly account: string | null;
  readonly project: string | null;
  readonly costCentre: string | null;
  readonly model: string;
  /** Rate per GPU-hour; null where none is set. A line whose rate changes within the day is two lines. */
  readonly rate: Decimal | null;
  /** Of the allocated time: rounded line by line, then summed. */
  readonly hours: Decimal;
  readonly sums: Sums;
}

export interface StatementFacts {
  readonly period: string;
  readonly interval: Interval;
  readonly cluster: string;
  readonly currency: string | null;
  readonly status: 'open' | 'closed';
  readonly complete: Completeness;
  readonly lines: Iterable<ChargeLine>;
  /** Capacity as booked, summed apart from the lines: the check compares both. */
  readonly capacityMs: number;
}

interface Group {
  readonly line: ChargeLine;
  sums: Sums;
  hours: Decimal;
  rate: Decimal | null | 'several';
  amount: Decimal | null;
}

/** Makes the statement. Accounts and models are in alphabetical order, whatever the order of the lines. */
export function makeStatement(facts: StatementFacts): Statement {
  const accounts = new Map<string, Map<string, Group>>();
  let unheld = NO_SUMS;
  for (const line of facts.lines) {
    if (line.account === null) unheld = addSums(unheld, line.sums);
    else addLine(accounts, line.account, line);
  }
  const inOrder = [...accounts].sort(([a], [b]) => (a < b ? -1 : 1));
  const exact = inOrder.map(([, models]) => exactTotal([...models.values()]));
  const rounded = roundKnown(exact, facts.currency);
  const amounts = rounded.flatMap((amount) => amount ?? []);
  const statementAccounts = inOrder.map(([account, models], index) =>
    toAccount(account, models, at(rounded, index), facts.currency),
  );
  const accountsMs = statementAccounts.reduce((sum, account) => sum + account.allocatedMs, 0);
  const sums = [...accounts.values()]
    .flatMap((models) => [...models.values()])
    .reduce((sum, group) => addSums(sum, group.sums), unheld);
  const differenceMs = facts.capacityMs - accountsMs - unheld.capacityMs;
  return {
    period: facts.period,
    from: new Date(facts.interval.fromMs).toISOString(),
    to: new Date(facts.interval.toMs).toISOString(),
    cluster: facts.cluster,
    currency: facts.currency,
    status: facts.status,
    complete: facts.complete,
    accounts: statementAccounts,
    unheld,
    total: {
      sums,
      chargedMs: accountsMs,
      amount: amounts.length < rounded.length ? null : inCurrency(sumDecimals(amounts), facts.currency),
    },
    check: {
      capacityMs: facts.capacityMs,
      accountsMs,
      unheldMs: unheld.capacityMs,
      differenceMs,
      balanced: differenceMs === 0,
    },
  };
}

function addLine(accounts: Map<string, Map<string, Group>>, account: string, line: ChargeLine): void {
  const models = accounts.get(account) ?? new Map<string, Group>();
  accounts.set(account, models);
  const key = keyOf(line);
  const ms = line.sums.allocatedMs;
  const group = models.get(key);
  const amount = line.rate === null ? (ms === 0 ? ZERO : null) : multiplyDecimals(line.hours, line.rate);
  if (group === undefined) {
    models.set(key, { line, sums: line.sums, hours: line.hours, rate: line.rate, amount });
    return;
  }
  group.sums = addSums(group.sums, line.sums);
  group.hours = addDecimals(group.hours, line.hours);
  group.amount = amount === null || group.amount === null ? null : addDecimals(group.amount, amount);
  const same =
    group.rate !== 'several' &&
    (group.rate === null || line.rate === null
      ? group.rate === line.rate
      : equalDecimals(group.rate, line.rate));
  if (!same) group.rate = 'several';
}

/** No name has a NUL. */
const keyOf = ({ model, project, costCentre }: ChargeLine): string =>
  [model, project ?? '', costCentre ?? ''].join('\0');

function exactTotal(groups: readonly Group[]): Decimal | null {
  const amounts = groups.flatMap((group) => group.amount ?? []);
  return amounts.length === groups.length ? sumDecimals(amounts) : null;
}

/** Rounds what is known once, together; an account with an unpriced line has no total, and missing is not zero. */
function roundKnown(exact: readonly (Decimal | null)[], currency: string | null): (Decimal | null)[] {
  if (currency === null) return exact.map(() => null);
  const rounded = roundTotals(
    exact.flatMap((amount) => amount ?? []),
    currency,
  );
  let next = 0;
  return exact.map((amount) => {
    if (amount === null) return null;
    next += 1;
    return at(rounded, next - 1);
  });
}

/** Without a currency nothing has an amount. */
const inCurrency = (amount: Decimal, currency: string | null): string | null =>
  currency === null ? null : formatDecimal(amount, minorDigits(currency));

function toAccount(
  account: string,
  models: ReadonlyMap<string, Group>,
  total: Decimal | null,
  currency: string | null,
): Statement['accounts'][number] {
  const lines: Statement['accounts'][number]['lines'] = [];
  let hours = ZERO;
  let allocatedMs = 0;
  for (const [, group] of [...models].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hours = addDecimals(hours, group.hours);
    allocatedMs += group.sums.allocatedMs;
    lines.push({
      account,
      project: group.line.project,
      costCentre: group.line.costCentre,
      model: group.line.model,
      sums: group.sums,
      gpuHours: formatDecimal(group.hours),
      ratePerGpuHour: group.rate === null || group.rate === 'several' ? null : formatDecimal(group.rate, 2),
      amount: group.amount === null || currency === null ? null : formatDecimal(group.amount, 2),
    });
  }
  return {
    account,
    allocatedMs,
    gpuHours: formatDecimal(hours),
    total: total === null ? null : inCurrency(total, currency),
    lines,
  };
}
