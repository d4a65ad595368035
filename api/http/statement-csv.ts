/**
 * A statement as CSV (RFC 4180). One row per account, project, cost centre and model, then what nobody held, then the
 * total; hours are exact decimals. Text cells that a spreadsheet would run as a formula (they begin with = + - @ tab or
 * carriage return) get a leading apostrophe; numbers are ours and stay numbers.
 */
import { stringify } from 'csv-stringify/sync';
import type { Statement } from '../contract/finance.ts';
import type { Sums } from '../contract/ledger.ts';

const FORMULA = /^[=+\-@\t\r]/;
const inertCell = (text: string): string => (FORMULA.test(text) ? `'${text}` : text);

const SUM_COLUMNS = [
  'capacityMs',
  'usedMs',
  'heldMs',
  'unaccountedMs',
  'idleMs',
  'unobservedMs',
  'allocatedMs',
  'unaccountedActiveMs',
  'unaccountedProvisionalMs',
  'unaccountedInsideMs',
  'unobservedInsideMs',
] as const satisfies readonly (keyof Sums)[];

const HEADER = [
  'row',
  'period',
  'status',
  'cluster',
  'account',
  'model',
  'gpuHours',
  'ratePerGpuHour',
  'amount',
  'currency',
  ...SUM_COLUMNS,
  'project',
  'costCentre',
];

const NOWHERE = { project: null, costCentre: null };

type Cell = string | number;

export function statementCsv(statement: Statement): string {
  const row = (
    kind: 'line' | 'account' | 'unheld' | 'total',
    account: string,
    model: string,
    money: { hours: string; rate: string | null; amount: string | null },
    sums: Sums | null,
    more: { project: string | null; costCentre: string | null } = NOWHERE,
  ): Cell[] => [
    kind,
    statement.period,
    statement.status,
    inertCell(statement.cluster),
    inertCell(account),
    inertCell(model),
    money.hours,
    money.rate ?? '',
    money.amount ?? '',
    money.amount === null ? '' : (statement.currency ?? ''),
    ...SUM_COLUMNS.map((name): Cell => sums?.[name] ?? ''),
    inertCell(more.project ?? ''),
    inertCell(more.costCentre ?? ''),
  ];
  const rows = statement.accounts.flatMap((account) => [
    ...account.lines.map((line) =>
      row(
        'line',
        account.account,
        line.model,
        { hours: line.gpuHours, rate: line.ratePerGpuHour, amount: line.amount },
        line.sums,
        line,
      ),
    ),
    row('account', account.account, '', { hours: account.gpuHours, rate: null, amount: account.total }, null),
  ]);
  const nothing = { hours: '', rate: null, amount: null };
  return stringify([
    HEADER,
    ...rows,
    row('unheld', '', '', nothing, statement.unheld),
    row('total', '', '', { ...nothing, amount: statement.total.amount }, statement.total.sums),
  ]);
}
