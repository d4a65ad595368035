/**
 * One value of a Slurm answer, in whatever form a generation writes it: 20.11 writes plain numbers and null, 23.02 some
 * as `{set, infinite, number}`, 23.11 and later nearly all; state names are a string first and a list later. A form that
 * is not known is a problem of that field.
 */

/** A JSON object of an answer, read field by field. */
export type Row = Readonly<Record<string, unknown>>;

export const isRow = (value: unknown): value is Row =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Collects what is wrong with the fields of one row. */
export type Complain = (field: string, message: string) => void;

/** NO_VAL and INFINITE of 32 and 64 bits, as older answers write them; those of 16 bits are numbers of jobs and users. */
const NO_VALUES: ReadonlySet<number> = new Set([
  0xffff_fffe,
  0xffff_ffff,
  Number(0xffff_ffff_ffff_fffen),
  Number(0xffff_ffff_ffff_ffffn),
]);
const NO_TEXT: ReadonlySet<string> = new Set(['', 'none', '(null)', 'n/a', 'unknown', 'none assigned']);
/** What stands for a number where there is none, also for one that has no limit. */
const NO_NUMBER: ReadonlySet<string> = new Set([
  ...NO_TEXT,
  ...[
    'null',
    'nan',
    'infinity',
    '-infinity',
    'infinite',
    'inf',
    'unlimited',
    'not_set',
    'unset',
    'partition_limit',
  ],
]);
/** Text of one field: longer is cut. */
const MAX_TEXT = 65_536;

/** A number that is set and finite; null where it is not set, is no value, or is unlimited. Negative ones are a problem. */
export function numberOf(row: Row, field: string, complain: Complain): number | null {
  const value = row[field];
  if (value === undefined || value === null) return null;
  if (isRow(value)) {
    const { set, infinite, number } = value;
    if (infinite === true || set === false) return null;
    // A number in a number would be of no known form.
    if (!isRow(number) && (set === undefined || set === true) && number !== undefined && number !== null)
      return numberOf({ [field]: number }, field, complain);
    complain(field, 'is not written as a number of a known form');
    return null;
  }
  if (typeof value === 'string') {
    if (NO_NUMBER.has(value.toLowerCase())) return null;
    if (/^\d{1,20}$/.test(value)) return plain(Number(value), field, complain);
  }
  if (typeof value === 'number') return plain(value, field, complain);
  complain(field, 'is not written as a number of a known form');
  return null;
}

function plain(value: number, field: string, complain: Complain): number | null {
  if (NO_VALUES.has(value)) return null;
  if (value >= 0 && Number.isFinite(value)) return value;
  complain(field, 'is negative or no number');
  return null;
}

/** Later than this (the year 2200) is no time of a job. */
const MAX_SECONDS = 7_258_118_400;
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?$/;

/**
 * A moment in milliseconds; null where none is set (0, NO_VAL, "Unknown", "None"). Text without a zone is taken as UTC only
 * where `zoneless` says so: where we ran the program ourselves, with TZ=UTC.
 */
export function timeOf(row: Row, field: string, complain: Complain, zoneless = false): number | null {
  const value = row[field];
  if (typeof value === 'string' && !NO_NUMBER.has(value.toLowerCase()) && !/^\d+$/.test(value)) {
    const match = ISO.exec(value);
    if (match && (match[1] !== undefined || zoneless)) {
      const ms = Date.parse(match[1] === undefined ? `${value}Z` : value);
      if (ms > 0 && ms <= MAX_SECONDS * 1000) return ms;
    }
    complain(field, match ? 'is a time without a zone' : 'is no time of a known form');
    return null;
  }
  const seconds = numberOf(row, field, complain);
  if (seconds === null || seconds === 0) return null;
  if (seconds <= MAX_SECONDS) return Math.round(seconds * 1000);
  complain(field, 'lies in no year of a job');
  return null;
}

/** Text that says something; null for what Slurm writes where there is none. */
export function textOf(row: Row, field: string, complain: Complain): string | null {
  const value = row[field];
  if (value === undefined || value === null) return null;
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (typeof value !== 'string') {
    complain(field, 'is not written as text');
    return null;
  }
  return NO_TEXT.has(value.toLowerCase()) ? null : value.slice(0, MAX_TEXT);
}

const MAX_WORDS = 32;

/** Names in capitals: of a string (several are separated by `+`, `,` or blanks; `CANCELLED by 2002`) or a list of them. */
export function wordsOf(row: Row, field: string, complain: Complain): string[] {
  const value = row[field];
  if (value === undefined || value === null) return [];
  const texts = Array.isArray(value) ? value.slice(0, MAX_WORDS) : [value];
  if (!texts.every((text) => typeof text === 'string')) {
    complain(field, 'is not written as a name or a list of names');
    return [];
  }
  return texts
    .flatMap((text) =>
      text
        .slice(0, 1000)
        .toUpperCase()
        .split(/ BY |[\s+,]+/),
    )
    .map((word) => word.replace(/[^A-Z_]+/g, ''))
    .filter((word) => word !== '');
}

/** The row below a field, empty where there is none. */
export function rowOf(row: Row, field: string, complain: Complain): Row {
  const value = row[field];
  if (isRow(value)) return value;
  if (value !== undefined && value !== null) complain(field, 'is not written as an object');
  return {};
}
