/** `gpuledger mapping`: to whom jobs are charged, by rules in a YAML or JSON file. */
import { Command } from 'commander';
import { stringify } from 'yaml';
import type { Booking, MappingOut } from '../contract/mapping.ts';
import { MappingResult, Mappings } from '../contract/mapping.ts';
import { createClient, withClient, withJson } from './client.ts';
import { EXIT_HELP } from './exit.ts';
import { parseTime } from './jobs.ts';
import { hours, print, printJson, printTable, shortTime, visible } from './output.ts';
import { readMembers } from './yaml-file.ts';

/** As a file that `set` takes: without what the service adds, and what says nothing. */
function toFile({ rules }: MappingOut): string {
  const said = (members: object) =>
    Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
  return stringify({
    rules: rules.map(({ match, ...to }) => ({
      match: Object.fromEntries(Object.entries(match).filter(([, each]) => Object.keys(each).length > 0)),
      ...said(to),
    })),
  });
}

async function show(flags: { json?: boolean }): Promise<void> {
  const mappings = await createClient(flags).ask(Mappings, 'GET', '/v1/mapping');
  if (flags.json) return printJson(mappings);
  const { current, items } = mappings;
  const none = current.version === 0;
  print(
    none ? '# No mapping: declared accounts are charged.' : `# Version ${current.version}, in force now.`,
  );
  for (const line of toFile(current).trimEnd().split('\n')) print(visible(line));
  print('');
  printTable(
    ['version', 'from', 'recorded', 'by', 'rules', 'past'],
    items.map((one) => [
      ...[String(one.version), one.from === null ? '' : shortTime(one.from)],
      ...[one.recordedAt === null ? '' : shortTime(one.recordedAt), one.recordedBy ?? ''],
      ...[String(one.rules.length), one.reach === 'past' ? 'moved' : ''],
    ]),
    '',
  );
}

const bookingText = ({ account, project, costCentre }: Booking): string =>
  [account, project ?? '–', costCentre ?? '–'].join(' / ');

function tell({ mapping, trial }: MappingResult): void {
  if (trial === null) {
    print(`Version ${mapping.version} is recorded, from ${mapping.from}.`);
    return;
  }
  print(`Of ${hours(trial.allocatedMs)} GPU-hours from ${shortTime(trial.from)} to ${shortTime(trial.to)}:`);
  printTable(
    ['from account / project / cost centre', 'to', 'GPU-hours', 'amount'],
    trial.moves.map((one) => [
      ...[bookingText(one.from), bookingText(one.to), one.gpuHours],
      one.amount === null ? '–' : `${one.amount} ${trial.currency ?? ''}`,
    ]),
    'nothing would move.',
  );
  print('Dry run: nothing was changed.');
}

type Flags = { json?: boolean; from?: string; reach?: string; since?: string; until?: string };
const time = (name: string, text: string | undefined, option: string): object =>
  text === undefined ? {} : { [name]: parseTime(text, option) };
const trialOf = ({ since, until }: Flags): object =>
  since === undefined && until === undefined
    ? {}
    : { trial: { ...time('from', since, '--since'), ...time('to', until, '--until') } };

const put =
  (dryRun: boolean) =>
  async (file: string, flags: Flags): Promise<void> => {
    const result = await createClient(flags).ask(MappingResult, 'PUT', '/v1/mapping', {
      ...readMembers(file, 'a mapping'),
      ...time('from', flags.from, '--from'),
      ...(flags.reach === undefined ? {} : { reach: flags.reach }),
      ...trialOf(flags),
      dryRun,
    });
    if (flags.json) printJson(result);
    else tell(result);
  };

const withBegin = (command: Command): Command =>
  withJson(withClient(command))
    .option('--from <day>', 'a UTC day; default: what the file says, else today')
    .option('--reach <past>', 'say "past" where charges of days before today are meant to move');

export function mappingCommand(): Command {
  const command = new Command('mapping')
    .description('to which account, project and cost centre jobs are charged')
    .addHelpText(
      'after',
      `\nExamples:\n  gpuledger mapping show > mapping.yaml\n  gpuledger mapping check mapping.yaml\n${EXIT_HELP}`,
    );
  withJson(
    withClient(
      command.command('show', { isDefault: true }).description('the rules in force, and their versions'),
    ),
  )
    .addHelpText('after', `\nExample:\n  gpuledger mapping show --json\n${EXIT_HELP}`)
    .action(show);
  withBegin(
    command.command('check').description('say what rules would move').argument('<file>', 'YAML or JSON'),
  )
    .option('--since <day>', 'of which UTC days, with --until; default: the last 31')
    .option('--until <day>', 'up to the start of this day')
    .addHelpText(
      'after',
      `
Charges these days by the rules, whenever they begin, and changes nothing.

Example:
  gpuledger mapping check mapping.yaml --since 2026-10-01 --until 2026-11-01
${EXIT_HELP}`,
    )
    .action(put(true));
  withBegin(
    command.command('set').description('set all rules from a day on').argument('<file>', 'YAML or JSON'),
  )
    .addHelpText(
      'after',
      `
The rules replace all those before them; charges of earlier days stay.

Example:
  gpuledger mapping set mapping.yaml --from 2026-11-01
${EXIT_HELP}`,
    )
    .action(put(false));
  return command;
}
