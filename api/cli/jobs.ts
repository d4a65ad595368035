/** `gpuledger jobs`: declare, end and list jobs. */
import { Command, Option } from 'commander';
import { z } from 'zod';
import { JobList, JobOut } from '../contract/jobs.ts';
import { createClient, withClient, withJson, withQuery } from './client.ts';
import { CliError, EXIT, EXIT_HELP } from './exit.ts';
import { hours, print, printJson, printTable, tableTime, visible } from './output.ts';

/** For options that may be given again and again. */
export const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

/** What `declare` and `run` take of what a job says it runs. */
export const SaidOptions = {
  image: z.string().optional(),
  entrypoint: z.string().optional(),
  commandPattern: z.string().optional(),
  peer: z.array(z.string()).optional(),
  processesPerDevice: z.string().optional(),
  within: z.string().optional(),
};

/** The same as the API takes it; what is not given is not sent. */
export function said(options: z.output<z.ZodObject<typeof SaidOptions>>): Record<string, unknown> {
  const { image, entrypoint, commandPattern, peer, processesPerDevice, within } = options;
  return {
    image,
    entrypoint: entrypoint?.split(/\s+/).filter(Boolean),
    commandPattern,
    peers: peer,
    processesPerDevice: processesPerDevice === undefined ? undefined : parseCount(processesPerDevice),
    within: within === undefined ? undefined : parseWithin(within),
  };
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text))
    throw new CliError('--processes-per-device must be a number from 1 to 4096', EXIT.usage);
  return Number(text);
}

/** "slurm/8101". */
function parseWithin(text: string): { source: string; externalId: string } {
  const [, source, externalId] = /^([^/]+)\/(.+)$/.exec(text) ?? [];
  if (source === undefined || externalId === undefined)
    throw new CliError(`--within ${text} is not a source and an id such as slurm/8101`, EXIT.usage);
  return { source, externalId };
}

/** Adds the options that `said` reads. */
export const withSaid = (command: Command): Command =>
  command
    .option('--image <reference>', 'image of its container, kept as a record')
    .option('--entrypoint <words>', 'with what the command line of its root begins')
    .option('--command-pattern <glob>', 'what command lines on devices look like, * for anything')
    .option('--peer <peer>', 'address range or host:port that it expects to reach; repeatable', collect)
    .option('--processes-per-device <number>', 'how many of its processes use a device at a time, at most')
    .option('--within <source/id>', 'the job that it runs inside of, such as slurm/8101');

const DeclareOptions = z.object({
  account: z.string(),
  id: z.string(),
  source: z.string(),
  instance: z.string().optional(),
  incarnation: z.string().optional(),
  name: z.string().optional(),
  user: z.string().optional(),
  uid: z.string().optional(),
  start: z.string().optional(),
  end: z.string().optional(),
  on: z.array(z.string()).default([]),
  boundary: z.array(z.string()).optional(),
  exec: z.array(z.string()).default([]),
  ...SaidOptions,
  json: z.boolean().optional(),
});

/** "gpu-n1", "gpu-n1:2" (that many devices) or "gpu-n1=UUID,UUID". */
function parseAllocation(text: string): { node: string; count?: number; devices?: string[] } {
  const [node = '', devices] = text.split('=', 2);
  if (devices !== undefined) return { node, devices: devices.split(',') };
  const counted = /^(.+):(\d+)$/.exec(text);
  return counted?.[1] !== undefined ? { node: counted[1], count: Number(counted[2]) } : { node: text };
}

/** Accepts what people write ("2026-10-01", "2026-10-01 12:00") as UTC. */
export function parseTime(text: string, flag: string): string {
  const full = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text.replace(' ', 'T');
  const zoned = /(Z|[+-]\d\d:\d\d)$/i.test(full) ? full : `${full}Z`;
  const ms = Date.parse(zoned);
  if (Number.isNaN(ms))
    throw new CliError(`${flag} ${text} is not a time such as 2026-10-01T12:00:00Z`, EXIT.usage);
  return new Date(ms).toISOString();
}

async function declare(flags: unknown): Promise<void> {
  const options = DeclareOptions.parse(flags);
  const client = createClient(flags);
  const job = await client.ask(JobOut, 'POST', '/v1/jobs', {
    source: options.source,
    sourceInstance: options.instance,
    externalId: options.id,
    incarnation: options.incarnation === undefined ? undefined : Number(options.incarnation),
    account: options.account,
    name: options.name,
    user: options.user,
    uid: options.uid === undefined ? undefined : Number(options.uid),
    start: options.start === undefined ? new Date().toISOString() : parseTime(options.start, '--start'),
    end: options.end === undefined ? undefined : parseTime(options.end, '--end'),
    allocations: options.on.map(parseAllocation),
    boundaries: options.boundary,
    executables: options.exec,
    ...said(options),
  });
  if (options.json) printJson(job);
  else
    print(
      `${job.id} version ${job.version}: ${visible(job.source)}/${visible(job.externalId)}, account ${visible(job.account)}`,
    );
}

