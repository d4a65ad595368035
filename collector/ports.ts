import type { BatchRequest, BatchResponse } from '../api/contract/batch.ts';

/**
 * The ways in which the agent reaches the world. Live use has them on the real machine (`ports/real.ts`); history,
 * replay and tests run the same agent on others.
 */
export interface Ports {
  readonly execute: Execute;
  readonly files: Files;
  readonly clock: AgentClock;
  readonly network: Network;
  /** Absent where nothing local is to be asked. */
  readonly callLocal?: CallLocal;
}

/**
 * Asks a gRPC service on a Unix socket: the message that answers `message`. Rejects with an error, whose `code` is the
 * system's where it has one.
 */
export type CallLocal = (socketPath: string, method: string, message: Buffer) => Promise<Buffer>;

interface ExecuteOptions {
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
}

/** How a command ended. `failure` is null when it ran to its end, whatever its exit code. */
export interface Executed {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number | null;
  readonly failure: null | 'missing' | 'not_permitted' | 'timeout' | 'output_limit' | 'killed' | 'failed';
  readonly durationMs: number;
}
/** Runs a program without a shell and never throws. A child that cannot be killed is left behind and reported as `timeout`. */
export type Execute = (file: string, args: readonly string[], options: ExecuteOptions) => Promise<Executed>;

/** Paths are of the machine ("/proc/1/stat"). Every function throws an error with a Node `code` (ENOENT, EACCES, ESRCH, …). */
export interface Files {
  /**
   * At most `maxBytes`; `cut` tells whether there was more. `lineBytes`: no line of this table of /proc is longer, so that its
   * end is known without asking for more, which costs the kernel a walk through all that the table is made of.
   */
  read(path: string, maxBytes: number, lineBytes?: number): { readonly bytes: Buffer; readonly cut: boolean };
  /**
   * Opens a file of a process in /proc, to be read again and again from its start. It tells of that one process: once it
   * has ended reads fail with ESRCH, whoever has its pid by then. Files that cannot promise this: EOPNOTSUPP.
   */
  hold(path: string): HeldFile;
  readLink(path: string): Buffer;
  /** Names in a folder: all, or no more than `atMost` of them, for folders that anybody can fill. */
  list(path: string, atMost?: number): string[];
  /** Follows links. `device` is "major:minor". */
  identify(path: string): { readonly device: string; readonly inode: string };
  sizeBytes(path: string): number;
  /** Follows links. */
  stat(path: string): FileStat;
  /** The path with every link followed. */
  realPath(path: string): string;
  /** SHA-256 of a regular file of at most `maxBytes` (else EFBIG, EINVAL), read piece by piece. Hexadecimal. */
  digest(path: string, maxBytes: number): string;
  makeFolder(path: string): void;
  /** Temporary file, fsync, rename, fsync of the folder: after it returns the bytes survive a power cut. */
  writeDurably(path: string, bytes: Buffer): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
}

export interface FileStat {
  /** "major:minor". */
  readonly device: string;
  readonly inode: string;
  readonly ownerUid: number;
  /** Permission bits, with those of set-id and sticky. */
  readonly mode: number;
  readonly sizeBytes: number;
  /** When content, owner or mode were last changed; nobody can set it. */
  readonly changedMs: number;
  readonly kind: 'file' | 'folder' | 'other';
}

/** Must be closed. */
export interface HeldFile {
  /** In one read, so for short files only. What it gives is overwritten by whatever file is read next. */
  read(maxBytes: number): Buffer;
  close(): void;
}

export interface AgentClock {
  wallMs(): number;
  /** Never goes back, unaffected by clock steps; its zero means nothing. Fractions allowed. */
  monotonicMs(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface Network {
  /** Resolves with the service's answer, rejects with `ShipError`. */
  send(request: BatchRequest): Promise<BatchResponse>;
}

/**
 * `permanent`: trying the same again cannot help (refused token, malformed request). `serviceTimeMs`: when the service said
 * so, by its own clock; null where it was not the service, or did not tell.
 */
export class ShipError extends Error {
  readonly permanent: boolean;
  readonly serviceTimeMs: number | null;
  constructor(message: string, permanent: boolean, serviceTimeMs: number | null = null) {
    super(message);
    this.name = 'ShipError';
    this.permanent = permanent;
    this.serviceTimeMs = serviceTimeMs;
  }
}
