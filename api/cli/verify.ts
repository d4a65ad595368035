/** `gpuledger verify`: rebuilds every cell from the facts and compares. Works on the data folder, also while the service runs. */
import { join } from 'node:path';
import { SingleBar } from 'cli-progress';
import { Command, InvalidArgumentError, Option } from 'commander';
import { DATABASE_NAME, DEFAULT_DATA_FOLDER } from '../config.ts';
import { type VerifyReport, verify } from '../services/verify.ts';
import { openSqlite } from '../store/sqlite/open.ts';
import { EXIT } from './exit.ts';
import { print, printJson, printTable, visible } from './output.ts';
import { createVerifyThreads } from './verify-threads.ts';

const KINDS = {
  tampered: 'changed after it was written',
  rules: 'would change under the rules of this version',
  expired: 'evidence has expired',
} as const;

function printReport(report: VerifyReport): void {
  print(
    `${report.batches} batches of ${report.nodes} nodes, ${report.cells} cells; ${report.checked} rebuilt and compared.`,
  );
  print(
    report.signatures === null
      ? 'Signatures were left apart.'
      : `${report.signatures} signatures were checked; each speaks for the batches before it in its stream.`,
  );
  if (report.pending > 0) print(`${report.pending} node-hours wait to be attributed and were not compared.`);
  if (report.erased > 0)
    print(`${report.erased} texts were erased by retention; the chain holds without them.`);
  for (const problem of report.chain) print(`Chain: ${visible(problem)}`);
  if (report.differences.length > 0)
    printTable(
      ['kind', 'where', 'what'],
      report.differences.map((one) => [KINDS[one.kind], one.where, one.what]),
      '',
    );
  if (report.differenceCount > report.differences.length)
    print(`${report.differenceCount - report.differences.length} more differences are not listed.`);
  print(report.ok ? 'The ledger is what its facts say.' : 'The ledger is NOT what its facts say.');
}

interface Flags {
  readonly data: string;
  readonly json?: boolean;
  readonly signatures: boolean;
  readonly threads: number;
}

const MAX_THREADS = 64;

function threadsOf(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > MAX_THREADS)
    throw new InvalidArgumentError(`Give a whole number from 1 to ${MAX_THREADS}.`);
  return count;
}

async function run(flags: Flags): Promise<void> {
  const file = join(flags.data, DATABASE_NAME);
  const store = openSqlite({ file, readOnly: true });
  const bar =
    flags.json || !process.stderr.isTTY
      ? null
      : new SingleBar({ format: 'verifying {bar} {value}/{total} node-hours', stream: process.stderr });
  try {
    bar?.start(0, 0);
    const report = await verify(
      store,
      ({ doneHours, totalHours }) => {
        bar?.setTotal(totalHours);
        bar?.update(doneHours);
      },
      { signatures: flags.signatures },
      flags.threads > 1 ? createVerifyThreads(file, flags.threads) : [],
    );
    bar?.stop();
    if (flags.json) printJson(report);
    else printReport(report);
    process.exitCode = report.ok ? EXIT.done : EXIT.failed;
  } finally {
    bar?.stop();
    await store.close();
  }
}

export const verifyCommand = (): Command =>
  new Command('verify')
    .description('rebuild every cell of the ledger from the facts and compare')
    .addOption(
      new Option('--data <folder>', 'data folder of the service')
        .env('GPULEDGER_DATA')
        .default(DEFAULT_DATA_FOLDER),
    )
    .option('--no-signatures', 'leave the signatures apart: only hashes and chains are checked')
    .option('--threads <count>', 'work on as many nodes at a time, 1 to 64', threadsOf, 1)
    .option('--json', 'print JSON for programs')
    .addHelpText(
      'after',
      `
Exit codes: 0 the ledger is what its facts say, 1 it is not, 2 wrong usage.

Example:
  gpuledger verify --data /var/lib/gpuledger`,
    )
    .action(run);
