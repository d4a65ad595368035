/** What changed, as it happens: server-sent events, each a JSON `LiveEvent`. */
import type { Response } from 'express';
import { z } from 'zod';
import type { LiveEvent } from '../../contract/overview.ts';
import { mayUse } from '../access.ts';
import { HttpProblem } from '../problem.ts';
import { type Bare, NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const CLIENTS_MAX = 256;
/** One person's pages, so that they cannot keep everybody else out. */
const CLIENTS_PER_CALLER_MAX = 24;
/** Shorter than the idle time-outs of common proxies. */
const HEARTBEAT_MS = 15_000;
/** A page reconnects by itself. Its session is checked again then, and at each heartbeat. */
const CONNECTION_MAX_MS = 3_600_000;
/** A reader that lets this much pile up is dropped; it will ask for everything when it comes back. */
const BACKLOG_MAX_BYTES = 256 * 1024;

/** All that is said to those who do not see everything: nodes and findings of others stay out. */
const CHANGED: LiveEvent = { type: 'ledger', completeTo: null };

export interface LiveRoutes {
  readonly routes: Route[];
  /** Ends every stream, and opens none any more. */
  close(): void;
}

export function liveRoutes(
  { live, clock }: Pick<Services, 'live' | 'clock'>,
  heartbeatMs = HEARTBEAT_MS,
): LiveRoutes {
  const clients = new Set<Response>();
  let closed = false;
  const open = ({ caller, response, stillAllowed }: Omit<Bare, 'request'>): void => {
    const seesAll = mayUse(caller.role, 'ledger:read');
    const write = (text: string): void => {
      if (response.writableLength > BACKLOG_MAX_BYTES) response.destroy();
      else response.write(text);
    };
    const tell = (event: LiveEvent): void => write(`data: ${JSON.stringify(event)}\n\n`);
    response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    });
    clients.add(response);
    const beat = async (): Promise<void> => {
      if (await stillAllowed()) write(': still here\n\n');
      else response.end();
    };
    const heartbeat = setInterval(() => void beat(), heartbeatMs);
    const limit = setTimeout(() => response.end(), CONNECTION_MAX_MS);
    const unsubscribe = live.subscribe((event) => tell(seesAll ? event : CHANGED));
    response.once('close', () => {
      clearInterval(heartbeat);
      clearTimeout(limit);
      unsubscribe();
      clients.delete(response);
    });
    tell({ type: 'hello', now: new Date(clock.nowMs()).toISOString() });
  };
  return {
    close() {
      closed = true;
      for (const response of clients) response.end();
    },
    routes: [
      route({
        id: 'followLive',
        method: 'get',
        path: '/v1/live',
        tag: 'Live',
        summary: 'Events as they happen',
        description:
          'Server-sent events: {"type":"hello"|"ledger"|"finding"|"node", …}. They say what changed, not how: ask again.',
        access: 'live:read',
        params: NO_PARAMS,
        query: NO_QUERY,
        body: NO_BODY,
        answer: z.string(),
        answers: { 200: 'A stream of events' },
        contentTypes: ['text/event-stream'],
        concurrencyPerToken: CLIENTS_PER_CALLER_MAX,
        async handle({ caller, request, response, stillAllowed }) {
          if (request.method === 'HEAD') {
            response.type('text/event-stream').end();
            return 'sent';
          }
          // A page whose stream ended comes back at once, perhaps on the connection that it still has.
          if (closed) throw new HttpProblem('unavailable', 'The service is stopping');
          if (clients.size >= CLIENTS_MAX)
            throw new HttpProblem('unavailable', `${CLIENTS_MAX} pages follow already`);
          open({ caller, response, stillAllowed });
          return 'sent';
        },
      }),
    ],
  };
}
