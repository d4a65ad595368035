/** What the store keeps about those who ask: tokens, one-time sign-in codes, sessions. Hashes only, never a secret. */
import type { Role } from '../contract/primitives.ts';
import type { JournalWrite } from './jobs.ts';

export interface TokenRow {
  readonly id: string;
  /** SHA-256 of the secret, 64 hexadecimal digits. */
  readonly hash: string;
  readonly name: string;
  readonly role: Role;
  /** The node that an agent's token writes for; null for other roles. */
  readonly node: string | null;
  /** The accounts that an owner's token sees; null for other roles. */
  readonly accounts: readonly string[] | null;
  /** The OS accounts that an owner's token declares jobs for; null: any. */
  readonly users: readonly string[] | null;
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
  readonly lastUsedAtMs: number | null;
}

export interface Identity {
  readonly name: string;
  readonly role: Role;
  /** The accounts that an owner sees; null for other roles. */
  readonly accounts: readonly string[] | null;
}

interface ExpiringIdentity extends Identity {
  readonly hash: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

export interface PeopleStore {
  addToken(token: TokenRow, journal: JournalWrite): Promise<void>;
  findToken(id: string): Promise<TokenRow | null>;
  listTokens(): Promise<TokenRow[]>;
  /** False where there is no such token that is not revoked yet. */
  revokeToken(id: string, journal: JournalWrite): Promise<boolean>;
  markTokenUsed(id: string, atMs: number): Promise<void>;
  addSignInCode(code: ExpiringIdentity): Promise<void>;
  /** Takes a code that was neither used nor has expired, so that nobody can take it again; null otherwise. */
  takeSignInCode(hash: string, nowMs: number): Promise<Identity | null>;
  addSession(session: ExpiringIdentity, journal: JournalWrite): Promise<void>;
  findSession(hash: string, nowMs: number): Promise<Identity | null>;
  removeSession(hash: string): Promise<void>;
  /** Forgets codes and sessions that expired before `beforeMs`. */
  removeExpired(beforeMs: number): Promise<void>;
  close(): Promise<void>;
}
