/** `gpuledger explain`: how one number came about, from what agents sent to what was booked. Works on the data folder. */
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { DATABASE_NAME, DEFAULT_DATA_FOLDER } from '../config.ts';
import { HOUR_MS } from '../contract/batch.ts';
import { ServiceError } from '../services/errors.ts';
import {
  type CellExplanation,
  explainCell,
  explainFinding,
  type FindingExplanation,
} from '../services/explain.ts';
import { openSqlite } from '../store/sqlite/open.ts';
import { openQuestions } from '../store/sqlite/queries/open.ts';
import { print, printJson, printTable, visible } from './output.ts';

const SPANS_SHOWN = 40;
/** Within the hour; what began before it or goes on after it has no end worth naming. */
const time = (ms: number): string =>
  Number.isFinite(ms) && Math.abs(ms) < 8.64e15 ? new Date(ms).toISOString().slice(11, 23) : 'open';
const hour = (ms: number): string => `${new Date(ms).toISOString().slice(0, 13)}Z`;
const orNone = (text: string | null): string => text ?? '–';

/** "GPU-…@2026-10-05T08Z"; null for what is no cell. Any moment of the hour will do. */
function cellKey(text: string): { device: string; hourMs: number } | null {
  const at = text.lastIndexOf('@');
  if (at < 1) return null;
  const when = text.slice(at + 1);
  const ms = Date.parse(/^\d{4}-\d\d-\d\dT\d\dZ?$/.test(when) ? `${when.slice(0, 13)}:00:00Z` : when);
  return Number.isNaN(ms) ? null : { device: text.slice(0, at), hourMs: Math.floor(ms / HOUR_MS) * HOUR_MS };
}

function printCell(cell: CellExplanation): void {
  print(`Device ${visible(cell.device)} of ${visible(cell.node)}, the UTC hour ${hour(cell.hourMs)}`);
  print('\n1. What the agent sent');
  printTable(
    ['first batch', 'last batch', 'batches', 'hash of the last'],
    cell.batches.map((one) => [one.firstSeq, one.lastSeq, one.batches, one.lastHash]),
    'Nothing.',
  );
  print('\n2. Capacity');
  for (const { fromMs, toMs } of cell.capacity)
    print(`${time(Math.max(fromMs, cell.hourMs))} to ${time(Math.min(toMs, cell.hourMs + HOUR_MS))}`);
  print(`Booked up to ${time(cell.bookedToMs)}: ${cell.capacityMs} ms.`);
  print('\n3. Who held it');
  printTable(
    ['job', 'from', 'to', 'thousandths', 'chosen by rule'],
    cell.holdings.map((one) => [
      one.job,
      time(one.fromMs),
      time(one.toMs),
      one.shareMilli,
      one.assumed ? 'yes' : 'no',
    ]),
    'Nobody.',
  );
  print('\n4. What was measured');
  printTable(
    ['from', 'to', 'ms', 'executing ms', 'split by', 'processes'],
    cell.spans
      .slice(0, SPANS_SHOWN)
      .map((one) => [
        ...[time(one.fromMs), time(one.toMs), one.toMs - one.fromMs, one.activeMs, one.method],
        one.tenants
          .map((tenant) => `${tenant.process.split('/').slice(1).join('/')} ${tenant.activeMs ?? '?'}`)
          .join(', '),
      ]),
    'Nothing.',
  );
  if (cell.spans.length > SPANS_SHOWN) print(`${cell.spans.length - SPANS_SHOWN} more; --json has all.`);
  for (const gap of cell.gaps) print(`Not measured ${time(gap.fromMs)} to ${time(gap.toMs)}: ${gap.reason}`);
  print('\n5. How each process was judged');
  for (const one of cell.processes) printProcess(one);
  if (cell.processes.length === 0) print('There was none.');
  print('\n6. What was booked');
  printTable(
    ['bucket', 'reason', 'activity', 'holder', 'job', 'process', 'ms'],
    cell.entries.map((one) => [
      ...[
        one.bucket,
        orNone(one.reason ?? ([one.cause, one.condition].filter((why) => why).join(', ') || null)),
        one.activity,
        orNone(one.holder),
        orNone(one.job),
      ],
      ...[orNone(one.process?.split('/').slice(1).join('/') ?? null), one.ms],
    ]),
    'Nothing.',
  );
  const sum = cell.entries.reduce((total, entry) => total + entry.ms, 0);
  print(`Sum ${sum} ms, capacity ${cell.capacityMs} ms: difference ${sum - cell.capacityMs} ms.`);
  print(
    cell.stored === null
      ? 'The ledger does not have this cell yet.'
      : `The ledger has ${cell.stored.entriesMs} of ${cell.stored.capacityMs} ms, by rules ${cell.stored.rulesVersion}; ` +
          `these are rules ${cell.rulesVersion}, policy ${cell.policyVersion}.`,
  );
}

