/** What the process table keeps across a restart of the agent: first parents, earlier cgroups and executables, salts. */
import {
  BATCH_LIMITS,
  type ExecutableFact,
  type ProcessFact,
  type ProcessPersonal,
} from '../api/contract/batch.ts';
import { digestOf, MAX_EARLIER, type ProcessRecord } from './process-record.ts';

const STATE_VERSION = 1;
/** Restored at most; more than the table can hold is never written. */
const MAX_RESTORED = 8192;

/** JSON-safe. Holds redacted command lines, as the spool does: keep it in a file that only the agent can read. */
export interface ProcessState {
  readonly version: typeof STATE_VERSION;
  readonly bootId: string;
  readonly processes: readonly SavedProcess[];
}
interface SavedProcess {
  readonly fact: ProcessFact;
  readonly salt: string;
  readonly personal: ProcessPersonal | null;
}

export function saveRecords(bootId: string, records: Iterable<ProcessRecord>): ProcessState {
  const processes = [...records].map(({ fact, salt, personal }) => ({ fact, salt, personal }));
  return structuredClone({ version: STATE_VERSION, bootId, processes });
}

/**
 * Records out of a saved state, to be reported anew. What another boot saved is dropped silently: its processes are
 * gone. `problem` tells in words why a state was not taken; it is all or nothing.
 */
export function restoreRecords(
  state: unknown,
  bootId: string,
): { records: ProcessRecord[]; problem: string | null } {
  const nothing = (problem: string | null) => ({ records: [], problem });
  if (!isObject(state) || state['version'] !== STATE_VERSION || !Array.isArray(state['processes']))
    return nothing('the saved state is not of this version');
  if (state['bootId'] !== bootId) return nothing(null);
  const saved: readonly unknown[] = state['processes'];
  if (saved.length > MAX_RESTORED) return nothing(`the saved state has more than ${MAX_RESTORED} processes`);
  const records: ProcessRecord[] = [];
  for (const [index, entry] of saved.entries()) {
    if (!isSaved(entry)) return nothing(`process ${index} of the saved state is not understood`);
    records.push({
      ...structuredClone(entry),
      dirty: true,
      listed: false,
      everListed: false,
      worded: (entry.personal?.commandLine ?? null) !== null,
      // Long ago: everything is looked at again at the first poll.
      ...{ refreshedMs: Number.NEGATIVE_INFINITY, placedMs: Number.NEGATIVE_INFINITY },
      ...{ checkedMs: null, link: null },
      titledMs: Number.NEGATIVE_INFINITY,
    });
  }
  return { records, problem: null };
}

type Check = (value: unknown) => boolean;
const isText = (maxChars: number) => (value: unknown) =>
  typeof value === 'string' && value.length <= maxChars;
const isNumber: Check = (value) => Number.isSafeInteger(value);
const isFlag: Check = (value) => typeof value === 'boolean';
const orNull = (check: Check) => (value: unknown) => value === null || check(value);
const isList = (check: Check, max: number) => (value: unknown) =>
  Array.isArray(value) && value.length <= max && value.every(check);
const hasOnly = (checks: Readonly<Record<string, Check>>) => (value: unknown) =>
  isObject(value) &&
  Object.keys(value).every((name) => Object.hasOwn(checks, name)) &&
  Object.entries(checks).every(([name, check]) => check(value[name]));

const isName = isText(BATCH_LIMITS.nameChars);
const executableChecks: Record<keyof ExecutableFact, Check> = {
  path: isText(BATCH_LIMITS.pathChars),
  device: orNull(isName),
  inode: orNull(isName),
  deleted: isFlag,
  fileSystem: orNull(isName),
};
const isExecutable = hasOnly(executableChecks);
const isKey: Check = (value) => typeof value === 'string' && /^\d{1,10}\/\??\d{1,16}$/.test(value);
const factChecks: Record<keyof ProcessFact, Check> = {
  key: isKey,
  pid: isNumber,
  startTicks: orNull(isNumber),
  startedMs: orNull(isNumber),
  parent: orNull(isKey),
  uid: orNull(isNumber),
  loginUid: orNull(isNumber),
  sessionId: orNull(isNumber),
  namespaces: orNull(hasOnly({ pid: isNumber, net: isNumber, mnt: isNumber, user: isNumber })),
  comm: isText(BATCH_LIMITS.pathChars),
  executable: orNull(isExecutable),
  cgroup: isText(BATCH_LIMITS.cgroupChars),
  earlierCgroups: isList(isText(BATCH_LIMITS.cgroupChars), MAX_EARLIER),
  earlierExecutables: isList(isExecutable, MAX_EARLIER),
  executedMs: (value) => value === undefined || isNumber(value),
  claims: isList(hasOnly({ name: isName, value: isText(BATCH_LIMITS.detailChars) }), BATCH_LIMITS.claims),
  argumentsDigest: orNull(isText(64)),
  unreadable: isList(isText(BATCH_LIMITS.detailChars), BATCH_LIMITS.claims),
  firstSeenMs: isNumber,
  exitedMs: orNull(isNumber),
  personal: orNull(isText(64)),
};
const personalChecks: Record<keyof ProcessPersonal, Check> = {
  kind: (value) => value === 'process',
  user: orNull(isName),
  commandLine: orNull(isText(BATCH_LIMITS.commandLineChars)),
  commandLineCut: isFlag,
};
const hasSavedShape = hasOnly({
  fact: hasOnly(factChecks),
  salt: (value) => typeof value === 'string' && /^([0-9a-f]{32})?$/.test(value),
  personal: orNull(hasOnly(personalChecks)),
});

function isSaved(value: unknown): value is SavedProcess {
  return hasSavedShape(value) && fitsTogether(value);
}

/** The key must be the pid's; the digest must be of the text beside it, or none of both be there. */
function fitsTogether(value: unknown): boolean {
  if (!isObject(value) || !isObject(value['fact'])) return false;
  const { key, pid } = value['fact'];
  if (typeof key !== 'string' || !key.startsWith(`${pid}/`)) return false;
  const digest = value['fact']['personal'];
  if (value['personal'] === null) return digest === null;
  return digest === digestOf(value['salt'], value['personal']);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
