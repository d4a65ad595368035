/** What the API says of itself. */
import { z } from 'zod';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';

/** `document` is asked for late, since it describes this route too. */
export function documentRoutes(document: () => Record<string, unknown>): Route[] {
  return [
    route({
      id: 'getOpenApi',
      method: 'get',
      path: '/openapi.json',
      tag: 'Operation',
      summary: 'This API as OpenAPI 3.1',
      access: 'open',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: z.record(z.string(), z.unknown()),
      answers: { 200: 'The document' },
      handle: async () => ({ json: document() }),
    }),
  ];
}
