/** `gpuledger policy`: what the site accepts as evidence and what it exempts, from a YAML or JSON file. */
import { Command } from 'commander';
import { stringify } from 'yaml';
import { Policies, type PolicyOut, PolicyResult } from '../contract/policy.ts';
import { createClient, withClient, withJson } from './client.ts';
import { EXIT_HELP } from './exit.ts';
import { parseTime } from './jobs.ts';
import { print, printJson, printTable, shortTime, visible } from './output.ts';
import { readMembers } from './yaml-file.ts';

const MS_PER_HOUR = 3_600_000;

/** As a file that `set` takes: without what the service adds. */
function toFile({
  version,
  from: begin,
  reach,
  recordedAt,
  recordedBy,
  exemptions,
  ...rules
}: PolicyOut): string {
  const own = exemptions.map(({ job, from, match, ...rest }) => ({
    ...rest,
    match: Object.fromEntries(Object.entries(match).filter(([, items]) => items.length > 0)),
  }));
  return stringify({ ...rules, exemptions: own });
}

async function show(flags: { json?: boolean }): Promise<void> {
  const policies = await createClient(flags).ask(Policies, 'GET', '/v1/policy');
  if (flags.json) return printJson(policies);
  const { current, items } = policies;
  print(`# Version ${current.version}, in force now${current.from === null ? ': the built-in one' : ''}.`);
  for (const line of toFile(current).trimEnd().split('\n')) print(visible(line));
  print('');
  printTable(
    ['version', 'from', 'recorded', 'by', 'exemptions', 'past'],
    items.map((one) => [
      ...[String(one.version), one.from === null ? 'built in' : shortTime(one.from)],
      ...[one.recordedAt === null ? '' : shortTime(one.recordedAt), one.recordedBy ?? ''],
      ...[String(one.exemptions.length), one.reach === 'past' ? 'changed' : ''],
    ]),
    '',
  );
}

function tell(result: PolicyResult): void {
  const { policy, changes, warnings, trial } = result;
  for (const line of changes) print(visible(line));
  if (changes.length === 0) print('Nothing changes.');
  for (const line of warnings) print(visible(`Warning: ${line}`));
  if (trial === null) {
    print(`Version ${policy.version} is recorded, from ${policy.from}.`);
    return;
  }
  print('');
  print(`Of the unaccounted time since ${shortTime(trial.from)} it would have covered:`);
  printTable(
    ['finding', 'exemption', 'node', 'executable', 'GPU-hours'],
    trial.covered.map((one) => [
      ...[one.finding, one.exemption, one.node, one.executable ?? ''],
      (one.ms / MS_PER_HOUR).toFixed(3),
    ]),
    'nothing.',
  );
  if (trial.leftOut > 0) print(`${trial.leftOut} older node-hours were not tried.`);
  print('Dry run: nothing was changed.');
}

type SetFlags = { json?: boolean; from?: string; reach?: string };
const put =
  (dryRun: boolean) =>
  async (file: string, flags: SetFlags): Promise<void> => {
    const result = await createClient(flags).ask(PolicyResult, 'PUT', '/v1/policy', {
      ...readMembers(file, 'a policy'),
      ...(flags.from === undefined ? {} : { from: parseTime(flags.from, '--from') }),
      ...(flags.reach === undefined ? {} : { reach: flags.reach }),
      dryRun,
    });
    if (flags.json) printJson(result);
    else tell(result);
  };

const withBegin = (command: Command): Command =>
  withJson(withClient(command))
    .option('--from <time>', 'a full UTC hour; default: what the file says, else the hour that is running')
    .option('--reach <past>', 'say "past" where verdicts of the past are meant to change');

export function policyCommand(): Command {
  const command = new Command('policy')
    .description('what the site accepts as evidence, and what it exempts')
    .addHelpText(
      'after',
      `\nExamples:\n  gpuledger policy show > policy.yaml\n  gpuledger policy check policy.yaml\n${EXIT_HELP}`,
    );
  withJson(
    withClient(
      command.command('show', { isDefault: true }).description('the policy in force, and its versions'),
    ),
  )
    .addHelpText('after', `\nExample:\n  gpuledger policy show --json\n${EXIT_HELP}`)
    .action(show);
  withBegin(
    command.command('check').description('say what a policy would change').argument('<file>', 'YAML or JSON'),
  )
    .addHelpText(
      'after',
      `
Judges the unaccounted time of the last 7 days again with it, and changes nothing.

Example:
  gpuledger policy check policy.yaml
${EXIT_HELP}`,
    )
    .action(put(true));
  withBegin(
    command
      .command('set')
      .description('set the whole policy from an hour on')
      .argument('<file>', 'YAML or JSON'),
  )
    .addHelpText(
      'after',
      `
A policy replaces the whole one before it. An exemption counts from now on, not before.

Example:
  gpuledger policy set policy.yaml --from 2026-11-01T00:00:00Z
${EXIT_HELP}`,
    )
    .action(put(false));
  return command;
}
