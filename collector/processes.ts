/**
 * The processes of the node that matter: those that nvidia-smi names, their ancestors, and neighbours in the same job
 * with a connection of interest. A process is (boot id, pid, start ticks); a pid alone is never a key.
 */
import { randomBytes } from 'node:crypto';
import type {
  AgentProblem,
  ConnectionFact,
  DialFact,
  PersonalRecord,
  ProcessFact,
} from '../api/contract/batch.ts';
import { ConnectionBook, type SeenSocket } from './connections.ts';
import { DialBook } from './dials.ts';
import type { KnownProcesses } from './hidden-processes.ts';
import { JobMembers } from './job-members.ts';
import { knownProcesses } from './known-processes.ts';
import type { Ports } from './ports.ts';
import { type ProcessRecord, personalRecord } from './process-record.ts';
import { ProcessRegistry } from './process-registry.ts';
import { type ProcessState, restoreRecords, saveRecords } from './process-state.ts';
import { createRedactor } from './redaction.ts';
import { type OwnedSocket, SocketOwners } from './socket-owners.ts';
import { HeldStats } from './sources/held-stats.ts';
import { FileSystems } from './sources/mounts.ts';
import { createUserNames } from './sources/passwd.ts';
import { createProcfs } from './sources/procfs.ts';
import {
  createPeerClassifier,
  createSocketSource,
  endpointText,
  INTERNAL_RANGES,
  parseEndpoint,
} from './sources/sockets.ts';

export interface ProcessTableConfig {
  readonly procRoot: string;
  readonly passwdPath: string;
  /** Networks of the site in CIDR form; `INTERNAL_RANGES` unless given. Loopback is always apart. */
  readonly internalRanges?: readonly string[];
  /** Further command-line options whose values are secret. */
  readonly secretOptions?: readonly string[];
  /** Gives 32 hexadecimal digits; random unless given. */
  readonly newSalt?: () => string;
}

export interface Reported<T> {
  readonly facts: T[];
  readonly personal: PersonalRecord[];
}

export interface ProcessTable {
  /** Boot id of the machine; "unknown" where it cannot be read. */
  bootId(): string;
  /** Identifies the pids that nvidia-smi names in one poll, and their ancestors. Every pid gets a key. */
  observe(pids: readonly number[], atMs: number): Map<number, string>;
  /** Between two polls: notices which of the processes that the latest one named have ended. Cheap. */
  noticeEnds(atMs: number): void;
  /** When a process ended that the poll before the latest named, within half a look; null where that was not noticed. */
  endOf(key: string): number | null;
  /** Key of the process that has had this pid since before `sinceMs`; null when /proc shows none. */
  keyOfLiving(pid: number, sinceMs: number, atMs: number): string | null;
  /** Key of a new record of a process that nothing shows any more; `why`: what is not known of it. */
  keyOfEnded(pid: number, atMs: number, why: string): string;
  /** For the looks at holders of devices and hidden processes. */
  readonly known: KnownProcesses;
  /** New and changed since the last call of this or `liveFacts`; parents before children. */
  changedFacts(): Reported<ProcessFact>;
  /** All that live, their ancestors, and those that ended lately: what the first batch of an hour repeats. */
  liveFacts(): Reported<ProcessFact>;
  /**
   * Looks at the sockets of the GPU processes and their neighbours, for every third poll or so: new, changed and ended
   * connections. Neighbours with a connection of interest become process facts. `dials`: what their network namespaces
   * have tried, each minute.
   */
  readConnections(atMs: number): Reported<ConnectionFact> & { readonly dials: DialFact[] };
  /** JSON-safe evidence that must survive a restart of the agent. */
  exportState(): ProcessState;
  /** Takes it back before the first poll. A state that is not understood is a problem, one of another boot is not used. */
  importState(state: unknown): void;
  /** How many processes /proc lists. */
  countAll(): number;
  /** What was wrong since the last call. */
  takeProblems(): AgentProblem[];
}

/**
 * `repairedMs`: by how much the wall clock has been put right since. Throws for `internalRanges` that are not networks.
 */
