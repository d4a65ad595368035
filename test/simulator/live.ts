/**
 * Live time of the demo: every node gets a folder with a stand-in nvidia-smi and a rendered /proc that this process
 * keeps up to date, and a real agent process that reads them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createAnswerFolder } from '../fakes/answers.ts';
import type { Feed } from './feed.ts';
import type { SimNode } from './model.ts';
import { renderPasswd, type Spooled } from './ports.ts';
import { createProcFolder } from './proc-folder.ts';
import { createNodeView } from './snapshot.ts';

export const LIVE_POLL_SECONDS = 5;
const UPDATE_MS = 1000;
const FEED_MS = 5000;
/** Agents start one after another, as they would over a site. */
const STAGGER_MS = 350;
const STOP_MS = 8000;
/** Where an agent keeps what it knows of processes. */
const PROCESS_STATE = 'processes.json';
const AGENT = fileURLToPath(new URL('../../collector/cli/main.ts', import.meta.url));

interface LiveNode {
  readonly node: SimNode;
  readonly token: string;
  /** What the history's agent left on its disk: the live one goes on with its stream. */
  readonly spooled: Spooled;
}

export interface LiveOptions {
  readonly folder: string;
  readonly url: string;
  readonly cluster: string;
  readonly nodes: readonly LiveNode[];
  readonly feed: Feed;
  /** Something of the simulation went wrong and goes on without it. */
  complain(message: string): void;
}

export interface LiveSite {
  /** Resolves when every agent runs. */
  readonly started: Promise<void>;
  stop(): Promise<void>;
}

export function goLive(options: LiveOptions): LiveSite {
  const agents: ChildProcess[] = [];
  const stopped = new AbortController();
  const stations = options.nodes.map((node) => createStation(options, node));
  const update = (): void => {
    const nowMs = Date.now();
    for (const station of stations) station.update(nowMs);
  };
  update();
  const timers = [setInterval(update, UPDATE_MS), setInterval(() => void feedNow(), FEED_MS)];

  let feeding = false;
  const feedNow = async (): Promise<void> => {
    if (feeding) return;
    feeding = true;
    try {
      await options.feed.advance(Date.now());
    } catch (error) {
      options.complain(`the scheduler feed: ${String(error)}`);
    }
    feeding = false;
  };

  const startAll = async (): Promise<void> => {
    for (const station of stations) {
      if (stopped.signal.aborted) return;
      agents.push(startAgent(station.args, options, stopped.signal));
      await new Promise((resolve) => setTimeout(resolve, STAGGER_MS));
    }
  };
  const started = startAll();

  return {
    started,
    async stop() {
      stopped.abort();
      await started;
      await Promise.all(agents.map(stopAgent));
      for (const timer of timers) clearInterval(timer);
    },
  };
}

interface Station {
  readonly args: readonly string[];
  update(nowMs: number): void;
}

function createStation(options: LiveOptions, { node, token, spooled }: LiveNode): Station {
  const folder = join(options.folder, node.name);
  const spool = join(folder, 'spool');
  for (const [path, bytes] of spooled) {
    // The live agent cannot read the inodes of executables that are only rendered: to it they would seem replaced.
    if (path === PROCESS_STATE) continue;
    const target = join(spool, path);
    mkdirSync(bytes === null ? target : dirname(target), { recursive: true });
    if (bytes !== null) writeFileSync(target, bytes);
  }
  const answers = createAnswerFolder(join(folder, 'bin'));
  const proc = createProcFolder(join(folder, 'proc'));
  const tokenFile = join(folder, 'token');
  const passwd = join(folder, 'passwd');
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
  writeFileSync(passwd, renderPasswd(node));
  const view = createNodeView(node);
  return {
    args: [
      ...['--api', options.url, '--cluster', options.cluster, '--node', node.name],
      ...['--token-file', tokenFile, '--spool', spool, '--poll', String(LIVE_POLL_SECONDS)],
      ...['--nvidia-smi', answers.path, '--proc', join(folder, 'proc'), '--passwd', passwd],
    ],
    update: (nowMs) => {
      const state = view.at(nowMs);
      proc.update(state);
      answers.write(state);
    },
  };
}

function startAgent(args: readonly string[], options: LiveOptions, stopped: AbortSignal): ChildProcess {
  const child = spawn(process.execPath, [AGENT, 'run', ...args], {
    env: { ...process.env, GPULEDGER_AGENT_PARENT: String(process.pid) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (child.stderr !== null)
    createInterface(child.stderr).on('line', (line) => {
      if (!stopped.aborted && / gpuledger-agent info /.test(line) === false) options.complain(line);
    });
  child.once('exit', (code, signal) => {
    if (!stopped.aborted) options.complain(`an agent ended: ${code ?? signal}`);
  });
  return child;
}

async function stopAgent(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await gone;
  clearTimeout(timer);
}
