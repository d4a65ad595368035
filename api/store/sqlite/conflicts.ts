/** Writes where jobs claim more of a node-hour's devices than there is. */
import { canonicalJson, sha256Hex } from '../../contract/canonical.ts';
import type { NodeHourWrite } from '../ledger.ts';
import { required, type Sqlite } from './connection.ts';
import type { Ids, NodeRow } from './ids.ts';

const ID_DIGITS = 16;

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
  return ({ hourMs, conflicts }, { node, cluster }) => {
    remove.run(hourMs, node);
    for (const { jobs, devices, fromMs, toMs, ms } of conflicts) {
      const digest = sha256Hex(canonicalJson({ place: ids.nodeName(node), jobs: [...jobs] }));
      const deviceOf = (uuid: string): number => required(ids.findDevice(cluster, uuid) ?? undefined);
      insert.run({
        ...{ hourMs, node, id: `c_${digest.slice(0, ID_DIGITS)}`, fromMs, toMs, ms },
        claims: JSON.stringify(jobs.map(ids.job)),
        devices: JSON.stringify(devices.map(deviceOf)),
      });
    }
  };
}
