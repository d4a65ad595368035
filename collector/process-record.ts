/** What the agent knows of one process: made at first sight, brought up to date later, evidence never forgotten. */

import {
  BATCH_LIMITS,
  type ExecutableFact,
  type PersonalRecord,
  type ProcessFact,
  type ProcessPersonal,
} from '../api/contract/batch.ts';
import { canonicalJson, sha256Hex } from '../api/contract/canonical.ts';
import type { Redact } from './redaction.ts';
import type { FileSystems } from './sources/mounts.ts';
import {
  literalPath,
  type Part,
  type ProcessStat,
  type Procfs,
  parseExecutablePath,
  startedMs,
} from './sources/procfs.ts';
import { cutText } from './text.ts';

/** Earlier cgroups and executables that a fact keeps: the first half of them for good, then the latest. */
export const MAX_EARLIER = 8;
/** … and characters of them together, beside the first and the latest: thousands of processes can have very long paths. */
const MAX_EARLIER_CHARS = 8192;
/** A process that renames itself with every task it takes is reported once in this time. */
const TITLE_INTERVAL_MS = 5 * 60_000;

/** Few processes leave their account, session or namespaces as they run on: looked at so often, and at each new session. */
const PLACES_MS = 60_000;

const NAMESPACES = ['pid', 'net', 'mnt', 'user'] as const;

export interface ProcessRecord {
  fact: ProcessFact;
  /** Salt of the personal record, kept for the life of the process so that its digest stays. */
  readonly salt: string;
  personal: ProcessPersonal | null;
  /** Something changed since it was last reported. */
  dirty: boolean;
  /** nvidia-smi named it in the latest poll. */
  listed: boolean;
  /** nvidia-smi named it in some poll of this run. */
  everListed: boolean;
  /** The text of its command line is kept, and not only a digest. */
  worded: boolean;
  refreshedMs: number;
  /** When its account and namespaces were last looked at. */
  placedMs: number;
  /** When it last ran what is known of it; null: not looked at by this run of the agent. */
  checkedMs: number | null;
  /** What `exe` pointed to when it was last found to be the known executable. */
  link: Buffer | null;
  titledMs: number;
}

/** What reading a process needs besides its stat line. */
export interface RecordContext {
  readonly procfs: Procfs;
  readonly fileSystems: FileSystems;
  readonly redact: Redact;
  readonly userName: (uid: number) => string | null;
  readonly newSalt: () => string;
  readonly bootTimeMs: number | null;
}

/** Reads all of a process. `parent` is the key of its parent as of now; `worded` as in `ProcessRecord`. */
export function createRecord(
  context: RecordContext,
  stat: ProcessStat,
  parent: string | null,
  worded: boolean,
  atMs: number,
): ProcessRecord {
  const { procfs } = context;
  const folder = procfs.folder(stat);
  const uid = procfs.uid(folder);
  const loginUid = procfs.loginUid(folder);
  const cgroup = procfs.cgroup(folder);
  const namespaces = procfs.namespaces(folder);
  const executable = stat.kernelThread ? null : readExecutable(context, folder, readValue(namespaces));
  const claims = stat.kernelThread ? null : procfs.claims(folder);
  const fact: ProcessFact = {
    ...emptyFact(stat.pid, `${stat.pid}/${stat.startTicks}`, atMs),
    startTicks: stat.startTicks,
    startedMs: startedMs(context.bootTimeMs, stat.startTicks),
    parent,
    uid: readValue(uid),
    loginUid: readValue(loginUid),
    sessionId: stat.sessionId,
    namespaces: readValue(namespaces),
    comm: stat.comm,
    executable: readValue(executable),
    cgroup: readValue(cgroup) ?? '',
    claims: readValue(claims) ?? [],
  };
  for (const [part, result] of Object.entries({ uid, cgroup, executable, environ: claims, namespaces }))
    if (result !== null && !result.ok) fact.unreadable.push(`${part}: ${result.why}`);
  const record = newRecord(fact, context.newSalt(), worded, atMs);
  readPersonal(context, record, folder);
  return record;
}

