/** The checks of single members that the fast check of batches is made of. They throw `BadField`. */
import { BATCH_LIMITS } from '../contract/batch.ts';
import { BATCH_PATTERNS, MAX_TIME_MS } from '../contract/batch-schema.ts';

/** The first member that is wrong. `field` is its path, such as `batches.0.body.toMs`. */
export class BadField extends Error {
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.name = 'BadField';
    this.field = field;
  }
}

export type Members = Readonly<Record<string, unknown>>;

export const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

// The checks of single members. They throw with the member's own name; `inside` and `list` put the way to it before.

export function inside(field: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof BadField)) throw error;
    throw new BadField(error.field === '' ? field : `${field}.${error.field}`, error.message);
  }
}

/** An object with exactly `count` members; that each known one is there is what the other checks find. */
export function members(value: unknown, count: number, field: string): Members {
  if (!isMembers(value)) throw new BadField(field, 'must be an object');
  if (Object.keys(value).length > count) throw new BadField(field, 'has members that are not known');
  return value;
}

export function list(
  from: Members,
  field: string,
  max: number,
  check: (one: unknown) => void,
): readonly unknown[] {
  const value = from[field];
  if (!Array.isArray(value)) throw new BadField(field, 'must be a list');
  if (value.length > max) throw new BadField(field, `must hold at most ${max}`);
  for (let index = 0; index < value.length; index += 1) {
    try {
      check(value[index]);
    } catch (error) {
      if (!(error instanceof BadField)) throw error;
      throw new BadField(`${field}.${index}${error.field === '' ? '' : `.${error.field}`}`, error.message);
    }
  }
  return value;
}

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);

export function integer(from: Members, field: string, min: number, max: number, message?: string): number {
  const value = from[field];
  if (!isInteger(value)) throw new BadField(field, 'must be an integer');
  if (value < min || value > max) throw new BadField(field, message ?? `must lie between ${min} and ${max}`);
  return value;
}

export function checkIntegers(value: unknown, count: number, min: number, max: number): readonly number[] {
  if (!Array.isArray(value)) throw new BadField('', 'must be a list');
  if (value.length > count) throw new BadField('', `must hold at most ${count}`);
  for (const one of value) {
    if (!isInteger(one) || one < min || one > max)
      throw new BadField('', `must hold integers between ${min} and ${max}`);
  }
  return value;
}

export function integers(
  from: Members,
  field: string,
  count: number,
  min: number,
  max: number,
): readonly number[] {
  let checked: readonly number[] = [];
  inside(field, () => {
    checked = checkIntegers(from[field], count, min, max);
  });
  return checked;
}

/** An integer that may be unknown. */
export function count(from: Members, field: string): void {
  if (from[field] !== null) integer(from, field, 0, Number.MAX_SAFE_INTEGER);
}

export function seenFromTo(from: Members): void {
  const firstMs = time(from, 'firstMs');
  integer(from, 'lastMs', firstMs, MAX_TIME_MS, 'must not lie before firstMs');
}

export const time = (from: Members, field: string): number => integer(from, field, 0, MAX_TIME_MS);

export function checkText(value: unknown, maxChars: number): string {
  if (typeof value !== 'string') throw new BadField('', 'must be text');
  if (value.length > maxChars) throw new BadField('', `must have at most ${maxChars} characters`);
  return value;
}

export function text(from: Members, field: string, maxChars: number): void {
  const value = from[field];
  if (typeof value !== 'string') throw new BadField(field, 'must be text');
  if (value.length > maxChars) throw new BadField(field, `must have at most ${maxChars} characters`);
}

export function wholeText(from: Members, field: string, maxChars: number): void {
  text(from, field, maxChars);
  const value = from[field];
  if (typeof value === 'string' && (!value.isWellFormed() || value.includes('\0')))
    throw new BadField(field, 'must be whole Unicode without NUL');
}

export function pattern(from: Members, field: string, form: RegExp): string {
  const value = from[field];
  if (typeof value !== 'string' || !form.test(value)) throw new BadField(field, `must match ${form.source}`);
  return value;
}

export function checkName(value: unknown, field = ''): void {
  if (typeof value !== 'string' || value.length > BATCH_LIMITS.nameChars || !BATCH_PATTERNS.name.test(value))
    throw new BadField(field, `must be 1 to ${BATCH_LIMITS.nameChars} characters without control characters`);
}

export const name = (from: Members, field: string): void => checkName(from[field], field);

export function flag(from: Members, field: string): void {
  if (typeof from[field] !== 'boolean') throw new BadField(field, 'must be true or false');
}

export function oneOf(from: Members, field: string, values: readonly string[]): void {
  const value = from[field];
  if (typeof value !== 'string' || !values.includes(value))
    throw new BadField(field, `must be one of ${values.join(', ')}`);
}
