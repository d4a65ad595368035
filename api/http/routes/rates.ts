/** What a GPU-hour costs. */
import { RateCard, RateCards } from '../../contract/finance.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const BODY_LIMIT_BYTES = 256 * 1024;

export function rateRoutes({ declarations, queries }: Services): Route[] {
  return [
    route({
      id: 'getRates',
      method: 'get',
      path: '/v1/rates',
      tag: 'Finance',
      summary: 'Every rate card, newest first',
      access: 'rates:read',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: RateCards,
      answers: { 200: 'The rate cards' },
      handle: async () => ({ json: await queries.rates() }),
    }),
    route({
      id: 'putRates',
      method: 'put',
      path: '/v1/rates',
      tag: 'Finance',
      summary: 'Set the rates from an hour on',
      access: 'rates:write',
      bodyLimitBytes: BODY_LIMIT_BYTES,
      params: NO_PARAMS,
      query: NO_QUERY,
      body: RateCard,
      answer: RateCards,
      answers: { 200: 'The rate cards' },
      async handle({ caller, body }) {
        await declarations.putRates(caller, body);
        return { json: await queries.rates() };
      },
    }),
  ];
}
