/** Brings a SQLite database to the newest schema: numbered files, each in one transaction, forward only. */
import { readdirSync, readFileSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { z } from 'zod';
import { sha256Hex } from '../../contract/canonical.ts';
import { StoreError } from '../errors.ts';

const MIGRATIONS_FOLDER = new URL('../../../migrations/sqlite/', import.meta.url);
const FILE_NAME = /^(\d{4})_[a-z0-9_]+\.sql$/;

const APPLIED_TABLE = `CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL,
  hash TEXT NOT NULL, applied_at_ms INTEGER NOT NULL) STRICT`;

const AppliedRow = z.object({ number: z.int(), name: z.string(), hash: z.string() });

export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file. */
  readonly hash: string;
}

/** The migrations of this version, ascending: 1, 2, 3, … without holes. */
export function readMigrations(folder: URL = MIGRATIONS_FOLDER): Migration[] {
  const names = readdirSync(folder)
    .filter((name) => FILE_NAME.test(name))
    .sort();
  return names.map((name, index) => {
    const number = Number(name.slice(0, 4));
    if (number !== index + 1)
      throw new Error(`migration ${name} is out of order: expected number ${index + 1}`);
    const sql = readFileSync(new URL(name, folder), 'utf8');
    return { number, name, sql, hash: sha256Hex(sql) };
  });
}

/** What the database says was applied, ascending; empty for a new one. */
function readApplied(database: Database.Database): z.infer<typeof AppliedRow>[] {
  const table = database
    .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'")
    .get();
  if (table === undefined) return [];
  return z
    .array(AppliedRow)
    .parse(database.prepare('SELECT number, name, hash FROM migrations ORDER BY number').all());
}

/**
 * Applies what is missing. Throws `StoreError` `newer_schema` when the database has more than `migrations`, and
 * `changed_migration` when one that was applied differs from its file: the applied list must be a prefix of the files.
 */
export function migrate(database: Database.Database, migrations: readonly Migration[], nowMs: number): void {
  const applied = readApplied(database);
  checkPrefix(applied, migrations);
  for (const migration of migrations.slice(applied.length)) {
    database.exec('BEGIN IMMEDIATE');
    try {
      database.exec(APPLIED_TABLE);
      database.exec(migration.sql);
      database
        .prepare('INSERT INTO migrations (number, name, hash, applied_at_ms) VALUES (?, ?, ?, ?)')
        .run(migration.number, migration.name, migration.hash, nowMs);
      database.exec('COMMIT');
    } catch (error) {
      if (database.inTransaction) database.exec('ROLLBACK');
      throw error;
    }
  }
}

/** Like `migrate`, for a database that is only read: the schema must be this version's already. */
export function checkMigrated(database: Database.Database, migrations: readonly Migration[]): void {
  const applied = readApplied(database);
  checkPrefix(applied, migrations);
  if (applied.length < migrations.length) {
    throw new StoreError(
      'not_writable',
      `the database is at schema ${applied.length}, this version needs ${migrations.length}`,
      'Start the service once: it upgrades the database.',
    );
  }
}

function checkPrefix(
  applied: readonly { number: number; name: string; hash: string }[],
  files: readonly Migration[],
): void {
  if (applied.length > files.length) {
    throw new StoreError(
      'newer_schema',
      `the database was written by a newer version of gpuledger (schema ${applied.length}, this version knows ${files.length})`,
      'Install that version or a newer one, or use another data folder with --data.',
    );
  }
  for (const [index, row] of applied.entries()) {
    if (files[index]?.hash === row.hash) continue;
    throw new StoreError(
      'changed_migration',
      `migration ${row.name} was applied with other content than this version has`,
      'Use the version of gpuledger that made this database, or another data folder with --data.',
    );
  }
}

/** Every table and index with its comments, as `migrations/sqlite/schema.sql` holds it. */
export function describeSchema(database: Database.Database): string {
  const rows = z
    .array(z.object({ sql: z.string() }))
    .parse(
      database
        .prepare(
          "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'migrations' ORDER BY tbl_name, type DESC, name",
        )
        .all(),
    );
  return `-- Generated: the sum of all migrations. A test holds it equal; run it with UPDATE_SCHEMA=1 to write it anew.\n${rows
    .map((row) => `\n${row.sql};\n`)
    .join('')}`;
}
