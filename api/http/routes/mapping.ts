/** To whom time is charged. */
import { MappingIn, MappingResult, Mappings } from '../../contract/mapping.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const BODY_LIMIT_BYTES = 1024 * 1024;

export function mappingRoutes({ mappings }: Services): Route[] {
  return [
    route({
      id: 'getMapping',
      method: 'get',
      path: '/v1/mapping',
      tag: 'Finance',
      summary: 'The rules by which jobs are charged to accounts, and every version of them',
      access: 'rates:read',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: Mappings,
      answers: { 200: 'The mappings' },
      handle: async () => ({ json: await mappings.show() }),
    }),
    route({
      id: 'putMapping',
      method: 'put',
      path: '/v1/mapping',
      tag: 'Finance',
      summary: 'Set all rules by which jobs are charged, from a UTC day on',
      description:
        'The first rule that matches a job decides to which account, project and cost centre its time is charged; without one it is the ' +
        'declared account. A begin before today is refused unless `reach` says that the past is meant. `dryRun` changes nothing ' +
        'and says what would move: GPU-hours and money, from whom to whom.',
      access: 'mapping:write',
      bodyLimitBytes: BODY_LIMIT_BYTES,
      params: NO_PARAMS,
      query: NO_QUERY,
      body: MappingIn,
      answer: MappingResult,
      answers: { 200: 'What is recorded, or would be' },
      handle: async ({ caller, body }) => ({ json: await mappings.put(caller, body) }),
    }),
  ];
}
