// To whom the time of a job is charged: a function of its declaration and of the rules of the day.
import type { Booking, MappingRule } from '../contract/mapping.ts';
import type { Interval } from './interval.ts';
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
  const rule = ruleOf(rules, declared);
  return {
    account: rule?.account ?? declared.account,
    project: rule?.project ?? null,
    costCentre: rule?.costCentre ?? null,
  };
}

/** To whom a stretch of a job's time is charged; without `mapped` no rule matches. */
export interface Charge extends Interval {
  readonly booking: Booking;
  readonly mapped: boolean;
}

/** To whom a job's time is charged, as the rules of its days say; one stretch at least. */
export function chargesOf(mappings: readonly Mapping[], declared: Declared, time: Interval): Charge[] {
  const starts = mappings.map((one) => one.fromMs).filter((ms) => time.fromMs < ms && ms < time.toMs);
  const cuts = [...new Set([time.fromMs, ...starts])].sort((a, b) => a - b);
  const charges: Charge[] = [];
  for (const [index, fromMs] of cuts.entries()) {
    const rules = mappingAt(mappings, fromMs)?.rules ?? [];
    const booking = bookingOf(rules, declared);
    const mapped = ruleOf(rules, declared) !== undefined;
    const charge = { fromMs, toMs: cuts[index + 1] ?? time.toMs, booking, mapped };
    const last = charges.at(-1);
    if (last !== undefined && last.mapped === mapped && isSame(last.booking, booking))
      charges.splice(-1, 1, { ...last, toMs: charge.toMs });
    else charges.push(charge);
  }
  return charges;
}

const isSame = (a: Booking, b: Booking): boolean =>
  a.account === b.account && a.project === b.project && a.costCentre === b.costCentre;

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

const ruleOf = (rules: readonly MappingRule[], declared: Declared): MappingRule | undefined =>
  rules.find((one) => matches(one, declared));

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
