/**
 * `npm run bench:agent`: what the agent costs, beside what others cost, on this machine and in one run. A table on
 * standard error, JSON on standard output.
 *
 *     node test/bench/agent.ts [--seconds 120] [--references 60]
 *
 * The agent runs as it is installed, at its default pace, for `--seconds` after a warm-up: shares of a core are measured
 * at that pace and scaled by nothing. A second run, as long, leaves the sweeps of the whole node out. CPU is the kernel's
 * count of the agent's own threads, added up by parts in a third run for `--references`; nvidia-smi is a stand-in whose
 * cost says nothing about the real one and stands apart. One thing at a time is measured. It installs nothing: what it
 * compares with is `apt-get install prometheus-node-exporter`.
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
import { type Cpu, childrenOf, cpuOf, type Memory, memoryOf, writtenBytesOf } from './usage.ts';

const SIZE: LoadSize = { gpus: 8, gpuProcesses: 16, otherProcesses: 1000 };
const POLL_MS = 5000;
const WARM_UP_MS = 30_000;
const BARE_MS = 5000;
const HOUR_MS = 3_600_000;
const BENCH_TOKEN = 'glt_bench';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const AGENT = path('../../collector/bin.js');
const WITHOUT_SWEEPS = ['--import', path('without-sweeps.ts')];
const NODE_EXPORTER = 'prometheus-node-exporter';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    references: { type: 'string', default: '60' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  process.stdout.write(`npm run bench:agent -- [options]

  --seconds <count>     how long the agent is measured (120)
  --references <count>  seconds for each of those beside it (60)

A table on standard error, JSON on standard output.
`);
  process.exit(0);
}
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

/** The shell that starts programs is the agent's own, what it starts is nvidia-smi. Pages that both share count once. */
function withShells({ cpu, memory, ms }: Window, shells: readonly number[], before: readonly Cpu[]): Window {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const after = shells.map(cpuOf);
  const spent = (of: keyof Cpu): number =>
    sum(after.map((cpu) => cpu[of])) - sum(before.map((cpu) => cpu[of]));
  const pssBytes = sum(shells.map((pid) => memoryOf(pid).pssBytes));
  return {
    ms,
    cpu: { ownMs: cpu.ownMs + spent('ownMs'), childrenMs: cpu.childrenMs + spent('childrenMs') },
    memory: {
      rssBytes: memory.rssBytes + pssBytes,
      pssBytes: memory.pssBytes + pssBytes,
      anonymousBytes: memory.anonymousBytes + sum(shells.map((pid) => memoryOf(pid).anonymousBytes)),
    },
  };
}

/** `flags`: further ones of Node. */
async function measureAgent(
  folder: string,
  load: NodeLoad,
  flags: readonly string[] = [],
): Promise<Pick<Result, 'agent' | 'bytes'>> {
  const receiver = await startReceiver();
  const spool = mkdtempSync(join(folder, 'spool-'));
  const args = ['run', '--api', receiver.url, '--node', 'bench', '--spool', spool];
  const child = spawn(process.execPath, [...flags, AGENT, ...args, '--nvidia-smi', load.nvidiaSmi], {
    env: { ...process.env, GPULEDGER_TOKEN: BENCH_TOKEN },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  try {
    const pid = pidOf(child);
    await rest(WARM_UP_MS);
    const opening = receiver.received();
    const written = writtenBytesOf(pid);
    const shells = childrenOf(pid);
    const before = shells.map(cpuOf);
    const window = withShells(await measure(pid, measureMs), shells, before);
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

/** What a program of this folder prints, run as the agent is. */
async function output(name: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [...LEAN_FLAGS, path(name), ...args]);
  return stdout;
}

async function measureParts(folder: string, load: NodeLoad): Promise<Result['parts']> {
  const receiver = await startReceiver();
  try {
    const times = [WARM_UP_MS, referenceMs].map(String);
    const args = [receiver.url, join(folder, 'spool-of-parts'), load.nvidiaSmi, ...times];
    return JSON.parse(await output('agent-parts.ts', ...args));
  } finally {
    await receiver.stop();
  }
}

/** CPU of what the agent starts once an hour to describe the machine, and of all that this starts. */
async function measureInventory(): Promise<number> {
  const before = cpuOf(process.pid);
  await promisify(execFile)(process.execPath, [path('../../collector/host-program.ts')]);
  return cpuOf(process.pid).childrenMs - before.childrenMs;
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

/** Null where it is not installed. */
async function measureNodeExporter(): Promise<Cost | null> {
  if (!has(NODE_EXPORTER)) return null;
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
  void load.stop();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => void load.stop().finally(() => process.exit(1)));
const say = (what: string): boolean => process.stderr.write(`${what} …\n`);

say(`the agent: ${(WARM_UP_MS + measureMs) / 1000} s`);
const { agent, bytes } = await measureAgent(folder, load);
say(`the same without its sweeps: ${(WARM_UP_MS + measureMs) / 1000} s`);
const { agent: withoutSweeps } = await measureAgent(folder, load, WITHOUT_SWEEPS);
say(`its parts: ${(WARM_UP_MS + referenceMs) / 1000} s and about 60 s`);
const parts = await measureParts(folder, load);
const processes = JSON.parse(await output('poll-parts.ts', ...load.gpuPids.map(String)));
const inventoryMs = await measureInventory();
const bareNode = await measureBareNode();
say(`${NODE_EXPORTER}: ${referenceMs / 1000} s`);
const nodeExporter = await measureNodeExporter();
say(`systeminformation: ${referenceMs / 1000} s`);
const systemInformation = await measureSystemInformation();
await load.stop();

const percentOfCore = (ms: number, everyMs: number): number => (100 * ms) / everyMs;
const result: Result = {
  load: { ...SIZE, inJobs: load.inJobs },
  pollMs: POLL_MS,
  measuredMs: measureMs,
  agent,
  percentOfCore: {
    gpuProcesses: withoutSweeps.ownPercentOfCore,
    withSweeps: agent.ownPercentOfCore + percentOfCore(inventoryMs, HOUR_MS),
    hourlyInventory: percentOfCore(inventoryMs, HOUR_MS),
    standInNvidiaSmi: percentOfCore(agent.childrenMsPerPoll, POLL_MS),
  },
  parts,
  processes,
  bytes,
  bareNode,
  nodeExporter,
  systemInformation,
};
process.stderr.write(showTable(result));
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
process.exit(0);
