/** Use that no declaration covers. */
import { z } from 'zod';
import { FindingDetail, FindingList, FindingsQuery } from '../../contract/findings.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const FindingId = z.object({
  id: z.string().regex(/^f_[0-9a-f]{16}$/, 'must be a finding id such as f_0123456789abcdef'),
});

export function findingRoutes({ queries }: Services): Route[] {
  return [
    route({
      id: 'listFindings',
      method: 'get',
      path: '/v1/findings',
      tag: 'Findings',
      summary: 'Findings by source process',
      access: 'findings:read',
      params: NO_PARAMS,
      query: FindingsQuery,
      body: NO_BODY,
      answer: FindingList,
      answers: { 200: 'A page of findings' },
      handle: async ({ caller, query }) => ({ json: await queries.findings(caller, query) }),
    }),
    route({
      id: 'getFinding',
      method: 'get',
      path: '/v1/findings/{id}',
      tag: 'Findings',
      summary: 'One finding and its story',
      access: 'findings:read',
      params: FindingId,
      query: NO_QUERY,
      body: NO_BODY,
      answer: FindingDetail,
      answers: { 200: 'What was observed, what was not, and what it cost' },
      handle: async ({ caller, params }) => ({ json: await queries.finding(caller, params.id) }),
    }),
  ];
}
