/** Signing in and out of the pages. */
import { rateLimit } from 'express-rate-limit';
import { z } from 'zod';
import { Session } from '../../contract/overview.ts';
import { SESSION_LIFE_MS } from '../../services/sessions.ts';
import { permissionsOf } from '../access.ts';
import { SESSION_COOKIE, sessionCookie } from '../authentication.ts';
import { HttpProblem } from '../problem.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Installation, Services } from '../services.ts';

const FAILURES_PER_WINDOW = 10;
const FAILURE_WINDOW_MS = 60_000;

const COOKIE = { httpOnly: true, sameSite: 'strict', path: '/' } as const;

const REFUSED = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign-in link</title>
<h1>This sign-in link cannot be used</h1>
<p>It was used before, or it is older than 15 minutes. Print a new one on the machine that runs the service:</p>
<pre>npx gpuledger sign-in --data ./data</pre></html>`;

export function sessionRoutes({ sessions }: Services, installation: Installation): Route[] {
  const limitFailures = rateLimit({
    windowMs: FAILURE_WINDOW_MS,
    limit: FAILURES_PER_WINDOW,
    skipSuccessfulRequests: true,
    standardHeaders: false,
    legacyHeaders: false,
    validate: { trustProxy: false, xForwardedForHeader: false },
    handler(_request, _response, next) {
      next(
        new HttpProblem('too_many', 'Too many sign-in links failed; wait a minute', {
          headers: { 'Retry-After': '60' },
        }),
      );
    },
  });
  return [
    route({
      id: 'signIn',
      method: 'get',
      path: '/sign-in',
      tag: 'Session',
      summary: 'Open a one-time sign-in link',
      access: 'open',
      params: NO_PARAMS,
      query: z.object({ code: z.string().max(200) }),
      body: NO_BODY,
      answer: z.string(),
      answers: {
        303: 'Signed in: the session cookie, and on to the pages',
        401: 'The link was used or is too old',
      },
      contentTypes: ['text/html'],
      async handle({ query, request, response }) {
        await new Promise<void>((resolve, reject) => {
          Promise.resolve(
            limitFailures(request, response, (error) => (error ? reject(error) : resolve())),
          ).catch(reject);
        });
        response.set({ 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer' });
        // Programs that only look at a link (HEAD) must not use it up.
        const secret = request.method === 'GET' ? await sessions.signIn(query.code) : null;
        if (secret === null) {
          response.status(401).type('html').send(REFUSED);
          return 'sent';
        }
        response.cookie(SESSION_COOKIE, secret, {
          ...COOKIE,
          // Behind a proxy that speaks TLS; whoever else sends this header only hurts himself.
          secure: request.secure || request.headers['x-forwarded-proto'] === 'https',
          maxAge: SESSION_LIFE_MS,
        });
        response.redirect(303, '/');
        return 'sent';
      },
    }),
    route({
      id: 'getSession',
      method: 'get',
      path: '/v1/session',
      tag: 'Session',
      summary: 'Who am I?',
      access: 'session:read',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: Session,
      answers: { 200: 'The token or session that asks' },
      handle: async ({ caller }) => ({
        json: {
          ...{ name: caller.name, roles: [caller.role], node: caller.node },
          accounts: caller.accounts === null ? null : [...caller.accounts],
          may: permissionsOf(caller.role),
          ...installation,
        },
      }),
    }),
    route({
      id: 'signOut',
      method: 'delete',
      path: '/v1/session',
      tag: 'Session',
      summary: 'Sign out',
      access: 'session:read',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: z.object({ signedOut: z.boolean() }),
      answers: { 200: 'The session has ended' },
      async handle({ request, response }) {
        const secret = sessionCookie(request);
        if (secret !== null) await sessions.signOut(secret);
        response.clearCookie(SESSION_COOKIE, COOKIE);
        return { json: { signedOut: secret !== null } };
      },
    }),
  ];
}
