/** Registers the route table with express: authentication, limits, parsing, handling, in this order for every route. */
import { isUtf8 } from 'node:buffer';
import { json, type Request, type RequestHandler, type Response, Router } from 'express';
import type { Caller } from '../domain/caller.ts';
import { mayUse } from './access.ts';
import type { Authenticator } from './authentication.ts';
import { HttpProblem } from './problem.ts';
import type { Reply, Route } from './route.ts';

/** Who calls a route that is open to anybody. */
const ANYBODY = { name: 'anybody', role: 'viewer', node: null, accounts: [] } as const;
/** Requests under way, by token and route. */
class Concurrency {
  readonly #running = new Map<string, number>();

  enter(key: string, limit: number, response: Response): void {
    const running = this.#running.get(key) ?? 0;
    if (running >= limit)
      throw new HttpProblem('too_many', `This token already has ${limit} such requests under way`);
    this.#running.set(key, running + 1);
    response.once('close', () => {
      const left = (this.#running.get(key) ?? 1) - 1;
      if (left > 0) this.#running.set(key, left);
      else this.#running.delete(key);
    });
  }
}

/** Resolves when the body has been read and parsed into `request.body`. */
async function readBody(
  parse: RequestHandler | null,
  limitBytes: number,
  request: Request,
  response: Response,
): Promise<void> {
  // The parser would first read all of it, and only then say so.
  if (parse !== null && Number(request.headers['content-length']) > limitBytes)
    throw new HttpProblem('too_large', `The body may have ${limitBytes} bytes`, {
      errors: [{ field: 'body', message: `must have at most ${limitBytes} bytes` }],
    });
  if (parse === null || request.headers['content-length'] === '0') return;
  if (request.is('application/json') === false)
    throw new HttpProblem('unsupported_media_type', 'Send application/json', {
      errors: [{ field: 'body', message: 'must be application/json' }],
    });
  await new Promise<void>((resolve, reject) => {
    parse(request, response, (error?: unknown) => (error ? reject(error) : resolve()));
  });
}

/** A parser would put other characters in the place of broken ones, and a name would become another. */
function refuseBrokenText(_request: unknown, _response: unknown, body: Buffer): void {
  if (isUtf8(body)) return;
  throw new HttpProblem('malformed', 'The body is not valid UTF-8', {
    errors: [{ field: 'body', message: 'must be valid UTF-8' }],
  });
}

function send(reply: Reply<unknown>, response: Response): void {
  if (reply === 'sent') return;
  if (!response.hasHeader('Cache-Control')) response.set('Cache-Control', 'no-store');
  if ('json' in reply) {
    response.status(reply.status ?? 200).json(reply.json);
    return;
  }
  // The name is made by us from checked input: no quotes, no control characters.
  response.set('Content-Disposition', `attachment; filename="${reply.fileName}"`);
  response.type(reply.contentType).send(reply.text);
}

function handler(route: Route, authenticate: Authenticator, concurrency: Concurrency): RequestHandler {
  const parse =
    route.bodyLimitBytes === undefined
      ? null
      : json({ limit: route.bodyLimitBytes, type: 'application/json', verify: refuseBrokenText });
  return async (request, response) => {
    const access = route.openTo?.(request) ? 'open' : route.access;
    let caller: Caller = ANYBODY;
    if (access !== 'open') {
      const who = await authenticate(request);
      if (!mayUse(who.caller.role, access))
        throw new HttpProblem('forbidden', `The role ${who.caller.role} may not use ${access}`);
      if (route.concurrencyPerToken !== undefined)
        concurrency.enter(`${who.key} ${route.id}`, route.concurrencyPerToken, response);
      caller = who.caller;
      response.locals.caller = caller.name;
    }
    await readBody(parse, route.bodyLimitBytes ?? 0, request, response);
    const stillAllowed = () =>
      authenticate(request).then(
        (who) => access === 'open' || mayUse(who.caller.role, access),
        () => access === 'open',
      );
    send(await route.run({ caller, request, response, stillAllowed }), response);
  };
}

const toExpress = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ':$1');

export function createRouter(routes: readonly Route[], authenticate: Authenticator): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const concurrency = new Concurrency();
  const paths = new Map<string, Route[]>();
  for (const route of routes) paths.set(route.path, [...(paths.get(route.path) ?? []), route]);
  for (const [path, here] of paths) {
    for (const route of here)
      router[route.method](toExpress(path), handler(route, authenticate, concurrency));
    const allowed = here.map((route) => route.method.toUpperCase()).join(', ');
    router.all(toExpress(path), (request) => {
      throw new HttpProblem('method_not_allowed', `${request.method} is not one of ${allowed}`, {
        headers: { Allow: allowed },
      });
    });
  }
  return router;
}
