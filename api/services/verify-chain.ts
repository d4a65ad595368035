/** Checks what agents sent: every body against its hash, every seal, and each stream's chain from 1 to its head. */
import { CHAIN_START } from '../contract/batch.ts';
import { sha256Hex } from '../contract/canonical.ts';
import type { StoredHour, StreamRow } from '../store/audit.ts';
import type { StoredBatch } from '../store/batches.ts';

const MAX_PROBLEMS = 100;
const PREVIOUS = /"previousHash":"([0-9a-f]{64})"/;

interface Link {
  readonly number: number;
  readonly hash: string;
  readonly previousHash: string;
}

export interface ChainCheck {
  /** Takes an hour's batches and says what is wrong with them alone. */
  add(batches: readonly StoredBatch[], seal: StoredHour['seal'], hourMs: number): string[];
  /** What is wrong with the streams as a whole. */
  finish(streams: readonly StreamRow[]): string[];
}

/** For one node, hour by hour. */
export function createChainCheck(node: string): ChainCheck {
  const links = new Map<number, Link[]>();
  return {
    add(batches, seal, hourMs) {
      const hour = new Date(hourMs).toISOString();
      const problems: string[] = [];
      for (const batch of batches) {
        if (!batch.hashed && sha256Hex(batch.body) !== batch.hash)
          problems.push(`node ${node}, ${hour}: batch ${batch.number} is not what the agent sent`);
        const own = links.get(batch.stream) ?? [];
        links.set(batch.stream, own);
        own.push(linkOf(batch));
      }
      if (seal !== null && !sealHolds(batches, seal))
        problems.push(`node ${node}, ${hour}: the seal is not of the batches in the sealed hour`);
      return problems.slice(0, MAX_PROBLEMS);
    },
    finish(streams) {
      return streams.flatMap((stream) => checkStream(node, stream, links.get(stream.stream) ?? []));
    },
  };
}

function linkOf(batch: StoredBatch): Link {
  // Where it is computed, that is what puts the hash before it into the body.
  const { number, hash } = batch;
  const { decoded, hashed } = batch;
  const previousHash =
    hashed && decoded !== null
      ? decoded.previousHash
      : // A copy: a part of a text keeps all of it in memory.
        Buffer.from(PREVIOUS.exec(batch.body)?.[1] ?? '', 'latin1').toString('latin1');
  return { number, hash, previousHash };
}

/** A seal is over the hashes of its batches in the order of knowing; later batches of the hour may follow them. */
function sealHolds(batches: readonly StoredBatch[], seal: { count: number; headHash: string }): boolean {
  const sealed = [...batches].sort((a, b) => a.seq - b.seq).slice(0, seal.count);
  return sha256Hex(sealed.map((batch) => batch.hash).join('\n')) === seal.headHash;
}

function checkStream(node: string, stream: StreamRow, links: Link[]): string[] {
  const problems: string[] = [];
  const say = (text: string) => {
    if (problems.length < MAX_PROBLEMS) problems.push(`node ${node}, stream ${stream.name}: ${text}`);
  };
  let number = 0;
  let hash = CHAIN_START;
  for (const link of links.sort((a, b) => a.number - b.number)) {
    if (link.number === number) say(`batch ${number} is there twice`);
    else if (link.number !== number + 1) say(`batches ${number + 1} to ${link.number - 1} are missing`);
    else if (link.previousHash !== hash) say(`batch ${link.number} is not chained to the one before it`);
    ({ number, hash } = link);
  }
  if (number !== stream.headNumber || hash !== stream.headHash)
    say(`ends with batch ${number}, and ${stream.headNumber} was acknowledged`);
  return problems;
}
