// To whom the time of a job is charged: a function of its declaration and of the rules of the day.
import type { Booking, MappingRule } from '../contract/mapping.ts';
import { matchesGlob } from './wildcards.ts';

/** One version of the site's rules. It holds from a UTC day on, until a version that begins later or is newer. */
export interface Mapping {
  readonly version: number;
  readonly fromMs: number;
  readonly rules: readonly MappingRule[];
}

/** What a rule can see of a job. */
export interface Declared {
  readonly account: string;
  readonly user: string | null;
  readonly source: string;
  readonly sourceInstance: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** The first rule that matches decides; without one the declared account is charged. What a rule leaves out stays. */
export function bookingOf(rules: readonly MappingRule[], declared: Declared): Booking {
  const rule = rules.find((one) => matches(one, declared));
  return {
    account: rule?.account ?? declared.account,
    project: rule?.project ?? null,
    costCentre: rule?.costCentre ?? null,
  };
}

/** Of those that have begun the one that begins last, and of these the newest; null: none has. */
export function mappingAt<T extends Mapping>(mappings: readonly T[], atMs: number): T | null {
  let found: T | null = null;
  for (const one of mappings) {
    if (one.fromMs > atMs) continue;
    const before = found === null || one.fromMs > found.fromMs;
    if (before || (one.fromMs === found?.fromMs && one.version > found.version)) found = one;
  }
  return found;
}

function matches(
  { match }: MappingRule,
  { account, user, source, sourceInstance, ...job }: Declared,
): boolean {
  const said = (name: string): readonly string[] => {
    const value = Object.hasOwn(job.attributes, name) ? job.attributes[name] : undefined;
    return value === undefined ? [] : [value];
  };
  return (
    isAny(match.accounts, [account]) &&
    isAny(match.users, user === null ? [] : [user]) &&
    isAny(match.sources, [source, `${source}/${sourceInstance}`]) &&
    isAny(match.partitions, said('partition')) &&
    isAny(match.namespaces, said('namespace')) &&
    Object.entries(match.labels).every(([name, patterns]) => isAny(patterns, said(`label:${name}`))) &&
    Object.entries(match.attributes).every(([name, patterns]) => isAny(patterns, said(name)))
  );
}

/** Whether one of the patterns stands for one of the texts; no patterns stand for anything, even for nothing. */
const isAny = (patterns: readonly string[], texts: readonly string[]): boolean =>
  patterns.length === 0 ||
  patterns.some((pattern) =>
    texts.some((text) => (pattern.includes('*') ? matchesGlob(pattern, text, null) : pattern === text)),
  );
