/**
 * What an agent reports: the wire between `collector/` and `api/`.
 *
 * A batch is numbered within its stream (one installation of one agent) and chained: `hash` is the SHA-256 of the canonical JSON of
 * `body`, `body.previousHash` that of the batch before it. Text about people stays outside the chain, in `personal`: the body holds
 * salted digests of it. Times are integer milliseconds since 1970 UTC; intervals are half-open [from, to). A batch lies inside one UTC
 * hour, and the first one in an hour repeats inventory and live processes, so that each node-hour can be understood alone.
 */

import type { GrantsFact } from './grants.ts';
import type { BatchSignature } from './signature.ts';

/** Version of this schema, in every batch. */
export const BATCH_SCHEMA = 1;
/** Readings are reported in windows of at least this length, aligned to the UTC clock. */
export const WINDOW_MS = 30_000;
export const HOUR_MS = 3_600_000;
/** `previousHash` of the first batch of a stream. */
export const CHAIN_START = '0'.repeat(64);

/** Limits of one batch. The service refuses what passes them; the agent cuts its batches to fit. */
export const BATCH_LIMITS = {
  batchesPerRequest: 64,
  requestBytes: 16 * 1024 * 1024,
  devices: 64,
  processes: 4096,
  tenanciesPerBatch: 16_384,
  spansPerTenancy: 256,
  tenantsPerTenancy: 512,
  gaps: 4096,
  connections: 4096,
  accounted: 4096,
  holders: 1024,
  dials: 256,
  integrity: 256,
  tools: 32,
  instances: 16,
  claims: 16,
  problems: 256,
  nameChars: 253,
  pathChars: 4096,
  cgroupChars: 8192,
  commandLineChars: 4096,
  detailChars: 1000,
} as const;

/**
 * How the active time of a device was split between its processes: `sm_share` by pmon's SM column, `sole` because only
 * one process was there, `equal` because nothing said otherwise, `none` when nobody was there to take it.
 */
export const SPLIT_METHODS = ['sm_share', 'sole', 'equal', 'none'] as const;
export type SplitMethod = (typeof SPLIT_METHODS)[number];

/** Why a device's time was not measured. */
export const GAP_REASONS = [
  'tool_missing',
  'tool_failed',
  'tool_timeout',
  'device_missing',
  'device_error',
  'value_unknown',
  'processes_unreadable',
  'poll_late',
  'agent_stopped',
  'spool_full',
  'spool_corrupt',
  'clock_step',
] as const;
export type GapReason = (typeof GAP_REASONS)[number];

/** One MIG instance of a device: a compute instance within a GPU instance. Its slices are the GPU instance's. */
export interface InstanceFact {
  /** Such as "MIG-…"; null where the tool does not say. It does not outlive a change of the partition. */
  uuid: string | null;
  gpuInstance: number;
  computeInstance: number;
  /** Such as "3g.40gb" or "1c.3g.40gb"; null where the tool does not say. */
  profile: string | null;
  /** Compute slices of the GPU instance; null where its profile is not known. */
  slices: number | null;
}

/** A GPU as the inventory describes it. Keyed by `uuid`; `index` is for display. */
export interface DeviceFact {
  uuid: string;
  index: number;
  /** The number in /dev/nvidiaN; null where the tool does not say. */
  minor: number | null;
  busId: string;
  model: string;
  memoryBytes: number | null;
  /** What it may draw at most, as it is enforced now; null where the tool does not say. */
  powerLimitMilliwatts: number | null;
  migEnabled: boolean;
  /** Compute slices that its partition is counted in (7, or 4 on some models); null where it is not partitioned. */
  slices: number | null;
  /** Its partition now; empty where it is not partitioned, or holds no instance. */
  instances: InstanceFact[];
}

/** The executable behind /proc/PID/exe. `device:inode` is its identity; the path may lie. */
export interface ExecutableFact {
  path: string;
  /** `major:minor` of the file system; null where it could not be read. */
  device: string | null;
  inode: string | null;
  deleted: boolean;
  /** Type of the file system that it lies on ("ext4", "tmpfs", "overlay"), "memfd" for memory; null: not known. */
  fileSystem: string | null;
}

/**
 * A process as /proc shows it. `key` is "<pid>/<startTicks>", unique within one boot; where /proc hides the process it
 * is "<pid>/?<firstSeenMs>". Text from the workload is escaped at the source: invalid UTF-8, control characters and the
 * backslash itself are written as `\xNN`.
 */
