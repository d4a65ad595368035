/** `gpuledger report`: a month's statement, or the ledger of any time. */
import { Command, Option } from 'commander';
import { Statement } from '../contract/finance.ts';
import { LedgerAnswer, type Sums } from '../contract/ledger.ts';
import { type Client, createClient, withClient, withJson, withQuery } from './client.ts';
import { CliError, EXIT, EXIT_HELP } from './exit.ts';
import { parseTime } from './jobs.ts';
import { hours, print, printJson, printTable, visible } from './output.ts';

type Flags = Record<string, string | undefined>;

const SUMS_HEAD = ['capacity', 'used', 'held', 'un-\naccounted', 'idle', 'not\nmeasured', 'allocated'];
const sumsCells = (sums: Sums): string[] =>
  [
    sums.capacityMs,
    sums.usedMs,
    sums.heldMs,
    sums.unaccountedMs,
    sums.idleMs,
    sums.unobservedMs,
    sums.allocatedMs,
  ].map(hours);

type Line = Statement['accounts'][number]['lines'][number];
/** Columns that are there where a mapping says something. */
const MAPPED: readonly (readonly [head: string, cell: (line: Line) => string | null])[] = [
  ['project', (line) => line.project],
  ['cost centre', (line) => line.costCentre],
];

function printStatement(statement: Statement): void {
  print(
    `Statement ${statement.period} (${statement.status}), complete to ${statement.complete.completeTo ?? 'nothing yet'}`,
  );
  const money = (amount: string | null): string =>
    amount === null ? '–' : `${amount} ${statement.currency ?? ''}`;
  const lines = statement.accounts.flatMap((account) => account.lines);
  const to = MAPPED.filter(([, cell]) => lines.some((line) => cell(line) !== null));
  printTable(
    ['account', ...to.map(([head]) => head), 'model', 'GPU-hours', 'rate', 'amount'],
    [
      ...statement.accounts.flatMap((account) => [
        ...account.lines.map((line) => [
          line.account,
          ...to.map(([, cell]) => cell(line)),
          line.model,
          line.gpuHours,
          line.ratePerGpuHour,
          money(line.amount),
        ]),
        [account.account, ...to.map(() => ''), '(total)', account.gpuHours, null, money(account.total)],
      ]),
      ['(held by nobody)', ...to.map(() => ''), '', hours(statement.unheld.capacityMs), null, null],
      [
        '(all)',
        ...to.map(() => ''),
        '',
        hours(statement.total.sums.capacityMs),
        null,
        money(statement.total.amount),
      ],
    ],
    'No capacity in this month.',
  );
  print(
    statement.check.balanced
      ? `Foots to capacity: ${hours(statement.check.capacityMs)} GPU-hours.`
      : `DOES NOT FOOT: ${statement.check.differenceMs} ms differ from capacity.`,
  );
}

async function ledger(client: Client, flags: Flags): Promise<void> {
  if (flags['from'] === undefined || flags['to'] === undefined)
    throw new CliError('give --month, or both --from and --to', EXIT.usage);
  const path = withQuery('/v1/ledger', {
    from: parseTime(flags['from'], '--from'),
    to: parseTime(flags['to'], '--to'),
    group_by: flags['by'],
  });
  const answer = await client.ask(LedgerAnswer, 'GET', path);
  if (flags['json']) return printJson(answer);
  if (answer.rows.length > 0) print('GPU-hours:');
  printTable(
    [...answer.groupBy, ...SUMS_HEAD],
    [
      ...answer.rows.map((row) => [
        ...answer.groupBy.map((group) => row.group[group] ?? '(nobody)'),
        ...sumsCells(row),
      ]),
      ...(answer.rows.length === 0
        ? []
        : [[...answer.groupBy.map((_, index) => (index === 0 ? '(all)' : '')), ...sumsCells(answer.total)]]),
    ],
    'Nothing was booked in this time.',
  );
  print(`Complete to ${answer.complete.completeTo ?? 'nothing yet'}.`);
  for (const node of answer.complete.laggingNodes) print(`Lagging: ${visible(node)}`);
}

async function report(flags: Flags): Promise<void> {
  const client = createClient(flags);
  if (flags['from'] !== undefined || flags['to'] !== undefined) return ledger(client, flags);
  const month = flags['month'] ?? new Date().toISOString().slice(0, 7);
  const path = withQuery('/v1/statements', { period: month });
  if (flags['csv']) {
    process.stdout.write(await client.text(`${path}&format=csv`));
    return;
  }
  const statement = await client.ask(Statement, 'GET', path);
  if (flags['json']) printJson(statement);
  else printStatement(statement);
}

export function reportCommand(): Command {
  return withJson(
    withClient(new Command('report').description("a month's statement, or the ledger of any time")),
  )
    .option('--month <month>', 'such as 2026-10; default: this month')
    .addOption(new Option('--csv', 'the statement as CSV').conflicts(['json', 'from', 'to']))
    .addOption(new Option('--from <time>', 'the ledger from here').conflicts('month'))
    .option('--to <time>', 'to here')
    .option(
      '--by <groups>',
      'account, user, job, node, model, device, hour, day, charged_account, project, cost_centre; up to three, by commas',
      'account',
    )
    .addHelpText(
      'after',
      `
Examples:
  gpuledger report --month 2026-10
  gpuledger report --month 2026-10 --csv > october.csv
  gpuledger report --from 2026-10-01 --to 2026-10-08 --by account,day
${EXIT_HELP}`,
    )
    .action(report);
}
