/** What changed, as it happens: server-sent events, each a JSON `LiveEvent`. */
import type { Response } from 'express';
import { z } from 'zod';
import type { LiveEvent } from '../../contract/overview.ts';
import { HttpProblem } from '../problem.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const CLIENTS_MAX = 256;
/** Shorter than the idle time-outs of common proxies. */
const HEARTBEAT_MS = 15_000;
/** A page reconnects by itself; its session is checked again then. */
const CONNECTION_MAX_MS = 3_600_000;
/** A reader that lets this much pile up is dropped; it will ask for everything when it comes back. */
const BACKLOG_MAX_BYTES = 256 * 1024;

export interface LiveRoutes {
  readonly routes: Route[];
  /** Ends every stream. */
  close(): void;
}

export function liveRoutes({ live, clock }: Services): LiveRoutes {
  const clients = new Set<Response>();
  const open = (response: Response): void => {
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
    const heartbeat = setInterval(() => write(': still here\n\n'), HEARTBEAT_MS);
    const limit = setTimeout(() => response.end(), CONNECTION_MAX_MS);
    const unsubscribe = live.subscribe(tell);
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
        access: 'ledger:read',
        params: NO_PARAMS,
        query: NO_QUERY,
        body: NO_BODY,
        answer: z.string(),
        answers: { 200: 'A stream of events' },
        contentTypes: ['text/event-stream'],
        async handle({ response }) {
          if (clients.size >= CLIENTS_MAX)
            throw new HttpProblem('unavailable', `${CLIENTS_MAX} pages follow already`);
          open(response);
          return 'sent';
        },
      }),
    ],
  };
}
