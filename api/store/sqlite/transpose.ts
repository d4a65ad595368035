/**
 * JSON by columns: what stands at one place in many similar values lies together, so that it can be told in few bytes.
 * `transpose` writes the values' integers and gives their form; `restore` makes them of both again. Text is kept
 * elsewhere, under a number; integers must be safe ones.
 */
import { BadColumns, type IntegerReader, type IntegerWriter } from './integers.ts';

/** Numbers for texts. */
export interface TextNumbers {
  numberOf(text: string): number;
}
export interface TextsByNumber {
  text(number: number): string;
}

const KIND = { null: 0, false: 1, true: 2, integer: 3, text: 4, list: 5, object: 6 } as const;

/** What the values of a place look like. Without `kind` they are of several. */
export interface Form {
  readonly kind?: number;
  /** The members of the objects, for each set of them. */
  readonly shapes?: readonly (readonly string[])[];
  readonly members?: Readonly<Record<string, Form>>;
  readonly items?: Form;
}

/** The value cannot be told by columns. */
export class NotTransposable extends Error {
  constructor(what: string) {
    super(`${what} cannot be told by columns`);
    this.name = 'NotTransposable';
  }
}

type Members = Readonly<Record<string, unknown>>;
const isMembers = (value: unknown): value is Members => typeof value === 'object' && value !== null;

export function transpose(values: readonly unknown[], to: IntegerWriter, texts: TextNumbers): Form {
  const kinds: number[] = [];
  const integers: number[] = [];
  const named: number[] = [];
  const lengths: number[] = [];
  const items: unknown[] = [];
  const objects: Members[] = [];
  const shapes = new Map<string, number>();
  const shapeKeys: string[][] = [];
  for (const value of values) {
    if (value === null) kinds.push(KIND.null);
    else if (typeof value === 'boolean') kinds.push(value ? KIND.true : KIND.false);
    else if (typeof value === 'number' && Number.isSafeInteger(value)) {
      kinds.push(KIND.integer);
      integers.push(value);
    } else if (typeof value === 'string') {
      kinds.push(KIND.text);
      named.push(texts.numberOf(value));
    } else if (Array.isArray(value)) {
      kinds.push(KIND.list);
      lengths.push(value.length);
      for (const item of value) items.push(item);
    } else if (isMembers(value)) {
      const keys = Object.keys(value);
      const name = JSON.stringify(keys);
      let shape = shapes.get(name);
      if (shape === undefined) {
        shape = shapes.size;
        shapes.set(name, shape);
        shapeKeys.push(keys);
      }
      kinds.push(KIND.object + shape);
      objects.push(value);
    } else throw new NotTransposable(typeof value);
  }
  const only = new Set(kinds).size === 1 ? kinds[0] : undefined;
  if (only === undefined) to.add(kinds);
  to.add(integers);
  to.add(named);
  to.add(lengths);
  const form: { -readonly [Name in keyof Form]: Form[Name] } = only === undefined ? {} : { kind: only };
  if (items.length > 0) form.items = transpose(items, to, texts);
  if (objects.length > 0) {
    form.shapes = shapeKeys;
    form.members = Object.fromEntries(
      [...new Set(shapeKeys.flat())].map((key) => {
        const own = objects.filter((object) => Object.hasOwn(object, key)).map((object) => object[key]);
        return [key, transpose(own, to, texts)];
      }),
    );
  }
  return form;
}

/** `count` values. Throws `BadColumns`. */
export function restore(form: Form, count: number, from: IntegerReader, texts: TextsByNumber): unknown[] {
  if (count === 0) return [];
  const kinds = form.kind === undefined ? from.take(count) : null;
  const ofKind = (kind: number): number =>
    kinds === null ? (form.kind === kind ? count : 0) : kinds.filter((one) => one === kind).length;
  const integers = from.take(ofKind(KIND.integer));
  const named = from.take(ofKind(KIND.text));
  const lengths = from.take(ofKind(KIND.list));
  let itemCount = 0;
  for (const length of lengths) itemCount += length;
  if (itemCount > 0 && form.items === undefined) throw new BadColumns();
  const items = form.items === undefined ? [] : restore(form.items, itemCount, from, texts);
  const nextObject = objectsOf(form, kinds, count, from, texts);
  let integer = 0;
  let name = 0;
  let list = 0;
  let item = 0;
  const values: unknown[] = new Array(count);
  for (let at = 0; at < count; at += 1) {
    const kind = kinds === null ? form.kind : kinds[at];
    if (kind === KIND.integer) values[at] = integers[integer++];
    else if (kind === KIND.text) values[at] = texts.text(named[name++] ?? -1);
    else if (kind === KIND.null) values[at] = null;
    else if (kind === KIND.list) {
      const length = lengths[list++] ?? 0;
      values[at] = length === 0 ? [] : items.slice(item, item + length);
      item += length;
    } else if (kind === KIND.true || kind === KIND.false) values[at] = kind === KIND.true;
    else values[at] = nextObject((kind ?? -1) - KIND.object);
  }
  return values;
}

/** Gives the objects of a place one after the other, each of the shape that is asked for. */
function objectsOf(
  { kind, shapes = [], members = {} }: Form,
  kinds: readonly number[] | null,
  count: number,
  from: IntegerReader,
  texts: TextsByNumber,
): (shape: number) => Members {
  const counts = shapes.map((_, shape) =>
    kinds === null
      ? kind === KIND.object + shape
        ? count
        : 0
      : kinds.filter((one) => one === KIND.object + shape).length,
  );
  const columns = new Map<string, { readonly values: unknown[]; at: number }>();
  for (const [key, form] of Object.entries(members)) {
    let own = 0;
    for (const [shape, keys] of shapes.entries()) if (keys.includes(key)) own += counts[shape] ?? 0;
    columns.set(key, { values: restore(form, own, from, texts), at: 0 });
  }
  return (shape) => {
    const keys = shapes[shape];
    if (keys === undefined) throw new BadColumns();
    const object: Record<string, unknown> = {};
    for (const key of keys) {
      const column = columns.get(key);
      if (column === undefined) throw new BadColumns();
      object[key] = column.values[column.at++];
    }
    return object;
  };
}
