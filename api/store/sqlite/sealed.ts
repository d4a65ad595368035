/**
 * A finished hour of a node as one zstd record. Unpacked it holds two lines for each batch, in the order of knowing:
 * `<stream> <number> <seq> <recordedAtMs> <fromMs> <toMs> <hash>`, then the batch's canonical JSON as it came.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { sha256Hex } from '../../contract/canonical.ts';
import type { StoredBatch } from '../batches.ts';
import { StoreError } from '../errors.ts';

/** Sixty-four requests of the largest size could not make more. */
const MAX_UNPACKED_BYTES = 1024 * 1024 * 1024;

/** Nobody can take a batch out of a sealed hour, or put one in, and keep this. */
export const sealHash = (batches: readonly { readonly hash: string }[]): string =>
  sha256Hex(batches.map((batch) => batch.hash).join('\n'));

export function packHour(batches: readonly StoredBatch[]): Buffer {
  const lines = batches.map(
    (one) =>
      `${one.stream} ${one.number} ${one.seq} ${one.recordedAtMs} ${one.fromMs} ${one.toMs} ${one.hash}\n${one.body}\n`,
  );
  return zstdCompressSync(Buffer.from(lines.join(''), 'utf8'));
}

/** Throws `StoreError` `corrupt` for a record that is not what `packHour` made. */
export function unpackHour(record: Buffer): StoredBatch[] {
  let lines: string[];
  try {
    lines = zstdDecompressSync(record, { maxOutputLength: MAX_UNPACKED_BYTES }).toString('utf8').split('\n');
  } catch (error) {
    throw damaged(error);
  }
  const batches: StoredBatch[] = [];
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const head = (lines[index] ?? '').split(' ');
    const numbers = head.slice(0, 6).map(Number);
    const [stream, number, seq, recordedAtMs, fromMs, toMs] = numbers;
    const hash = head[6];
    const body = lines[index + 1];
    if (
      head.length !== 7 ||
      !numbers.every(Number.isSafeInteger) ||
      stream === undefined ||
      number === undefined ||
      seq === undefined ||
      recordedAtMs === undefined ||
      fromMs === undefined ||
      toMs === undefined ||
      hash === undefined ||
      body === undefined
    )
      throw damaged(null);
    batches.push({ stream, number, seq, recordedAtMs, fromMs, toMs, hash, body });
  }
  return batches;
}

const damaged = (cause: unknown): StoreError =>
  new StoreError('corrupt', 'a sealed hour cannot be read', 'Run gpuledger verify to see which one.', cause);
