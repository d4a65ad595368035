/** `gpuledger-agent run`: watches this node's GPUs and reports to the service until it is told to stop. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { type AgentLog, createAgent } from '../agent.ts';
import { ConfigError, type RunConfig, readConfig } from '../config.ts';
import { AGENT_VERSION } from '../identity.ts';
import { createPorts } from '../ports/real.ts';
import { ShipError } from '../ports.ts';
import { SpoolError } from '../spool-files.ts';
import { bytesToText } from '../text.ts';

const EXAMPLES = `
The token is read from the file, or from GPULEDGER_TOKEN. Make one with:
  gpuledger token create --role agent --node gpu-n1

Examples:
  gpuledger-agent run --api http://ledger:8470 --node gpu-n1 --token-file /etc/gpuledger/token
  gpuledger-agent run --api http://127.0.0.1:8470 --poll 1 --spool ./spool --nvidia-smi ./nvidia-smi

It needs the host's pid namespace and the right to read other users' /proc (root, or CAP_SYS_PTRACE and
CAP_DAC_READ_SEARCH). Without nvidia-smi it stays up, reports that nothing is measured, and looks again each minute.`;

const MAX_LOG_CHARS = 500;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** A terminal and a parent that passes signals on may both send the same one. */
const SAME_SIGNAL_MS = 1000;
/** Exit codes: of a wrong setting or unusable folder, and after a second signal. */
const EXIT_USAGE = 2;
const EXIT_AT_ONCE = 130;

/** The sub-command. */
export function runCommand(): Command {
  return new Command('run')
    .description("watch this node's GPUs and report to the service")
    .option('--api <url>', 'address of the service (GPULEDGER_URL)')
    .option('--cluster <name>', 'cluster that the node belongs to (default: main)')
    .option('--node <name>', "name of the node (default: the host's name)")
    .option('--token-file <file>', 'file with the token of this agent')
    .option(
      '--spool <folder>',
      'where batches wait until the service has them (default: /var/lib/gpuledger-agent)',
    )
    .option('--spool-mib <number>', 'bound of the spool in MiB (default: 256)')
    .option('--poll <seconds>', 'time between two readings, 1 to 60 (default: 5)')
    .option('--ship <seconds>', 'time between two batches (default: 30)')
    .option('--inventory <seconds>', 'time between two inventories (default: 600)')
    .option('--nvidia-smi <path>', 'the tool to read the GPUs with (default: nvidia-smi)')
    .option('--proc <folder>', 'where /proc of the host is (default: /proc)')
    .option('--passwd <file>', 'names of users (default: /etc/passwd)')
    .option('--internal-range <network...>', "the site's own networks, beside the private ones")
    .addHelpText('after', EXAMPLES)
    .action(async (flags: Record<string, unknown>) => {
      process.exitCode = await run(flags);
    });
}

async function run(flags: Readonly<Record<string, unknown>>): Promise<number> {
  let release = (): void => undefined;
  try {
    const config = readConfig(flags, process.env);
    const token = tokenReader(config);
    token();
    release = lock(config.agent.spoolFolder);
    const stop = stopSignal();
    const agent = createAgent(config.agent, createPorts({ apiUrl: config.api, token }), log);
    const { cluster, node } = config.agent;
    log(
      'info',
      `version ${AGENT_VERSION} watches ${cluster}/${node} and reports to ${new URL(config.api).origin}`,
    );
    await agent.run(stop);
    log('info', 'stopping: the last batch goes out');
    await agent.stop();
    log('info', 'stopped');
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof SpoolError || error instanceof ShipError))
      throw error;
    process.stderr.write(`gpuledger-agent: ${error.message}\n`);
    return EXIT_USAGE;
  } finally {
    release();
  }
}

/** Read again for each request, so that a token can be replaced while the agent runs. */
function tokenReader({ tokenFile }: RunConfig): () => string {
  return () => {
    let token = process.env['GPULEDGER_TOKEN'] ?? '';
    if (tokenFile !== null) {
      try {
        token = readFileSync(tokenFile, 'utf8');
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new ShipError(`the token cannot be read (--token-file): ${why}`, true);
      }
    }
    token = token.trim();
    if (!/^[\x21-\x7e]{1,512}$/.test(token))
      throw new ShipError(
        'there is no token: give --token-file, or set GPULEDGER_TOKEN. ' +
          'Make one with: gpuledger token create --role agent --node NAME',
        true,
      );
    return token;
  };
}

/** The first signal asks for an orderly end, a second one ends at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  let firstMs = 0;
  for (const name of SIGNALS)
    process.on(name, () => {
      if (!controller.signal.aborted) {
        firstMs = performance.now();
        controller.abort();
      } else if (performance.now() - firstMs > SAME_SIGNAL_MS) process.exit(EXIT_AT_ONCE);
    });
  return controller.signal;
}

/** One line to standard error, safe for terminals and logs. */
const log: AgentLog = (level, message) => {
  const text = bytesToText(Buffer.from(message), MAX_LOG_CHARS).text;
  process.stderr.write(`${new Date().toISOString()} gpuledger-agent ${level} ${text}\n`);
};

/** Two agents on one spool would break its chain: the folder is marked with the process that uses it. */
function lock(folder: string): () => void {
  const path = join(folder, 'agent.lock');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const owner = readOwner(path);
    if (owner !== null && owner.pid !== process.pid && startTicksOf(owner.pid) === owner.startTicks)
      throw new SpoolError(
        `another agent (pid ${owner.pid}) uses the spool folder ${folder}. Stop it, or give each its own (--spool).`,
      );
    writeFileSync(path, `${process.pid} ${startTicksOf(process.pid)}\n`, { mode: 0o600 });
  } catch (error) {
    if (error instanceof SpoolError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new SpoolError(
      `cannot use the spool folder ${folder}: ${why}. Give a folder that the agent may write (--spool).`,
    );
  }
  return () => rmSync(path, { force: true });
}

function readOwner(path: string): { pid: number; startTicks: string } | null {
  try {
    const [, pid, startTicks] = /^(\d+) (\d+)\n$/.exec(readFileSync(path, 'utf8')) ?? [];
    return pid === undefined || startTicks === undefined ? null : { pid: Number(pid), startTicks };
  } catch {
    return null;
  }
}

/** "0" when there is no such process. */
function startTicksOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The 22nd field; the second one, the name, may hold spaces and ends with the last parenthesis.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '0';
  } catch {
    return '0';
  }
}