/** A process that nvidia-smi names and /proc does not show, because of `why`. */
export function createHiddenRecord(pid: number, why: string, atMs: number): ProcessRecord {
  const fact = emptyFact(pid, `${pid}/?${atMs}`, atMs);
  fact.unreadable.push(`process: ${why}`);
  return newRecord(fact, '', false, atMs);
}

/** Looks again at what can change in the life of a process: its executable, its cgroup, its title. */
export function refreshRecord(
  context: RecordContext,
  record: ProcessRecord,
  stat: ProcessStat,
  atMs: number,
): void {
  record.refreshedMs = atMs;
  const { fact } = record;
  const folder = context.procfs.folder(stat);
  // The remains of a process show other values than the process did.
  if (stat.kernelThread || (stat.state === 'Z' && folder === String(stat.pid))) return;
  const cgroup = context.procfs.cgroup(folder);
  if (cgroup.ok && cgroup.value !== fact.cgroup) {
    if (fact.cgroup !== '') remember(fact.earlierCgroups, fact.cgroup, (a, b) => a === b);
    fact.cgroup = cgroup.value;
    record.dirty = true;
  }
  if (stat.sessionId !== fact.sessionId || passed(record.placedMs, atMs, PLACES_MS)) {
    takePlaces(context, record, stat, folder);
    record.placedMs = atMs;
  }
  const executable = readExecutable(context, folder, fact.namespaces);
  record.link = null;
  const renamed = stat.comm !== fact.comm;
  if (executable.ok && !sameExecutable(executable.value, fact.executable)) {
    if (fact.executable !== null) remember(fact.earlierExecutables, fact.executable, sameExecutable);
    fact.executable = executable.value;
    fact.executedMs = Math.round(((record.checkedMs ?? atMs) + atMs) / 2);
    record.dirty = true;
    readAfterExec(context, record, folder);
    takeTitle(context, record, stat, folder, atMs);
  } else {
    if (executable.ok && executable.value.deleted !== fact.executable?.deleted) {
      fact.executable = executable.value;
      record.dirty = true;
    }
    if (renamed && Math.abs(atMs - record.titledMs) >= TITLE_INTERVAL_MS)
      takeTitle(context, record, stat, folder, atMs);
  }
  record.checkedMs = atMs;
}

/** Whether that long has passed; a clock that went back counts as long. */
export const passed = (sinceMs: number, atMs: number, ms: number): boolean => Math.abs(atMs - sinceMs) >= ms;

/** Whether a process runs another program than is known of it. Costs one link. */
export function hasExecuted(
  context: RecordContext,
  record: ProcessRecord,
  stat: ProcessStat,
  atMs: number,
): boolean {
  const known = record.fact.executable;
  if (known === null) return false;
  const link = context.procfs.executableLink(context.procfs.folder(stat));
  if (!link.ok) return false;
  if (record.link === null || !record.link.equals(link.value)) {
    const now = parseExecutablePath(link.value);
    const isKnown = now.path === known.path && now.deleted === known.deleted;
    if (!isKnown && (known.deleted || literalPath(link.value) !== known.path)) return true;
    record.link = link.value;
  }
  record.checkedMs = atMs;
  return false;
}

/** From now on the text of its command line is kept. */
export function putIntoWords(context: RecordContext, record: ProcessRecord, stat: ProcessStat): void {
  record.worded = true;
  record.dirty = true;
  readPersonal(context, record, context.procfs.folder(stat));
}

export function personalRecord(record: ProcessRecord): PersonalRecord | null {
  if (record.personal === null || record.fact.personal === null) return null;
  return { digest: record.fact.personal, salt: record.salt, value: record.personal };
}

/** Digest of a personal record. */
export function digestOf(salt: unknown, value: unknown): string {
  return sha256Hex(canonicalJson({ salt, value }));
}

function newRecord(fact: ProcessFact, salt: string, worded: boolean, atMs: number): ProcessRecord {
  // `titledMs` lies in the past so that the first new title after start-up is taken at once.
  const titledMs = Number.NEGATIVE_INFINITY;
  const never = { listed: false, everListed: false } as const;
  return {
    fact,
    salt,
    personal: null,
    dirty: true,
    ...never,
    worded,
    ...{ refreshedMs: atMs, placedMs: atMs },
    ...{ checkedMs: atMs, link: null },
    titledMs,
  };
}

