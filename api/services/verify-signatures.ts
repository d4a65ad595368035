/**
 * Checks who sent the batches: every signature that is kept, that each stream is signed to its end, and that the keys are
 * those which the journal tells of. A sealed hour keeps the last signature of each stretch; by the chain it speaks for
 * all before it, so `createChainCheck` must find nothing either.
 */
import { isSignedBy } from '../contract/signature.ts';
import type { StreamRow } from '../store/audit.ts';
import type { StoredBatch } from '../store/batches.ts';
import { KEY_ACCEPT_ACTION, KEY_ACTION, type NodeKey } from '../store/keys.ts';

const MAX_PROBLEMS = 100;

export interface SignatureCheck {
  /** How many signatures were looked at. */
  readonly count: number;
  /** Takes an hour's batches and says what is wrong with their signatures. */
  add(batches: readonly StoredBatch[], hourMs: number): string[];
  /** What is wrong with the streams as a whole. */
  finish(streams: readonly StreamRow[]): string[];
}

interface Reach {
  /** The last batch that is signed, and the last one. */
  signedNumber: number;
  number: number;
  seq: number;
}

/** For one node, with its keys in the order in which they came. */
export function createSignatureCheck(node: string, keys: readonly NodeKey[]): SignatureCheck {
  const known = new Set(keys.map((key) => key.publicKey));
  const signsFromSeq = keys[0]?.seq ?? Number.POSITIVE_INFINITY;
  const reaches = new Map<number, Reach>();
  let count = 0;
  return {
    get count() {
      return count;
    },
    add(batches, hourMs) {
      const problems: string[] = [];
      for (const batch of [...batches].sort((a, b) => a.seq - b.seq)) {
        const { stream, number, seq, signature } = batch;
        const reach = reaches.get(stream) ?? { signedNumber: 0, number: 0, seq: 0 };
        reaches.set(stream, reach);
        if (number > reach.number) Object.assign(reach, { number, seq });
        if (signature === null) continue;
        count += 1;
        reach.signedNumber = Math.max(reach.signedNumber, number);
        if (known.has(signature.key) && isSignedBy(signature, batch.hash)) continue;
        problems.push(
          `node ${node}, ${new Date(hourMs).toISOString()}: batch ${number} was not signed by the node's key`,
        );
      }
      return problems.slice(0, MAX_PROBLEMS);
    },
    finish(streams) {
      return streams.flatMap(({ stream, name }) => {
        const reach = reaches.get(stream);
        if (reach === undefined || reach.seq < signsFromSeq || reach.signedNumber >= reach.number) return [];
        const from = reach.signedNumber + 1;
        return [`node ${node}, stream ${name}: batches ${from} to ${reach.number} lack the node's signature`];
      });
    },
  };
}

/** What the journal says of keys. */
export interface JournalledKey {
  readonly action: string;
  /** The node. */
  readonly subject: string;
  /** Begins with the key. */
  readonly detail: string;
}
export const isOfKeys = ({ action }: { readonly action: string }): boolean =>
  action === KEY_ACTION || action === KEY_ACCEPT_ACTION;

/** A key decides whose word a batch is, so each must be the one that was journalled, and none may be missing. */
export function checkKeys(keys: readonly NodeKey[], journal: readonly JournalledKey[]): string[] {
  const nameOf = (action: string, node: string, key: string): string => `${action} ${node} ${key}`;
  const told = new Set(
    journal.map(({ action, subject, detail }) => nameOf(action, subject, detail.slice(0, KEY_CHARS))),
  );
  const stored = new Set(keys.map(({ node, publicKey }) => nameOf(KEY_ACTION, node, publicKey)));
  const problems: string[] = [];
  for (const { node, publicKey, accepted } of keys) {
    if (!told.has(nameOf(KEY_ACTION, node, publicKey)))
      problems.push(`node ${node}: nobody recorded its key ${publicKey}`);
    if (accepted !== null && !told.has(nameOf(KEY_ACCEPT_ACTION, node, publicKey)))
      problems.push(`node ${node}: nobody accepted its key ${publicKey}`);
  }
  for (const { action, subject, detail } of journal) {
    const key = detail.slice(0, KEY_CHARS);
    if (action === KEY_ACTION && !stored.has(nameOf(KEY_ACTION, subject, key)))
      problems.push(`node ${subject}: its key ${key} is missing`);
  }
  return problems.slice(0, MAX_PROBLEMS);
}
const KEY_CHARS = 64;
