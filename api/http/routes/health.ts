/** Is the service alive, and can it answer? */
import { z } from 'zod';
import { HttpProblem } from '../problem.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const Health = z.object({ status: z.literal('ok') });

export function healthRoutes({ queries }: Services): Route[] {
  const outline = {
    method: 'get',
    tag: 'Operation',
    access: 'open',
    params: NO_PARAMS,
    query: NO_QUERY,
    body: NO_BODY,
    answer: Health,
  } as const;
  return [
    route({
      ...outline,
      id: 'getHealth',
      path: '/healthz',
      summary: 'Is the process alive?',
      answers: { 200: 'Alive' },
      handle: async () => ({ json: { status: 'ok' as const } }),
    }),
    route({
      ...outline,
      id: 'getReadiness',
      path: '/readyz',
      summary: 'Can it read its database?',
      answers: { 200: 'Ready', 503: 'The database does not answer' },
      async handle() {
        try {
          await queries.ready();
        } catch {
          throw new HttpProblem('unavailable', 'The database does not answer. The log says why.');
        }
        return { json: { status: 'ok' as const } };
      },
    }),
  ];
}
