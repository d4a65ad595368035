/** Writes where jobs claim more of a node-hour's devices than there is, and checks it. */
import { canonicalJson, sha256Hex } from '../../contract/canonical.ts';
import type { Conflict } from '../../domain/conflict.ts';
import type { NodeHourKey } from '../batches.ts';
import type { NodeHourWrite } from '../ledger.ts';
import { required, type Sqlite } from './connection.ts';
import type { Ids, NodeRow } from './ids.ts';

const ID_DIGITS = 16;

/** Members in this order: as JSON, equal rows are equal. */
interface ConflictRow {
  readonly id: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly ms: number;
  readonly claims: string;
  readonly devices: string;
}

/** The function that replaces those of a node-hour. Within a transaction. */
export function createConflictWriter(
  { database }: Sqlite,
  { ids }: { readonly ids: Ids },
): (write: NodeHourWrite, node: NodeRow) => void {
  const remove = database.prepare('DELETE FROM claim_conflicts WHERE hour_ms = ? AND node = ?');
  const insert = database.prepare(
    `INSERT INTO claim_conflicts (hour_ms, node, id, claims, devices, from_ms, to_ms, ms)
     VALUES (:hourMs, :node, :id, :claims, :devices, :fromMs, :toMs, :ms)`,
  );
  return ({ hourMs, conflicts }, row) => {
    const { node } = row;
    remove.run(hourMs, node);
    for (const conflict of conflicts) insert.run({ hourMs, node, ...rowOf(ids, row, conflict) });
  };
}

/** The function that says in words where what is stored of a node-hour is not what `conflicts` are. */
export function createConflictCheck(
  { database }: Sqlite,
  ids: Ids,
): (key: NodeHourKey, conflicts: readonly Conflict[]) => string[] {
  const select = database.prepare<[number, number], ConflictRow>(
    `SELECT id, from_ms AS fromMs, to_ms AS toMs, ms, claims, devices FROM claim_conflicts
     WHERE hour_ms = ? AND node = ?`,
  );
  return ({ node, hourMs }, conflicts) => {
    const stored = select.all(hourMs, node);
    if (stored.length === 0 && conflicts.length === 0) return [];
    const name = ids.nodeName(node);
    const place = required(ids.findNode(name.cluster, name.node) ?? undefined);
    const due = new Map(conflicts.map((conflict) => rowOf(ids, place, conflict)).map((row) => [row.id, row]));
    const texts: string[] = [];
    for (const row of stored) {
      const own = due.get(row.id);
      due.delete(row.id);
      if (own === undefined) texts.push(`the facts give no conflict ${row.id}`);
      else if (JSON.stringify(own) !== JSON.stringify(row))
        texts.push(
          `conflict ${row.id}: stored ${JSON.stringify(row)}, the facts give ${JSON.stringify(own)}`,
        );
    }
    return [...texts, ...[...due.keys()].map((id) => `conflict ${id} is missing`)];
  };
}

function rowOf(ids: Ids, { node, cluster }: NodeRow, conflict: Conflict): ConflictRow {
  const { jobs, devices, fromMs, toMs, ms } = conflict;
  const digest = sha256Hex(canonicalJson({ place: ids.nodeName(node), jobs: [...jobs] }));
  const deviceOf = (uuid: string): number => required(ids.findDevice(cluster, uuid) ?? undefined);
  return {
    ...{ id: `c_${digest.slice(0, ID_DIGITS)}`, fromMs, toMs, ms },
    claims: JSON.stringify(jobs.map(ids.job)),
    devices: JSON.stringify(devices.map(deviceOf)),
  };
}
