/** Which node-hours must be attributed again. */
import { HOUR_MS } from '../../contract/batch.ts';
import type { Sqlite } from './connection.ts';

/** `since_ms` of what waits for nothing; of the rest, when it was first marked. */
const AT_ONCE = 0;

export interface DirtyMarks {
  /** One hour; `urgent` ones come first. A hint that it is more urgent is kept, one that it is less is not. */
  mark(node: number, hourMs: number, urgent: boolean, seq: number, nowMs: number): void;
  /** One hour that may wait for more of the same. */
  markQuiet(node: number, hourMs: number, seq: number, nowMs: number): void;
  /** Every hour that [fromMs, toMs) touches, up to what is booked of the node. */
  markRange(node: number, fromMs: number, toMs: number, seq: number, nowMs: number, urgent?: boolean): void;
  /** Every hour from `fromMs` to the end of what is booked of the node. */
  markBooked(node: number, fromMs: number, seq: number, nowMs: number): void;
  /** The end of what is booked of a node; null where nothing is. */
  bookedToMs(node: number): number | null;
}

export const hourOf = (ms: number): number => ms - (((ms % HOUR_MS) + HOUR_MS) % HOUR_MS);

export function createDirtyMarks(sqlite: Sqlite): DirtyMarks {
  const insert = sqlite.database.prepare(
    `INSERT INTO dirty_hours (node, hour_ms, urgent, seq, since_ms) VALUES (:node, :hourMs, :urgent, :seq, :sinceMs)
     ON CONFLICT (node, hour_ms) DO UPDATE SET urgent = max(urgent, excluded.urgent),
       since_ms = min(since_ms, excluded.since_ms), seq = max(seq, excluded.seq), retry_at_ms = 0`,
  );
  const booked = sqlite.database
    .prepare<[number], number | null>(
      `SELECT max(coalesce(complete_to_ms, silent_to_ms), coalesce(silent_to_ms, complete_to_ms))
       FROM node_state WHERE node = ?`,
    )
    .pluck();

  const marks: DirtyMarks = {
    mark(node, hourMs, urgent, seq) {
      insert.run({ node, hourMs, urgent: urgent ? 1 : 0, seq, sinceMs: AT_ONCE });
      sqlite.markDirty();
    },
    markQuiet(node, hourMs, seq, nowMs) {
      insert.run({ node, hourMs, urgent: 0, seq, sinceMs: nowMs });
      sqlite.markDirty();
    },
    markRange(node, fromMs, toMs, seq, nowMs, urgent = false) {
      const endMs = Math.min(toMs, marks.bookedToMs(node) ?? 0);
      for (let hourMs = hourOf(fromMs); hourMs < endMs; hourMs += HOUR_MS)
        marks.mark(node, hourMs, urgent, seq, nowMs);
    },
    markBooked(node, fromMs, seq, nowMs) {
      marks.markRange(node, fromMs, Number.MAX_SAFE_INTEGER, seq, nowMs);
    },
    bookedToMs: (node) => booked.get(node) ?? null,
  };
  return marks;
}
