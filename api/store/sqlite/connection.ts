/** One SQLite connection: how it is opened, and the few things that every aggregate's file needs of it. */
import { accessSync, chmodSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { StoreError } from '../errors.ts';
import { explain } from './explain.ts';
import { checkMigrated, migrate, readMigrations } from './migrate.ts';

const BUSY_TIMEOUT_MS = 5_000;
const PAGE_BYTES = 8_192;
const CACHE_KIB = 65_536;
/** Permissions of the group and of everybody. */
const OTHERS = 0o077;
const MODE_BITS = 0o7777;

export interface OpenOptions {
  readonly file: string;
  readonly readOnly: boolean;
  /** When migrations are applied, for their record. */
  readonly nowMs: number;
}

/** Prepared statements by text, so that each is compiled once. */
export interface Sqlite {
  readonly database: Database.Database;
  /** Runs `work` in one write transaction; whatever it throws rolls everything back. */
  write<T>(work: () => T): T;
  /** Runs `work` on one snapshot. */
  read<T>(work: () => T): T;
  /** The next place in the order of knowing; call within `write`. */
  nextSeq(): number;
  lastSeq(): number;
  /** Called after a rollback: caches of ids that were made in it must go. */
  onRollback(listener: () => void): void;
  /** Tells, after the transaction, that there is work for the attribution. */
  markDirty(): void;
  onDirty(listener: () => void): () => void;
}

/** Opens and migrates a database. Throws `StoreError` with a remedy for everything that a person can put right. */
export function openDatabase(options: OpenOptions): Database.Database {
  try {
    return open(options);
  } catch (error) {
    throw explain(error, options.file, options.readOnly);
  }
}

function open({ file, readOnly, nowMs }: OpenOptions): Database.Database {
  if (readOnly) {
    if (!existsSync(file))
      throw new StoreError('missing', `there is no ${file}`, "Name the service's data folder with --data.");
  } else {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    accessSync(dirname(file), constants.W_OK);
    if (existsSync(file)) accessSync(file, constants.W_OK);
  }
  const database = new Database(file, {
    readonly: readOnly,
    fileMustExist: readOnly,
    timeout: BUSY_TIMEOUT_MS,
  });
  try {
    if (!readOnly) {
      database.pragma(`page_size = ${PAGE_BYTES}`);
      database.pragma('journal_mode = WAL');
      for (const end of ['', '-wal', '-shm']) keepPrivate(`${file}${end}`);
      // A batch is acknowledged after its commit, so a commit must survive a power cut.
      database.pragma('synchronous = FULL');
    }
    database.pragma('foreign_keys = ON');
    database.pragma(`cache_size = -${CACHE_KIB}`);
    database.pragma('temp_store = MEMORY');
    if (readOnly) checkMigrated(database, readMigrations());
    else migrate(database, readMigrations(), nowMs);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * The database holds command lines and names of people, so a mode that lets others read it (a restored backup's, say) is
 * put right. Whoever does not own the file cannot, and leaves it.
 */
function keepPrivate(file: string): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined || (found.mode & OTHERS) === 0) return;
  const me = process.geteuid?.();
  if (me === 0 || me === found.uid) chmodSync(file, found.mode & ~OTHERS & MODE_BITS);
}

export function createSqlite(database: Database.Database): Sqlite {
  const rollbackListeners: (() => void)[] = [];
  const dirtyListeners = new Set<() => void>();
  const next = database.prepare<[], number>('UPDATE sequence SET last = last + 1 RETURNING last').pluck();
  const last = database.prepare<[], number>('SELECT last FROM sequence').pluck();
  let dirty = false;

  function finish<T>(begin: string, work: () => T): T {
    database.exec(begin);
    let result: T;
    try {
      result = work();
      database.exec('COMMIT');
    } catch (error) {
      if (database.inTransaction) database.exec('ROLLBACK');
      dirty = false;
      for (const listener of rollbackListeners) listener();
      throw error;
    }
    if (dirty) {
      dirty = false;
      for (const listener of [...dirtyListeners]) listener();
    }
    return result;
  }

  return {
    database,
    write: (work) => finish('BEGIN IMMEDIATE', work),
    read: (work) => (database.inTransaction ? work() : finish('BEGIN', work)),
    nextSeq: () => required(next.get()),
    lastSeq: () => required(last.get()),
    onRollback: (listener) => {
      rollbackListeners.push(listener);
    },
    markDirty: () => {
      dirty = true;
    },
    onDirty: (listener) => {
      dirtyListeners.add(listener);
      return () => dirtyListeners.delete(listener);
    },
  };
}

/** A row that the schema promises. */
export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the database lacks a row that it must have');
  return value;
}