function emptyFact(pid: number, key: string, atMs: number): ProcessFact {
  return {
    key,
    pid,
    startTicks: null,
    startedMs: null,
    parent: null,
    uid: null,
    loginUid: null,
    sessionId: null,
    namespaces: null,
    comm: '',
    executable: null,
    cgroup: '',
    earlierCgroups: [],
    earlierExecutables: [],
    claims: [],
    argumentsDigest: null,
    unreadable: [],
    firstSeenMs: atMs,
    exitedMs: null,
    personal: null,
  };
}

const readValue = <T>(part: Part<T> | null): T | null => (part?.ok ? part.value : null);

function readExecutable(
  context: RecordContext,
  folder: string,
  namespaces: ProcessFact['namespaces'],
): Part<ExecutableFact> {
  const part = context.procfs.executable(folder);
  if (!part.ok) return part;
  const fileSystem = context.fileSystems.typeOf(folder, namespaces?.mnt ?? null, part.value);
  return { ok: true, value: { ...part.value, fileSystem } };
}

/** Session, namespaces and account: a process leaves them without an exec. */
function takePlaces(context: RecordContext, record: ProcessRecord, stat: ProcessStat, folder: string): void {
  const { fact } = record;
  const namespaces = readValue(context.procfs.namespaces(folder)) ?? fact.namespaces;
  const moved = NAMESPACES.some((name) => namespaces?.[name] !== fact.namespaces?.[name]);
  const uid = readValue(context.procfs.uid(folder)) ?? fact.uid;
  if (!moved && stat.sessionId === fact.sessionId && uid === fact.uid) return;
  if (uid !== fact.uid) {
    fact.uid = uid;
    readPersonal(context, record, folder);
  }
  fact.namespaces = namespaces;
  fact.sessionId = stat.sessionId;
  record.dirty = true;
}

function readAfterExec(context: RecordContext, record: ProcessRecord, folder: string): void {
  const { fact } = record;
  const claims = context.procfs.claims(folder);
  if (!claims.ok) return;
  for (const claim of claims.value) {
    const known = fact.claims.some((old) => old.name === claim.name && old.value === claim.value);
    if (!known && fact.claims.length < BATCH_LIMITS.claims) fact.claims.push(claim);
  }
}

function takeTitle(
  context: RecordContext,
  record: ProcessRecord,
  stat: ProcessStat,
  folder: string,
  atMs: number,
): void {
  record.fact.comm = stat.comm;
  record.titledMs = atMs;
  record.dirty = true;
  readPersonal(context, record, folder);
}

function readPersonal(context: RecordContext, record: ProcessRecord, folder: string): void {
  const { fact } = record;
  const user = fact.uid === null ? null : context.userName(fact.uid);
  const line = context.procfs.commandLine(folder);
  const problem = fact.unreadable.findIndex((text) => text.startsWith('cmdline: '));
  if (problem !== -1) fact.unreadable.splice(problem, 1);
  if (!line.ok) fact.unreadable.push(`cmdline: ${line.why}`);
  if (user === null && !line.ok) return;
  const shown = line.ok
    ? cutText(context.redact(line.value.argv).join(' '), BATCH_LIMITS.commandLineChars)
    : null;
  if (shown !== null) fact.argumentsDigest = sha256Hex(shown.text);
  const kept = record.worded ? shown : null;
  record.personal = {
    kind: 'process',
    user,
    commandLine: kept === null ? null : kept.text,
    commandLineCut: kept !== null && line.ok && (kept.cut || line.value.cut),
  };
  fact.personal = digestOf(record.salt, record.personal);
}

function sameExecutable(a: ExecutableFact, b: ExecutableFact | null): boolean {
  return b !== null && a.path === b.path && a.device === b.device && a.inode === b.inode;
}

/** Adds a distinct value, oldest first. When full, the first half stays and the rest slides. */
function remember<T>(list: T[], value: T, same: (a: T, b: T) => boolean): void {
  if (list.some((old) => same(old, value))) return;
  if (list.length >= MAX_EARLIER) list.splice(MAX_EARLIER / 2, 1);
  list.push(value);
  const chars = (): number => JSON.stringify(list).length;
  while (list.length > 2 && chars() > MAX_EARLIER_CHARS) list.splice(Math.floor(list.length / 2), 1);
}
