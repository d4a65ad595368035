/**
 * /proc of one process, read as bytes. Of PID it reads `stat`, `status`, `loginuid`, `cgroup`, `cmdline`, `environ`,
 * `exe` (link and identity), `ns` (links) and, for a process whose first thread has ended, `task`; of the machine
 * `sys/kernel/random/boot_id`, `stat` and `uptime`. Nothing here throws: what cannot be read has a reason in words.
 */
import { BATCH_LIMITS, type ExecutableFact, type ProcessFact } from '../../api/contract/batch.ts';
import type { Files } from '../ports.ts';
import { bytesToText, cutText } from '../text.ts';

/** Linux reports start times in this unit on every architecture (USER_HZ). */
const TICKS_PER_SECOND = 100;
/** A line of 52 numbers and a name; small reads come cheap, and this one is made for every process in every poll. */
export const STAT_BYTES = 2048;
const STATUS_BYTES = 16 * 1024;
const CGROUP_BYTES = 64 * 1024;
/** One argument may have 128 KiB; what comes after that much is never shown. */
const COMMAND_LINE_BYTES = 160 * 1024;
const ENVIRON_BYTES = 1024 * 1024;
const MACHINE_STAT_BYTES = 1024 * 1024;
const MAX_ARGUMENTS = 4096;
/** Leaves room for sixteen hierarchies. */
const CROWDED_CGROUP_LINE_CHARS = 500;
const COMM_CHARS = BATCH_LIMITS.nameChars;
const CLAIM_CHARS = 256;
const NO_LOGIN_UID = 4_294_967_295;
const MAX_UINT32 = 2 ** 32 - 1;
const MAX_PID = 2 ** 31 - 1;
/** Three centuries of uptime. */
const MAX_TICKS = 1e12;
const MAX_BOOT_SECONDS = 1e11;
/** The first, which has ended, and one that has not. */
const MAX_TRIED_THREADS = 2;
const KERNEL_THREAD_FLAG = 0x0020_0000;
const DELETED = ' (deleted)';
const NAMESPACE = /^[a-z_]{1,32}:\[(\d{1,10})\]$/;

/** Environment variables by which schedulers name the job of a process. Anybody can write them. */
const CLAIM_NAMES = new Set([
  'GPULEDGER_JOB_ID',
  'SLURM_JOB_ID',
  'SLURM_JOBID',
  'SLURM_JOB_SLUID',
  'SLURM_STEP_ID',
  'SLURM_CLUSTER_NAME',
  'PBS_JOBID',
  'LSB_JOBID',
  'OAR_JOB_ID',
  'FLUX_JOB_ID',
  'RAY_JOB_ID',
]);

type Namespaces = NonNullable<ProcessFact['namespaces']>;

export type Claim = { name: string; value: string };

/** A part that was read, or why it was not: "gone" means that the process has ended. */
export type Part<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly gone: boolean; readonly why: string };

export interface ProcessStat {
  readonly pid: number;
  readonly comm: string;
  /** One letter; Z and X mean that the first thread has ended. */
  readonly state: string;
  readonly parentPid: number;
  readonly sessionId: number;
  readonly kernelThread: boolean;
  readonly startTicks: number;
}

export interface CommandLine {
  /** Escaped as `bytesToText` does. */
  readonly argv: readonly string[];
  readonly cut: boolean;
}

/** Null for anything that is not a stat line. The name may hold spaces, newlines and `)`, so the last `)` ends it. */
export function parseStat(bytes: Buffer): ProcessStat | null {
  const open = bytes.indexOf(0x28);
  const close = bytes.lastIndexOf(0x29);
  if (open < 2 || close < open) return null;
  const fields = bytes
    .toString('latin1', close + 1)
    .trim()
    .split(' ');
  const pid = wholeNumber(bytes.toString('latin1', 0, open).trim(), MAX_PID);
  const parentPid = wholeNumber(fields[1], MAX_PID);
  const sessionId = wholeNumber(fields[3], MAX_PID);
  const flags = wholeNumber(fields[6], MAX_UINT32);
  const startTicks = wholeNumber(fields[19], MAX_TICKS);
  const state = fields[0] ?? '';
  if (pid === null || parentPid === null || startTicks === null || !/^[A-Za-z]$/.test(state)) return null;
  return {
    pid,
    comm: bytesToText(bytes.subarray(open + 1, close), COMM_CHARS).text,
    state,
    parentPid,
    sessionId: sessionId ?? 0,
    // Bit arithmetic would go through 32 signed bits; flags have 32 unsigned ones.
    kernelThread: flags !== null && Math.floor(flags / KERNEL_THREAD_FLAG) % 2 === 1,
    startTicks,
  };
}

