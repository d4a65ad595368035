/** Who declares jobs, and how far each is known to be complete. */
import { z } from 'zod';
import { Name } from '../../contract/primitives.ts';
import { ConditionsIn, ConditionsResult, SourceIn, SourceList, SourceOut } from '../../contract/sources.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const BODY_LIMIT_BYTES = 256 * 1024;
const CONDITIONS_LIMIT_BYTES = 1024 * 1024;
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
      summary: 'Say up to when a source has declared everything, and how it fares',
      access: 'sources:write',
      bodyLimitBytes: BODY_LIMIT_BYTES,
      params: SourceParams,
      query: NO_QUERY,
      body: SourceIn,
      answer: SourceOut,
      answers: { 200: 'The source' },
      async handle({ caller, params, body }) {
        if (body.completeTo !== undefined)
          await declarations.putSource(
            caller,
            params.source,
            params.sourceInstance,
            Date.parse(body.completeTo),
          );
        if (body.health !== undefined) await declarations.putHealth(caller, params, body.health);
        return { json: await queries.source(params) };
      },
    }),
    route({
      id: 'putConditions',
      method: 'put',
      path: '/v1/sources/{source}/{sourceInstance}/conditions',
      tag: 'Jobs',
      summary: 'Say why nodes have no job: drained, down, reserved, in maintenance',
      description:
        'They become the reason of idle and not measured time. The same beginning again is a correction; all versions are kept.',
      access: 'sources:write',
      bodyLimitBytes: CONDITIONS_LIMIT_BYTES,
      params: SourceParams,
      query: NO_QUERY,
      body: ConditionsIn,
      answer: ConditionsResult,
      answers: { 200: 'How many of them are new' },
      handle: async ({ caller, params, body }) => ({
        json: { recorded: await declarations.putConditions(caller, params, body.conditions) },
      }),
    }),
  ];
}
