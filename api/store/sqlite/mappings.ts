/** The site's mapping in SQLite: every version kept. What it charges is asked of it, and stands nowhere. */
import type Database from 'better-sqlite3';
import { canonicalJson } from '../../contract/canonical.ts';
import { MappingRules } from '../../contract/mapping.ts';
import { StoreConflict } from '../batches.ts';
import type { MappingRecord, MappingStore } from '../mappings.ts';
import type { Sqlite } from './connection.ts';
import type { Journal } from './journal.ts';

interface Row {
  readonly version: number;
  readonly fromMs: number;
  readonly reachesPast: number;
  readonly rules: string;
  readonly recordedAtMs: number;
  readonly recordedBy: string;
}

/** All versions, ascending; read again only when there is a new one. */
export function createMappingReader(database: Database.Database): () => readonly MappingRecord[] {
  const newest = database.prepare<[], number | null>('SELECT max(version) FROM mappings').pluck();
  const all = database.prepare<[], Row>(
    `SELECT version, effective_from_ms AS fromMs, reaches_past AS reachesPast, rules, recorded_at_ms AS recordedAtMs,
       recorded_by AS recordedBy FROM mappings ORDER BY version`,
  );
  let known: readonly MappingRecord[] = [];
  return () => {
    if ((newest.get() ?? 0) !== (known.at(-1)?.version ?? 0))
      known = all.all().map(({ reachesPast, rules, ...row }) => ({
        ...row,
        reachesPast: reachesPast === 1,
        rules: MappingRules.parse(JSON.parse(rules)),
      }));
    return known;
  };
}

export function createMappings(sqlite: Sqlite, journal: Journal): MappingStore {
  const { database } = sqlite;
  const newest = database.prepare<[], number | null>('SELECT max(version) FROM mappings').pluck();
  const read = createMappingReader(database);
  const insert = database.prepare(
    `INSERT INTO mappings (version, effective_from_ms, reaches_past, rules, seq, recorded_at_ms, recorded_by)
     VALUES (:version, :fromMs, :reachesPast, :rules, :seq, :recordedAtMs, :recordedBy)`,
  );
  return {
    list: async () => sqlite.read(() => [...read()]),
    apply: async (record, entry) =>
      sqlite.write(() => {
        if (record.version <= (newest.get() ?? 0))
          throw new StoreConflict('the mapping has another newest version by now');
        insert.run({
          ...record,
          reachesPast: Number(record.reachesPast),
          rules: canonicalJson(record.rules),
          seq: sqlite.nextSeq(),
        });
        journal.add(entry);
      }),
  };
}