/** The real user id of a `status` file, and the pids of the process from the outermost namespace inwards. */
export function parseStatus(bytes: Buffer): { uid: number | null; namespacePids: number[] } {
  let uid: number | null = null;
  let namespacePids: number[] = [];
  for (const line of bytes.toString('latin1').split('\n')) {
    // The kernel escapes newlines in the Name line, so no workload can write a line of its own here.
    if (line.startsWith('Uid:\t')) uid = wholeNumber(line.split('\t')[1], MAX_UINT32);
    if (line.startsWith('NSpid:\t'))
      namespacePids = line
        .split('\t')
        .slice(1)
        .map((text) => wholeNumber(text, MAX_PID))
        .filter((pid) => pid !== null);
  }
  return { uid, namespacePids };
}

/** Null where no login is recorded. */
export function parseLoginUid(bytes: Buffer): number | null {
  const uid = wholeNumber(bytes.toString('latin1').trim(), MAX_UINT32);
  return uid === NO_LOGIN_UID ? null : uid;
}

/** Arguments are ended by NUL; a title that a process wrote over them may lack the last one. */
export function parseCommandLine(bytes: Buffer, cut: boolean): CommandLine {
  const argv: string[] = [];
  let from = 0;
  while (from < bytes.length && argv.length < MAX_ARGUMENTS) {
    const end = bytes.indexOf(0, from);
    const to = end === -1 ? bytes.length : end;
    argv.push(bytesToText(bytes.subarray(from, to), COMMAND_LINE_BYTES).text);
    from = to + 1;
  }
  return { argv, cut: cut || from < bytes.length };
}

/** The job-naming variables of an environment, first mention of each, in its order. */
export function parseClaims(bytes: Buffer): Claim[] {
  const claims = new Map<string, Claim>();
  let from = 0;
  while (from < bytes.length && claims.size < BATCH_LIMITS.claims) {
    const end = bytes.indexOf(0, from);
    const to = end === -1 ? bytes.length : end;
    const equals = bytes.indexOf(0x3d, from);
    if (equals > from && equals < to && equals - from <= 32) {
      const name = bytes.toString('latin1', from, equals);
      if (CLAIM_NAMES.has(name) && !claims.has(name))
        claims.set(name, { name, value: bytesToText(bytes.subarray(equals + 1, to), CLAIM_CHARS).text });
    }
    from = to + 1;
  }
  return [...claims.values()];
}

/**
 * The lines of a cgroup file, each escaped by itself: the kernel allows no newline in a path. When they are too long
 * together, each loses its end: the owner stands at the beginning, and folders below it can be made to push it out.
 */
export function parseCgroup(bytes: Buffer): string {
  const lines = splitLines(bytes).map((line) => bytesToText(line, BATCH_LIMITS.cgroupChars).text);
  const whole = lines.join('\n');
  if (whole.length <= BATCH_LIMITS.cgroupChars) return whole;
  const short = lines.map((line) => cutText(line, CROWDED_CGROUP_LINE_CHARS).text).join('\n');
  return cutText(short, BATCH_LIMITS.cgroupChars).text;
}

/** What /proc/PID/exe points to, without the kernel's mark of deletion. Memory files read `/memfd:<name>`. */
export function parseExecutablePath(link: Buffer): { path: string; deleted: boolean } {
  const deleted = link.subarray(-DELETED.length).toString('latin1') === DELETED;
  const path = deleted ? link.subarray(0, -DELETED.length) : link;
  return { path: literalPath(path), deleted };
}

