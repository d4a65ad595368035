/**
 * What an agent reports: the wire between `collector/` and `api/`.
 *
 * A batch is numbered within its stream (one installation of one agent) and chained: `hash` is the SHA-256 of the
 * canonical JSON of `body`, and `body.previousHash` is the hash of the batch before it. Text about people stays outside
 * the chain, in `personal`; the body holds only salted digests of it, so that retention can erase the text and the
 * chain still verifies.
 *
 * All times are integer milliseconds since 1970 UTC; every interval is half-open [from, to). A batch lies inside one
 * UTC hour, and the first batch that an agent makes in an hour repeats the inventory and every live process, so that
 * each node-hour can be understood alone.
 */

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

/** A GPU as the inventory describes it. Keyed by `uuid`; `index` is for display. */
export interface DeviceFact {
  uuid: string;
  index: number;
  /** The number in /dev/nvidiaN; null where the tool does not say. */
  minor: number | null;
  busId: string;
  model: string;
  memoryBytes: number | null;
  migEnabled: boolean;
}

/** The executable behind /proc/PID/exe. `device:inode` is its identity; the path may lie. */
export interface ExecutableFact {
  path: string;
  /** `major:minor` of the file system; null where it could not be read. */
  device: string | null;
  inode: string | null;
  deleted: boolean;
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
  comm: string;
  executable: ExecutableFact | null;
  /** The text of /proc/PID/cgroup. */
  cgroup: string;
  /** Distinct earlier texts of the same process, oldest first: evidence once seen lasts. */
  earlierCgroups: string[];
  /** Executables that the same process ran before an exec, oldest first. */
  earlierExecutables: ExecutableFact[];
  /** Job-naming environment variables only; anybody can write these. */
  claims: { name: string; value: string }[];
  /** What could not be read, as "<part>: <why>". */
  unreadable: string[];
  firstSeenMs: number;
  /** When it was found gone; null while it lives. */
  exitedMs: number | null;
  /** Digest of its `ProcessPersonal`; null where nothing was readable. */
  personal: string | null;
}

/** One process on one device. `type` is nvidia-smi's letter code (C, G, C+G, M+C, …), "?" where unknown. */
interface Tenant {
  process: string;
  type: string;
  memoryBytes: number | null;
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
}

/** Body of `POST /v1/batches`: batches of one stream in ascending order. */
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
  /** The number that the service expects next in this stream. */
  expectedSeq: number;
}
