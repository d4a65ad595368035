import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { checkMigrated, describeSchema, migrate, readMigrations } from '../../api/store/sqlite/migrate.ts';

const GOLDEN = new URL('../../migrations/sqlite/schema.sql', import.meta.url);

function planted(...files: [string, string][]) {
  const folder = mkdtempSync(join(tmpdir(), 'gpuledger-migrations-'));
  for (const [name, sql] of files) writeFileSync(join(folder, name), sql);
  return readMigrations(pathToFileURL(`${folder}/`));
}

const first: [string, string] = ['0001_one.sql', 'CREATE TABLE one (a INTEGER) STRICT;'];
const second: [string, string] = ['0002_two.sql', 'CREATE TABLE two (a INTEGER) STRICT;'];

test('the golden schema is the sum of the migrations', () => {
  const database = new Database(':memory:');
  migrate(database, readMigrations(), 0);
  const schema = describeSchema(database);
  if (process.env['UPDATE_SCHEMA'] === '1') writeFileSync(GOLDEN, schema);
  expect(schema).toBe(readFileSync(GOLDEN, 'utf8'));
});

test('every table is STRICT', () => {
  const database = new Database(':memory:');
  migrate(database, readMigrations(), 0);
  const loose = database
    .prepare(
      "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%'",
    )
    .all();
  expect(loose).toEqual([]);
});

test('migrating twice changes nothing, and a new file is applied to an old database', () => {
  const database = new Database(':memory:');
  migrate(database, planted(first), 1);
  migrate(database, planted(first), 2);
  migrate(database, planted(first, second), 3);
  expect(database.prepare('SELECT number, applied_at_ms FROM migrations').all()).toEqual([
    { number: 1, applied_at_ms: 1 },
    { number: 2, applied_at_ms: 3 },
  ]);
});

test('a database of a newer version is refused with a remedy', () => {
  const database = new Database(':memory:');
  migrate(database, planted(first, second), 1);
  expect(() => migrate(database, planted(first), 2)).toThrow(
    expect.objectContaining({ code: 'newer_schema' }),
  );
});

test('a migration that changed after it was applied is refused', () => {
  const database = new Database(':memory:');
  migrate(database, planted(first), 1);
  const changed = planted(['0001_one.sql', 'CREATE TABLE one (b INTEGER) STRICT;'], second);
  expect(() => migrate(database, changed, 2)).toThrow(expect.objectContaining({ code: 'changed_migration' }));
});

test('a migration that fails leaves nothing behind, and those before it stay', () => {
  const database = new Database(':memory:');
  const broken: [string, string] = ['0002_two.sql', 'CREATE TABLE two (a INTEGER) STRICT; SELECT nonsense;'];
  expect(() => migrate(database, planted(first, broken), 1)).toThrow(/nonsense/);
  expect(database.prepare('SELECT number FROM migrations').all()).toEqual([{ number: 1 }]);
  expect(database.prepare("SELECT name FROM sqlite_schema WHERE name = 'two'").all()).toEqual([]);
});

test('reading a database of an older version says to start the service', () => {
  const database = new Database(':memory:');
  migrate(database, planted(first), 1);
  expect(() => checkMigrated(database, planted(first, second))).toThrow(/needs 2/);
});

test('numbers without holes', () => {
  expect(() => planted(first, ['0003_three.sql', ''])).toThrow(/expected number 2/);
});

test('the entries of a cell that were rows are in its row, and the view shows them as they were', () => {
  const database = new Database(':memory:');
  database.pragma('foreign_keys = OFF');
  const migrations = readMigrations();
  const before = migrations.filter(({ name }) => name < '0010');
  migrate(database, before, 1);
  database.exec(`
    INSERT INTO cells VALUES (0, 1, 1, 0, 3600000, 3600000, 3600000, 5, 1, 9, NULL, 7), (0, 1, 2, 0, 3600000, 3600000, 0, 5, 1, 9, NULL, 7);
    INSERT INTO process_hours VALUES (11, 0);
    INSERT INTO entries VALUES
      (0, 1, 1, 0, 0, 2, 'used', NULL, NULL, 'active', 4, 4, 11, 'cgroup', 0, 1, 2, NULL),
      (0, 1, 1, 1, 2, 3, 'unaccounted', 'no_job', NULL, 'resident', 4, NULL, 12, NULL, 1, 0, 1, NULL),
      (0, 1, 1, 2, 3, 9, 'unobserved', NULL, 'agent_silent', 'unknown', NULL, NULL, NULL, NULL, 0, 0, 6, 'down');`);
  const rows = () => database.prepare('SELECT * FROM entries ORDER BY hour_ms, node, device, ordinal').all();
  const were = rows();
  expect(were).toHaveLength(3);
  migrate(database, migrations, 2);
  expect(rows()).toEqual(were);
  expect(database.prepare('SELECT entries FROM cells WHERE device = 2').pluck().get()).toBe('[]');
  expect(database.prepare('SELECT * FROM job_hours').all()).toEqual([{ job: 4, node: 1, hour_ms: 0 }]);
  expect(database.prepare('SELECT * FROM undescribed_hours').all()).toEqual([{ process: 12, hour_ms: 0 }]);
});
