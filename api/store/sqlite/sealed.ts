/**
 * A finished hour of a node as one record. Its first byte says in which form:
 *
 * - columns (2): how many of the day's texts it needs (4 bytes), then what `packColumns` makes. The usual one;
 * - lines (0x28, as zstd begins): one zstd frame, two lines for each batch in the order of knowing,
 *   `<stream> <number> <seq> <recordedAtMs> <fromMs> <toMs> <hash>[ <key> <signature>]` and its canonical JSON. Hours that
 *   were sealed before there were columns, and what columns cannot tell.
 *
 * Either gives back the batches as they came, to the last bit. Of the signatures it keeps one for each stretch of a
 * stream: the last one, which speaks for all before it.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { BatchBody } from '../../contract/batch.ts';
import { sha256Hex } from '../../contract/canonical.ts';
import { StoreError } from '../errors.ts';
import { BadColumns } from './integers.ts';
import { packColumns, type SealedBatch, unpackColumns, withHashes } from './sealed-columns.ts';
import type { DayTexts } from './texts.ts';
import { NotTransposable } from './transpose.ts';

const COLUMNS = 2;
const COLUMNS_HEAD_BYTES = 5;
const ZSTD = 0x28;
/** Sixty-four requests of the largest size could not make more. */
const MAX_UNPACKED_BYTES = 1024 * 1024 * 1024;

/** A batch of a record, with what is computed of it. */
export interface RecordBatch extends SealedBatch {
  /** The canonical JSON of the body. */
  readonly text: string;
  readonly hash: string;
}

/** What a record holds: the bodies at once, texts and hashes when they are asked for. */
export interface OpenedRecord {
  readonly batches: readonly SealedBatch[];
  /** Whether hashes are computed of the bodies; else the record has them. */
  readonly hashed: boolean;
  whole(): readonly RecordBatch[];
}

/** Nobody can take a batch out of a sealed hour, or put one in, and keep this. */
export const sealHash = (batches: readonly { readonly hash: string }[]): string =>
  sha256Hex(batches.map((batch) => batch.hash).join('\n'));

/**
 * `batches` in the order of knowing. What is new in it is added to `texts`; `columns` false: it could not be told by
 * columns and needs none of them.
 */
export function packHour(
  batches: readonly RecordBatch[],
  texts: DayTexts,
): { readonly record: Buffer; readonly columns: boolean } {
  const signed = withLastSignatures(batches);
  try {
    const columns = packColumns(signed, texts);
    const head = Buffer.alloc(COLUMNS_HEAD_BYTES, COLUMNS);
    head.writeUInt32LE(texts.count, 1);
    const record = Buffer.concat([head, columns]);
    if (isSame(signed, openHour(record, texts).whole())) return { record, columns: true };
  } catch (error) {
    if (!(error instanceof NotTransposable || error instanceof StoreError)) throw error;
  }
  return { record: packLines(signed), columns: false };
}

/** How many of its day's texts a record needs. */
export const textsNeeded = (record: Buffer): number =>
  record[0] === COLUMNS && record.length >= COLUMNS_HEAD_BYTES ? record.readUInt32LE(1) : 0;

/** Throws `StoreError` `corrupt` for a record that is not what `packHour` made. */
export function openHour(record: Buffer, texts: DayTexts): OpenedRecord {
  try {
    if (record[0] === ZSTD) {
      const batches = unpackLines(record);
      return { batches, hashed: false, whole: () => batches };
    }
    if (record[0] !== COLUMNS) throw new BadColumns();
    const unpacked = unpackColumns(record.subarray(COLUMNS_HEAD_BYTES), texts, MAX_UNPACKED_BYTES);
    let whole: readonly RecordBatch[] | null = null;
    return {
      batches: unpacked.batches,
      hashed: true,
      whole() {
        whole ??= withHashes(unpacked).map(({ batch, text, hash }) => ({ ...batch, text, hash }));
        return whole;
      },
    };
  } catch (error) {
    throw error instanceof StoreError ? error : damaged(error);
  }
}

/** A signature speaks for what stands before it in its stream, so one for each key and run of numbers is enough. */
function withLastSignatures(batches: readonly RecordBatch[]): RecordBatch[] {
  const next = new Map<string, RecordBatch>();
  for (const one of batches) next.set(`${one.stream} ${one.body.seq}`, one);
  return batches.map((one) => {
    const after = next.get(`${one.stream} ${one.body.seq + 1}`);
    const spokenFor = after?.signature != null && after.signature.key === one.signature?.key;
    return spokenFor ? { ...one, signature: null } : one;
  });
}

function isSame(a: readonly RecordBatch[], b: readonly RecordBatch[]): boolean {
  const same = (one: RecordBatch, other: RecordBatch | undefined): boolean =>
    other !== undefined &&
    one.text === other.text &&
    one.hash === other.hash &&
    one.stream === other.stream &&
    one.seq === other.seq &&
    one.recordedAtMs === other.recordedAtMs &&
    one.signature?.key === other.signature?.key &&
    Buffer.compare(one.signature?.value ?? NOTHING, other.signature?.value ?? NOTHING) === 0;
  return a.length === b.length && a.every((one, at) => same(one, b[at]));
}
const NOTHING = new Uint8Array();

function packLines(batches: readonly RecordBatch[]): Buffer {
  const lines = batches.map(({ stream, seq, recordedAtMs, body, hash, signature, text }) => {
    const signed =
      signature === null ? '' : ` ${signature.key} ${Buffer.from(signature.value).toString('hex')}`;
    return `${stream} ${body.seq} ${seq} ${recordedAtMs} ${body.fromMs} ${body.toMs} ${hash}${signed}\n${text}\n`;
  });
  return zstdCompressSync(Buffer.from(lines.join(''), 'utf8'));
}

const HEAD_WORDS = 7;
const SIGNED_WORDS = 9;

function unpackLines(record: Buffer): RecordBatch[] {
  const lines = zstdDecompressSync(record, { maxOutputLength: MAX_UNPACKED_BYTES })
    .toString('utf8')
    .split('\n');
  const batches: RecordBatch[] = [];
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const words = (lines[index] ?? '').split(' ');
    const numbers = [0, 2, 3].map((at) => Number(words[at]));
    const [stream, seq, recordedAtMs] = numbers;
    const [hash, key, value] = words.slice(HEAD_WORDS - 1);
    const text = lines[index + 1];
    if (
      !(words.length === HEAD_WORDS || words.length === SIGNED_WORDS) ||
      !numbers.every(Number.isSafeInteger) ||
      stream === undefined ||
      seq === undefined ||
      recordedAtMs === undefined ||
      hash === undefined ||
      text === undefined
    )
      throw new BadColumns();
    const signature =
      key === undefined || value === undefined
        ? null
        : { key: Number(key), value: Buffer.from(value, 'hex') };
    const body: BatchBody = JSON.parse(text);
    batches.push({ stream, seq, recordedAtMs, hash, text, body, signature });
  }
  return batches;
}

const damaged = (cause: unknown): StoreError =>
  new StoreError('corrupt', 'a sealed hour cannot be read', 'Run gpuledger verify to see which one.', cause);
