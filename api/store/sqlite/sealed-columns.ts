/**
 * The batches of a node-hour by columns, and back to the last bit. What can be computed is left out: a batch's number is
 * its place, its hash is that of its text, the hash before it is that of the batch before it.
 */
import type { BatchBody } from '../../contract/batch.ts';
import { canonicalJson, sha256Hex } from '../../contract/canonical.ts';
import { BadColumns, IntegerReader, IntegerWriter } from './integers.ts';
import { packTenancies, unpackTenancies } from './sealed-tenancies.ts';
import type { DayTexts } from './texts.ts';
import { type Form, restore, transpose } from './transpose.ts';

/** A batch as it is sealed: its text is the canonical JSON of `body`. */
export interface SealedBatch {
  readonly stream: number;
  readonly seq: number;
  readonly recordedAtMs: number;
  readonly body: BatchBody;
  /** Number of the key, and 64 bytes. */
  readonly signature: { readonly key: number; readonly value: Uint8Array } | null;
}

/** What an agent repeats in the same words each hour: each item is one text, its JSON. */
const REPEATED = ['inventory', 'processes', 'tools'] as const;
const HASH_BYTES = 32;
const SIGNATURE_BYTES = 64;
const SIGNED = { no: 0, yes: 1 } as const;
const FOLLOWS = { no: 0, yes: 1 } as const;

/** Throws `NotTransposable` for what cannot be told so. */
export function packColumns(
  batches: readonly (SealedBatch & { readonly hash: string })[],
  texts: DayTexts,
): Buffer {
  const to = new IntegerWriter();
  const bodies = batches.map((one) => one.body);
  const following = follows(batches);
  const rests = bodies.map((body) => restOf(body, texts));
  const others = new IntegerWriter();
  const form = transpose(rests, others, texts);
  to.add([batches.length, texts.numberOf(JSON.stringify(form))]);
  to.add(batches.map((one) => one.stream));
  to.add(bodies.map((body) => body.seq));
  to.add(batches.map((one) => one.seq));
  to.add(bodies.map((body, at) => body.fromMs - (bodies[at - 1]?.toMs ?? 0)));
  to.add(bodies.map((body) => body.toMs - body.fromMs));
  to.add(batches.map((one) => one.recordedAtMs - one.body.toMs));
  to.add(following.map((before) => (before === null ? FOLLOWS.no : FOLLOWS.yes)));
  to.add(batches.map((one) => (one.signature === null ? SIGNED.no : SIGNED.yes)));
  const signatures = batches.flatMap((one) => one.signature ?? []);
  to.add(signatures.map((one) => one.key));
  for (const [at, before] of following.entries())
    if (before === null) to.addPlain(Buffer.from(bodies[at]?.previousHash ?? '', 'hex'));
  for (const { value } of signatures) to.addPlain(value);
  packTenancies(bodies, to, texts);
  to.append(others);
  return to.pack();
}

/** For each batch the place of the one whose hash it names as the one before; null: none of these, just before it. */
function follows(batches: readonly (SealedBatch & { readonly hash: string })[]): (number | null)[] {
  const last = new Map<number, number>();
  return batches.map(({ stream, body }, at) => {
    const before = last.get(stream);
    last.set(stream, at);
    return before !== undefined && batches[before]?.hash === body.previousHash ? before : null;
  });
}

/** What is told by columns of its own. */
const OWN = { seq: null, previousHash: null, fromMs: null, toMs: null, tenancies: null } as const;

/** The rest, with the members in the order in which they came: it is that of canonical JSON. */
function restOf(body: BatchBody, texts: DayTexts): object {
  const told: Record<string, unknown> = { ...body, ...OWN };
  for (const name of REPEATED)
    told[name] = body[name]?.map((item) => texts.numberOf(canonicalJson(item))) ?? null;
  return told;
}

/** A packed hour whose bodies were made again. */
export interface UnpackedHour {
  readonly batches: readonly SealedBatch[];
  /** The hash before each batch, where it is told; null: it is that of the batch before it in its stream. */
  readonly told: readonly (string | null)[];
}

/**
 * The bodies lack nothing but `previousHash` where it must be computed, which `withHashes` puts in. They share what is
 * repeated with other hours, and are to be left as they are. Throws `BadColumns`.
 */
export function unpackColumns(packed: Buffer, texts: DayTexts, maxBytes: number): UnpackedHour {
  const from = new IntegerReader(packed, maxBytes);
  const [count = 0, formNumber = -1] = from.take(2);
  const streams = from.take(count);
  const numbers = from.take(count);
  const seqs = from.take(count);
  const starts = from.take(count);
  const lengths = from.take(count);
  const delays = from.take(count);
  const following = from.take(count);
  const signed = from.take(count);
  const keys = from.take(signed.filter((one) => one === SIGNED.yes).length);
  const told = following.map((one) => (one === FOLLOWS.yes ? null : from.plain(HASH_BYTES).toString('hex')));
  let key = 0;
  const signatures = signed.map((one) =>
    one === SIGNED.yes ? { key: keys[key++] ?? -1, value: from.plain(SIGNATURE_BYTES) } : null,
  );
  let beforeMs = 0;
  const places = starts.map((start, at) => {
    const fromMs = beforeMs + start;
    beforeMs = fromMs + (lengths[at] ?? 0);
    return { fromMs, toMs: beforeMs };
  });
  const tenancies = unpackTenancies(places, from, texts);
  const rests = restore(formOf(texts.parsed(formNumber)), count, from, texts);
  const batches = places.map(({ fromMs, toMs }, at): SealedBatch => {
    const body = bodyOf(rests[at], texts, {
      ...{
        seq: numbers[at] ?? 0,
        previousHash: told[at] ?? '',
        fromMs,
        toMs,
        tenancies: tenancies[at] ?? [],
      },
    });
    return {
      ...{ stream: streams[at] ?? 0, seq: seqs[at] ?? 0, body, signature: signatures[at] ?? null },
      recordedAtMs: toMs + (delays[at] ?? 0),
    };
  });
  return { batches, told };
}

const isForm = (value: unknown): value is Form => typeof value === 'object' && value !== null;
function formOf(value: unknown): Form {
  if (!isForm(value)) throw new BadColumns();
  return value;
}

type Own = { -readonly [Name in keyof typeof OWN]: BatchBody[Name] };
const isMembers = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;
const isBody = (value: object): value is BatchBody => Object.hasOwn(value, 'tenancies');

function bodyOf(rest: unknown, texts: DayTexts, own: Own): BatchBody {
  if (!isMembers(rest)) throw new BadColumns();
  Object.assign(rest, own);
  for (const name of REPEATED) {
    const items = rest[name];
    if (Array.isArray(items)) rest[name] = items.map((number: unknown) => texts.parsed(Number(number)));
  }
  if (!isBody(rest)) throw new BadColumns();
  return rest;
}

/** The batches with their texts and hashes, all of it as it was when they were packed. */
export function withHashes({
  batches,
  told,
}: UnpackedHour): { readonly batch: SealedBatch; readonly text: string; readonly hash: string }[] {
  const last = new Map<number, string>();
  return batches.map((one, at) => {
    one.body.previousHash = told[at] ?? last.get(one.stream) ?? '';
    // Canonical, since every member lies where it lay in the canonical JSON that it was packed from.
    const text = JSON.stringify(one.body);
    const hash = sha256Hex(text);
    last.set(one.stream, hash);
    return { batch: one, text, hash };
  });
}
