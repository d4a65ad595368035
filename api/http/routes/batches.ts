/** What agents send. */
import { z } from 'zod';
import { BATCH_LIMITS } from '../../contract/batch.ts';
import { BatchRequestSchema, BatchResponseSchema } from '../../contract/batch-schema.ts';
import type { Metrics } from '../metrics.ts';
import { NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const CONCURRENCY_PER_TOKEN = 4;

/** Ingest checks every member itself, by hand, since these are many and large; the schema is for the document. */
const BatchInput = z.unknown();

export function batchRoutes({ ingest }: Services, metrics: Metrics): Route[] {
  return [
    route({
      id: 'sendBatches',
      method: 'post',
      path: '/v1/batches',
      tag: 'Agents',
      summary: 'Report readings',
      description:
        'Answers when the batches are durable. Sending the same again changes nothing. JSON, gzip where large.',
      access: 'batches:write',
      concurrencyPerToken: CONCURRENCY_PER_TOKEN,
      bodyLimitBytes: BATCH_LIMITS.requestBytes,
      params: NO_PARAMS,
      query: NO_QUERY,
      body: BatchInput,
      documentedBody: BatchRequestSchema,
      answer: BatchResponseSchema,
      answers: { 200: 'What became of each batch' },
      async handle({ caller, body }) {
        try {
          const answer = await ingest.accept(caller, body);
          for (const { status } of answer.results) metrics.countBatch(status);
          return { json: answer };
        } catch (error) {
          metrics.countBatch('refused');
          throw error;
        }
      },
    }),
  ];
}
