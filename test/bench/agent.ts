/**
 * `npm run bench:agent`: what the agent costs, beside what others cost, on this machine and in one run. A table on
 * standard error, JSON on standard output.
 *
 *     node test/bench/agent.ts [--seconds 120] [--references 60]
 *
 * The agent runs as it is installed, at its default pace, for `--seconds` after a warm-up: shares of a core are measured
 * at that pace and scaled by nothing. CPU is the kernel's count of the agent's own threads; nvidia-smi is a stand-in
 * whose cost says nothing about the real one and stands apart. One thing at a time is measured.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { LEAN_FLAGS } from '../../collector/cli/hand-over.ts';
import { type LoadSize, type NodeLoad, startLoad } from './node-load.ts';
import { startReceiver } from './receiver.ts';
import { type Cost, type Result, showTable } from './table.ts';
import { type Cpu, cpuOf, type Memory, memoryOf, writtenBytesOf } from './usage.ts';

const SIZE: LoadSize = { gpus: 8, gpuProcesses: 16, otherProcesses: 1000 };
const POLL_MS = 5000;
const WARM_UP_MS = 30_000;
const BARE_MS = 5000;
const HOUR_MS = 3_600_000;
const BENCH_TOKEN = 'glt_bench';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const AGENT = path('../../collector/bin.js');
const NODE_EXPORTER = 'prometheus-node-exporter';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    references: { type: 'string', default: '60' },
  },
});
const measureMs = Number(values.seconds) * 1000;
const referenceMs = Number(values.references) * 1000;

interface Window {
  readonly cpu: Cpu;
  readonly memory: Memory;
  readonly ms: number;
}

/** CPU of a process over a time, and its memory at the end: by then it has everything that it needs. */
async function measure(pid: number, ms: number): Promise<Window> {
  const before = cpuOf(pid);
  const startedMs = performance.now();
  await rest(ms);
  const after = cpuOf(pid);
  return {
    cpu: { ownMs: after.ownMs - before.ownMs, childrenMs: after.childrenMs - before.childrenMs },
    memory: memoryOf(pid),
    ms: performance.now() - startedMs,
  };
}

function costOf(name: string, { cpu, memory, ms }: Window): Cost {
  const polls = ms / POLL_MS;
  return {
    name,
    ownMsPerPoll: cpu.ownMs / polls,
    childrenMsPerPoll: cpu.childrenMs / polls,
    ownPercentOfCore: (100 * cpu.ownMs) / ms,
    ...memory,
  };
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGTERM');
  await closed;
}

const pidOf = (child: ChildProcess): number => {
  if (child.pid === undefined) throw new Error(`could not start ${child.spawnfile}`);
  return child.pid;
};

