/** Inserts many rows at a time: a statement for each row would cost more than the row. */
import type Database from 'better-sqlite3';
import type { Sqlite } from './connection.ts';

/** Rows of one statement at most: beyond some dozen nothing is gained. */
const MAX_ROWS = 32;

export type Value = string | number | null;
type Statement = Database.Statement<[Value[]]>;

/** The function that inserts rows: the values of `columns` in their order, row after row, in one list. */
export function createBulkInsert(
  { database }: Sqlite,
  table: string,
  columns: readonly string[],
): (values: readonly Value[]) => void {
  const row = `(${columns.map(() => '?').join(', ')})`;
  const insert = (count: number): string =>
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES ${new Array<string>(count).fill(row).join(', ')}`;
  const prepare = (count: number): Statement => database.prepare<[Value[]]>(insert(count));
  const prepared = new Map<number, Statement>();
  const step = MAX_ROWS * columns.length;
  return (values) => {
    for (let at = 0; at < values.length; at += step) {
      const some = values.slice(at, at + step);
      const count = some.length / columns.length;
      const statement = prepared.get(count) ?? prepare(count);
      prepared.set(count, statement);
      statement.run(some);
    }
  };
}
