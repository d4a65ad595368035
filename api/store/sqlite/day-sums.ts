/** Daily sums: always summed anew from the hours, which is cheaper to trust than keeping differences. */
import { HOUR_MS } from '../../contract/batch.ts';
import type { Sqlite } from './connection.ts';

const DAY_MS = 24 * HOUR_MS;

/** The columns that hours and days sum up; `active_ms` is of `used_ms` and `unaccounted_ms`: executing. */
export const SUM_COLUMNS = [
  ...['capacity_ms', 'used_ms', 'held_ms', 'unaccounted_ms', 'idle_ms', 'unobserved_ms', 'allocated_ms'],
  ...['unaccounted_active_ms', 'unaccounted_provisional_ms', 'unaccounted_inside_ms', 'unobserved_inside_ms'],
  'active_ms',
];

export interface DaySums {
  /** The start of the day of an hour. */
  dayOf(hourMs: number): number;
  ofDay(node: number, dayMs: number): void;
  /** Every day of every node that ever had the device. */
  ofDevice(device: number): void;
}

/** Call both within a transaction. */
export function createDaySums(sqlite: Sqlite): DaySums {
  const { database } = sqlite;
  const remove = database.prepare('DELETE FROM ledger_days WHERE day_ms = ? AND node = ?');
  const hours = Array.from({ length: 24 }, (_, hour) => `:dayMs + ${hour * HOUR_MS}`).join(', ');
  const insert = database.prepare(
    `INSERT INTO ledger_days (day_ms, node, model, account, user_name, ${SUM_COLUMNS.join(', ')})
     SELECT :dayMs, h.node, d.model, h.account, h.user_name, ${SUM_COLUMNS.map((column) => `sum(h.${column})`).join(', ')}
     FROM ledger_hours h JOIN devices d ON d.device = h.device
     WHERE h.hour_ms IN (${hours}) AND h.node = :node GROUP BY d.model, h.account, h.user_name`,
  );
  const daysOfDevice = database.prepare<[{ device: number }], { node: number; dayMs: number }>(
    `SELECT DISTINCT c.node, c.hour_ms - c.hour_ms % ${DAY_MS} AS dayMs
     FROM (SELECT node FROM device_sightings WHERE device = :device
       UNION SELECT node FROM fleet_statements WHERE device = :device) n
     JOIN cells c ON c.node = n.node AND c.device = :device`,
  );
  const count = database.prepare(
    'INSERT INTO day_changes (day_ms, changes) VALUES (?, 1) ON CONFLICT DO UPDATE SET changes = changes + 1',
  );
  const sum = (node: number, dayMs: number): void => {
    count.run(dayMs);
    remove.run(dayMs, node);
    insert.run({ dayMs, node });
  };
  return {
    dayOf: (hourMs) => hourMs - (hourMs % DAY_MS),
    ofDay: sum,
    ofDevice: (device) => {
      for (const { node, dayMs } of daysOfDevice.all({ device })) sum(node, dayMs);
    },
  };
}
