/** The capacity table: derived from sightings and what fleet lists said, device by device, as either changes. */
import { canonicalJson } from '../../contract/canonical.ts';
import {
  type CapacityStretch,
  capacityOfDevice,
  type FleetStatement,
  type Sighting,
} from '../../domain/capacity.ts';
import { changedTime, type Keyed } from '../../domain/interval.ts';
import type { Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';

const OPEN_MS = Number.MAX_SAFE_INTEGER;

type Stretch = CapacityStretch<number>;
const byNode = ({ node, fromMs, toMs }: Stretch): Keyed<number> => ({
  ...{ key: node, fromMs, toMs: toMs ?? OPEN_MS },
});

export interface Capacity {
  /** Derives a device's capacity again, and marks the time that it gains or loses. Call within a transaction. */
  refresh(device: number, seq: number, nowMs: number): void;
  /** Whether the table is what the facts give. */
  agrees(device: number): boolean;
  /** Ascending. */
  stretches(device: number): Stretch[];
  /** In the order in which they were made. */
  statements(device: number): FleetStatement<number>[];
  sightings(device: number): Sighting<number>[];
}

export function createCapacity(sqlite: Sqlite, dirty: DirtyMarks): Capacity {
  const { database } = sqlite;
  const select = database.prepare<[number], Stretch>(
    'SELECT node, from_ms AS fromMs, to_ms AS toMs FROM capacity WHERE device = ? ORDER BY from_ms',
  );
  const selectStatements = database.prepare<[number], Stretch>(
    'SELECT node, from_ms AS fromMs, to_ms AS toMs FROM fleet_statements WHERE device = ? ORDER BY statement',
  );
  const selectSightings = database.prepare<[number], Sighting<number>>(
    'SELECT node, first_ms AS atMs FROM device_sightings WHERE device = ?',
  );
  const remove = database.prepare('DELETE FROM capacity WHERE device = ?');
  const insert = database.prepare('INSERT INTO capacity (device, from_ms, to_ms, node) VALUES (?, ?, ?, ?)');

  const derive = (device: number): Stretch[] =>
    capacityOfDevice(selectStatements.all(device), selectSightings.all(device));

  return {
    agrees: (device) => canonicalJson(select.all(device)) === canonicalJson(derive(device)),
    stretches: (device) => select.all(device),
    statements: (device) => selectStatements.all(device),
    sightings: (device) => selectSightings.all(device),
    refresh(device, seq, nowMs) {
      const before = select.all(device);
      const after = derive(device);
      remove.run(device);
      for (const { fromMs, toMs, node } of after) insert.run(device, fromMs, toMs, node);
      for (const { key, fromMs, toMs } of changedTime(before.map(byNode), after.map(byNode)))
        dirty.markRange(key, fromMs, toMs, seq, nowMs);
    },
  };
}