export interface ProcessFact {
  key: string;
  pid: number;
  startTicks: number | null;
  startedMs: number | null;
  /** Key of the parent when it was first seen; null for pid 1, kernel threads and unknown parents. */
  parent: string | null;
  uid: number | null;
  loginUid: number | null;
  /** Pid of its session's leader; null where it could not be read. */
  sessionId: number | null;
  /** Inodes of its namespaces, as /proc/PID/ns numbers them; null where they could not be read. */
  namespaces: { pid: number; net: number; mnt: number; user: number } | null;
  comm: string;
  executable: ExecutableFact | null;
  /** The text of /proc/PID/cgroup. */
  cgroup: string;
  /** Distinct earlier texts of the same process, oldest first: evidence once seen lasts. */
  earlierCgroups: string[];
  /** Executables that the same process ran before an exec, oldest first. */
  earlierExecutables: ExecutableFact[];
  /** About when it began to run `executable`, as exactly as it is looked at; absent: nobody noticed an exec. */
  executedMs?: number;
  /** Job-naming environment variables only; anybody can write these. */
  claims: { name: string; value: string }[];
  /** SHA-256 of its arguments, redacted and cut as `ProcessPersonal`; null where unreadable. The text itself is kept of few. */
  argumentsDigest: string | null;
  /** What could not be read, as "<part>: <why>". */
  unreadable: string[];
  firstSeenMs: number;
  /** When it was found gone; null while it lives. */
  exitedMs: number | null;
  /** Digest of its `ProcessPersonal`; null where nothing was readable. */
  personal: string | null;
}

/** `type` of a tenant that no reading saw: a process that only the driver's accounting lists, once it has ended. */
export const ACCOUNTED_TYPE = 'A';

/** One process on one device. `type` is nvidia-smi's letter code (C, G, C+G, M+C, …), "?" where unknown, or `ACCOUNTED_TYPE`. */
interface Tenant {
  process: string;
  type: string;
  memoryBytes: number | null;
  /** The MIG instance that it runs in; null where the device is not partitioned, or the tool does not say. */
  gpuInstance: number | null;
}

/**
 * A stretch in which the set of processes on a device did not change. Its spans lie end to end from `startMs`; they are
 * cut at window edges. `activeMs` is null where the device does not tell (MIG): unknown, not zero. `shareMs` has one
 * row per tenant, and each column sums to `activeMs` of that span; it is empty when there is no tenant, and then active
 * time is work that shows no process (confirmed by two readings). `activeMs` null implies `shareMs` is empty.
 */
export interface Tenancy {
  device: string;
  tenants: Tenant[];
  startMs: number;
  lengthMs: number[];
  activeMs: number[] | null;
  shareMs: number[][];
  method: SplitMethod;
  /**
   * Of each span: time in which the device drew working power while it claimed to be still, by two readings in a row.
   * At most what is not active; empty: none.
   */
  conflictMs: number[];
  /** MIG: the GPU instances that the device was divided into; empty where it was not. Tenants name theirs. */
  partition: { gpuInstance: number; slices: number }[];
}

export interface Gap {
  /** null: every device of the node. */
  device: string | null;
  fromMs: number;
  toMs: number;
  reason: GapReason;
  detail: string;
}

/** A peer class by address ranges; the address itself is personal. */
export const PEER_CLASSES = ['loopback', 'internal', 'external'] as const;
export type PeerClass = (typeof PEER_CLASSES)[number];

/** A network observation of a process that uses a device or shares a job with one that does. */
export interface ConnectionFact {
  process: string;
  kind: 'established' | 'attempt' | 'listening';
  peerClass: PeerClass;
  localPort: number;
  firstMs: number;
  lastMs: number;
  /** Distinct peer and port pairs folded into this fact (a scan is one fact with a high count). */
  peers: number;
  personal: string | null;
}

/**
 * A process that the driver's accounting lists as ended. `process` is its key where a reading saw it alive, else the key
 * of a hidden one. It ended in (afterMs, seenMs], and had the device open for `openMs`: that is how long it can have
 * executed at most. `busyPercent` is sampled: of short processes often 0.
 */
export interface AccountedFact {
  device: string;
  process: string;
  openMs: number;
  busyPercent: number | null;
  maxMemoryBytes: number | null;
  afterMs: number;
  seenMs: number;
}

/** A process that has the device's file in /dev open, while the driver does not list it there. Often a harmless child. */
export interface HolderFact {
  device: string;
  process: string;
  firstMs: number;
  lastMs: number;
}

/** TCP connections that the kernel counted as tried, and as failed, in the network namespace of a process. */
export interface DialFact {
  process: string;
  /** Inode of the namespace. */
  netNamespace: number;
  attempts: number;
  failed: number;
  fromMs: number;
  toMs: number;
}