/** What /proc/PID/exe points to, every byte of it a part of the name. */
export const literalPath = (link: Buffer): string => bytesToText(link, BATCH_LIMITS.pathChars).text;

const fileOf = ({ device, inode }: { device: string; inode: string }): string => `${device} ${inode}`;

/** When the machine started, ms since 1970, from the `btime` line of /proc/stat (whole seconds). */
export function parseBootTimeMs(bytes: Buffer): number | null {
  const seconds = wholeNumber(/^btime (\d+)$/m.exec(bytes.toString('latin1'))?.[1], MAX_BOOT_SECONDS);
  return seconds === null ? null : seconds * 1000;
}

/** The first number of /proc/uptime, in hundredths of a second. */
export function parseUptimeMs(bytes: Buffer): number | null {
  const match = /^(\d{1,12})\.(\d\d) /.exec(bytes.toString('latin1'));
  return match === null ? null : Number(match[1]) * 1000 + Number(match[2]) * 10;
}

export function startedMs(bootTimeMs: number | null, startTicks: number): number | null {
  if (bootTimeMs === null) return null;
  return bootTimeMs + Math.floor((startTicks * 1000) / TICKS_PER_SECOND);
}

/** Reads /proc under `root`. `folder` is "PID" or, for a process whose first thread ended, "PID/task/TID". */
export interface Procfs {
  pids(): number[];
  bootId(): string | null;
  /** When the machine started, as the clock that says `wallMs` now would have said then. */
  bootTimeMs(wallMs: number): number | null;
  /** Since the machine started, also while it was suspended. */
  uptimeMs(): number | null;
  stat(pid: number): Part<ProcessStat>;
  /** Where the memory of a process can still be seen. */
  folder(stat: ProcessStat): string;
  uid(folder: string): Part<number | null>;
  loginUid(folder: string): Part<number | null>;
  cgroup(folder: string): Part<string>;
  commandLine(folder: string): Part<CommandLine>;
  claims(folder: string): Part<Claim[]>;
  executable(folder: string): Part<ExecutableFact>;
  /** What `exe` points to, as it is, for `parseExecutablePath`: the cheap way to notice an exec. */
  executableLink(folder: string): Part<Buffer>;
  namespaces(folder: string): Part<Namespaces>;
}

