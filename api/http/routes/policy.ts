/** What the site accepts and exempts. */
import { Policies, PolicyIn, PolicyResult } from '../../contract/policy.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const BODY_LIMIT_BYTES = 1024 * 1024;

export function policyRoutes({ policies }: Services): Route[] {
  return [
    route({
      id: 'getPolicy',
      method: 'get',
      path: '/v1/policy',
      tag: 'Policy',
      summary: 'The policy in force, and every version of it',
      access: 'policy:read',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: Policies,
      answers: { 200: 'The policies' },
      handle: async () => ({ json: await policies.show() }),
    }),
    route({
      id: 'putPolicy',
      method: 'put',
      path: '/v1/policy',
      tag: 'Policy',
      summary: 'Set the whole policy from an hour on',
      description:
        'An exemption counts from when it is recorded. A begin before the hour that is running is refused unless `reach` ' +
        'says that the past is meant. `dryRun` says what would change, and which findings of the last 7 days would be covered.',
      access: 'policy:write',
      bodyLimitBytes: BODY_LIMIT_BYTES,
      params: NO_PARAMS,
      query: NO_QUERY,
      body: PolicyIn,
      answer: PolicyResult,
      answers: { 200: 'What is recorded, or would be' },
      handle: async ({ caller, body }) => ({ json: await policies.put(caller, body) }),
    }),
  ];
}