async function measureAgent(folder: string, load: NodeLoad): Promise<Pick<Result, 'agent' | 'bytes'>> {
  const receiver = await startReceiver();
  const args = ['run', '--api', receiver.url, '--node', 'bench', '--spool', join(folder, 'spool')];
  const child = spawn(process.execPath, [AGENT, ...args, '--nvidia-smi', load.nvidiaSmi], {
    env: { ...process.env, GPULEDGER_TOKEN: BENCH_TOKEN },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  try {
    const pid = pidOf(child);
    await rest(WARM_UP_MS);
    const opening = receiver.received();
    const written = writtenBytesOf(pid);
    const window = await measure(pid, measureMs);
    const closing = receiver.received();
    if (closing.batches === opening.batches) throw new Error('the agent sent nothing while it was measured');
    // What an hour's first batches hold (inventory, all processes) comes once an hour, as it did in the warm-up.
    const perGpuHour = (once: number, meanwhile: number): number =>
      Math.round((once + (meanwhile * HOUR_MS) / window.ms) / SIZE.gpus);
    return {
      agent: costOf('gpuledger-agent', window),
      bytes: {
        wirePerGpuHour: perGpuHour(opening.wireBytes, closing.wireBytes - opening.wireBytes),
        spoolPerGpuHour: perGpuHour(opening.batchBytes, closing.batchBytes - opening.batchBytes),
        diskWritesPerGpuHour: perGpuHour(written, writtenBytesOf(pid) - written),
        requestsPerHour: ((closing.requests - opening.requests) * HOUR_MS) / window.ms,
      },
    };
  } finally {
    await stopped(child);
    await receiver.stop();
  }
}

async function measureParts(load: NodeLoad): Promise<Result['parts']> {
  const args = [...LEAN_FLAGS, path('poll-parts.ts'), ...load.gpuPids.map(String)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}

async function measureBareNode(): Promise<Cost> {
  const child = spawn(process.execPath, ['-e', `setInterval(() => {}, ${POLL_MS})`], { stdio: 'ignore' });
  try {
    // Its start is not idling.
    await rest(1000);
    return costOf(`Node ${process.versions.node}, idle`, await measure(pidOf(child), BARE_MS));
  } finally {
    await stopped(child);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return address !== null && typeof address === 'object' ? address.port : 0;
}

const has = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** Installs it where that is possible; null where it is not. */
async function measureNodeExporter(): Promise<Cost | null> {
  if (!has(NODE_EXPORTER) && process.getuid?.() === 0 && has('apt-get'))
    spawn('apt-get', ['install', '-y', '--no-install-recommends', NODE_EXPORTER], { stdio: 'ignore' });
  for (let waitedMs = 0; !has(NODE_EXPORTER); waitedMs += 1000) {
    if (waitedMs >= 120_000 || process.getuid?.() !== 0) return null;
    await rest(1000);
  }
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(NODE_EXPORTER, [`--web.listen-address=${address}`], { stdio: 'ignore' });
  const scrape = async (): Promise<void> => {
    await fetch(`http://${address}/metrics`).then(
      (response) => response.arrayBuffer(),
      () => undefined,
    );
  };
  await rest(1000);
  await scrape();
  const timer = setInterval(() => void scrape(), POLL_MS);
  try {
    return costOf(`${NODE_EXPORTER}, scraped`, await measure(pidOf(child), referenceMs));
  } finally {
    clearInterval(timer);
    await stopped(child);
  }
}

async function measureSystemInformation(): Promise<Cost> {
  const child = spawn(process.execPath, [path('systeminformation.ts'), String(POLL_MS)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    // The first round finds out what the machine has.
    await once(child.stdout, 'data');
    child.stdout.resume();
    return costOf('systeminformation, polled', await measure(pidOf(child), referenceMs));
  } finally {
    await stopped(child);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'gpuledger-bench-'));
const load = await startLoad(folder, SIZE);
process.on('exit', () => {
  load.stop();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
const say = (what: string): boolean => process.stderr.write(`${what} …\n`);

say(`the agent: ${(WARM_UP_MS + measureMs) / 1000} s`);
const { agent, bytes } = await measureAgent(folder, load);
say('its parts: about 20 s');
const parts = await measureParts(load);
const bareNode = await measureBareNode();
say(`${NODE_EXPORTER}: ${referenceMs / 1000} s`);
const nodeExporter = await measureNodeExporter();
say(`systeminformation: ${referenceMs / 1000} s`);
const systemInformation = await measureSystemInformation();
load.stop();

const sweepPercentOfCore = parts.sweep.meanMicros / (parts.sweep.everyMs * 10);
const result: Result = {
  load: SIZE,
  pollMs: POLL_MS,
  measuredMs: measureMs,
  agent,
  withoutSweepsPercentOfCore: Math.max(0, agent.ownPercentOfCore - sweepPercentOfCore),
  sweepPercentOfCore,
  parts,
  bytes,
  bareNode,
  nodeExporter,
  systemInformation,
};
process.stderr.write(showTable(result));
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exit(0);