export function createProcessTable(
  ports: Pick<Ports, 'files' | 'clock'>,
  config: ProcessTableConfig,
  repairedMs: () => number = () => 0,
): ProcessTable {
  const procfs = createProcfs(ports.files, config.procRoot);
  const newSalt = config.newSalt ?? (() => randomBytes(16).toString('hex'));
  const bootId = procfs.bootId() ?? 'unknown';
  const bootTimeMs = procfs.bootTimeMs(ports.clock.wallMs());
  const registry = new ProcessRegistry(
    {
      procfs,
      fileSystems: new FileSystems(ports.files, config.procRoot),
      redact: createRedactor(config.secretOptions ?? []),
      userName: createUserNames(ports.files, config.passwdPath),
      newSalt,
      get bootTimeMs() {
        return bootTimeMs === null ? null : bootTimeMs + repairedMs();
      },
    },
    new HeldStats(ports.files, config.procRoot),
  );
  const members = new JobMembers(procfs);
  const sockets = createSocketSource(ports.files, config.procRoot);
  const owners = new SocketOwners(sockets);
  const dials = new DialBook(sockets);
  const book = new ConnectionBook(newSalt);
  const classify = createPeerClassifier(config.internalRanges ?? INTERNAL_RANGES);

  return {
    bootId: () => bootId,
    observe: (pids, atMs) => registry.observe(pids, atMs),
    noticeEnds: (atMs) => registry.noticeEnds(atMs),
    endOf: (key) => registry.endOf(key),
    keyOfLiving: (pid, sinceMs, atMs) => registry.adoptOlder(pid, sinceMs, atMs)?.fact.key ?? null,
    keyOfEnded: (pid, atMs, why) => registry.addEnded(pid, atMs, why).fact.key,
    known: knownProcesses(registry),
    changedFacts: () => report(registry.all().filter((record) => record.dirty)),
    liveFacts: () => report(registry.all()),
    readConnections(atMs) {
      const complain = (message: string): void => registry.complain(atMs, message);
      const { pids, whole } = members.scan(registry.listed().map((record) => record.fact.pid));
      if (!whole)
        complain('jobs on GPUs have so many processes that their connections are looked at in turns');
      const seen = ofInterest(registry, owners.read(pids, whole, complain), classify, atMs);
      const keyOf = (pid: number): string | null => registry.adopt(pid, atMs)?.fact.key ?? null;
      return { ...book.update(seen, atMs, complain), dials: dials.look(pids, atMs, keyOf, complain) };
    },
    exportState: () => saveRecords(bootId, registry.all()),
    importState(state) {
      const { records, problem } = restoreRecords(state, bootId);
      if (problem !== null) registry.complain(ports.clock.wallMs(), problem);
      registry.restore(records);
    },
    countAll: () => procfs.pids().length,
    takeProblems: () => registry.takeProblems(),
  };
}

/**
 * All sockets of GPU processes; those of a neighbour only when one of them listens, tries, or leads outside. Such a
 * neighbour is taken into the registry.
 */
function ofInterest(
  registry: ProcessRegistry,
  sockets: readonly OwnedSocket[],
  classify: ReturnType<typeof createPeerClassifier>,
  atMs: number,
): SeenSocket[] {
  const byPid = new Map<number, Omit<SeenSocket, 'process'>[]>();
  for (const { pid, row, inbound } of sockets) {
    const local = parseEndpoint(row.local);
    const peer = row.kind === 'listening' ? null : parseEndpoint(row.peer);
    if (local === null) continue;
    const own = byPid.get(pid) ?? [];
    own.push({
      kind: row.kind,
      peerClass: classify((peer ?? local).address),
      localPort: local.port,
      peer: peer === null ? null : endpointText(peer),
      inbound,
    });
    byPid.set(pid, own);
  }
  return [...byPid].flatMap(([pid, own]) => {
    const interesting = own.some((one) => one.kind !== 'established' || one.peerClass === 'external');
    const listed = registry.living(pid)?.listed === true;
    const record = listed || interesting ? registry.adopt(pid, atMs, true) : null;
    return record === null ? [] : own.map((one) => ({ ...one, process: record.fact.key }));
  });
}

function report(records: readonly ProcessRecord[]): Reported<ProcessFact> {
  const personal: PersonalRecord[] = [];
  for (const record of records) {
    record.dirty = false;
    const own = personalRecord(record);
    if (own !== null) personal.push(own);
  }
  return { facts: records.map((record) => structuredClone(record.fact)), personal };
}
