/** Inserts many rows at a time: a statement for each row would cost more than the row. */
import type Database from 'better-sqlite3';
import type { Sqlite } from './connection.ts';

/** Rows of one statement at most: beyond some dozen nothing is gained. */
const MAX_ROWS = 32;

type Value = string | number | null;
type Statement = Database.Statement<[Value[]]>;

/** The function that inserts rows, each with the values of `columns` in their order. */
export function createBulkInsert(
  { database }: Sqlite,
  table: string,
  columns: readonly string[],
): (rows: readonly (readonly Value[])[]) => void {
  const row = `(${columns.map(() => '?').join(', ')})`;
  const insert = (count: number): string =>
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES ${new Array<string>(count).fill(row).join(', ')}`;
  const prepare = (count: number): Statement => database.prepare<[Value[]]>(insert(count));
  const prepared = new Map<number, Statement>();
  return (rows) => {
    for (let at = 0; at < rows.length; at += MAX_ROWS) {
      const some = rows.slice(at, at + MAX_ROWS);
      const statement = prepared.get(some.length) ?? prepare(some.length);
      prepared.set(some.length, statement);
      statement.run(some.flat());
    }
  };
}
