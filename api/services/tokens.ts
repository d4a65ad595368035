/** Bearer tokens: `glt_<id>_<secret>`. Only the SHA-256 of the secret is kept. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { list, Name, type Role } from '../contract/primitives.ts';
import type { Caller } from '../domain/caller.ts';
import type { Identity, PeopleStore, TokenRow } from '../store/people.ts';
import { type FieldError, ServiceError } from './errors.ts';

const ID_BYTES = 8;
const SECRET_BYTES = 32;
const TOKEN = /^glt_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;
/** `last used` is exact to this much: not every request is worth a write. */
const USED_GRAIN_MS = 60_000;
const NAME_CHARS = 100;
/** Who the journal names where the service itself makes a token, for its own agent and command line. */
const SERVICE = 'service';

export const hashSecret = (secret: string): string =>
  createHash('sha256').update(secret, 'utf8').digest('hex');
export const newSecret = (): string => randomBytes(SECRET_BYTES).toString('base64url');

interface NewToken {
  readonly name: string;
  readonly role: Role;
  readonly node: string | null;
  readonly accounts: readonly string[] | null;
  /** The OS accounts that an owner declares jobs for; null, or absent: any. */
  readonly users?: readonly string[] | null;
}

/** A token as lists show it. */
type TokenView = Omit<TokenRow, 'hash'>;

/** Both changes go to the journal, with `actor` as who made them. */
export interface Tokens {
  /** `text` is the whole token; it cannot be had again. Throws `invalid` where role, node and accounts do not fit. */
  create(token: NewToken, actor?: string): Promise<{ readonly id: string; readonly text: string }>;
  list(): Promise<TokenView[]>;
  /** False where there is no such token, or it is revoked already. */
  revoke(id: string, actor?: string): Promise<boolean>;
  /** Who a token stands for; null where it is malformed, unknown or revoked. */
  check(text: string): Promise<{ readonly id: string; readonly caller: Caller } | null>;
}

const LISTED_MAX = 1000;

/** An agent's token names one node, an owner's at least one account, and no other token names either. */
function validate({ name, role, node, accounts, users = null }: NewToken): void {
  const errors: FieldError[] = [];
  if (!Name.safeParse(name).success || name.length > NAME_CHARS)
    errors.push({ field: 'name', message: `must have 1 to ${NAME_CHARS} characters, none of control` });
  if (node !== null && !Name.safeParse(node).success)
    errors.push({ field: 'node', message: 'must be the name of a node' });
  if (accounts !== null && !list(Name, LISTED_MAX).safeParse(accounts).success)
    errors.push({ field: 'account', message: 'must be the name of an account' });
  if (users !== null && (role !== 'owner' || !list(Name, LISTED_MAX, 1).safeParse(users).success))
    errors.push({ field: 'user', message: 'is for owners, and the name of an OS account' });
  if ((role === 'agent') !== (node !== null))
    errors.push({ field: 'node', message: role === 'agent' ? 'an agent needs one' : 'is for agents only' });
  if ((role === 'owner') !== (accounts !== null && accounts.length > 0))
    errors.push({
      field: 'account',
      message: role === 'owner' ? 'an owner needs at least one' : 'is for owners only',
    });
  if (errors.length > 0)
    throw new ServiceError('invalid', errors.map((one) => `${one.field}: ${one.message}`).join('; '), errors);
}

/** Who may sign in to the pages: anybody but an agent; an owner with accounts. */
export function checkIdentity(identity: Identity): void {
  validate({ ...identity, node: null });
}

export function createTokens(people: PeopleStore, clock: Clock): Tokens {
  return {
    async create(token, actor = SERVICE) {
      validate(token);
      const id = randomBytes(ID_BYTES).toString('hex');
      const secret = newSecret();
      const atMs = clock.nowMs();
      const row = { users: null, ...token, id, hash: hashSecret(secret), createdAtMs: atMs };
      await people.addToken(
        { ...row, revokedAtMs: null, lastUsedAtMs: null },
        {
          ...{ atMs, actor, role: 'admin', action: 'token.create', subject: id },
          detail: `${token.role} "${token.name}"${token.node === null ? '' : ` for node ${token.node}`}`,
        },
      );
      return { id, text: `glt_${id}_${secret}` };
    },
    list: async () => (await people.listTokens()).map(({ hash: _, ...view }) => view),
    revoke: (id, actor = SERVICE) =>
      people.revokeToken(id, {
        ...{ atMs: clock.nowMs(), actor, role: 'admin', action: 'token.revoke', subject: id, detail: '' },
      }),
    async check(text) {
      const parts = TOKEN.exec(text);
      const [, id, secret] = parts ?? [];
      if (id === undefined || secret === undefined) return null;
      const row = await people.findToken(id);
      if (row === null || row.revokedAtMs !== null) return null;
      const given = Buffer.from(hashSecret(secret), 'hex');
      if (!timingSafeEqual(given, Buffer.from(row.hash, 'hex'))) return null;
      const nowMs = clock.nowMs();
      if (row.lastUsedAtMs === null || nowMs - row.lastUsedAtMs >= USED_GRAIN_MS)
        // A figure for people: a full disk or a busy database must not keep anybody out.
        await people.markTokenUsed(id, nowMs).catch(() => undefined);
      const { name, role, node, accounts, users } = row;
      return { id, caller: { name, role, node, accounts, users } };
    },
  };
}
