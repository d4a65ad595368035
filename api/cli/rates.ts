/** `gpuledger rates`: what a GPU-hour costs. */
import { Command } from 'commander';
import { RateCards } from '../contract/finance.ts';
import { createClient, withClient, withJson } from './client.ts';
import { CliError, EXIT, EXIT_HELP } from './exit.ts';
import { parseTime } from './jobs.ts';
import { printJson, printTable, shortTime } from './output.ts';

const HOUR_MS = 3_600_000;

function show(cards: RateCards, json: boolean | undefined): void {
  if (json) {
    printJson(cards);
    return;
  }
  printTable(
    ['from', 'model', 'per GPU-hour', 'currency', 'recorded', 'by'],
    cards.items.flatMap((card) =>
      Object.entries(card.perGpuHour).map(([model, rate]) => [
        ...[shortTime(card.effectiveFrom), model, rate, card.currency],
        ...[shortTime(card.recordedAt), card.recordedBy],
      ]),
    ),
    'No rates are set: values and amounts are not shown.',
  );
}

async function set(
  pairs: string[],
  flags: { currency: string; from?: string; json?: boolean },
): Promise<void> {
  const perGpuHour = Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.lastIndexOf('=');
      if (at < 1) throw new CliError(`"${pair}" is not MODEL=RATE, such as default=2.50`, EXIT.usage);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
  const thisHour = new Date(Math.floor(Date.now() / HOUR_MS) * HOUR_MS).toISOString();
  const cards = await createClient(flags).ask(RateCards, 'PUT', '/v1/rates', {
    effectiveFrom: flags.from === undefined ? thisHour : parseTime(flags.from, '--from'),
    currency: flags.currency,
    perGpuHour,
  });
  show(cards, flags.json);
}

export function ratesCommand(): Command {
  const command = new Command('rates')
    .description('what a GPU-hour costs')
    .addHelpText(
      'after',
      `\nExamples:\n  gpuledger rates show\n  gpuledger rates set --currency EUR default=1.20\n${EXIT_HELP}`,
    );
  withJson(
    withClient(command.command('show', { isDefault: true }).description('every rate card, newest first')),
  )
    .addHelpText('after', `\nExample:\n  gpuledger rates show --json\n${EXIT_HELP}`)
    .action(async (flags: { json?: boolean }) =>
      show(await createClient(flags).ask(RateCards, 'GET', '/v1/rates'), flags.json),
    );
  withJson(
    withClient(
      command.command('set').description('set the rates from an hour on').argument('<model=rate...>'),
    ),
  )
    .requiredOption('--currency <code>', 'ISO 4217, such as EUR')
    .option('--from <time>', 'a full UTC hour; default: the hour that is running')
    .addHelpText(
      'after',
      `
A card replaces the whole one before it; "default" is for models that it does not name.

Example:
  gpuledger rates set --currency EUR --from 2026-10-01 default=1.20 "NVIDIA H100 80GB HBM3=2.50"
${EXIT_HELP}`,
    )
    .action(set);
  return command;
}
