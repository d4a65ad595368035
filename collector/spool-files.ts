/** The files of the spool: their names, their form, and reading them back without trust. */
import { join } from 'node:path';
import type { Batch } from '../api/contract/batch.ts';
import { canonicalJson, sha256Hex } from '../api/contract/canonical.ts';
import { type Head, isSealed } from './batch.ts';
import type { Files } from './ports.ts';

const NUMBER_DIGITS = 12;
const BATCH_FILE = /^(\d{12})\.json$/;
const MAX_BATCH_FILE_BYTES = 64 * 1024 * 1024;
const MAX_HEAD_FILE_BYTES = 4096;

/** The spool folder cannot be used at all. The message names the folder and what to do. */
export class SpoolError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SpoolError';
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The end of the chain as `stream.json` keeps it. `stoppedAtMs`: when the agent stopped in order, if it did. */
export interface SavedHead {
  readonly stream: string;
  readonly nextSeq: number;
  readonly lastHash: string;
  readonly lastToMs: number | null;
  readonly stoppedAtMs: number | null;
}

/** An RFC 9562 UUID. */
const STREAM_NAME = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;
export const isStreamName = (name: string): boolean => STREAM_NAME.test(name);

type Check = (value: unknown) => boolean;
const isTimeOrNull: Check = (value) => value === null || Number.isSafeInteger(value);
const HEAD_CHECKS: Readonly<Record<keyof SavedHead, Check>> = {
  stream: (value) => typeof value === 'string' && isStreamName(value),
  nextSeq: (value) => Number.isSafeInteger(value) && Number(value) >= 1,
  lastHash: (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
  lastToMs: isTimeOrNull,
  stoppedAtMs: isTimeOrNull,
};
/** A head that points elsewhere by one wrong bit would take the batches that wait for another stream's leftovers. */
const digestOf = (head: SavedHead): string => sha256Hex(canonicalJson(head));
/** Has these members, and no others. */
function isSavedHead(value: object): value is SavedHead {
  const members: Readonly<Record<string, unknown>> = { ...value };
  return (
    Object.keys(members).length === Object.keys(HEAD_CHECKS).length &&
    Object.entries(HEAD_CHECKS).every(([name, check]) => check(members[name]))
  );
}
export const batchFileName = (seq: number): string => `${String(seq).padStart(NUMBER_DIGITS, '0')}.json`;
export function seqOfFile(name: string): number | null {
  const digits = BATCH_FILE.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

function readJson(files: Files, path: string, maxBytes: number): unknown {
  const { bytes, cut } = files.read(path, maxBytes);
  return cut ? null : JSON.parse(bytes.toString('utf8'));
}

/** `absent`: there is none; `damaged`: there is one that cannot be read. */
export function readHead(files: Files, path: string): SavedHead | 'absent' | 'damaged' {
  try {
    const members: Readonly<Record<string, unknown>> = {
      ...Object(readJson(files, path, MAX_HEAD_FILE_BYTES)),
    };
    const { digest, ...head } = members;
    return isSavedHead(head) && digest === digestOf(head) ? head : 'damaged';
  } catch (error) {
    return isMissing(error) ? 'absent' : 'damaged';
  }
}

/** Throws what the disk throws. */
export function writeHead(
  files: Files,
  path: string,
  head: Head,
  lastToMs: number | null,
  stoppedAtMs: number | null,
): void {
  const saved: SavedHead = { ...head, lastToMs, stoppedAtMs };
  files.writeDurably(path, Buffer.from(`${JSON.stringify({ ...saved, digest: digestOf(saved) })}\n`));
}

/** The batch and the size of its file, or null when it is not, to the last bit, what was written. */
export function readBatchFile(files: Files, path: string): { batch: Batch; bytes: number } | null {
  try {
    const { bytes, cut } = files.read(path, MAX_BATCH_FILE_BYTES);
    if (cut) return null;
    const batch: unknown = JSON.parse(bytes.toString('utf8'));
    return isSealed(batch) ? { batch, bytes: bytes.length } : null;
  } catch {
    return null;
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

/** Names in a folder; none when it does not exist. Throws what the disk throws otherwise. */
export function listFolder(files: Files, path: string): string[] {
  try {
    return files.list(path).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Where damaged files lie, within the spool, for people to look at. */
export const CORRUPT_FOLDER = 'corrupt';
/** Beyond this many, damaged files are removed instead of kept. */
const MAX_CORRUPT_FILES = 100;

/** Moves the file into `folder`. False: it lies where it was, and is of no use to the service. */
export const keepCorrupt = (files: Files, path: string, folder: string, name: string): boolean => {
  try {
    files.makeFolder(folder);
    if (files.list(folder).length >= MAX_CORRUPT_FILES) return false;
    files.rename(path, join(folder, name));
    return true;
  } catch {
    return false;
  }
};
