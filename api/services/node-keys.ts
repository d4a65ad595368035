/** The keys by which nodes sign: shown to whoever reads the fleet, and accepted by administrators. */
import type { Clock } from '../clock.ts';
import type { NodeKeyList, NodeKeyOut } from '../contract/keys.ts';
import type { Caller } from '../domain/caller.ts';
import { KEY_ACCEPT_ACTION, type NodeKey } from '../store/keys.ts';
import type { Store } from '../store/store.ts';
import { ServiceError } from './errors.ts';

const LISTED_MAX = 2_000;

export interface NodeKeyService {
  /** Of one node, or (null) of all; `waiting`: only those that nobody has accepted. */
  list(node: string | null, waiting: boolean): Promise<NodeKeyList>;
  /** What signs by this key is the node's own: the finding about it ends. Again: no change. Throws `not_found`. */
  accept(caller: Caller, node: string, key: string): Promise<NodeKeyOut>;
}

export function createNodeKeyService(store: Store, clock: Clock, cluster: string): NodeKeyService {
  return {
    async list(node, waiting) {
      const keys = (await store.keys.list(cluster, node)).map(toOut).filter((one) => one.waiting || !waiting);
      return { keys: keys.length, items: keys.slice(0, LISTED_MAX) };
    },
    async accept(caller, node, key) {
      if (caller.role !== 'admin') throw new ServiceError('forbidden', 'only an administrator accepts keys');
      await store.keys.accept(cluster, node, key, {
        ...{ atMs: clock.nowMs(), actor: caller.name, role: caller.role },
        ...{ action: KEY_ACCEPT_ACTION, subject: node, detail: key },
      });
      const found = (await store.keys.list(cluster, node)).find((one) => one.publicKey === key);
      if (found === undefined) throw new ServiceError('not_found', `${node} has not signed by this key`);
      return toOut(found);
    },
  };
}

const time = (ms: number): string => new Date(ms).toISOString();

const toOut = ({
  node,
  publicKey,
  first,
  firstMs,
  recordedAtMs,
  recordedBy,
  accepted,
}: NodeKey): NodeKeyOut => ({
  ...{ node, key: publicKey, first, firstUsed: time(firstMs), recorded: time(recordedAtMs), recordedBy },
  accepted: accepted === null ? null : { by: accepted.by, at: time(accepted.atMs) },
  waiting: !first && accepted === null,
});
