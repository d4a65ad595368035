/** `gpuledger findings`: what no declaration covers. */
import { Command, Option } from 'commander';
import { FINDING_KINDS, FindingDetail, FindingList } from '../contract/findings.ts';
import { createClient, withClient, withJson, withQuery } from './client.ts';
import { EXIT_HELP } from './exit.ts';
import { findingLines, sourceName, valueText } from './finding-text.ts';
import { hours, print, printJson, printTable, tableTime } from './output.ts';

type Flags = Record<string, string | undefined> & { all?: string; json?: string };

async function list(flags: Flags): Promise<void> {
  const { node, kind, reason, state, search, sort, limit, running } = flags;
  const answer = await createClient(flags).ask(
    FindingList,
    'GET',
    withQuery('/v1/findings', {
      ...{ node, kind, reason, state, search, sort, limit },
      running: running === undefined ? undefined : 'true',
    }),
  );
  if (flags.json) return printJson(answer);
  printTable(
    ['finding', 'severity', 'score', 'last seen', 'node', 'source', 'user', 'reason', 'active h', 'value'],
    answer.items.map((finding) => [
      finding.id,
      finding.state === 'provisional' ? 'awaiting' : finding.severity,
      String(finding.score),
      finding.running ? 'running' : tableTime(finding.lastSeen),
      finding.node,
      sourceName(finding),
      finding.source.user,
      finding.reason,
      hours(finding.activeMs),
      valueText(finding),
    ]),
    [node, kind, reason, state, search, running].some((one) => one !== undefined)
      ? 'No finding matches.'
      : 'No findings: everything that was measured has a matching declaration.',
    ['severity', 'value', 'user'],
  );
  if (answer.nextCursor !== null) print('There are more; narrow the list, or raise --limit.');
}

async function show(id: string, flags: Flags): Promise<void> {
  const finding = await createClient(flags).ask(
    FindingDetail,
    'GET',
    `/v1/findings/${encodeURIComponent(id)}`,
  );
  if (flags.json) return printJson(finding);
  for (const line of findingLines(finding)) print(line);
}

export function findingsCommand(): Command {
  const command = new Command('findings')
    .description('use that no declaration covers')
    .addHelpText(
      'after',
      `\nExamples:\n  gpuledger findings list --running\n  gpuledger findings show f_0123456789abcdef\n${EXIT_HELP}`,
    );
  withJson(withClient(command.command('list', { isDefault: true }).description('findings by source process')))
    .option('--node <node>', 'on this node')
    .addOption(new Option('--kind <kind>', 'what it is about').choices(FINDING_KINDS))
    .option('--reason <reason>', 'such as foreign_in_job')
    .addOption(new Option('--state <state>', 'awaiting a record or not').choices(['provisional', 'settled']))
    .option('--running', 'only those still running')
    .option('--search <text>', 'part of executable, user, node or job')
    .option('--sort <column>', 'lastSeen, firstSeen, activeMs, residentMs, value, severity or rank')
    .option('--limit <rows>', 'at most 500')
    .addHelpText(
      'after',
      `
--sort rank orders by severity, and within it by the score of the signals, which is of 100 and no verdict.
Severity "awaiting" means that a record of a declaration may still come; it is not counted anywhere yet.

Examples:
  gpuledger findings list --running
  gpuledger findings list --kind integrity
  gpuledger findings list --reason foreign_in_job --sort value --json
${EXIT_HELP}`,
    )
    .action(list);
  withJson(
    withClient(
      command
        .command('show')
        .description('one finding and its story')
        .argument('<finding>', 'such as f_0123456789abcdef'),
    ),
  )
    .addHelpText('after', `\nExample:\n  gpuledger findings show f_0123456789abcdef\n${EXIT_HELP}`)
    .action(show);
  return command;
}
