/** Tokens, sign-in codes and sessions in SQLite. */
import Database from 'better-sqlite3';
import { z } from 'zod';
import { ROLES } from '../../../contract/primitives.ts';
import type { Identity, PeopleStore, TokenRow } from '../../people.ts';
import { createSqlite } from '../connection.ts';
import { createJournal } from '../journal.ts';

const BUSY_TIMEOUT_MS = 5000;
const TOKENS_MAX = 100_000;

const Names = z
  .string()
  .nullable()
  .transform((text): unknown => (text === null ? null : JSON.parse(text)))
  .pipe(z.array(z.string()).nullable());
const IdentityRow = z.object({ name: z.string(), role: z.enum(ROLES), accounts: Names });
const TokenColumns = z.object({
  id: z.string(),
  hash: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  node: z.string().nullable(),
  users: Names,
  createdAtMs: z.int(),
  revokedAtMs: z.int().nullable(),
  lastUsedAtMs: z.int().nullable(),
});
const AccountRow = z.object({ token: z.string(), account: z.string() });

const TOKEN_COLUMNS = `id, hash, name, role, node, users, created_at_ms AS createdAtMs, revoked_at_ms AS revokedAtMs,
  last_used_at_ms AS lastUsedAtMs`;

const SQL = {
  addToken: `INSERT INTO tokens (id, hash, name, role, node, users, created_at_ms, revoked_at_ms, last_used_at_ms)
    VALUES (@id, @hash, @name, @role, @node, @users, @createdAtMs, NULL, NULL)`,
  addAccount: 'INSERT INTO token_accounts (token, account) VALUES (@token, @account)',
  findToken: `SELECT ${TOKEN_COLUMNS} FROM tokens WHERE id = @id`,
  accountsOf: 'SELECT token, account FROM token_accounts WHERE token = @id ORDER BY account',
  listTokens: `SELECT ${TOKEN_COLUMNS} FROM tokens ORDER BY created_at_ms, id LIMIT ${TOKENS_MAX}`,
  listAccounts: 'SELECT token, account FROM token_accounts ORDER BY token, account',
  revokeToken: 'UPDATE tokens SET revoked_at_ms = @atMs WHERE id = @id AND revoked_at_ms IS NULL',
  markTokenUsed: 'UPDATE tokens SET last_used_at_ms = @atMs WHERE id = @id',
  addSignInCode: `INSERT INTO sign_in_codes (hash, name, role, accounts, created_at_ms, expires_at_ms, used_at_ms)
    VALUES (@hash, @name, @role, @accounts, @createdAtMs, @expiresAtMs, NULL)`,
  takeSignInCode: `UPDATE sign_in_codes SET used_at_ms = @nowMs
    WHERE hash = @hash AND used_at_ms IS NULL AND expires_at_ms > @nowMs RETURNING name, role, accounts`,
  addSession: `INSERT INTO sessions (hash, name, role, accounts, created_at_ms, expires_at_ms)
    VALUES (@hash, @name, @role, @accounts, @createdAtMs, @expiresAtMs)`,
  findSession: 'SELECT name, role, accounts FROM sessions WHERE hash = @hash AND expires_at_ms > @nowMs',
  removeSession: 'DELETE FROM sessions WHERE hash = @hash',
  removeExpiredCodes: 'DELETE FROM sign_in_codes WHERE expires_at_ms < @beforeMs',
  removeExpiredSessions: 'DELETE FROM sessions WHERE expires_at_ms < @beforeMs',
} as const;

const asJson = (accounts: readonly string[] | null): string | null =>
  accounts === null ? null : JSON.stringify(accounts);
const identity = (row: unknown): Identity | null => (row === undefined ? null : IdentityRow.parse(row));

function token(row: unknown, accounts: readonly string[]): TokenRow {
  const columns = TokenColumns.parse(row);
  return { ...columns, accounts: columns.role === 'owner' ? accounts : null };
}

/** Opens a connection of its own to a database that has been migrated already. */
export function openPeople(file: string): PeopleStore {
  const database = new Database(file, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
  database.pragma('foreign_keys = ON');
  const run = (sql: string, values: Record<string, string | number | null>): number =>
    database.prepare(sql).run(values).changes;
  const sqlite = createSqlite(database);
  const journal = createJournal(sqlite);
  return {
    addToken: async (row, entry) =>
      sqlite.write(() => {
        const { id, hash, name, role, node, createdAtMs } = row;
        run(SQL.addToken, { id, hash, name, role, node, users: asJson(row.users), createdAtMs });
        for (const account of row.accounts ?? []) run(SQL.addAccount, { token: id, account });
        journal.add(entry);
      }),
    async findToken(id) {
      const row: unknown = database.prepare(SQL.findToken).get({ id });
      if (row === undefined) return null;
      const accounts = z.array(AccountRow).parse(database.prepare(SQL.accountsOf).all({ id }));
      return token(
        row,
        accounts.map((one) => one.account),
      );
    },
    async listTokens() {
      const accounts = Map.groupBy(
        z.array(AccountRow).parse(database.prepare(SQL.listAccounts).all()),
        (row) => row.token,
      );
      return database
        .prepare(SQL.listTokens)
        .all()
        .map((row) => {
          const { id } = TokenColumns.parse(row);
          return token(
            row,
            (accounts.get(id) ?? []).map((one) => one.account),
          );
        });
    },
    revokeToken: async (id, entry) =>
      sqlite.write(() => {
        const done = run(SQL.revokeToken, { id, atMs: entry.atMs }) > 0;
        if (done) journal.add(entry);
        return done;
      }),
    markTokenUsed: async (id, atMs) => void run(SQL.markTokenUsed, { id, atMs }),
    addSignInCode: async ({ hash, name, role, accounts, createdAtMs, expiresAtMs }) =>
      void run(SQL.addSignInCode, { hash, name, role, accounts: asJson(accounts), createdAtMs, expiresAtMs }),
    takeSignInCode: async (hash, nowMs) =>
      identity(database.prepare(SQL.takeSignInCode).get({ hash, nowMs })),
    addSession: async ({ hash, name, role, accounts, createdAtMs, expiresAtMs }, entry) =>
      sqlite.write(() => {
        run(SQL.addSession, { hash, name, role, accounts: asJson(accounts), createdAtMs, expiresAtMs });
        journal.add(entry);
      }),
    findSession: async (hash, nowMs) => identity(database.prepare(SQL.findSession).get({ hash, nowMs })),
    removeSession: async (hash) => void run(SQL.removeSession, { hash }),
    async removeExpired(beforeMs) {
      run(SQL.removeExpiredCodes, { beforeMs });
      run(SQL.removeExpiredSessions, { beforeMs });
    },
    close: async () => void database.close(),
  };
}
