/** The whole HTTP side: the route table, the documents, the pages, and what is true of every answer. */
import express, { type Express } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import { createAuthenticator } from './authentication.ts';
import { docsRouter } from './docs.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createOpenApi } from './openapi.ts';
import { pagesRouter } from './pages.ts';
import { HttpProblem, problemHandler } from './problem.ts';
import type { Route } from './route.ts';
import { createRouter } from './router.ts';
import { batchRoutes } from './routes/batches.ts';
import { documentRoutes } from './routes/documents.ts';
import { findingRoutes } from './routes/findings.ts';
import { fleetRoutes } from './routes/fleet.ts';
import { healthRoutes } from './routes/health.ts';
import { jobRoutes } from './routes/jobs.ts';
import { ledgerRoutes } from './routes/ledger.ts';
import { liveRoutes } from './routes/live.ts';
import { mappingRoutes } from './routes/mapping.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { policyRoutes } from './routes/policy.ts';
import { rateRoutes } from './routes/rates.ts';
import { sessionRoutes } from './routes/session.ts';
import { sourceRoutes } from './routes/sources.ts';
import { statementRoutes } from './routes/statements.ts';
import type { Installation, Services } from './services.ts';

export interface HttpOptions {
  readonly services: Services;
  readonly installation: Installation;
  readonly log: Logger;
  /** What `vite build web` wrote. */
  readonly pagesFolder: string;
  /** The service can be reached from this machine only. */
  readonly loopback: boolean;
}

export interface HttpSide {
  readonly express: Express;
  /** Every route, as `/openapi.json` documents them. */
  readonly routes: readonly Route[];
  /** Ends the event streams, which would else never finish. */
  closeStreams(): void;
}

/** No inline scripts at all; inline styles, since React and Mantine set them. Plain HTTP must stay plain on loopback. */
const security = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", 'data:'],
      fontSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      manifestSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
      frameAncestors: ["'none'"],
    },
  },
  strictTransportSecurity: false,
  crossOriginResourcePolicy: { policy: 'same-origin' },
});

/** Logs method, path (never the query: it may hold a sign-in code), status, time and who; never headers. */
function requestLog(log: Logger) {
  return pinoHttp({
    logger: log,
    serializers: {
      req: (request: { method: string; url: string }) => ({
        method: request.method,
        path: request.url.split('?', 1)[0],
      }),
      res: (response: { statusCode: number }) => ({ status: response.statusCode }),
    },
    customProps: (_request, response) => ({
      caller: 'locals' in response ? callerOf(response.locals) : undefined,
    }),
    customLogLevel: (_request, response) => {
      if (response.statusCode >= 500) return 'error';
      return response.statusCode >= 400 ? 'info' : 'debug';
    },
  });
}
const callerOf = (locals: unknown): unknown =>
  typeof locals === 'object' && locals !== null && 'caller' in locals ? locals.caller : undefined;

function routeTable(options: HttpOptions, metrics: Metrics, live: readonly Route[]): Route[] {
  const { services, installation, loopback } = options;
  const routes: Route[] = [
    ...batchRoutes(services, metrics),
    ...jobRoutes(services),
    ...sourceRoutes(services),
    ...ledgerRoutes(services),
    ...findingRoutes(services),
    ...fleetRoutes(services),
    ...rateRoutes(services),
    ...mappingRoutes(services),
    ...policyRoutes(services),
    ...statementRoutes(services),
    ...live,
    ...sessionRoutes(services, installation),
    ...metricsRoutes(metrics, loopback),
    ...healthRoutes(services),
    ...documentRoutes(() => document()),
  ];
  let made: Record<string, unknown> | null = null;
  const document = (): Record<string, unknown> => {
    made ??= createOpenApi(routes, installation.version);
    return made;
  };
  return routes;
}

export function createHttp(options: HttpOptions): HttpSide {
  const { services, installation, log } = options;
  const live = liveRoutes(services);
  const routes = routeTable(options, createMetrics(services.queries, installation), live.routes);
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.set('query parser', 'simple');
  app.use(requestLog(log), security);
  app.use(createRouter(routes, createAuthenticator(services.tokens, services.sessions)));
  app.use(docsRouter(), pagesRouter(options.pagesFolder));
  app.use((request) => {
    throw new HttpProblem('not_found', `There is no ${request.method} ${request.path}`);
  });
  app.use(problemHandler(log));
  return { express: app, routes, closeStreams: () => live.close() };
}
