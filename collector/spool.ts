/**
 * The spool: batches on disk until the service has them. One file a batch, named by its number, in a folder named by
 * the stream; `stream.json` holds the end of the chain, so that an empty spool still continues it.
 *
 *     <folder>/stream.json
 *     <folder>/<stream>/000000000001.json …
 *     <folder>/corrupt/…          what was found damaged, for people to look at
 *
 * A chain never loses a link: where one is damaged or missing, what is left goes into a new stream. Nothing throws
 * once the spool is open; a disk that refuses is an answer, and the caller reports the time as not measured.
 */
import { join } from 'node:path';
import type { Batch } from '../api/contract/batch.ts';
import { type Head, headAfter, newHead, rechain } from './batch.ts';
import type { Files } from './ports.ts';
import {
  batchFileName,
  CORRUPT_FOLDER,
  isStreamName,
  keepCorrupt,
  listFolder,
  messageOf,
  readBatchFile,
  readHead,
  SpoolError,
  seqOfFile,
  writeHead,
} from './spool-files.ts';

export interface SpoolOptions {
  readonly folder: string;
  readonly maxBytes: number;
  readonly newStream: () => string;
  /** Whose batches these are: the name under which the service takes them. Unless given, anybody's count. */
  readonly sender?: { readonly cluster: string; readonly node: string };
}

/** What an earlier run left. */
interface Earlier {
  /** Where its reports end; null: nothing is known of one. */
  readonly lastToMs: number | null;
  /** When it stopped in order; null: it did not. */
  readonly stoppedAtMs: number | null;
}

/** Time whose batches were lost; `toMs` null: up to now. */
interface Loss {
  readonly fromMs: number;
  readonly toMs: number | null;
}

type Appended =
  | { readonly ok: true }
  | { readonly ok: false; readonly full: boolean; readonly detail: string };

export interface Spool {
  readonly earlier: Earlier;
  head(): Head;
  count(): number;
  bytes(): number;
  append(batch: Batch): Appended;
  /** The oldest batches: at most `maxCount`, at most `maxBytes` of text but at least one. */
  oldest(maxCount: number, maxBytes: number): Batch[];
  has(seq: number): boolean;
  /** They are safe elsewhere. */
  remove(seqs: readonly number[]): void;
  /** Puts all that is left into a new chain. False: the disk refused, and nothing changed. */
  restart(): boolean;
  /** Remembers that the agent stopped in order. */
  markStopped(atMs: number): void;
  /** What was lost and what went wrong since the last call. */
  takeTroubles(): { readonly lost: readonly Loss[]; readonly problems: readonly string[] };
}

interface Entry {
  readonly seq: number;
  readonly bytes: number;
  readonly fromMs: number;
  readonly toMs: number;
}
const entryOf = ({ body }: Batch, bytes: number): Entry => ({
  seq: body.seq,
  bytes,
  fromMs: body.fromMs,
  toMs: body.toMs,
});

interface Source {
  readonly path: string;
  readonly stream: string;
  readonly seq: number;
  /** What it covers, where that is known without reading it. */
  readonly entry: Entry | null;
}

class FileSpool implements Spool {
  readonly earlier: Earlier;
  readonly #files: Files;
  readonly #options: SpoolOptions;
  #head: Head;
  /** The stream's folder and `stream.json` exist. */
  #begun = false;
  #lastToMs: number | null = null;
  /** Ascending by number. */
  #entries: Entry[] = [];
  #bytes = 0;
  /** The one kept last: it is sent without being read back. */
  #newest: Batch | null = null;
  /** The newest one that needs no sending any more stays until a newer one needs none: it tells where the next begins. */
  #lastFile: string | null = null;
  #lost: Loss[] = [];
  #problems: string[] = [];

