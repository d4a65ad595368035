/** The texts of the sealed hours of a node's day, read when they are needed and kept for a while. */
import type { NodeHourKey } from '../batches.ts';
import { StoreError } from '../errors.ts';
import type { Sqlite } from './connection.ts';
import { createTexts, type DayTexts } from './texts.ts';

const DAY_MS = 86_400_000;
/** Node-days whose texts are kept in memory. */
const KEPT_DAYS = 64;
const MAX_TEXTS_BYTES = 1024 * 1024 * 1024;

export interface TextsOfDays {
  /** Those of the day of an hour: `needed` of them or more. Throws `StoreError` `corrupt`. */
  read(hour: NodeHourKey, needed: number): DayTexts;
  /** A copy of those that are stored, to be added to. */
  open(hour: NodeHourKey): DayTexts;
  /** Call within a write transaction. */
  write(hour: NodeHourKey, texts: DayTexts): void;
}

export function createTextsOfDays(sqlite: Sqlite): TextsOfDays {
  const { database } = sqlite;
  const select = database
    .prepare<[number, number], Buffer>('SELECT body FROM sealed_texts WHERE node = ? AND day_ms = ?')
    .pluck();
  const write = database.prepare(
    `INSERT INTO sealed_texts (node, day_ms, body) VALUES (?, ?, ?)
     ON CONFLICT (node, day_ms) DO UPDATE SET body = excluded.body`,
  );
  const kept = new Map<string, DayTexts>();
  sqlite.onRollback(() => kept.clear());
  const dayOf = (ms: number): number => ms - (ms % DAY_MS);

  function open({ node, hourMs }: NodeHourKey): DayTexts {
    try {
      return createTexts(select.get(node, dayOf(hourMs)) ?? null, MAX_TEXTS_BYTES);
    } catch (error) {
      throw new StoreError(
        'corrupt',
        'the texts of a sealed day cannot be read',
        'Run gpuledger verify to see which one.',
        error,
      );
    }
  }

  return {
    open,
    read(hour, needed) {
      const name = `${hour.node} ${dayOf(hour.hourMs)}`;
      const known = kept.get(name);
      const texts = known !== undefined && known.count >= needed ? known : open(hour);
      // The one that was used last is the last to go.
      kept.delete(name);
      kept.set(name, texts);
      for (const oldest of kept.keys()) {
        if (kept.size <= KEPT_DAYS) break;
        kept.delete(oldest);
      }
      return texts;
    },
    write: ({ node, hourMs }, texts) => void write.run(node, dayOf(hourMs), texts.pack()),
  };
}
