/**
 * Where the agent's time goes: the real agent in a process of its own, whose methods and ports are wrapped here to add up
 * the CPU time of its main thread. Prints JSON. Arguments: address of the service, spool folder, nvidia-smi, warm-up and
 * length of the measurement in ms.
 */
import { setTimeout as rest } from 'node:timers/promises';
import { createAgent } from '../../collector/agent.ts';
import { ConnectionBook } from '../../collector/connections.ts';
import { DeviceHolders } from '../../collector/device-holders.ts';
import { DialBook } from '../../collector/dials.ts';
import { HiddenProcesses } from '../../collector/hidden-processes.ts';
import { JobMembers } from '../../collector/job-members.ts';
import { createLauncher } from '../../collector/ports/launcher.ts';
import { createPorts } from '../../collector/ports/real.ts';
import { ProcessRegistry } from '../../collector/process-registry.ts';
import { Report } from '../../collector/report.ts';
import { SocketOwners } from '../../collector/socket-owners.ts';
import { Tools } from '../../collector/tools.ts';
import { settle, threadMicros } from './thread-cpu.ts';

const POLL_MS = 5000;
const [api = '', spoolFolder = '', nvidiaSmi = '', warmUpMs = '', measureMs = ''] = process.argv.slice(2);

const PROCESSES = 'GPU processes and their lineage in /proc';
const STARTS = 'starting nvidia-smi';
const BATCHES = 'writing batches';
const SENDING = 'sending batches';
const REST = 'answers of nvidia-smi, spans and the rest';
const OTHER_THREADS = 'other threads: collecting garbage, compressing';
const HOLDERS = 'descriptors of all processes';
const SOCKETS = 'members and sockets of jobs';
const CONTROL_GROUPS = 'mounts and control groups';
const TOOLS = 'the tools of the reading';
const PARTS = [
  ...[PROCESSES, STARTS, BATCHES, SENDING, REST, OTHER_THREADS].map((name) => ({ name, sweep: false })),
  ...[HOLDERS, SOCKETS, CONTROL_GROUPS, TOOLS].map((name) => ({ name, sweep: true })),
];

/** Microseconds by part, without what a part inside of it took. */
const spent = new Map<string, number>();
const running: string[] = [];
let sinceMicros = threadMicros();
const charges = new Map<string, number>();

/** What has passed since the last change of parts belongs to the innermost one. */
function charge(): void {
  settle();
  const nowMicros = threadMicros();
  const part = running.at(-1) ?? REST;
  charges.set(part, (charges.get(part) ?? 0) + 1);
  spent.set(part, (spent.get(part) ?? 0) + nowMicros - sinceMicros);
  sinceMicros = nowMicros;
}

function within<T>(part: string, act: () => T): T {
  charge();
  running.push(part);
  try {
    return act();
  } finally {
    charge();
    running.pop();
  }
}

function wrap(part: string, owner: object, ...methods: string[]): void {
  for (const method of methods) {
    const inner: unknown = Reflect.get(owner, method);
    if (typeof inner !== 'function') throw new Error(`no method ${method}`);
    Reflect.set(owner, method, function wrapped(this: unknown, ...args: unknown[]): unknown {
      return within(part, () => Reflect.apply(inner, this, args));
    });
  }
}
wrap(PROCESSES, ProcessRegistry.prototype, 'observe');
wrap(BATCHES, Report.prototype, 'write');
wrap(HOLDERS, DeviceHolders.prototype, 'step');
wrap(SOCKETS, JobMembers.prototype, 'scan');
wrap(SOCKETS, SocketOwners.prototype, 'read');
wrap(SOCKETS, ConnectionBook.prototype, 'update');
wrap(SOCKETS, DialBook.prototype, 'look');
wrap(CONTROL_GROUPS, HiddenProcesses.prototype, 'lookAtMounts', 'lookAtMembers');
wrap(TOOLS, Tools.prototype, 'look');

const real = createPorts({ apiUrl: api, token: () => 'glt_bench' });
const launch = createLauncher(real.execute);
const agent = createAgent(
  {
    cluster: 'main',
    node: 'bench',
    spoolFolder,
    spoolMaxBytes: 256 * 1024 * 1024,
    pollIntervalMs: POLL_MS,
    shipIntervalMs: 2 * POLL_MS,
    windowMs: 30_000,
    nvidiaSmi,
    procRoot: '/proc',
    passwdPath: '/etc/passwd',
    inventoryIntervalMs: 600_000,
  },
  {
    ...real,
    execute: (file, args, bounds) => within(STARTS, () => launch(file, args, bounds)),
    network: { send: (request) => within(SENDING, () => real.network.send(request)) },
  },
  () => undefined,
);

/** What `charge` itself takes, which it counts into the part that it ends. */
function chargeMicros(): number {
  const rounds = 500;
  const before = threadMicros();
  for (let i = 0; i < rounds; i += 1) settle();
  settle();
  return (threadMicros() - before) / rounds;
}

const each = chargeMicros();
const stop = new AbortController();
const ended = agent.run(stop.signal);
await rest(Number(warmUpMs));
charge();
spent.clear();
charges.clear();
const cpuBefore = process.cpuUsage();
const threadBefore = threadMicros();
const startedMs = performance.now();
await rest(Number(measureMs));
charge();
const polls = (performance.now() - startedMs) / POLL_MS;
const { user, system } = process.cpuUsage(cpuBefore);
spent.set(OTHER_THREADS, user + system - (threadMicros() - threadBefore));

const parts = PARTS.map(({ name, sweep }) => {
  const micros = (spent.get(name) ?? 0) - (charges.get(name) ?? 0) * each;
  return { name, sweep, microsPerPoll: Math.round(Math.max(0, micros) / polls) };
});
process.stdout.write(`${JSON.stringify(parts)}\n`);
stop.abort();
await ended;
await agent.stop();
