// Findings of different nodes, days and names that are one story: which belong together, and by what.
import type { ExecutableFact } from '../contract/batch.ts';
import type { Policy } from './policy.ts';
import { baseName, executablePath } from './process.ts';
import { isInterpreter } from './signals/programs.ts';
import { SESSION_HOSTS } from './source.ts';

/** By what a finding can be known again. */
export interface SeriesTraits {
  readonly finding: string;
  readonly node: string;
  readonly uid: number | null;
  readonly executable: Pick<ExecutableFact, 'path' | 'device' | 'inode'> | null;
  readonly comm: string;
  /** Of its whole command line; null: not known. */
  readonly argumentsDigest: string | null;
  /** Null: not known, or erased. */
  readonly commandLine: string | null;
  /** Names of the programs that it descends from, the nearest first. */
  readonly ancestors: readonly string[];
}

/** Two findings, and in what they agree; `enough`: they are one story. */
interface Likeness {
  readonly enough: boolean;
  readonly why: readonly string[];
}

const ENOUGH_TRAITS = 2;
/** Installed for everybody: who runs it says nothing by the file alone. */
const EVERYBODYS = ['/usr/', '/bin/', '/sbin/', '/lib/', '/opt/', '/snap/'];
/** A way of this many programs, or one with a program of its own in it, can be known again. */
const LONG_WAY = 3;

/** The members of the series that `first` is in, itself first, each with what joined it to one before; at most `limit`. */
export function seriesOf(
  first: SeriesTraits,
  others: readonly SeriesTraits[],
  policy: Policy,
  limit: number,
): { finding: string; why: readonly string[] }[] {
  const members: { traits: SeriesTraits; why: readonly string[] }[] = [{ traits: first, why: [] }];
  let left = others.filter((other) => other.finding !== first.finding);
  // The array is walked while it grows.
  for (const { traits } of members) {
    const rest: SeriesTraits[] = [];
    for (const other of left) {
      const { enough, why } = likenessOf(traits, other, policy);
      if (enough && members.length < limit) members.push({ traits: other, why });
      else rest.push(other);
    }
    left = rest;
  }
  return members.map(({ traits, why }) => ({ finding: traits.finding, why }));
}

/** Agreement in who, in what and in the way there; the identity of a file that is nobody else's is enough alone. */
export function likenessOf(a: SeriesTraits, b: SeriesTraits, policy: Policy): Likeness {
  const program = sameProgram(a, b, policy);
  const why = program === null ? [] : [program.why];
  if (a.uid !== null && a.uid !== 0 && a.uid === b.uid) why.push('the same OS account');
  if (sameWay(a, b, policy)) why.push(`the same way there, below ${a.ancestors.join(', below ')}`);
  return { enough: program?.identity === true || why.length >= ENOUGH_TRAITS, why };
}

function sameProgram(
  a: SeriesTraits,
  b: SeriesTraits,
  policy: Policy,
): { readonly identity: boolean; readonly why: string } | null {
  if (a.executable === null || b.executable === null) return null;
  const path = executablePath(a.executable);
  const otherPath = executablePath(b.executable);
  const name = baseName(path);
  const file = sameFile(a, b, path === otherPath);
  // Most are neither: thousands are compared.
  if (!file && name !== baseName(otherPath)) return null;
  const own = !isInterpreter(a.executable, policy);
  if (file && own) {
    const everybodys = EVERYBODYS.some((folder) => path.startsWith(folder));
    return { identity: !everybodys, why: `the same file (${name}, inode ${a.executable.inode})` };
  }
  // An interpreter without arguments is what everybody starts.
  const said = own || [a, b].every(({ commandLine }) => (commandLine ?? ' ').includes(' '));
  if (said && a.argumentsDigest !== null && a.argumentsDigest === b.argumentsDigest)
    return { identity: false, why: `the same command (${name}, with the same arguments)` };
  return own ? { identity: false, why: `the same program name (${name})` } : null;
}

/** On one node by device and inode; on two by path and inode, as a file system shows that both mount. */
function sameFile(a: SeriesTraits, b: SeriesTraits, samePath: boolean): boolean {
  if (a.executable === null || b.executable === null || a.executable.inode === null) return false;
  if (a.executable.inode !== b.executable.inode) return false;
  return a.node === b.node ? a.executable.device === b.executable.device : samePath;
}

function sameWay(a: SeriesTraits, b: SeriesTraits, policy: Policy): boolean {
  const [way, other] = [a.ancestors, b.ancestors];
  if (way.length !== other.length || way.some((name, at) => name !== other[at])) return false;
  return (
    way.length >= LONG_WAY ||
    way.some((path) => !SESSION_HOSTS.includes(path) && !isInterpreter({ path }, policy))
  );
}

/** How far a way up is compared: until what starts things on behalf of many. */
export function wayOf(ancestors: readonly string[]): string[] {
  const end = ancestors.findIndex((name) => SESSION_HOSTS.includes(name));
  return ancestors.slice(0, end < 0 ? undefined : end);
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const LEAST_DAYS = 3;
const LONGEST_HOURS = 10;

/** Hours of the UTC day that hold all of its active time on three days or more: `from` to `to`, across midnight too. */
export function regularHours(hours: readonly number[]): { from: number; to: number; days: number } | null {
  const ofDay = new Set(hours.map((hourMs) => (hourMs % DAY_MS) / HOUR_MS));
  let best: { from: number; length: number } | null = null;
  for (const from of ofDay) {
    const length = Math.max(...[...ofDay].map((hour) => (hour - from + 24) % 24)) + 1;
    if (best === null || length < best.length) best = { from, length };
  }
  if (best === null || best.length > LONGEST_HOURS) return null;
  const { from, length } = best;
  // A night that goes past midnight is one day.
  const days = new Set(hours.map((hourMs) => Math.floor((hourMs - from * HOUR_MS) / DAY_MS))).size;
  return days < LEAST_DAYS ? null : { from, to: (from + length) % 24, days };
}