  /** Throws `SpoolError`. */
  constructor(files: Files, options: SpoolOptions) {
    this.#files = files;
    this.#options = options;
    try {
      files.makeFolder(options.folder);
      const saved = readHead(files, this.#headPath());
      const known = typeof saved === 'object' ? saved : null;
      const { stream, nextSeq, lastHash } = known ?? newHead(options.newStream());
      this.#head = { stream, nextSeq, lastHash };
      this.#begun = known !== null;
      this.#lastToMs = known?.lastToMs ?? null;
      if (saved === 'damaged') this.#problems.push('stream.json was damaged: a new stream begins');
      this.#recover(known !== null);
      const quiet = known !== null && this.#head.nextSeq === known.nextSeq;
      this.earlier = { lastToMs: this.#lastToMs, stoppedAtMs: quiet ? known.stoppedAtMs : null };
    } catch (error) {
      throw new SpoolError(
        `cannot use the spool folder ${options.folder}: ${messageOf(error)}. ` +
          'Give a folder that the agent may write (--spool).',
      );
    }
  }

  head(): Head {
    return this.#head;
  }

  count(): number {
    return this.#entries.length;
  }

  bytes(): number {
    return this.#bytes;
  }

  has(seq: number): boolean {
    return this.#entries.some((entry) => entry.seq === seq);
  }

  append(batch: Batch): Appended {
    const bytes = Buffer.from(JSON.stringify(batch));
    if (this.#bytes + bytes.length > this.#options.maxBytes)
      return { ok: false, full: true, detail: `the spool is full: ${this.#bytes} bytes wait to be sent` };
    try {
      // Each time: an agent runs for years beside other people's clean-ups, which may take an empty folder away.
      this.#files.makeFolder(join(this.#options.folder, this.#head.stream));
      if (!this.#begun) {
        writeHead(this.#files, this.#headPath(), this.#head, this.#lastToMs, null);
        this.#begun = true;
      }
      this.#files.writeDurably(this.#pathOf(batch.body.seq), bytes);
    } catch (error) {
      return { ok: false, full: false, detail: `the spool cannot be written: ${messageOf(error)}` };
    }
    this.#entries.push(entryOf(batch, bytes.length));
    this.#bytes += bytes.length;
    this.#newest = batch;
    this.#head = headAfter(batch);
    this.#lastToMs = batch.body.toMs;
    return { ok: true };
  }

  oldest(maxCount: number, maxBytes: number): Batch[] {
    const batches: Batch[] = [];
    let bytes = 0;
    for (const entry of this.#entries.slice(0, maxCount)) {
      if (batches.length > 0 && bytes + entry.bytes > maxBytes) break;
      const batch =
        this.#newest?.body.seq === entry.seq
          ? this.#newest
          : readBatchFile(this.#files, this.#pathOf(entry.seq))?.batch;
      if (batch === undefined) {
        // Damaged while it lay here. What stands before it goes out first; then the chain starts anew.
        if (batches.length === 0) this.restart();
        break;
      }
      batches.push(batch);
      bytes += entry.bytes;
    }
    return batches;
  }

  remove(seqs: readonly number[]): void {
    const gone = new Set(seqs);
    const sent = this.#entries.filter((entry) => gone.has(entry.seq));
    const last = sent.pop();
    for (const { seq } of sent) this.#removeFile(this.#pathOf(seq));
    if (last !== undefined) {
      this.#removeLastFile();
      // After a crash it is sent again, which changes nothing.
      this.#lastFile = this.#pathOf(last.seq);
    }
    this.#entries = this.#entries.filter((entry) => !gone.has(entry.seq));
    this.#bytes = this.#entries.reduce((sum, entry) => sum + entry.bytes, 0);
  }

  restart(): boolean {
    const { stream } = this.#head;
    return this.#rechain(
      this.#entries.map((entry) => ({ path: this.#pathOf(entry.seq), stream, seq: entry.seq, entry })),
    );
  }

  markStopped(atMs: number): void {
    if (this.#begun && this.#saveHead(atMs) && this.#entries.length === 0) this.#removeLastFile();
  }

  takeTroubles(): { readonly lost: readonly Loss[]; readonly problems: readonly string[] } {
    const troubles = { lost: this.#lost, problems: this.#problems };
    this.#lost = [];
    this.#problems = [];
    return troubles;
  }

  /** Reads back what lies in the folder. Only the known stream's folder counts, unless nothing is known. */
  #recover(known: boolean): void {
    const streams = listFolder(this.#files, this.#options.folder).filter(isStreamName);
    const sources: Source[] = [];
    for (const stream of streams) {
      for (const name of listFolder(this.#files, join(this.#options.folder, stream))) {
        const path = join(this.#options.folder, stream, name);
        const seq = seqOfFile(name);
        // What another stream left here is a restart that was cut short; its batches are in the known one.
        if (seq === null || (known && stream !== this.#head.stream)) this.#removeFile(path);
        else sources.push({ path, stream, seq, entry: null });
      }
    }
    if (this.#isForeign(sources)) {
      for (const source of sources) this.#setAside(source);
      this.#problems.push(
        `${sources.length} batches of another cluster or node were set aside in ${CORRUPT_FOLDER}/`,
      );
      this.#head = newHead(this.#options.newStream());
      this.#begun = false;
      this.#lastToMs = null;
      return;
    }
    // The oldest here follows upon what is known to have been kept: where that ends, the oldest begins.
    const beginsMs = known && sources[0]?.seq === this.#head.nextSeq ? this.#lastToMs : null;
    if (known ? this.#readChain(sources) : sources.length === 0) return;
    if (!this.#rechain(sources, beginsMs)) throw new Error(this.#problems.join('; '));
  }

  /** A token is for one node, and a folder under another's name may come from another machine, with other GPUs. */
  #isForeign(sources: readonly Source[]): boolean {
    const { sender } = this.#options;
    for (const source of sources) {
      const body = this.#readSource(source)?.batch.body;
      if (body && sender) return body.cluster !== sender.cluster || body.node !== sender.node;
    }
    return false;
  }

  /** False when a file is damaged or a link is missing. */
  #readChain(sources: readonly Source[]): boolean {
    let before: Head | null = null;
    for (const source of sources) {
      const read = this.#readSource(source);
      if (read === null) return false;
      const { batch, bytes } = read;
      if (
        before !== null &&
        (batch.body.seq !== before.nextSeq || batch.body.previousHash !== before.lastHash)
      )
        return false;
      before = headAfter(batch);
      this.#entries.push(entryOf(batch, bytes));
      this.#bytes += bytes;
      if (before.nextSeq >= this.#head.nextSeq) this.#lastToMs = batch.body.toMs;
    }
    if (before !== null && before.nextSeq > this.#head.nextSeq) this.#head = before;
    return true;
  }

  #readSource({ path, stream, seq }: Source): ReturnType<typeof readBatchFile> {
    const read = readBatchFile(this.#files, path);
    return read !== null && read.batch.body.stream === stream && read.batch.body.seq === seq ? read : null;
  }

  /**
   * Puts the readable ones of `sources` into a new stream, in their order. The new files are complete before
   * `stream.json` names them, and the old ones go after that, so that a crash at any point loses nothing. `beginsMs`: where
   * the first of them begins, when that is known without reading it.
   */
  #rechain(sources: readonly Source[], beginsMs: number | null = null): boolean {
    const lost: Loss[] = [];
    const damaged: Source[] = [];
    const entries: Entry[] = [];
    let head = newHead(this.#options.newStream());
    let lastToMs = beginsMs;
    /** Something between the last readable one and the next is gone. */
    let broken = false;
    let before: string | null = null;
    const folder = join(this.#options.folder, head.stream);
    try {
      this.#files.makeFolder(folder);
      for (const source of sources) {
        const read = this.#readSource(source);
        if (read === null) {
          damaged.push(source);
          if (source.entry === null) broken = true;
          else if (source.entry.toMs > source.entry.fromMs) {
            lost.push({ fromMs: source.entry.fromMs, toMs: source.entry.toMs });
            lastToMs = Math.max(source.entry.toMs, lastToMs ?? 0);
          }
          continue;
        }
        const { fromMs, toMs, previousHash } = read.batch.body;
        broken ||= before !== null && before !== previousHash;
        if (broken && lastToMs !== null && fromMs > lastToMs) lost.push({ fromMs: lastToMs, toMs: fromMs });
        const batch = rechain(read.batch, head);
        const bytes = Buffer.from(JSON.stringify(batch));
        this.#files.writeDurably(join(folder, batchFileName(batch.body.seq)), bytes);
        entries.push(entryOf(batch, bytes.length));
        head = headAfter(batch);
        lastToMs = Math.max(toMs, lastToMs ?? toMs);
        before = read.batch.hash;
        broken = false;
      }
      const knownToMs = this.#lastToMs;
      if (broken && lastToMs !== null)
        lost.push({ fromMs: lastToMs, toMs: knownToMs !== null && knownToMs > lastToMs ? knownToMs : null });
      const endMs = lastToMs === null ? knownToMs : Math.max(lastToMs, knownToMs ?? lastToMs);
      writeHead(this.#files, this.#headPath(), head, endMs, null);
      this.#lastToMs = endMs;
    } catch (error) {
      this.#problems.push(`a new stream could not be written: ${messageOf(error)}`);
      for (const { seq } of entries) this.#removeFile(join(folder, batchFileName(seq)));
      return false;
    }
    for (const source of damaged) this.#setAside(source);
    for (const source of sources) if (!damaged.includes(source)) this.#removeFile(source.path);
    if (damaged.length > 0)
      this.#problems.push(`${damaged.length} damaged batches were set aside in ${CORRUPT_FOLDER}/`);
    this.#removeLastFile();
    this.#lost.push(...lost);
    this.#head = head;
    this.#newest = null;
    this.#begun = true;
    this.#entries = entries;
    this.#bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    return true;
  }

  #setAside({ path, stream, seq }: Source): void {
    const folder = join(this.#options.folder, CORRUPT_FOLDER);
    if (!keepCorrupt(this.#files, path, folder, `${stream}-${batchFileName(seq)}`)) this.#removeFile(path);
  }

  #removeLastFile(): void {
    if (this.#lastFile !== null) this.#removeFile(this.#lastFile);
    this.#lastFile = null;
  }

  #removeFile(path: string): void {
    try {
      this.#files.remove(path);
    } catch {
      // It stays, and is sent again after a restart: the service answers that it has it.
    }
  }

  #saveHead(stoppedAtMs: number): boolean {
    try {
      writeHead(this.#files, this.#headPath(), this.#head, this.#lastToMs, stoppedAtMs);
      return true;
    } catch (error) {
      this.#problems.push(`the spool cannot be written: ${messageOf(error)}`);
      return false;
    }
  }

  #headPath(): string {
    return join(this.#options.folder, 'stream.json');
  }

  #pathOf(seq: number): string {
    return join(this.#options.folder, this.#head.stream, batchFileName(seq));
  }
}

/** Opens or makes the spool. Throws `SpoolError` when the folder cannot be used. */
export const openSpool = (files: Files, options: SpoolOptions): Spool => new FileSpool(files, options);
