/** Devices and the time in which they belong to the fleet, as inventories and fleet lists say. */
import type { DeviceFact } from '../../contract/batch.ts';
import type { Sqlite } from './connection.ts';
import { required } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';
import type { Ids, NodeRow } from './ids.ts';

interface CapacityRow {
  readonly device: number;
  readonly from_ms: number;
  readonly to_ms: number | null;
  readonly node: number;
  readonly source: 'inventory' | 'fleet';
}

export interface Devices {
  /** Takes an inventory of a node as of `atMs`: new devices open their capacity, moved ones close it elsewhere. */
  takeInventory(
    node: NodeRow,
    devices: readonly DeviceFact[],
    atMs: number,
    seq: number,
    nowMs: number,
  ): void;
}

export function createDevices(sqlite: Sqlite, ids: Ids, dirty: DirtyMarks): Devices {
  const { database } = sqlite;
  const insert = database.prepare(
    `INSERT INTO devices (cluster, uuid, node, device_index, minor, bus_id, model, memory_bytes, mig_enabled, recorded_at_ms)
     VALUES (:cluster, :uuid, :node, :index, :minor, :busId, :model, :memoryBytes, :mig, :nowMs)
     ON CONFLICT (cluster, uuid) DO UPDATE SET node = excluded.node, device_index = excluded.device_index,
       minor = excluded.minor, bus_id = excluded.bus_id, model = excluded.model,
       memory_bytes = excluded.memory_bytes, mig_enabled = excluded.mig_enabled`,
  );
  const selectCapacity = database.prepare<[number], CapacityRow>(
    'SELECT device, from_ms, to_ms, node, source FROM capacity WHERE device = ? ORDER BY from_ms DESC',
  );
  const openCapacity = database.prepare(
    `INSERT INTO capacity (device, from_ms, to_ms, node, source, seq, recorded_at_ms)
     VALUES (:device, :fromMs, NULL, :node, 'inventory', :seq, :nowMs)`,
  );
  const closeCapacity = database.prepare(
    'UPDATE capacity SET to_ms = ?, closed_seq = ? WHERE device = ? AND from_ms = ?',
  );
  const openEarlier = database.prepare('UPDATE capacity SET from_ms = ? WHERE device = ? AND from_ms = ?');

  /** Where the device must be counted from `atMs` on, given what is known of it. */
  function place(device: number, node: number, atMs: number, seq: number, nowMs: number): void {
    const known = selectCapacity.all(device);
    const [newest] = known;
    if (newest === undefined) {
      openCapacity.run({ device, fromMs: atMs, node, seq, nowMs });
      return;
    }
    if (newest.to_ms !== null) {
      // Retired, and yet it reports: it belongs to the fleet again.
      if (atMs >= newest.to_ms) openCapacity.run({ device, fromMs: atMs, node, seq, nowMs });
      return;
    }
    if (newest.node === node) {
      if (atMs < newest.from_ms && known.length === 1 && newest.source === 'inventory') {
        openEarlier.run(atMs, device, newest.from_ms);
        dirty.markRange(node, atMs, newest.from_ms, seq, nowMs);
      }
      return;
    }
    // An older report of the node that it came from says nothing new.
    if (atMs <= newest.from_ms) return;
    closeCapacity.run(atMs, seq, device, newest.from_ms);
    dirty.markBooked(newest.node, atMs, seq, nowMs);
    openCapacity.run({ device, fromMs: atMs, node, seq, nowMs });
  }

  return {
    takeInventory(node, devices, atMs, seq, nowMs) {
      for (const fact of devices) {
        const { uuid, index, minor, busId, model, memoryBytes } = fact;
        const mig = fact.migEnabled ? 1 : 0;
        const row = {
          cluster: node.cluster,
          uuid,
          node: node.node,
          index,
          minor,
          busId,
          model,
          memoryBytes,
          mig,
          nowMs,
        };
        insert.run(row);
        place(required(ids.findDevice(node.cluster, uuid) ?? undefined), node.node, atMs, seq, nowMs);
      }
    },
  };
}
