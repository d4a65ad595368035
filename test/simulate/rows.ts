/** The rows of a ledger as they lie in its database, with names in place of row numbers. */
import Database from 'better-sqlite3';

export interface EntryRow {
  readonly device: string;
  readonly bucket: string;
  readonly reason: string | null;
  readonly activity: string;
  /** `<source> <external id> <incarnation>`; null: nobody. */
  readonly holder: string | null;
  readonly job: string | null;
  /** `<boot id>/<pid>/<start ticks>` */
  readonly process: string | null;
  readonly ms: number;
}

export interface CellRow {
  readonly device: string;
  readonly hourMs: number;
  readonly fromMs: number;
  readonly bookedToMs: number;
  readonly capacityMs: number;
  readonly entriesMs: number;
}

const jobOf = (column: string): string =>
  `(SELECT s.name || ' ' || j.external_id || ' ' || j.incarnation FROM jobs j JOIN sources s ON s.source = j.source
    WHERE j.job = ${column})`;
const DEVICE = '(SELECT d.uuid FROM devices d WHERE d.device = t.device)';

const ENTRIES = `SELECT ${DEVICE} AS device, bucket, reason, activity, ${jobOf('t.holder')} AS holder, ${jobOf('t.job')} AS job,
  (SELECT p.boot_id || '/' || p.key FROM processes p WHERE p.process = t.process) AS process, sum(ms) AS ms
  FROM entries t GROUP BY t.device, bucket, reason, activity, t.holder, t.job, t.process`;

const CELLS = `SELECT ${DEVICE} AS device, hour_ms AS hourMs, from_ms AS fromMs, min(to_ms, booked_to_ms) AS bookedToMs,
  capacity_ms AS capacityMs, (SELECT coalesce(sum(e.ms), 0) FROM entries e
    WHERE e.hour_ms = t.hour_ms AND e.node = t.node AND e.device = t.device) AS entriesMs FROM cells t`;

export interface Rows {
  readonly entries: readonly EntryRow[];
  readonly cells: readonly CellRow[];
}

export function readRows(file: string): Rows {
  const reader = new Database(file, { readonly: true });
  try {
    return {
      entries: reader.prepare<[], EntryRow>(ENTRIES).all(),
      cells: reader.prepare<[], CellRow>(CELLS).all(),
    };
  } finally {
    reader.close();
  }
}
