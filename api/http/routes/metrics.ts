/** For Prometheus. */
import type { Request } from 'express';
import { z } from 'zod';
import { isLoopback } from '../../config.ts';
import type { Metrics } from '../metrics.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';

const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'];

/** Whether a request came from this machine by its own name, and not through a proxy here that serves others. */
function isDirect(request: Request): boolean {
  const host = URL.parse(`http://${request.headers.host ?? ''}`)?.hostname ?? '';
  return (
    isLoopback(host.replace(/^\[(.*)\]$/, '$1')) && FORWARDED.every((name) => !(name in request.headers))
  );
}

/** `loopback`: the service listens on this machine only, and then needs no token of who asks from here. */
export function metricsRoutes(metrics: Metrics, loopback: boolean): Route[] {
  return [
    route({
      id: 'getMetrics',
      method: 'get',
      path: '/metrics',
      tag: 'Operation',
      summary: 'Prometheus metrics',
      description:
        'Needs no token while the service listens on a loopback address and is asked by that address, not through a proxy.',
      access: 'metrics:read',
      openTo: (request) => loopback && isDirect(request),
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
