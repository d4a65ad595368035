/** The journal of what people do: each row holds the hash of the one before. */
import { CHAIN_START } from '../../contract/batch.ts';
import { canonicalJson, sha256Hex } from '../../contract/canonical.ts';
import type { JournalWrite } from '../jobs.ts';
import type { Sqlite } from './connection.ts';

export interface Journal {
  /** Call within a write transaction. */
  add(entry: JournalWrite): void;
}

export interface JournalRow {
  readonly number: number;
  readonly at_ms: number;
  readonly actor: string;
  readonly role: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: string;
  readonly previous_hash: string;
  readonly hash: string;
}

/** What a row's hash is of. */
export function journalHash(row: Omit<JournalRow, 'hash'>): string {
  const { number, at_ms, actor, role, action, subject, detail, previous_hash } = row;
  return sha256Hex(
    canonicalJson({ number, atMs: at_ms, actor, role, action, subject, detail, previousHash: previous_hash }),
  );
}

export function createJournal(sqlite: Sqlite): Journal {
  const selectHead = sqlite.database.prepare<[], { number: number; hash: string }>(
    'SELECT number, hash FROM journal ORDER BY number DESC LIMIT 1',
  );
  const insert = sqlite.database.prepare(
    `INSERT INTO journal (number, at_ms, actor, role, action, subject, detail, previous_hash, hash)
     VALUES (:number, :at_ms, :actor, :role, :action, :subject, :detail, :previous_hash, :hash)`,
  );
  return {
    add({ atMs, ...entry }) {
      const head = selectHead.get() ?? { number: 0, hash: CHAIN_START };
      const row = { number: head.number + 1, at_ms: atMs, ...entry, previous_hash: head.hash };
      insert.run({ ...row, hash: journalHash(row) });
    },
  };
}
