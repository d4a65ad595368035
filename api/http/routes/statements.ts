/** A month by account. */
import { Statement, StatementQuery } from '../../contract/finance.ts';
import { NO_BODY, NO_PARAMS, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';
import { statementCsv } from '../statement-csv.ts';

export function statementRoutes({ queries }: Services): Route[] {
  return [
    route({
      id: 'getStatement',
      method: 'get',
      path: '/v1/statements',
      tag: 'Finance',
      summary: 'A statement per account that adds up to capacity',
      description: `As JSON or CSV. In CSV, text cells that begin with = + - @ tab or carriage return get a leading apostrophe, so that
no spreadsheet runs them; numbers stay numbers.`,
      access: 'statements:read',
      params: NO_PARAMS,
      query: StatementQuery,
      body: NO_BODY,
      answer: Statement,
      answers: { 200: 'The statement' },
      contentTypes: ['application/json', 'text/csv'],
      async handle({ query }) {
        const statement = await queries.statement(query.period);
        if (query.format === 'json') return { json: statement };
        return {
          text: statementCsv(statement),
          contentType: 'text/csv',
          fileName: `gpuledger-${query.period}.csv`,
        };
      },
    }),
  ];
}
