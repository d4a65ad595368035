/** Signing in with a one-time code, and the sessions that pages hold afterwards. */
import type { Clock } from '../clock.ts';
import type { Caller } from '../domain/caller.ts';
import type { Identity, PeopleStore } from '../store/people.ts';
import { checkIdentity, hashSecret, newSecret } from './tokens.ts';

const SIGN_IN_CODE_LIFE_MS = 15 * 60_000;
export const SESSION_LIFE_MS = 7 * 24 * 3_600_000;
const SECRET = /^[A-Za-z0-9_-]{43}$/;
const ID_CHARS = 16;

export interface Sessions {
  /** A code that signs in once, within `SIGN_IN_CODE_LIFE_MS`. Throws `invalid` where role and accounts do not fit. */
  createCode(identity: Identity): Promise<string>;
  /** The secret of a new session; null where the code is unknown, used or too old. */
  signIn(code: string): Promise<string | null>;
  /** Who a session's secret stands for; `id` is no secret. */
  check(secret: string): Promise<{ readonly id: string; readonly caller: Caller } | null>;
  signOut(secret: string): Promise<void>;
}

export function createSessions(people: PeopleStore, clock: Clock): Sessions {
  return {
    async createCode(identity) {
      checkIdentity(identity);
      const code = newSecret();
      const createdAtMs = clock.nowMs();
      await people.removeExpired(createdAtMs);
      await people.addSignInCode({
        ...identity,
        hash: hashSecret(code),
        createdAtMs,
        expiresAtMs: createdAtMs + SIGN_IN_CODE_LIFE_MS,
      });
      return code;
    },
    async signIn(code) {
      if (!SECRET.test(code)) return null;
      const createdAtMs = clock.nowMs();
      const identity = await people.takeSignInCode(hashSecret(code), createdAtMs);
      if (identity === null) return null;
      const secret = newSecret();
      const hash = hashSecret(secret);
      const { name: actor, role } = identity;
      const subject = hash.slice(0, ID_CHARS);
      await people.addSession(
        { ...identity, hash, createdAtMs, expiresAtMs: createdAtMs + SESSION_LIFE_MS },
        { atMs: createdAtMs, actor, role, action: 'session.sign_in', subject, detail: '' },
      );
      return secret;
    },
    async check(secret) {
      if (!SECRET.test(secret)) return null;
      const hash = hashSecret(secret);
      const identity = await people.findSession(hash, clock.nowMs());
      if (identity === null) return null;
      return { id: hash.slice(0, ID_CHARS), caller: { ...identity, node: null } };
    },
    signOut: (secret) => people.removeSession(hashSecret(secret)),
  };
}
