/** Real files that can refuse, batches to keep in them, and a stand-in for the service that holds agents to the contract. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BATCH_SCHEMA,
  type Batch,
  type BatchRequest,
  type BatchResponse,
  CHAIN_START,
} from '../../api/contract/batch.ts';
import { canonicalJson, sha256Hex } from '../../api/contract/canonical.ts';
import { checkBatchRequest } from '../../api/services/validate-batch.ts';
import { type Head, sealBatch } from '../../collector/batch.ts';
import { files } from '../../collector/ports/real.ts';
import type { Files, Network } from '../../collector/ports.ts';
import { openSpool, type Spool } from '../../collector/spool.ts';

export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'gpuledger-spool-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Real files that fail for good from an operation on, or refuse to be written. */
export interface FaultyFiles extends Files {
  /** Operations done so far. */
  operations: number;
  /** From this operation on, everything fails. */
  failFrom: number;
  /** Everything that writes fails. */
  readOnly: boolean;
}

export function faultyFiles(): FaultyFiles {
  const guarded = <Args extends unknown[], Result>(
    act: (...args: Args) => Result,
    writes: boolean,
  ): ((...args: Args) => Result) => {
    return (...args) => {
      faulty.operations += 1;
      if (faulty.operations > faulty.failFrom)
        throw Object.assign(new Error('EIO: planted'), { code: 'EIO' });
      if (writes && faulty.readOnly) throw Object.assign(new Error('EROFS: planted'), { code: 'EROFS' });
      return act(...args);
    };
  };
  const faulty: FaultyFiles = {
    operations: 0,
    failFrom: Number.POSITIVE_INFINITY,
    readOnly: false,
    read: guarded(files.read, false),
    hold: guarded(files.hold, false),
    readLink: guarded(files.readLink, false),
    list: guarded(files.list, false),
    identify: guarded(files.identify, false),
    sizeBytes: guarded(files.sizeBytes, false),
    stat: guarded(files.stat, false),
    realPath: guarded(files.realPath, false),
    digest: guarded(files.digest, false),
    makeFolder: guarded(files.makeFolder, true),
    writeDurably: guarded(files.writeDurably, true),
    rename: guarded(files.rename, true),
    remove: guarded(files.remove, true),
  };
  return faulty;
}

let streams = 0;
export const nextStream = (): string => {
  streams += 1;
  return `00000000-0000-4000-8000-${String(streams).padStart(12, '0')}`;
};
export const open = (folder: string, over: Files = files, maxBytes = 1_000_000): Spool =>
  openSpool(over, { folder, maxBytes, newStream: nextStream });

/** A batch of 10 s, the `number`-th of them, whose problem names the number. */
export function batchAt({ stream, nextSeq, lastHash }: Head, number: number): Batch {
  const fromMs = 1_790_000_000_000 + number * 10_000;
  return sealBatch(
    {
      schema: BATCH_SCHEMA,
      ...{ cluster: 'main', node: 'n1', bootId: 'boot', agentVersion: '0.1.0', driverVersion: null },
      ...{ stream, seq: nextSeq, previousHash: lastHash, pollIntervalMs: 5000 },
      ...{ fromMs, toMs: fromMs + 10_000, inventory: null },
      ...{ processes: [], tenancies: [], gaps: [], connections: [], clockSteps: [] },
      ...{ accounted: [], holders: [], dials: [], integrity: [], tools: null, host: null },
      problems: [{ atMs: fromMs, source: 'test', message: String(number) }],
    },
    [],
  );
}

export const numbersOf = (batches: readonly Batch[]): string[] =>
  batches.flatMap(({ body }) => body.problems.map(({ message }) => message));

/** The service as the contract has it: chains per stream, idempotent, and in order. */
export class StandInService implements Network {
  readonly stored: Batch[] = [];
  readonly quarantined: Batch[] = [];
  readonly streams = new Map<string, Batch[]>();
  requests = 0;
  /** Thrown instead of an answer. */
  refusal: Error | null = null;
  /** Takes the batches, and loses the answer. */
  loseAnswer = false;

  async send(request: BatchRequest): Promise<BatchResponse> {
    this.requests += 1;
    if (this.refusal !== null) throw this.refusal;
    const received: unknown = structuredClone(request);
    checkBatchRequest(received);
    const results = received.batches.map((batch) => this.#take(batch));
    if (this.loseAnswer) throw new Error('planted: the connection broke');
    const stream = received.batches[0]?.body.stream ?? '';
    return { results, expectedSeq: (this.streams.get(stream)?.length ?? 0) + 1 };
  }

  #take(batch: Batch): BatchResponse['results'][number] {
    const { body, hash } = batch;
    if (sha256Hex(canonicalJson(body)) !== hash) throw new Error('the hash is wrong');
    const chain = this.streams.get(body.stream) ?? [];
    this.streams.set(body.stream, chain);
    const known = chain[body.seq - 1];
    if (known !== undefined) {
      if (known.hash === hash) return { seq: body.seq, status: 'duplicate', message: null };
      return this.#setAside(batch);
    }
    if (body.seq !== chain.length + 1) return { seq: body.seq, status: 'out_of_order', message: null };
    if (body.previousHash !== (chain.at(-1)?.hash ?? CHAIN_START)) return this.#setAside(batch);
    chain.push(batch);
    this.stored.push(batch);
    return { seq: body.seq, status: 'stored', message: null };
  }

  #setAside(batch: Batch): BatchResponse['results'][number] {
    this.quarantined.push(batch);
    return { seq: batch.body.seq, status: 'quarantined', message: 'another hash' };
  }
}
