/** Devices as inventories describe them, and where they were seen. */
import type { DeviceFact } from '../../contract/batch.ts';
import type { Capacity } from './capacity.ts';
import type { Sqlite } from './connection.ts';
import { required } from './connection.ts';
import { createDaySums } from './day-sums.ts';
import { hourOf } from './dirty.ts';
import type { NodeRow } from './ids.ts';
import type { Minors } from './minors.ts';

interface DeviceRow {
  readonly device: number;
  readonly model: string;
  readonly described_ms: number;
}

interface Inventory {
  readonly bootId: string;
  readonly inventory: readonly DeviceFact[];
  readonly atMs: number;
}

export interface Devices {
  /** Takes an inventory of a node as of `atMs`; the order in which inventories come does not matter. */
  takeInventory(node: NodeRow, said: Inventory, seq: number, nowMs: number): void;
}

export function createDevices(sqlite: Sqlite, capacity: Capacity, minors: Minors): Devices {
  const { database } = sqlite;
  const select = database.prepare<[number, string], DeviceRow>(
    'SELECT device, model, described_ms FROM devices WHERE cluster = ? AND uuid = ?',
  );
  const upsert = database
    .prepare<[Record<string, string | number | null>], number>(
      `INSERT INTO devices (cluster, uuid, node, device_index, minor, bus_id, model, memory_bytes, mig_enabled,
         described_ms, recorded_at_ms)
       VALUES (:cluster, :uuid, :node, :index, :minor, :busId, :model, :memoryBytes, :mig, :atMs, :nowMs)
       ON CONFLICT (cluster, uuid) DO UPDATE SET node = excluded.node, device_index = excluded.device_index,
         minor = excluded.minor, bus_id = excluded.bus_id, model = excluded.model,
         memory_bytes = excluded.memory_bytes, mig_enabled = excluded.mig_enabled, described_ms = excluded.described_ms
       RETURNING device`,
    )
    .pluck();
  const see = database.prepare(
    `INSERT INTO device_sightings (device, hour_ms, node, first_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (device, hour_ms, node) DO UPDATE SET first_ms = excluded.first_ms WHERE excluded.first_ms < first_ms`,
  );
  const sumDaysOfModel = createDaySums(sqlite).ofDevice;

  /** The row of a device; what the newest inventory says of it stays, whichever comes last. */
  function describe(node: NodeRow, fact: DeviceFact, atMs: number, nowMs: number): number {
    const known = select.get(node.cluster, fact.uuid);
    if (known !== undefined && known.described_ms > atMs) return known.device;
    const { uuid, index, minor, busId, model, memoryBytes } = fact;
    const where = { cluster: node.cluster, node: node.node, atMs, nowMs };
    const mig = Number(fact.migEnabled);
    const device = required(upsert.get({ ...where, uuid, index, minor, busId, model, memoryBytes, mig }));
    // A driver may give a device another name: the sums of its days go by the name that it has now.
    if (known !== undefined && known.model !== model) sumDaysOfModel(device);
    return device;
  }

  return {
    takeInventory(node, { bootId, inventory, atMs }, seq, nowMs) {
      const numbers: { minor: number; device: number }[] = [];
      for (const fact of inventory) {
        const device = describe(node, fact, atMs, nowMs);
        if (fact.minor !== null) numbers.push({ minor: fact.minor, device });
        if (see.run(device, hourOf(atMs), node.node, atMs).changes === 0) continue;
        const newest = capacity.stretches(device).at(-1);
        const goesOn = newest?.node === node.node && newest.toMs === null && newest.fromMs <= atMs;
        if (!goesOn) capacity.refresh(device, seq, nowMs);
      }
      minors.take(node.node, bootId, numbers, atMs, seq, nowMs);
    },
  };
}
