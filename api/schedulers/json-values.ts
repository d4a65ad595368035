/** Reading of JSON that another program wrote: what is of another type than it should be is as good as absent. */

export type Members = Readonly<Record<string, unknown>>;

const NOTHING: Members = {};
const EMPTY: readonly unknown[] = [];

export const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object that `path` leads to; an empty one where there is none. */
export function membersAt(value: unknown, ...path: readonly string[]): Members {
  let at = value;
  for (const name of path) at = isMembers(at) && Object.hasOwn(at, name) ? at[name] : undefined;
  return isMembers(at) ? at : NOTHING;
}

/** The text that a member holds; null: none, or an empty one. */
export function textOf(members: Members, name: string): string | null {
  const value = Object.hasOwn(members, name) ? members[name] : undefined;
  return typeof value === 'string' && value !== '' ? value : null;
}

export function listOf(members: Members, name: string): readonly unknown[] {
  const value = Object.hasOwn(members, name) ? members[name] : undefined;
  return Array.isArray(value) ? value : EMPTY;
}

const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;
/** The end of the year 9999. */
const MAX_MS = 253_402_300_799_999;

/** Milliseconds of a moment with a zone, in the years 1970 to 9999; null for anything else. */
export function momentOf(members: Members, name: string): number | null {
  const text = textOf(members, name);
  if (text === null || !MOMENT.test(text)) return null;
  const ms = Date.parse(text);
  return ms >= 0 && ms <= MAX_MS ? ms : null;
}

/** Of a list of moments; null: of none. */
export const earliest = (moments: readonly (number | null)[]): number | null => pick(moments, Math.min);
export const latest = (moments: readonly (number | null)[]): number | null => pick(moments, Math.max);

function pick(moments: readonly (number | null)[], better: (a: number, b: number) => number): number | null {
  let found: number | null = null;
  for (const moment of moments) if (moment !== null) found = found === null ? moment : better(found, moment);
  return found;
}

/** Text without what the service takes in no text, cut. */
export const clean = (text: string, maxChars: number): string =>
  text.slice(0, maxChars).replace(/[\p{Cc}\p{Cs}]/gu, '?');
