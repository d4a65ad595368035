/** `gpuledger jobs show` and `conflicts`: one job with whom it is charged to, and who claims the same devices. */
import { type Command, Option } from 'commander';
import { type Conflict, ConflictList } from '../contract/conflicts.ts';
import { JobDetail } from '../contract/jobs.ts';
import { createClient, withClient, withJson, withQuery } from './client.ts';
import { EXIT_HELP } from './exit.ts';
import { parseTime } from './jobs.ts';
import { hours, print, printJson, printTable, tableTime, visible } from './output.ts';

type Charge = JobDetail['charged'][number];

function chargeText({ account, project, costCentre, mapped }: Charge): string {
  const more = [
    project === null ? [] : [`project ${visible(project)}`],
    costCentre === null ? [] : [`cost centre ${visible(costCentre)}`],
    mapped ? [] : ['not mapped: no rule matches, the declared account pays'],
  ].flat();
  return [`account ${visible(account)}`, ...more].join(', ');
}

const placeOf = ({ node, devices, indices, count }: JobDetail['allocations'][number]): string => {
  const what = indices?.length ?? devices?.length ?? count;
  return `${visible(node)} (${what === null ? 'all GPUs' : what === 1 ? '1 GPU' : `${what} GPUs`})`;
};

function printJob(job: JobDetail): void {
  const { use } = job;
  const lines: [string, string][] = [
    ['job', `${job.id}, version ${job.version}`],
    ['source', `${visible(job.source)}/${visible(job.sourceInstance)} ${visible(job.externalId)}`],
    ['name', visible(job.name)],
    ['declared', `account ${visible(job.account)}, user ${visible(job.user ?? '-')}`],
    ...job.charged.map((charge, index): [string, string] => [
      index === 0 ? 'charged to' : `from ${tableTime(charge.from)}`,
      chargeText(charge),
    ]),
    ['time', `${tableTime(job.start)} to ${job.end === null ? 'open end' : tableTime(job.end)}`],
    ['given', job.allocations.map(placeOf).join(', ') || 'nothing'],
    ['GPU-h', `allocated ${hours(use.allocatedMs)}, used ${hours(use.usedMs)}, held ${hours(use.heldMs)}`],
    ...Object.entries(job.attributes).map(([name, value]): [string, string] => [
      visible(name),
      visible(value),
    ]),
    ...job.overlaps.map((other): [string, string] => [
      'also claimed',
      `by ${visible(other.job.source)}/${visible(other.job.externalId)} on ${visible(other.node)}`,
    ]),
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  for (const [name, text] of lines) print(`${name.padEnd(width)}  ${text}`);
}

async function show(id: string, flags: { json?: boolean }): Promise<void> {
  const job = await createClient(flags).ask(JobDetail, 'GET', `/v1/jobs/${encodeURIComponent(id)}`);
  if (flags.json) printJson(job);
  else printJob(job);
}

function claimsText({ claims, moreClaims }: Conflict): string {
  const named = claims.map((job) => `${job.source}/${job.externalId} (${job.account})`);
  return [...named, ...(moreClaims > 0 ? [`${moreClaims} more`] : [])].join(' and ');
}

type ConflictFlags = Record<'account' | 'source' | 'node' | 'from' | 'to' | 'limit', string | undefined> & {
  readonly running?: boolean;
  readonly json?: boolean;
};

async function conflicts(flags: ConflictFlags): Promise<void> {
  const { account, source, node, from, to, limit, running } = flags;
  const path = withQuery('/v1/conflicts', {
    ...{ account, source, node, limit, state: running ? 'running' : undefined },
    from: from === undefined ? undefined : parseTime(from, '--from'),
    to: to === undefined ? undefined : parseTime(to, '--to'),
  });
  const answer = await createClient(flags).ask(ConflictList, 'GET', path);
  if (flags.json) return printJson(answer);
  printTable(
    ['node', 'GPUs', 'from', 'to', 'divided GPU-h', 'claimed by'],
    answer.items.map((one) => [
      ...[one.node, one.devices.map(({ device, index }) => index ?? device).join(' ')],
      ...[tableTime(one.from), one.running ? 'goes on' : tableTime(one.to)],
      ...[hours(one.contestedMs), claimsText(one)],
    ]),
    'No conflicts: no two jobs claim one device at one time.',
    ['claimed by', 'node'],
  );
  if (answer.nextCursor !== null) print('There are more; narrow the list, or raise --limit.');
}

/** Adds both to `gpuledger jobs`. */
export function withJobReading(command: Command): Command {
  withJson(
    withClient(
      command
        .command('show')
        .description('one job: what it declared, to whom it is charged, what it used')
        .argument('<job>', 'such as j_0123456789abcdef'),
    ),
  )
    .addHelpText('after', `\nExample:\n  gpuledger jobs show j_0123456789abcdef\n${EXIT_HELP}`)
    .action(show);
  withJson(
    withClient(command.command('conflicts').description('jobs that claim the same devices at the same time')),
  )
    .addOption(new Option('--running', 'that go on'))
    .option('--account <account>', 'in which a job of it takes part')
    .option('--source <source>', 'in which a job of it takes part')
    .option('--node <node>', 'on this node')
    .option('--from <time>', 'after this; default: seven days before --to')
    .option('--to <time>', 'before this; default: now')
    .option('--limit <rows>', 'at most 500')
    .addHelpText('after', `\nExample:\n  gpuledger jobs conflicts --running\n${EXIT_HELP}`)
    .action(conflicts);
  return command;
}
