/** Create, start, stop: the wiring of the service. Nothing happens when this file is imported; tests use it as it is. */
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Logger, pino } from 'pino';
import { type Clock, systemClock } from './clock.ts';
import { DATABASE_NAME, DEFAULT_CLUSTER, isLoopback } from './config.ts';
import type { Route } from './http/route.ts';
import { createHttp } from './http/server.ts';
import type { Services } from './http/services.ts';
import { type Attribution, createAttribution } from './services/attribution.ts';
import { createDeclarations } from './services/declarations.ts';
import { createIngest } from './services/ingest.ts';
import { createLive } from './services/live.ts';
import { createMappingService } from './services/mappings.ts';
import { createNodeKeyService } from './services/node-keys.ts';
import { createPolicyService } from './services/policies.ts';
import { createHourReader } from './services/queries/hours.ts';
import { createQueries } from './services/queries/queries.ts';
import { createSealer } from './services/seal.ts';
import { createSessions } from './services/sessions.ts';
import { createSilence } from './services/silence.ts';
import { createTokens } from './services/tokens.ts';
import type { Identity } from './store/people.ts';
import { lockFolder } from './store/sqlite/folder-lock.ts';
import { openSqlite } from './store/sqlite/open.ts';
import { openQuestions } from './store/sqlite/queries/open.ts';
import { openPeople } from './store/sqlite/queries/people.ts';
import type { Store } from './store/store.ts';
import { VERSION } from './version.ts';

const PAGES_FOLDER = fileURLToPath(new URL('../web/dist/', import.meta.url));
/** Requests that are under way when the service stops may take this long to finish. */
const STOP_GRACE_MS = 5_000;
/** … and how often it is looked which have. */
const STOP_LOOK_MS = 50;
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** Longer than an agent rests between two batches, and than proxies keep what they have: nobody connects anew each time. */
const KEEP_ALIVE_MS = 75_000;

export interface AppOptions {
  readonly dataFolder: string;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly cluster?: string;
  /** Pages say that the site is simulated. */
  readonly demo?: boolean;
  /** What `vite build web` wrote. */
  readonly pagesFolder?: string;
}

export interface App {
  /** Listens, and starts the work that goes on beside requests. Throws what `listen` throws, such as EADDRINUSE. */
  start(): Promise<{ readonly url: string }>;
  /** Stops in order: no new requests, those under way finish (within a bound), background work ends, the store closes. */
  stop(): Promise<void>;
  /** A link that signs one browser in, once; as an admin where nothing else is said. Call after `start`. */
  signInLink(as?: Identity): Promise<string>;
  readonly store: Store;
  readonly services: Services;
  readonly attribution: Attribution;
  readonly routes: readonly Route[];
}

/** Never logs what could be a secret or text about people, whatever object it comes in. */
const REDACTED = ['token', 'secret', 'authorization', 'cookie', 'commandLine', 'headers', 'body'].flatMap(
  (name) => [name, `*.${name}`, `*.*.${name}`],
);
export function createLog(level: string): Logger {
  return pino({ level, redact: { paths: REDACTED, censor: '[redacted]' }, base: { service: 'gpuledger' } });
}

function listen(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const address = server.address();
      const bound = typeof address === 'object' && address !== null ? address.port : port;
      // Whoever listens on every address can be reached on this machine's own.
      const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
      resolve(`http://${name.includes(':') ? `[${name}]` : name}:${bound}`);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
    // What was answered meanwhile leaves its connection open for more.
    const idle = setInterval(() => server.closeIdleConnections(), STOP_LOOK_MS);
    server.close(() => {
      clearTimeout(force);
      clearInterval(idle);
      resolve();
    });
    server.closeIdleConnections();
  });
}

/** Takes a data folder, opens (and makes or migrates) its database and wires the service. Throws `StoreError`. */
export async function createApp(options: AppOptions): Promise<App> {
  const clock = options.clock ?? systemClock;
  const cluster = options.cluster ?? DEFAULT_CLUSTER;
  const log = options.log ?? createLog('warn');
  const file = join(options.dataFolder, DATABASE_NAME);
  const unlock = lockFolder(options.dataFolder);
  let store: Store;
  try {
    store = openSqlite({ file, nowMs: clock.nowMs() });
  } catch (error) {
    unlock();
    throw error;
  }
  const people = openPeople(file);
  const questions = openQuestions(file);
  const live = createLive();
  const services: Services = {
    clock,
    live,
    ingest: createIngest(store, clock, live, cluster),
    declarations: createDeclarations(store, clock, cluster),
    keys: createNodeKeyService(store, clock, cluster),
    mappings: createMappingService(store, questions, clock),
    policies: createPolicyService(store, clock, cluster),
    queries: createQueries(questions, createHourReader(store, clock), clock, cluster),
    tokens: createTokens(people, clock),
    sessions: createSessions(people, clock),
  };
  const attribution = createAttribution(store, clock, live, log);
  const background = [attribution, createSilence(store, clock, live, log), createSealer(store, clock, log)];
  const http = createHttp({
    services,
    installation: { cluster, version: VERSION, demo: options.demo ?? false },
    log,
    pagesFolder: options.pagesFolder ?? PAGES_FOLDER,
    loopback: isLoopback(options.host),
  });
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    http.express,
  );
  let url: string | null = null;
  return {
    store,
    services,
    attribution,
    routes: http.routes,
    async start() {
      url = await listen(server, options.host, options.port);
      for (const each of background) each.start();
      return { url };
    },
    async stop() {
      http.closeStreams();
      if (url !== null) await close(server);
      url = null;
      for (const each of background) await each.stop();
      await Promise.all([questions.close(), people.close(), store.close()]);
      unlock();
    },
    async signInLink(as = { name: 'local admin', role: 'admin', accounts: null }) {
      if (url === null) throw new Error('the service is not started');
      const code = await services.sessions.createCode(as);
      return `${url}/sign-in?code=${code}`;
    },
  };
}
