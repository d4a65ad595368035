/** `gpuledger run`: declares a job, runs a command as its root process, ends the job, and passes code and signals on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { constants, hostname, userInfo } from 'node:os';
import { basename } from 'node:path';
import { Command } from 'commander';
import { z } from 'zod';
import { NodeList } from '../contract/fleet.ts';
import { JobOut } from '../contract/jobs.ts';
import { type Client, createClient, Unreachable, withClient } from './client.ts';
import { CliError, EXIT } from './exit.ts';
import { SaidOptions, said, withSaid } from './jobs.ts';
import { note } from './output.ts';

/**
 * The command waits until its declaration is there: the shell reads the job's id from descriptor 3, puts it into the
 * environment, and becomes the command. Pid and start time stay the same, so the declaration can name them before.
 */
const GATE = 'IFS= read -r GPULEDGER_JOB_ID <&3 || exit 125; exec 3<&-; export GPULEDGER_JOB_ID; exec "$@"';
const EXIT_CANNOT_START = 125;
const SIGNAL_BASE = 128;
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
const RETRY_FIRST_MS = 1_000;
const RETRY_LAST_MS = 30_000;
/** How long the end of a job may keep its command's caller waiting. */
const END_PATIENCE_MS = 10_000;
const NODE_PAGES_MAX = 40;

const RunOptions = z.object({
  account: z.string(),
  name: z.string().optional(),
  node: z.string().optional(),
  devices: z.string().optional(),
  gpus: z.string().optional(),
  exec: z.array(z.string()).default([]),
  ...SaidOptions,
  strict: z.boolean().default(false),
});
type RunOptions = z.infer<typeof RunOptions>;

function allocationOf(
  options: RunOptions,
  node: string,
): { node: string; devices?: string[]; count?: number } {
  if (options.devices !== undefined && options.gpus !== undefined)
    throw new CliError('give --devices or --gpus, not both', EXIT.usage);
  if (options.devices !== undefined) return { node, devices: options.devices.split(',').filter(Boolean) };
  if (options.gpus === undefined) return { node };
  if (!/^[1-9]\d?$/.test(options.gpus))
    throw new CliError('--gpus must be a number from 1 to 64', EXIT.usage);
  return { node, count: Number(options.gpus) };
}

/** Null where the numeric account has no name. */
function osAccount(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** Field 22 of /proc/PID/stat; the second, the name, may hold spaces and ends with the last parenthesis. */
function startTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}

/** As the agent of this machine calls it: the node that reports our boot id; else, as agents do, the host's name. */
async function nodeName(client: Client, given: string | undefined): Promise<string> {
  const wanted = given ?? process.env['GPULEDGER_NODE'];
  if (wanted) return wanted;
  const own = hostname().split('.')[0] || 'localhost';
  try {
    return (await nodeOfThisBoot(client, own)) ?? own;
  } catch (error) {
    // An owner's token may declare jobs and not list nodes.
    if (error instanceof CliError && !(error instanceof Unreachable)) return own;
    throw error;
  }
}

/** Several agents on one machine: the one of its name, else the one heard last. Null where none has reported. */
async function nodeOfThisBoot(client: Client, own: string): Promise<string | null> {
  const boot = bootId();
  const found: { name: string; lastHeard: string }[] = [];
  let cursor: string | null = '';
  for (let page = 0; cursor !== null && page < NODE_PAGES_MAX; page += 1) {
    const after: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const answer: z.infer<typeof NodeList> = await client.ask(NodeList, 'GET', `/v1/nodes?limit=500${after}`);
    for (const { name, agent } of answer.items)
      if (agent?.bootId === boot) found.push({ name, lastHeard: agent.lastHeard });
    cursor = answer.nextCursor;
  }
  found.sort((a, b) => (a.lastHeard < b.lastHeard ? 1 : -1));
  return found.find((one) => one.name === own)?.name ?? found[0]?.name ?? null;
}

/** One job's declaration, tried again until the service has it. */
class Declaration {
  readonly #client: Client;
  readonly #body: () => Promise<Record<string, unknown>>;
  #job: string | null = null;
  #end: string | null = null;
  #stopped = false;
  #refused = false;

  constructor(client: Client, body: () => Promise<Record<string, unknown>>) {
    this.#client = client;
    this.#body = body;
  }

