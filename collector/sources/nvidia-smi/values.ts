/**
 * Single values of nvidia-smi: a number with its unit, or `{unknown: reason}`. Anything that is not a number is unknown,
 * never zero: `[N/A]`, `[GPU requires reset]`, `ERR!`, `-`, an empty cell, half a line.
 */
import { isUnknown, type Unknown, type Value } from '../../reading.ts';
import { NOT_IN_OUTPUT, quote, unknown } from './parsed.ts';

const NUMBER = /^([+-]?)(\d{1,15})(?:\.(\d{1,9}))?[ ]?([A-Za-z%]{0,12})$/;
const MAX_PID = 2 ** 31 - 1;
const MAX_NAME = 4096;

// Old drivers and pmon print MB where they mean MiB.
const BYTES: ReadonlyMap<string, bigint> = new Map([
  ['B', 1n],
  ['KiB', 1024n],
  ['MiB', 1024n ** 2n],
  ['MB', 1024n ** 2n],
  ['GiB', 1024n ** 3n],
]);
const MILLIWATTS: ReadonlyMap<string, bigint> = new Map([
  ['W', 1000n],
  ['mW', 1n],
]);
const MILLISECONDS: ReadonlyMap<string, bigint> = new Map([
  ['ms', 1n],
  ['s', 1000n],
]);

/** Why a text is no value: the tool's own words without their brackets. */
function reasonOf(text: string): Unknown {
  const plain = text.trim();
  if (plain === '') return unknown('empty');
  if (plain === '-') return unknown('no sample');
  const bracketed = /^\[(.*)\]$/.exec(plain)?.[1];
  return unknown(quote(bracketed ?? plain));
}

/** `unit` is the one that the header names, for output without units. An absent cell is unknown too. */
function amount(
  text: string | undefined,
  scales: ReadonlyMap<string, bigint>,
  unit: string | undefined,
): Value<number> {
  if (text === undefined) return NOT_IN_OUTPUT;
  const match = NUMBER.exec(text.trim());
  if (!match) return reasonOf(text);
  const [, sign, whole = '0', fraction = '', ownUnit] = match;
  const scale = scales.get(ownUnit || unit || '');
  if (scale === undefined)
    return unknown(ownUnit ? `unit not understood: ${quote(text)}` : `no unit: ${quote(text)}`);
  const scaled = (BigInt(whole + fraction) * scale) / 10n ** BigInt(fraction.length);
  const value = Number(sign === '-' ? -scaled : scaled);
  return Number.isSafeInteger(value) ? value : unknown('too large');
}

export const bytes = (text: string | undefined, unit?: string): Value<number> => amount(text, BYTES, unit);
export const milliwatts = (text: string | undefined, unit?: string): Value<number> =>
  amount(text, MILLIWATTS, unit);
export const milliseconds = (text: string | undefined, unit?: string): Value<number> =>
  amount(text, MILLISECONDS, unit);

/** As printed, also outside 0–100: whoever uses it decides what that means. */
export function percent(text: string | undefined): Value<number> {
  if (text === undefined) return NOT_IN_OUTPUT;
  const match = NUMBER.exec(text.trim());
  if (!match) return reasonOf(text);
  if (match[4] !== '' && match[4] !== '%') return unknown(`unit not understood: ${quote(text)}`);
  return Number(`${match[1]}${match[2]}.${match[3] ?? '0'}`);
}

/** A whole number from `least` up, such as an index. */
export function whole(text: string | undefined, least = 0, most = Number.MAX_SAFE_INTEGER): Value<number> {
  if (text === undefined) return NOT_IN_OUTPUT;
  const plain = text.trim();
  if (!/^\d{1,15}$/.test(plain)) return reasonOf(text);
  const value = Number(plain);
  return value >= least && value <= most ? value : unknown(`out of range: ${plain}`);
}

export const pid = (text: string | undefined): Value<number> => whole(text, 1, MAX_PID);

const STATES: ReadonlyMap<string, boolean> = new Map([
  ['enabled', true],
  ['disabled', false],
]);
/** Enabled or Disabled. */
export function enabled(text: string | undefined): Value<boolean> {
  if (text === undefined) return NOT_IN_OUTPUT;
  return STATES.get(text.trim().toLowerCase()) ?? reasonOf(text);
}

const STATUS = /^(?:\[.*\]|N\/A|ERR!|GPU is lost|Unknown Error|Not Supported|Insufficient Permissions)$/i;
/** A name or another text; what stands for "no value" is unknown. Not escaped: whoever prints it makes it inert. */
export function name(text: string | undefined): Value<string> {
  if (text === undefined) return NOT_IN_OUTPUT;
  const plain = text.trim();
  return plain === '' || plain === '-' || STATUS.test(plain) ? reasonOf(plain) : plain.slice(0, MAX_NAME);
}

const UUID = /(?<=^(?:GPU|MIG)-)[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}$/i;
/** One spelling for a UUID: a device that is written in another case is no other device. */
export const uuidKey = (text: string): string => text.replace(UUID, (digits) => digits.toLowerCase());

/** `GPU-…` and `MIG-…` (old drivers: `MIG-GPU-…/gi/ci`). */
export function uuid(text: string | undefined): Value<string> {
  if (text === undefined) return NOT_IN_OUTPUT;
  const plain = text.trim();
  return /^(?:GPU|MIG)-[0-9A-Za-z/-]{1,100}$/.test(plain) ? uuidKey(plain) : reasonOf(plain);
}

export function busId(text: string | undefined): Value<string> {
  if (text === undefined) return NOT_IN_OUTPUT;
  const plain = text.trim();
  return /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]$/i.test(plain) ? plain : reasonOf(plain);
}

/** One spelling for a bus id: drivers print domains of 4 or 8 digits, in either case. */
export function busIdKey(text: string): string {
  const [domain = '', ...rest] = text.toLowerCase().split(':');
  return [domain.replace(/^0+(?=.)/, ''), ...rest].join(':');
}

/** pmon's and XML's letters: C, G, C+G, M+C. */
export function processType(text: string | undefined): Value<string> {
  if (text === undefined) return NOT_IN_OUTPUT;
  const plain = text.trim();
  return /^[A-Z](?:\+[A-Z]){0,3}$/.test(plain) ? plain : reasonOf(plain);
}

/** The first of several that is known; the first reason where none is. */
export function firstKnown<T>(...values: Value<T>[]): Value<T> {
  const known = values.find((value) => !isUnknown(value));
  const said = values.find((value) => isUnknown(value) && value !== NOT_IN_OUTPUT);
  return known ?? said ?? NOT_IN_OUTPUT;
}