async function end(id: string, flags: { at?: string; json?: boolean }): Promise<void> {
  const at = flags.at === undefined ? new Date().toISOString() : parseTime(flags.at, '--at');
  const client = createClient(flags);
  const job = await client.ask(JobOut, 'PATCH', `/v1/jobs/${encodeURIComponent(id)}`, { end: at });
  if (flags.json) printJson(job);
  else print(`${job.id} ended at ${job.end}`);
}

async function list(flags: Record<string, string | undefined> & { json?: string }): Promise<void> {
  const { account, user, source, state, search, from, to, limit } = flags;
  const answer = await createClient(flags).ask(
    JobList,
    'GET',
    withQuery('/v1/jobs', {
      ...{ account, user, source, state, search, limit },
      from: from === undefined ? undefined : parseTime(from, '--from'),
      to: to === undefined ? undefined : parseTime(to, '--to'),
    }),
  );
  if (flags.json) return printJson(answer);
  printTable(
    ['job', 'source', 'id', 'name', 'account', 'user', 'start', 'end', 'GPU-h', 'used h'],
    answer.items.map((job) => [
      ...[job.id, job.source, job.externalId, job.name, job.account, job.user],
      ...[tableTime(job.start), tableTime(job.end), hours(job.use.allocatedMs), hours(job.use.usedMs)],
    ]),
    'No jobs.',
    ['used h', 'user', 'name', 'source'],
  );
  if (answer.nextCursor !== null) print('There are more; narrow the list, or raise --limit.');
}

export function jobsCommand(): Command {
  const command = new Command('jobs')
    .description('declare, end, list and show jobs, and find conflicts')
    .addHelpText(
      'after',
      `
Examples:
  gpuledger jobs list --state running
  gpuledger jobs declare --account research --id train-7 --on gpu-n1:2
  gpuledger jobs end j_0123456789abcdef
  gpuledger jobs conflicts --running
${EXIT_HELP}`,
    );
  withSaid(withJson(withClient(command.command('declare').description('declare a job, or correct it'))))
    .requiredOption('--account <account>', 'who is charged')
    .requiredOption('--id <id>', 'its id at its source; the same id again is the same job')
    .option('--source <source>', 'slurm, kubernetes, docker, api, …', 'api')
    .option('--instance <name>', 'which of several sources of that kind')
    .option('--incarnation <number>', 'counts requeues of the same id')
    .option('--name <name>', 'what people call it')
    .option('--user <user>', 'OS account that it runs as')
    .option('--uid <uid>', 'numeric OS account')
    .option('--start <time>', 'default: now')
    .option('--end <time>', 'default: open')
    .option('--on <node[:count]|node=uuid,…>', 'what it was given; repeat for more nodes', collect)
    .option('--boundary <boundary>', 'kernel boundary such as slurm:8101; repeatable', collect)
    .option('--exec <path>', 'executable that it runs, * and ** allowed; repeatable', collect)
    .addHelpText(
      'after',
      `
Examples:
  gpuledger jobs declare --account research --id train-7 --on gpu-n1:2 --exec '/opt/envs/**/python*'
  gpuledger jobs declare --source slurm --id 8101 --account physics --user alice --on gpu-n1=GPU-1a…,GPU-2b…
${EXIT_HELP}`,
    )
    .action(declare);
  withJson(
    withClient(
      command.command('end').description('end a job').argument('<job>', 'such as j_0123456789abcdef'),
    ),
  )
    .option('--at <time>', 'default: now')
    .addHelpText('after', `\nExample:\n  gpuledger jobs end j_0123456789abcdef\n${EXIT_HELP}`)
    .action(end);
  withJson(withClient(command.command('list').description('jobs, newest start first')))
    .option('--account <account>', 'of this account')
    .option('--user <user>', 'of this OS account')
    .option('--source <source>', 'such as slurm')
    .addOption(new Option('--state <state>', 'still running or not').choices(['running', 'ended']))
    .option('--search <text>', 'part of id or name')
    .option('--from <time>', 'that ran after this')
    .option('--to <time>', 'that started before this')
    .option('--limit <rows>', 'at most 500')
    .addHelpText(
      'after',
      `\nExample:\n  gpuledger jobs list --account research --state running\n${EXIT_HELP}`,
    )
    .action(list);
  return command;
}
