/** One service a data folder: two would attribute and seal the same hours at the same time, each unaware of the other. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { StoreError } from '../errors.ts';
import { explain } from './explain.ts';

const LOCK_NAME = 'service.lock';

/**
 * Takes a data folder (made where it is new) for this process, until the returned function is called or the process
 * ends, however it ends: the lock is the kernel's, held through SQLite, and the file stays empty. Throws `StoreError`.
 */
export function lockFolder(folder: string): () => void {
  const file = join(folder, LOCK_NAME);
  let database: Database.Database | null = null;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    database = new Database(file, { timeout: 0 });
    // Nothing is ever written, so no journal needs to lie beside it.
    database.pragma('journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    const explained = explain(error, file);
    if (explained instanceof StoreError && explained.code === 'busy')
      throw new StoreError('busy', `another gpuledger service uses ${folder}`, explained.remedy, error);
    throw explained;
  }
  const held = database;
  return () => held.close();
}
