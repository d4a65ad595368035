/** Who asks: a bearer token, or the cookie of a signed-in page. */
import type { Request } from 'express';
import type { Caller } from '../domain/caller.ts';
import type { Sessions } from '../services/sessions.ts';
import type { Tokens } from '../services/tokens.ts';
import { HttpProblem } from './problem.ts';

export const SESSION_COOKIE = 'gpuledger_session';
const COOKIE_HEADER_MAX = 8192;
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

interface Authenticated {
  readonly caller: Caller;
  /** Stands for the token or session in counters; not a secret. */
  readonly key: string;
}
/** Throws `unauthenticated` or `forbidden`. */
export type Authenticator = (request: Request) => Promise<Authenticated>;

/** The value of our cookie, or null. Another site's cookies on the same host are no concern of ours. */
export function sessionCookie(request: Request): string | null {
  const header = request.headers.cookie;
  if (header === undefined || header.length > COOKIE_HEADER_MAX) return null;
  for (const part of header.split(';')) {
    const [name, value] = part.trim().split('=', 2);
    if (name === SESSION_COOKIE && value !== undefined) return value;
  }
  return null;
}

/**
 * A cookie travels by itself, so what it changes must come from our own pages. Browsers say so in Sec-Fetch-Site, older
 * ones in Origin; a request with neither does not come from a page and has no business with a cookie.
 */
function requireSameOrigin(request: Request): void {
  const site = request.headers['sec-fetch-site'];
  if (site === 'same-origin') return;
  const origin = request.headers.origin;
  if (site === undefined && origin !== undefined && URL.canParse(origin)) {
    if (new URL(origin).host === request.headers.host) return;
  }
  throw new HttpProblem('forbidden', 'With a cookie, changes must come from the pages of this service');
}

export function createAuthenticator(tokens: Tokens, sessions: Sessions): Authenticator {
  return async (request) => {
    const header = request.headers.authorization;
    if (header !== undefined) {
      const [scheme, text] = header.split(' ', 2);
      const found = scheme?.toLowerCase() === 'bearer' && text ? await tokens.check(text) : null;
      if (found) return { caller: found.caller, key: `token ${found.id}` };
      throw new HttpProblem('unauthenticated', 'The token is not known, was revoked, or has expired', {
        headers: { 'WWW-Authenticate': 'Bearer realm="gpuledger", error="invalid_token"' },
      });
    }
    const cookie = sessionCookie(request);
    const session = cookie === null ? null : await sessions.check(cookie);
    if (session === null)
      throw new HttpProblem(
        'unauthenticated',
        'Send "Authorization: Bearer <token>", or open a sign-in link',
        {
          headers: { 'WWW-Authenticate': 'Bearer realm="gpuledger"' },
        },
      );
    if (!SAFE_METHODS.has(request.method)) requireSameOrigin(request);
    return { caller: session.caller, key: `session ${session.id}` };
  };
}