/**
 * Ways in which what was read contradicts itself or was read through something that changed: `process_hidden` the driver
 * names a pid that /proc does not show; `process_covered` something is mounted over its folder in /proc;
 * `member_hidden` a control group lists a pid that /proc does not show; `tool_changed` a file of `ToolFact` is
 * another than before, the driver being the same; `tool_exposed` others than root can write it; `preload_set` something
 * is loaded into every program; `version_mismatch` driver, library and tool do not belong together; `key_changed` the
 * node signs by another key, which the service itself finds.
 */
export const INTEGRITY_KINDS = [
  'process_hidden',
  'process_covered',
  'member_hidden',
  'tool_changed',
  'tool_exposed',
  'preload_set',
  'version_mismatch',
  'key_changed',
] as const;
export type IntegrityKind = (typeof INTEGRITY_KINDS)[number];

export interface IntegrityFact {
  kind: IntegrityKind;
  /** Where it concerns one device, and one process. */
  device: string | null;
  process: string | null;
  detail: string;
  firstMs: number;
  lastMs: number;
}

export const TOOL_ROLES = ['nvidia_smi', 'libnvidia_ml', 'preload'] as const;
/** A file through which the GPUs are read. */
export interface ToolFact {
  role: (typeof TOOL_ROLES)[number];
  /** After links have been followed. */
  path: string;
  /** `major:minor`. */
  device: string | null;
  inode: string | null;
  ownerUid: number | null;
  sizeBytes: number | null;
  sha256: string | null;
  /** Version that the file's name gives; null where it gives none. */
  version: string | null;
}

/** The machine, as systeminformation describes it; null where it does not. */
export interface HostFact {
  operatingSystem: string | null;
  kernel: string | null;
  processor: string | null;
  cores: number | null;
  memoryBytes: number | null;
  /** Such as "kvm"; null on hardware. */
  virtualisation: string | null;
}

/** A difference found between the wall clock and the monotonic clock. */
export interface ClockStep {
  atMs: number;
  stepMs: number;
}

/** Something about the agent or its tools that an operator should know. */
export interface AgentProblem {
  atMs: number;
  source: string;
  message: string;
}

export interface BatchBody {
  schema: typeof BATCH_SCHEMA;
  cluster: string;
  node: string;
  stream: string;
  /** 1, 2, 3, … within the stream. */
  seq: number;
  previousHash: string;
  bootId: string;
  agentVersion: string;
  driverVersion: string | null;
  pollIntervalMs: number;
  fromMs: number;
  toMs: number;
  /** The whole inventory, when it is the first batch of an hour or something changed; else null. */
  inventory: DeviceFact[] | null;
  /** New and changed processes, with the ancestors that they need; all live ones in the first batch of an hour. */
  processes: ProcessFact[];
  tenancies: Tenancy[];
  gaps: Gap[];
  connections: ConnectionFact[];
  accounted: AccountedFact[];
  holders: HolderFact[];
  dials: DialFact[];
  integrity: IntegrityFact[];
  /** The whole list, when it is the first batch of an hour or something changed; else null. */
  tools: ToolFact[] | null;
  /** In the first batch of an hour that knows it; else null. */
  host: HostFact | null;
  grants?: GrantsFact;
  clockSteps: ClockStep[];
  problems: AgentProblem[];
}

/** Text about people, erasable. `digest` is the SHA-256 of the canonical JSON of `{salt, value}`. */
export interface PersonalRecord {
  digest: string;
  /** 32 hexadecimal digits. */
  salt: string;
  value: ProcessPersonal | ConnectionPersonal;
}

export interface ProcessPersonal {
  kind: 'process';
  user: string | null;
  /** Arguments joined by spaces, escaped as `ProcessFact` text, secrets already redacted; null where unreadable. */
  commandLine: string | null;
  commandLineCut: boolean;
}

export interface ConnectionPersonal {
  kind: 'connection';
  /** Up to 16 examples of `address:port`. */
  peers: string[];
}

export interface Batch {
  body: BatchBody;
  hash: string;
  personal: PersonalRecord[];
  /** Put there when it is sent. Agents before this member did not sign. */
  signature?: BatchSignature;
}

/** Body of `POST /v1/batches`: of one stream, in ascending order; with none, only the service's time is asked for. */
export interface BatchRequest {
  batches: Batch[];
}

/**
 * What became of each batch. `stored` and `duplicate` may leave the spool. `quarantined`: the same number came with
 * another hash, kept apart and reported, may leave the spool too. `out_of_order`: the service expects `expectedSeq`.
 */
export type BatchStatus = 'stored' | 'duplicate' | 'quarantined' | 'out_of_order';

export interface BatchResponse {
  results: { seq: number; status: BatchStatus; message: string | null }[];
  /** The number that the service expects next in this stream; 1 where no batch was sent. */
  expectedSeq: number;
  /** The service's clock when it answered, by which an agent holds its own. */
  serviceTimeMs?: number;
}