  async declare(): Promise<string> {
    const body = { ...(await this.#body()), ...(this.#end === null ? {} : { end: this.#end }) };
    try {
      this.#job = (await this.#client.ask(JobOut, 'POST', '/v1/jobs', body)).id;
      return this.#job;
    } catch (error) {
      this.#refused = !(error instanceof Unreachable);
      throw error;
    }
  }

  /** Goes on in the background until it is there, or is refused, which trying again does not change. */
  async keepTrying(): Promise<void> {
    for (
      let delayMs = RETRY_FIRST_MS;
      !this.#stopped && !this.#refused;
      delayMs = Math.min(RETRY_LAST_MS, delayMs * 2)
    ) {
      await new Promise((resolve) => setTimeout(resolve, delayMs).unref());
      if (this.#stopped) return;
      try {
        const id = await this.declare();
        note(`gpuledger: declared now as ${id}`);
        return;
      } catch {
        // Said once already; the service may be away for long.
      }
    }
  }

  /** Ends the job, or declares it with its end where that has not worked yet. */
  async end(): Promise<void> {
    this.#stopped = true;
    if (this.#refused) return;
    this.#end = new Date().toISOString();
    const deadline = Date.now() + END_PATIENCE_MS;
    for (let delayMs = RETRY_FIRST_MS; ; delayMs *= 2) {
      try {
        if (this.#job === null) await this.declare();
        else await this.#client.ask(JobOut, 'PATCH', `/v1/jobs/${this.#job}`, { end: this.#end });
        return;
      } catch (error) {
        if (Date.now() + delayMs > deadline) {
          const how =
            this.#job === null
              ? 'was not declared'
              : `was not ended: gpuledger jobs end ${this.#job} --at ${this.#end}`;
          note(`gpuledger: the job ${how} (${error instanceof Error ? error.message : error})`);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }
}

function start(command: readonly string[]): { child: ChildProcess; ended: Promise<number> } {
  const environment = { ...process.env };
  // The command must not be able to speak for whoever declared it.
  delete environment['GPULEDGER_TOKEN'];
  const child = spawn('/bin/sh', ['-c', GATE, 'gpuledger-run', ...command], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: environment,
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      resolve(signal === null ? (code ?? EXIT.failed) : SIGNAL_BASE + constants.signals[signal]),
    );
  });
  for (const signal of FORWARDED)
    process.on(signal, () => {
      // Ctrl-C at a terminal reaches the command by itself; twice would be another order.
      if (process.stdin.isTTY && (signal === 'SIGINT' || signal === 'SIGQUIT')) return;
      child.kill(signal);
    });
  return { child, ended };
}

/** Lets the command go. `id` is empty where the job could not be declared. */
function open(child: ChildProcess, id: string | null): void {
  const gate = child.stdio[3];
  if (!gate || !('write' in gate)) throw new CliError('the command could not be started', EXIT_CANNOT_START);
  // It may have been killed meanwhile; its exit code tells.
  gate.on('error', () => undefined);
  if (id !== null) gate.write(`${id}\n`);
  gate.end();
}

async function run(command: string[], flags: unknown): Promise<void> {
  const options = RunOptions.parse(flags);
  const client = createClient(flags);
  const given = allocationOf(options, '');
  const { child, ended } = start(command);
  const pid = child.pid;
  if (pid === undefined) throw new CliError('/bin/sh could not be started', EXIT_CANNOT_START);
  const root = { bootId: bootId(), pid, startTicks: startTicks(pid) };
  const startedAt = new Date().toISOString();
  const externalId = randomUUID();
  const declaration = new Declaration(client, async () => {
    const node = await nodeName(client, options.node);
    return {
      ...{
        source: 'run',
        externalId,
        account: options.account,
        name: options.name ?? basename(command[0] ?? ''),
      },
      ...{ start: startedAt, uid: process.getuid?.() ?? null, user: osAccount() },
      ...{ allocations: [{ ...given, node }], executables: options.exec, root: { node, ...root } },
      ...said(options),
    };
  });
  try {
    open(child, await declaration.declare());
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (options.strict) {
      open(child, null);
      await ended;
      throw new CliError(`the job was not declared, so the command was not run: ${why}`);
    }
    const next = error instanceof Unreachable ? ', and trying again' : '';
    note(`gpuledger: running without a declaration${next}: ${why}`);
    open(child, externalId);
    void declaration.keepTrying();
  }
  const code = await ended;
  await declaration.end();
  process.exit(code);
}

export function runCommand(): Command {
  const command = new Command('run').description(
    'declare a job, run a command as its root process, end the job',
  );
  return withSaid(withClient(command))
    .requiredOption('--account <account>', 'who is charged')
    .option('--devices <uuids>', 'device UUIDs, by commas')
    .option('--gpus <number>', 'that many devices of this node; without both: the whole node')
    .option('--name <name>', 'what people call it; default: the program (arguments may hold secrets)')
    .option('--node <node>', 'this node, as its agent calls it (GPULEDGER_NODE; default: found by boot id)')
    .option(
      '--exec <path>',
      'executable that the job runs, * and ** allowed; repeatable',
      (value: string, before?: string[]) => [...(before ?? []), value],
    )
    .option('--strict', 'do not run the command when the service cannot be reached')
    .argument('<command...>', 'after --')
    .passThroughOptions()
    .addHelpText(
      'after',
      `
The exit code is the command's, or 128 and its signal's number. 125: it could not be started. The command finds its job in
GPULEDGER_JOB_ID. When the service is away the command runs all the same, and the declaration is tried again.

Examples:
  gpuledger run --account research --gpus 1 -- python train.py
  gpuledger run --account research --devices GPU-1a2b… --exec '/opt/envs/**/python*' -- ./train.sh`,
    )
    .action(run);
}
