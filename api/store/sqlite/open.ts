/** The SQLite store: one file, opened, migrated and wired. */
import type { Store } from '../store.ts';
import { createBatches } from './batches.ts';
import { createSqlite, openDatabase } from './connection.ts';
import { createDevices } from './devices.ts';
import { createDirtyMarks } from './dirty.ts';
import { createIds } from './ids.ts';

export interface SqliteStoreOptions {
  readonly file: string;
  readonly readOnly?: boolean;
  /** When a migration is recorded as applied. */
  readonly nowMs?: number;
}

/** Opens (and unless `readOnly`, makes and migrates) a database file. Throws `StoreError`. */
export function openSqlite({ file, readOnly = false, nowMs = 0 }: SqliteStoreOptions): Store {
  const sqlite = createSqlite(openDatabase({ file, readOnly, nowMs }));
  const ids = createIds(sqlite);
  const dirty = createDirtyMarks(sqlite);
  const devices = createDevices(sqlite, ids, dirty);
  return {
    batches: createBatches(sqlite, ids, dirty, devices),
    onDirty: sqlite.onDirty,
    close: async () => {
      sqlite.database.close();
    },
  };
}
