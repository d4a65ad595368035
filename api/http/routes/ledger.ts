/** The ledger's sums, and the first page's. */
import { LedgerAnswer, LedgerQuery } from '../../contract/ledger.ts';
import { Overview, OverviewQuery } from '../../contract/overview.ts';
import { NO_BODY, NO_PARAMS, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

export function ledgerRoutes({ queries }: Services): Route[] {
  return [
    route({
      id: 'getLedger',
      method: 'get',
      path: '/v1/ledger',
      tag: 'Ledger',
      summary: 'GPU time by account, user, job, node, model, device, hour or day',
      description:
        'Every row balances: capacityMs = usedMs + heldMs + unaccountedMs + idleMs + unobservedMs. `total` is the sum of the rows.',
      access: 'ledger:read',
      params: NO_PARAMS,
      query: LedgerQuery,
      body: NO_BODY,
      answer: LedgerAnswer,
      answers: { 200: 'Rows from one snapshot, which says how complete it is' },
      handle: async ({ query }) => ({ json: await queries.ledger(query) }),
    }),
    route({
      id: 'getOverview',
      method: 'get',
      path: '/v1/overview',
      tag: 'Ledger',
      summary: 'Is anything wrong?',
      access: 'ledger:read',
      params: NO_PARAMS,
      query: OverviewQuery,
      body: NO_BODY,
      answer: Overview,
      answers: { 200: 'What the first page shows, from one snapshot' },
      handle: async ({ query }) => ({ json: await queries.overview(query) }),
    }),
  ];
}
