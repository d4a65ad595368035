/** A read-only connection for the questions of pages and reports: whole statements, named parameters, snapshots. */
import type Database from 'better-sqlite3';

type Parameters = Readonly<Record<string, string | number | null>>;

/** A statement that is compiled once. `Row` is what its columns are called and hold; the schema is STRICT. */
export interface Question<Row> {
  all(parameters: Parameters): Row[];
  first(parameters: Parameters): Row | null;
}

export interface Reader {
  question<Row>(sql: string): Question<Row>;
  /** Everything that `work` asks sees one state of the database. */
  snapshot<T>(work: () => T): T;
  close(): void;
}

export function createReader(database: Database.Database): Reader {
  return {
    question<Row>(sql: string) {
      const statement = database.prepare<[Parameters], Row>(sql);
      return {
        all: (parameters) => statement.all(parameters),
        first: (parameters) => statement.get(parameters) ?? null,
      };
    },
    snapshot(work) {
      if (database.inTransaction) return work();
      database.exec('BEGIN');
      try {
        return work();
      } finally {
        database.exec('COMMIT');
      }
    },
    close: () => void database.close(),
  };
}

/** Escapes what LIKE would take for a pattern; the statement says ESCAPE '\'. */
export const likePart = (text: string): string => `%${text.replaceAll(/[\\%_]/g, '\\$&')}%`;

/** A list as one parameter, for `IN (SELECT value FROM json_each(@name))`. */
export const listParameter = (values: readonly (string | number)[]): string => JSON.stringify(values);
