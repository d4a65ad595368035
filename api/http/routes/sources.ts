/** Who declares jobs, and how far each is known to be complete. */
import { z } from 'zod';
import { SourceIn, SourceList } from '../../contract/fleet.ts';
import { Name } from '../../contract/primitives.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const BODY_LIMIT_BYTES = 16 * 1024;
const SourceParams = z.object({
  source: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be a source such as slurm'),
  sourceInstance: Name,
});

export function sourceRoutes({ declarations, queries }: Services): Route[] {
  return [
    route({
      id: 'listSources',
      method: 'get',
      path: '/v1/sources',
      tag: 'Jobs',
      summary: 'Sources of declarations and their watermarks',
      access: 'sources:read',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: SourceList,
      answers: { 200: 'The sources' },
      handle: async () => ({ json: await queries.sources() }),
    }),
    route({
      id: 'putSource',
      method: 'put',
      path: '/v1/sources/{source}/{sourceInstance}',
      tag: 'Jobs',
      summary: 'Say up to when a source has declared everything',
      access: 'sources:write',
      bodyLimitBytes: BODY_LIMIT_BYTES,
      params: SourceParams,
      query: NO_QUERY,
      body: SourceIn,
      answer: SourceList,
      answers: { 200: 'The sources' },
      async handle({ caller, params, body }) {
        await declarations.putSource(
          caller,
          params.source,
          params.sourceInstance,
          Date.parse(body.completeTo),
        );
        return { json: await queries.sources() };
      },
    }),
  ];
}
