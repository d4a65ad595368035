/** What the services need of a store for the keys by which nodes sign. */
import type { JournalWrite } from './jobs.ts';

export interface NodeKey {
  readonly node: string;
  /** 32 bytes in hexadecimal. */
  readonly publicKey: string;
  /** The node's first one: it was taken on its word. */
  readonly first: boolean;
  /** The start of the first batch that it signed. */
  readonly firstMs: number;
  /** Where that batch stands in the order of knowing. */
  readonly seq: number;
  readonly recordedAtMs: number;
  /** The token that it came with. */
  readonly recordedBy: string;
  readonly accepted: { readonly by: string; readonly atMs: number } | null;
}

export interface KeyStore {
  /** Of one node, or (null) of all: by node, in the order in which they came. */
  list(cluster: string, node: string | null): Promise<NodeKey[]>;
  /** False where the node has no such key, or it needs nobody's word. */
  accept(cluster: string, node: string, publicKey: string, entry: JournalWrite): Promise<boolean>;
}

/** The actions by which the journal tells of keys; the subject is the node, the detail begins with the key. */
export const KEY_ACTION = 'node.key';
export const KEY_ACCEPT_ACTION = 'node.key_accept';
