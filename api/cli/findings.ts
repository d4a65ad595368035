/** `gpuledger findings`: what no declaration covers. */
import { Command, Option } from 'commander';
import { type Finding, FindingDetail, FindingList } from '../contract/findings.ts';
import { createClient, withClient, withJson, withQuery } from './client.ts';
import { EXIT_HELP } from './exit.ts';
import { hours, print, printJson, printTable, shortTime, visible } from './output.ts';

const value = (finding: Finding): string | null =>
  finding.value === null ? null : `${finding.value.amount} ${finding.value.currency}`;
const sourceName = (finding: Finding): string =>
  finding.source.executable ?? finding.source.comm ?? finding.devices.map((device) => device.uuid).join(' ');

type Flags = Record<string, string | undefined> & { all?: string; json?: string };

async function list(flags: Flags): Promise<void> {
  const { node, reason, state, search, sort, limit, running } = flags;
  const answer = await createClient(flags).ask(
    FindingList,
    'GET',
    withQuery('/v1/findings', {
      ...{ node, reason, state, search, sort, limit },
      running: running === undefined ? undefined : 'true',
    }),
  );
  if (flags.json) return printJson(answer);
  printTable(
    ['finding', 'severity', 'node', 'source', 'user', 'reason', 'active h', 'value', 'last seen'],
    answer.items.map((finding) => [
      finding.id,
      finding.state === 'provisional' ? 'awaiting' : finding.severity,
      finding.node,
      sourceName(finding),
      finding.source.user,
      finding.reason,
      hours(finding.activeMs),
      value(finding),
      finding.running ? 'running' : shortTime(finding.lastSeen),
    ]),
    'No findings: everything that was measured has a matching declaration.',
  );
  if (answer.nextCursor !== null) print('There are more; narrow the list, or raise --limit.');
}

const section = (title: string, lines: readonly string[]): void => {
  if (lines.length === 0) return;
  print(`\n${title}`);
  for (const line of lines) print(`  ${visible(line)}`);
};

/** The lineage as an indented tree; processes whose parent is not known stand at the left. */
function treeLines(finding: FindingDetail): string[] {
  const shown = finding.processes.filter(
    (process) => process.role === 'source' || process.role === 'ancestor',
  );
  const ids = new Set(shown.map((process) => process.id));
  const children = Map.groupBy(shown, (process) =>
    process.parentId !== null && ids.has(process.parentId) ? process.parentId : null,
  );
  const lines: string[] = [];
  const walk = (parent: string | null, depth: number): void => {
    for (const process of children.get(parent) ?? []) {
      const mark = process.role === 'source' ? ' ←' : '';
      const program = process.executable?.path ?? `[${process.comm}]`;
      const account = process.user ?? process.uid ?? 'unknown account';
      lines.push(`${'  '.repeat(depth)}${process.pid} ${program} (${account})${mark}`);
      walk(process.id, depth + 1);
    }
  };
  walk(null, 0);
  return lines;
}

async function show(id: string, flags: Flags): Promise<void> {
  const finding = await createClient(flags).ask(
    FindingDetail,
    'GET',
    `/v1/findings/${encodeURIComponent(id)}`,
  );
  if (flags.json) return printJson(finding);
  const { story } = finding;
  print(`${finding.id}  ${finding.severity}  ${finding.reason}  on ${visible(finding.node)}`);
  print(
    `${shortTime(finding.firstSeen)} to ${shortTime(finding.lastSeen)}${finding.running ? ', still running' : ''}`,
  );
  print(
    `${hours(finding.activeMs)} GPU-hours active, ${hours(finding.residentMs)} resident, value ${value(finding) ?? 'unknown (no rate)'}`,
  );
  section('Processes', treeLines(finding));
  section('Observed', story.observed);
  section('Not observed', story.notObserved);
  section(
    'Jobs that do not match',
    story.candidates.map(({ job, why }) => `${job.source}/${job.externalId} (${job.account}): ${why}`),
  );
  section('Innocent causes', story.innocentCauses);
  section('What would change this', story.wouldChange);
  section(
    'Already charged',
    finding.cost.charged.map(({ account, job, ms, amount }) => {
      const money = amount === null ? '' : `, ${amount.amount} ${amount.currency}`;
      return `${account}, job ${job.externalId}: ${hours(ms)} GPU-hours${money}`;
    }),
  );
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
    .option('--reason <reason>', 'such as foreign_in_job')
    .addOption(new Option('--state <state>', 'awaiting a record or not').choices(['provisional', 'settled']))
    .option('--running', 'only those still running')
    .option('--search <text>', 'part of executable, user, node or job')
    .option('--sort <column>', 'lastSeen, firstSeen, activeMs, residentMs, value or severity')
    .option('--limit <rows>', 'at most 500')
    .addHelpText(
      'after',
      `
Severity "awaiting" means that a record of a declaration may still come; it is not counted anywhere yet.

Examples:
  gpuledger findings list --running
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
