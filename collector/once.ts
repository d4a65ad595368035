/** One reading, for looking at: what the agent would see of this node now. Sends nothing and keeps nothing. */

import type { DeviceFact, ExecutableFact, GapReason, ProcessFact } from '../api/contract/batch.ts';
import { type CgroupOwner, cgroupOwner } from '../api/contract/cgroup.ts';
import type { AgentConfig } from './agent.ts';
import type { Ports } from './ports.ts';
import { createProcessTable, type ProcessTable } from './processes.ts';
import type { DeviceReading, Inventory, ReadingProblem, Value } from './reading.ts';
import { createDevicePoller, readInventory } from './sources/nvidia-smi.ts';
import { messageOf } from './spool-files.ts';

/** A process that holds a GPU, and who its ancestors are. Text is escaped as in `ProcessFact`; secrets are redacted. */
export interface OnceProcess {
  /** "<pid>/<startTicks>"; "<pid>/?<ms>" where /proc does not show it. */
  readonly key: string;
  readonly pid: number;
  readonly startedMs: number | null;
  readonly uid: number | null;
  readonly user: string | null;
  readonly comm: string;
  readonly executable: ExecutableFact | null;
  readonly commandLine: string | null;
  readonly commandLineCut: boolean;
  readonly cgroup: string;
  readonly owner: CgroupOwner | null;
  readonly claims: ProcessFact['claims'];
  /** From its parent up to the first process of the node. */
  readonly lineage: readonly { readonly key: string; readonly comm: string; readonly uid: number | null }[];
  /** What could not be read of it, as "<part>: <why>". */
  readonly unreadable: readonly string[];
}

export interface OnceReading {
  readonly atMs: number;
  readonly cluster: string;
  readonly node: string;
  readonly bootId: string;
  readonly driverVersion: string | null;
  readonly accountingMode: Value<boolean>;
  /** Why not every device is known; null where an inventory names them all. */
  readonly failure: { readonly reason: GapReason; readonly detail: string } | null;
  readonly devices: readonly { readonly device: DeviceFact; readonly reading: DeviceReading }[];
  readonly processes: readonly OnceProcess[];
  readonly problems: readonly ReadingProblem[];
}

const MAX_LINEAGE = 64;
/** How the reader of a report says that it does not describe every device. */
const NOT_DESCRIBED = /^the driver has \d+ devices attached|^a device without a UUID/;
const NONE_DESCRIBED = { reason: 'device_missing', detail: 'nvidia-smi describes no GPU' } as const;

/** Never rejects for what a tool or /proc does. */
export async function readOnce(
  config: AgentConfig,
  ports: Pick<Ports, 'execute' | 'files' | 'clock'>,
): Promise<OnceReading> {
  const inventory = await readInventory(ports, config);
  const devices = inventory.devices ?? [];
  const reading = devices.length === 0 ? null : await createDevicePoller(ports, config).poll(devices);
  const atMs = Math.round(reading?.wallMs ?? ports.clock.wallMs());
  const table = createProcessTable(ports, config);
  const pids = (reading?.devices ?? []).flatMap((one) => (one.ok ? one.processes.map(({ pid }) => pid) : []));
  const { keys, unread } = identify(table, pids, atMs);
  const { facts, personal } = table.changedFacts();
  const known = new Map(facts.map((fact) => [fact.key, fact]));
  const texts = new Map(personal.map(({ digest, value }) => [digest, value]));
  return {
    atMs,
    cluster: config.cluster,
    node: config.node,
    bootId: table.bootId(),
    driverVersion: inventory.driverVersion,
    accountingMode: inventory.accountingMode,
    failure: inventory.failure ?? (devices.length === 0 ? NONE_DESCRIBED : undescribed(inventory)),
    devices: devices.flatMap((device) => {
      const own = reading?.devices.find(({ uuid }) => uuid === device.uuid);
      if (own === undefined) return [];
      if (unread === null || !own.ok || own.processes.length === 0) return [{ device, reading: own }];
      const failure = { ok: false, reason: 'processes_unreadable', detail: unread } as const;
      return [{ device, reading: { uuid: own.uuid, ...failure } }];
    }),
    processes: keys.flatMap((key) => {
      const fact = known.get(key);
      if (fact === undefined) return [];
      const text = fact.personal === null ? undefined : texts.get(fact.personal);
      const own = text?.kind === 'process' ? text : null;
      return [
        {
          key,
          pid: fact.pid,
          startedMs: fact.startedMs,
          uid: fact.uid,
          user: own?.user ?? null,
          comm: fact.comm,
          executable: fact.executable,
          commandLine: own?.commandLine ?? null,
          commandLineCut: own?.commandLineCut ?? false,
          cgroup: fact.cgroup,
          owner: cgroupOwner(fact.cgroup),
          claims: fact.claims,
          lineage: lineageOf(fact, known),
          unreadable: fact.unreadable,
        },
      ];
    }),
    problems: [
      ...inventory.problems,
      ...(reading?.problems ?? []),
      ...table.takeProblems().map(({ source, message }) => ({ source, device: null, message })),
    ],
  };
}

function undescribed({ problems }: Inventory): OnceReading['failure'] {
  const problem = problems.find(({ message }) => NOT_DESCRIBED.test(message));
  return problem === undefined ? null : { reason: 'device_missing', detail: problem.message };
}

/** `unread`: why nothing can be said of processes, such as a /proc that is not there. */
function identify(
  table: ProcessTable,
  pids: readonly number[],
  atMs: number,
): { keys: readonly string[]; unread: string | null } {
  try {
    return { keys: [...new Set(table.observe(pids, atMs).values())], unread: null };
  } catch (error) {
    return { keys: [], unread: messageOf(error) };
  }
}

function lineageOf(fact: ProcessFact, known: ReadonlyMap<string, ProcessFact>): OnceProcess['lineage'] {
  const lineage: { key: string; comm: string; uid: number | null }[] = [];
  let parent = fact.parent;
  while (parent !== null && lineage.length < MAX_LINEAGE) {
    const ancestor = known.get(parent);
    if (ancestor === undefined) break;
    lineage.push({ key: ancestor.key, comm: ancestor.comm, uid: ancestor.uid });
    parent = ancestor.parent;
  }
  return lineage;
}