export function createProcfs(files: Files, root: string): Procfs {
  const path = (rest: string): string => `${root}/${rest}`;
  const read = (rest: string, maxBytes: number) => attempt(() => files.read(path(rest), maxBytes));
  const readBytes = <T>(rest: string, maxBytes: number, parse: (bytes: Buffer) => T): Part<T> => {
    const part = read(rest, maxBytes);
    return part.ok ? { ok: true, value: parse(part.value.bytes) } : part;
  };
  const executableLink = (folder: string): Part<Buffer> =>
    attempt(() => files.readLink(path(`${folder}/exe`)));
  return {
    pids() {
      const part = attempt(() => files.list(root));
      if (!part.ok) return [];
      return part.value.map(pidOf).filter((pid) => pid !== null);
    },
    bootId() {
      const part = readBytes('sys/kernel/random/boot_id', STAT_BYTES, (bytes) =>
        bytes.toString('latin1').trim(),
      );
      return part.ok && /^[0-9a-f-]{36}$/.test(part.value) ? part.value : null;
    },
    bootTimeMs(wallMs) {
      const part = readBytes('stat', MACHINE_STAT_BYTES, parseBootTimeMs);
      if (!part.ok || part.value === null) return null;
      const uptimeMs = this.uptimeMs();
      const exactMs = uptimeMs === null ? null : Math.round(wallMs) - uptimeMs;
      // btime is cut to whole seconds; the uptime fills them in, unless it is a container's own.
      return exactMs !== null && exactMs >= part.value && exactMs < part.value + 1000 ? exactMs : part.value;
    },
    uptimeMs() {
      const part = readBytes('uptime', STAT_BYTES, parseUptimeMs);
      return part.ok ? part.value : null;
    },
    stat(pid) {
      const part = readBytes(`${pid}/stat`, STAT_BYTES, parseStat);
      if (!part.ok) return part;
      if (part.value === null || part.value.pid !== pid)
        return { ok: false, gone: false, why: 'not understood' };
      return { ok: true, value: part.value };
    },
    folder(stat) {
      if (stat.state !== 'Z') return String(stat.pid);
      return threadFolder(files, root, stat.pid) ?? String(stat.pid);
    },
    uid: (folder) => readBytes(`${folder}/status`, STATUS_BYTES, (bytes) => parseStatus(bytes).uid),
    loginUid: (folder) => readBytes(`${folder}/loginuid`, STAT_BYTES, parseLoginUid),
    cgroup: (folder) => readBytes(`${folder}/cgroup`, CGROUP_BYTES, parseCgroup),
    claims: (folder) => readBytes(`${folder}/environ`, ENVIRON_BYTES, parseClaims),
    commandLine(folder) {
      const part = read(`${folder}/cmdline`, COMMAND_LINE_BYTES);
      return part.ok ? { ok: true, value: parseCommandLine(part.value.bytes, part.value.cut) } : part;
    },
    executable(folder) {
      const link = executableLink(folder);
      if (!link.ok) return link;
      const identity = attempt(() => files.identify(path(`${folder}/exe`)));
      const parsed = parseExecutablePath(link.value);
      // A file may bear the mark in its name, so that it passes for the one without.
      const literal = path(`${folder}/root${link.value.toString('utf8')}`);
      const there = parsed.deleted && identity.ok ? attempt(() => files.identify(literal)) : null;
      const isThere = there?.ok && identity.ok && fileOf(there.value) === fileOf(identity.value);
      return {
        ok: true,
        value: {
          ...(isThere ? { path: literalPath(link.value), deleted: false } : parsed),
          device: identity.ok ? identity.value.device : null,
          inode: identity.ok ? identity.value.inode : null,
          fileSystem: null,
        },
      };
    },
    executableLink,
    namespaces(folder) {
      const inode = (name: string): number => {
        const link = files.readLink(path(`${folder}/ns/${name}`)).toString('latin1');
        const number = wholeNumber(NAMESPACE.exec(link)?.[1], MAX_UINT32);
        if (number === null) throw new Error('not the name of a namespace');
        return number;
      };
      return attempt(() => ({
        pid: inode('pid'),
        net: inode('net'),
        mnt: inode('mnt'),
        user: inode('user'),
      }));
    },
  };
}

/** A pid out of a folder's name, or null. */
function pidOf(name: string): number | null {
  return /^[1-9]\d{0,9}$/.test(name) ? wholeNumber(name, MAX_PID) : null;
}

/**
 * The folder of another thread of a process. When the first one has ended, which does not end the process, the process's
 * own folder shows no descriptors, namespaces and sockets any more. null: it has no other.
 */
export function threadFolder(files: Files, procRoot: string, pid: number): string | null {
  const tasks = attempt(() => files.list(`${procRoot}/${pid}/task`, MAX_TRIED_THREADS));
  const other = tasks.ok
    ? tasks.value.find((task) => pidOf(task) !== null && task !== String(pid))
    : undefined;
  return other === undefined ? null : `${pid}/task/${other}`;
}

/** What an action gives, or why it failed. */
export function attempt<T>(action: () => T): Part<T> {
  try {
    return { ok: true, value: action() };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    return { ok: false, gone: code === 'ENOENT' || code === 'ESRCH', why: reason(code) };
  }
}

function reason(code: string): string {
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  if (code === 'ENOENT' || code === 'ESRCH') return 'not there';
  return code === '' ? 'failed' : `failed with ${code}`;
}

function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let from = 0;
  while (from < bytes.length) {
    const end = bytes.indexOf(0x0a, from);
    const to = end === -1 ? bytes.length : end;
    if (to > from) lines.push(bytes.subarray(from, to));
    from = to + 1;
  }
  return lines;
}

/** Null for what is no whole number from 0 to `max`: one absurd number must not spoil a whole batch. */
function wholeNumber(text: string | undefined, max: number): number | null {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return null;
  const value = Number(text);
  return value <= max ? value : null;
}
