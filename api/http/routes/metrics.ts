/** For Prometheus. */
import { z } from 'zod';
import type { Metrics } from '../metrics.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';

/** `open`: without a token, for a service that listens on this machine only. */
export function metricsRoutes(metrics: Metrics, open: boolean): Route[] {
  return [
    route({
      id: 'getMetrics',
      method: 'get',
      path: '/metrics',
      tag: 'Operation',
      summary: 'Prometheus metrics',
      description: 'Needs no token while the service listens on a loopback address.',
      access: open ? 'open' : 'metrics:read',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: z.string(),
      answers: { 200: 'The text format' },
      contentTypes: ['text/plain'],
      async handle({ response }) {
        const { contentType, text } = await metrics.render();
        response.set({ 'Content-Type': contentType, 'Cache-Control': 'no-store' }).end(text);
        return 'sent';
      },
    }),
  ];
}
