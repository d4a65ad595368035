/** The keys by which nodes sign: the first of a node is taken on its word, any other is told until somebody accepts it. */
import type { IntegrityFact } from '../../contract/batch.ts';
import { HOUR_MS } from '../../contract/batch.ts';
import type { NodeHourKey } from '../batches.ts';
import { KEY_ACTION, type KeyStore, type NodeKey } from '../keys.ts';
import type { Sqlite } from './connection.ts';
import { type DirtyMarks, hourOf } from './dirty.ts';
import type { Ids, NodeRow } from './ids.ts';
import type { Journal } from './journal.ts';

/** The first batch that a key signed. */
interface FirstUse {
  readonly publicKey: string;
  readonly fromMs: number;
  readonly seq: number;
  readonly nowMs: number;
  /** The token that it came with. */
  readonly by: string;
}

export interface NodeKeys extends KeyStore {
  /** The number of a key, which is recorded when it is new. Call within a write transaction. */
  take(node: NodeRow & { readonly name: string }, use: FirstUse): number;
  /** The key of a number. */
  name(key: number): string;
  /**
   * The function that tells what a node-hour must tell, of one state: keys that nobody accepted, and that were first used
   * in it.
   */
  createChanges(): (hour: NodeHourKey) => IntegrityFact[];
}

interface KeyRow {
  readonly node: string;
  readonly public_key: string;
  readonly first: number;
  readonly first_ms: number;
  readonly seq: number;
  readonly recorded_at_ms: number;
  readonly recorded_by: string;
  readonly accepted_by: string | null;
  readonly accepted_at_ms: number | null;
}

/** Of a node's keys, the first that came. */
const IS_FIRST = 'k.key = (SELECT min(o.key) FROM node_keys o WHERE o.node = k.node)';

export function createNodeKeys(
  sqlite: Sqlite,
  parts: { readonly ids: Ids; readonly journal: Journal; readonly dirty: DirtyMarks },
): NodeKeys {
  const { database } = sqlite;
  const { ids, journal, dirty } = parts;
  const select = database
    .prepare<[number, string], number>('SELECT key FROM node_keys WHERE node = ? AND public_key = ?')
    .pluck();
  const selectName = database
    .prepare<[number], string>('SELECT public_key FROM node_keys WHERE key = ?')
    .pluck();
  const count = database.prepare<[number], number>('SELECT count(*) FROM node_keys WHERE node = ?').pluck();
  const insert = database
    .prepare<[object], number>(
      `INSERT INTO node_keys (node, public_key, first_ms, seq, recorded_at_ms, recorded_by)
       VALUES (:node, :publicKey, :fromMs, :seq, :nowMs, :by) RETURNING key`,
    )
    .pluck();
  const selectAll = database.prepare<[{ cluster: string; node: string | null }], KeyRow>(
    `SELECT n.name AS node, k.public_key, ${IS_FIRST} AS first, k.first_ms, k.seq, k.recorded_at_ms, k.recorded_by,
       k.accepted_by, k.accepted_at_ms
     FROM node_keys k JOIN nodes n ON n.node = k.node JOIN clusters c ON c.cluster = n.cluster
     WHERE c.name = :cluster AND (:node IS NULL OR n.name = :node) ORDER BY n.name, k.key`,
  );
  const selectChanges = database.prepare<[number], { public_key: string; first_ms: number }>(
    `SELECT k.public_key, k.first_ms FROM node_keys k
     WHERE k.node = ? AND k.accepted_by IS NULL AND NOT ${IS_FIRST} ORDER BY k.key`,
  );
  const setAccepted = database
    .prepare<[object], number>(
      `UPDATE node_keys AS k SET accepted_by = :by, accepted_at_ms = :atMs
       WHERE k.node = :node AND k.public_key = :publicKey AND k.accepted_by IS NULL AND NOT ${IS_FIRST}
       RETURNING first_ms`,
    )
    .pluck();
  const kept = new Map<string, number>();
  sqlite.onRollback(() => kept.clear());

  return {
    take(node, { publicKey, fromMs, seq, nowMs, by }) {
      const name = `${node.node} ${publicKey}`;
      const known = kept.get(name) ?? select.get(node.node, publicKey);
      if (known !== undefined) {
        kept.set(name, known);
        return known;
      }
      const isFirst = count.get(node.node) === 0;
      const key = insert.get({ node: node.node, publicKey, fromMs, seq, nowMs, by });
      if (key === undefined) throw new Error('a key was not stored');
      const detail = isFirst ? publicKey : `${publicKey}, another than before`;
      journal.add({ atMs: nowMs, actor: by, role: 'agent', action: KEY_ACTION, subject: node.name, detail });
      kept.set(name, key);
      return key;
    },
    name: (key) => selectName.get(key) ?? '',
    createChanges() {
      const ofNode = new Map<number, ReturnType<typeof selectChanges.all>>();
      return ({ node, hourMs }) => {
        const known = ofNode.get(node) ?? selectChanges.all(node);
        ofNode.set(node, known);
        return known
          .filter(({ first_ms }) => first_ms >= hourMs && first_ms < hourMs + HOUR_MS)
          .map(({ public_key, first_ms }): IntegrityFact => {
            return {
              ...{ kind: 'key_changed', device: null, process: null, firstMs: first_ms, lastMs: first_ms },
              detail: `signed by ${public_key}, which is not its first key and which nobody accepted`,
            };
          });
      };
    },
    list: async (cluster, node) => selectAll.all({ cluster, node }).map(toKey),
    accept: async (cluster, node, publicKey, entry) =>
      sqlite.write(() => {
        const row = ids.findNode(cluster, node);
        if (row === null) return false;
        const firstMs = setAccepted.get({ node: row.node, publicKey, by: entry.actor, atMs: entry.atMs });
        if (firstMs === undefined) return false;
        journal.add(entry);
        dirty.mark(row.node, hourOf(firstMs), false, sqlite.nextSeq(), entry.atMs);
        return true;
      }),
  };
}

const toKey = (row: KeyRow): NodeKey => ({
  node: row.node,
  publicKey: row.public_key,
  first: row.first === 1,
  firstMs: row.first_ms,
  seq: row.seq,
  recordedAtMs: row.recorded_at_ms,
  recordedBy: row.recorded_by,
  accepted:
    row.accepted_by === null || row.accepted_at_ms === null
      ? null
      : { by: row.accepted_by, atMs: row.accepted_at_ms },
});
