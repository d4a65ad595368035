/** `gpuledger start` (npm start): builds the pages, runs the service and a local agent beside it, and stops both in order. */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { readConfig } from '../config.ts';
import { CliError, EXIT_HELP } from './exit.ts';
import { note, print } from './output.ts';
import { startService, stopRequested, tokenFile, withService } from './serve.ts';

const TOP = fileURLToPath(new URL('../../', import.meta.url));
const WEB = join(TOP, 'web');
const BUILT = join(WEB, 'dist', 'index.html');
const SOURCES_MAX = 5_000;
const RESTART_FIRST_MS = 1_000;
const RESTART_LAST_MS = 60_000;
/** An agent that ran this long had started well: the next restart is quick again. */
const STEADY_MS = 60_000;
const AGENT_STOP_MS = 15_000;

/** Newest change among the sources of the pages; 0 where there are none (an installation without them). */
function newestSourceMs(): number {
  const entries = readdirSync(WEB, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(join(WEB, 'dist')))
    .slice(0, SOURCES_MAX);
  return Math.max(0, ...entries.map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs));
}

/** Builds the pages where they are missing or older than their sources. Without them the API still works. */
export async function buildPages(): Promise<void> {
  if (!existsSync(WEB) || (existsSync(BUILT) && statSync(BUILT).mtimeMs >= newestSourceMs())) return;
  const vite = join(TOP, 'node_modules', 'vite', 'bin', 'vite.js');
  if (!existsSync(vite)) {
    if (!existsSync(BUILT)) note('gpuledger: the pages are not built, and vite is not installed: run npm ci');
    return;
  }
  note('gpuledger: building the pages');
  const child = spawn(process.execPath, [vite, 'build', WEB, '--logLevel', 'warn'], {
    cwd: TOP,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const code = await new Promise((resolve) => {
    child.once('error', () => resolve(1));
    child.once('exit', resolve);
  });
  if (code !== 0 && !existsSync(BUILT))
    note('gpuledger: the pages could not be built; the API works without them');
}

function hasNvidiaSmi(): boolean {
  const given = process.env['GPULEDGER_NVIDIA_SMI'];
  const candidates = given
    ? [given]
    : (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'nvidia-smi'));
  return candidates.some((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

interface LocalAgent {
  /** Asks it to send its last batch, and waits for that. */
  stop(): Promise<void>;
}

/** Keeps an agent running; in a process group of its own, so that Ctrl-C does not stop it before it is asked to. */
function startAgent(args: readonly string[]): LocalAgent {
  let child: ChildProcess | null = null;
  let stopping = false;
  let delayMs = RESTART_FIRST_MS;
  let timer: NodeJS.Timeout | null = null;
  const launch = (): void => {
    const startedMs = Date.now();
    child = spawn(process.execPath, [join(TOP, 'collector', 'bin.js'), 'run', ...args], {
      // Should this process be killed, its agent must not stay behind unseen.
      env: { ...process.env, GPULEDGER_AGENT_PARENT: String(process.pid) },
      stdio: ['ignore', 'ignore', 'inherit'],
      detached: true,
    });
    child.once('exit', (code, signal) => {
      child = null;
      if (stopping) return;
      if (Date.now() - startedMs > STEADY_MS) delayMs = RESTART_FIRST_MS;
      const how = signal === null ? `code ${code}` : signal;
      note(`gpuledger: the local agent ended (${how}); starting it again in ${delayMs / 1000} s`);
      timer = setTimeout(launch, delayMs);
      delayMs = Math.min(RESTART_LAST_MS, delayMs * 2);
    });
    child.once('error', (error) => note(`gpuledger: the local agent could not be started: ${error.message}`));
  };
  launch();
  // Whatever ends this process, the agent must not stay behind unseen.
  process.once('exit', () => child?.kill('SIGTERM'));
  return {
    async stop() {
      stopping = true;
      if (timer !== null) clearTimeout(timer);
      const running = child;
      if (running === null || running.exitCode !== null) return;
      await new Promise<void>((resolve) => {
        const force = setTimeout(() => running.kill('SIGKILL'), AGENT_STOP_MS);
        running.once('exit', () => {
          clearTimeout(force);
          resolve();
        });
        running.kill('SIGTERM');
      });
    },
  };
}

async function start(flags: Record<string, unknown>): Promise<void> {
  const config = readConfig(flags, process.env);
  const stop = stopRequested();
  await buildPages();
  const { app, url } = await startService(config);
  const node = process.env['GPULEDGER_NODE'] || hostname().split('.')[0] || 'localhost';
  let agent: LocalAgent;
  try {
    const file = await tokenFile(app, config.data, 'agent-token', {
      name: `agent of ${node}`,
      role: 'agent',
      node,
    });
    const spool = join(config.data, 'agent-spool');
    agent = startAgent([
      ...['--api', url, '--cluster', config.cluster, '--node', node, '--token-file', file, '--spool', spool],
    ]);
  } catch (error) {
    await app.stop();
    throw error instanceof Error ? error : new CliError(String(error));
  }
  print(`gpuledger is ready. Sign in within 15 minutes, once: ${await app.signInLink()}`);
  if (!hasNvidiaSmi())
    print(
      'No NVIDIA driver here (nvidia-smi is missing), so this node has no GPUs. To see a simulated site: npm run demo',
    );
  await stop;
  note('gpuledger: stopping the agent, then the service');
  await agent.stop();
  await app.stop();
}

export const startCommand = (): Command =>
  withService(new Command('start').description('run the service and an agent for this machine'))
    .addHelpText(
      'after',
      `
Examples:
  gpuledger start
  gpuledger start --data /srv/gpuledger --port 9000
${EXIT_HELP}`,
    )
    .action(start);