function printProcess(one: CellExplanation['processes'][number]): void {
  print(
    `Process ${one.pid} "${visible(one.comm)}", ${visible(orNone(one.executable))}, account ${visible(orNone(one.user))}`,
  );
  print(`  kernel boundary: ${visible(orNone(one.boundary))}`);
  for (const tie of one.ties) print(`  ${tie.evidence} names ${visible(tie.jobs.join(', '))}`);
  if (one.ties.length === 0) print('  nothing ties it to a job');
  for (const contradiction of one.contradictions) print(`  two signs disagree: ${visible(contradiction)}`);
  for (const step of one.verdicts) {
    const verdict =
      step.reason === null
        ? `used by ${visible(orNone(step.job))}, by ${orNone(step.evidence)}${step.suspicious ? ', not its baseline' : ''}`
        : `unaccounted: ${step.reason}${step.job === null ? '' : `, inside ${visible(step.job)}`}`;
    print(`  from ${time(step.fromMs)}: ${verdict}${step.provisional ? ' (awaiting record)' : ''}`);
  }
  for (const { job, why } of one.candidates) print(`  ${visible(job)} does not cover it: ${visible(why)}`);
}

function printFinding(found: FindingExplanation): void {
  print(`Finding ${found.finding}: the sum of these rows`);
  printTable(
    ['cell', 'node', 'process', 'reason', 'holder', 'executing ms', 'at least', 'at most', 'resident ms'],
    found.rows.map((row) => [
      ...[
        `${row.device}@${hour(row.hourMs)}`,
        row.node,
        orNone(row.process?.split('/').slice(1).join('/') ?? null),
      ],
      ...[row.reason, orNone(row.holder), row.activeMs, row.leastMs, row.mostMs, row.residentMs],
    ]),
    'It carries no GPU time.',
  );
  print(
    `Sum: executing ${found.activeMs} ms, at least ${found.leastMs} and at most ${found.mostMs}, resident ${found.residentMs} ms.`,
  );
  const [first] = found.rows;
  if (first !== undefined) print(`Next: gpuledger explain ${first.device}@${hour(first.hourMs)}`);
}

async function run(what: string, flags: { data: string; json?: boolean }): Promise<void> {
  const file = join(flags.data, DATABASE_NAME);
  const store = openSqlite({ file, readOnly: true });
  const questions = openQuestions(file);
  try {
    const key = cellKey(what);
    if (key !== null) {
      const cell = await explainCell(store, key, Date.now());
      if (flags.json) printJson(cell);
      else printCell(cell);
      return;
    }
    const facts = await questions.finding(what, { accounts: null });
    if (facts === null)
      throw new ServiceError(
        'not_found',
        `${what} is neither a finding nor a cell such as GPU-…@2026-10-05T08Z`,
      );
    const { nodeNumber: node, node: nodeName, firstSeenMs: firstMs, lastSeenMs: lastMs } = facts.row;
    const found = await explainFinding(store, what, { node, nodeName, firstMs, lastMs });
    if (flags.json) printJson(found);
    else printFinding(found);
  } finally {
    await Promise.all([questions.close(), store.close()]);
  }
}

export const explainCommand = (): Command =>
  new Command('explain')
    .description('how a number of the ledger came about, step by step')
    .argument('<what>', 'a finding (f_…), or a cell: <device UUID>@<hour>, such as GPU-…@2026-10-05T08Z')
    .addOption(
      new Option('--data <folder>', 'data folder of the service')
        .env('GPULEDGER_DATA')
        .default(DEFAULT_DATA_FOLDER),
    )
    .option('--json', 'print JSON for programs')
    .addHelpText(
      'after',
      `
Verdicts are those that hold now; \`gpuledger verify\` compares everything with what is stored.

Exit codes: 0 explained, 1 there is no such finding or cell, 2 wrong usage.

Examples:
  gpuledger explain f_0f3a5b7c9d1e2f30
  gpuledger explain GPU-0f3a…@2026-10-05T08Z --json`,
    )
    .action(run);
