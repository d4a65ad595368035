/** Serves the scenarios in place of the API while `vite web --mode stories` runs; /stories/ lists them. Never built. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Plugin } from 'vite';
import { answer, SCENARIOS, type Scenario } from './scenarios.ts';

const SLOW_MS = 4_000;
const PAGES = [
  '/',
  '/unaccounted',
  '/findings/f_00000000000000aa',
  '/findings/f_00000000000000ae',
  '/jobs',
  '/conflicts',
  '/jobs/j_0123456789abcdef',
  '/nodes',
  '/nodes/gpu-a-07',
  '/nodes/gpu-b-03',
  '/nodes/gpu-b-04',
  '/chargeback',
  '/nowhere',
];

/** The scenario that the browser's cookie names; the first one else. */
function scenarioOf(request: IncomingMessage): Scenario {
  const chosen = /(?:^|; )story=([a-z-]+)/.exec(request.headers.cookie ?? '')?.[1];
  return SCENARIOS.find((scenario) => scenario === chosen) ?? SCENARIOS[0];
}

function index(response: ServerResponse): void {
  const lines = SCENARIOS.map(
    (scenario) =>
      `<h2>${scenario}</h2>${PAGES.map((page) => `<a href="/stories/${scenario}?to=${encodeURIComponent(page)}">${page}</a>`).join(' · ')}`,
  );
  response.setHeader('content-type', 'text/html');
  response.end(`<!doctype html><title>Stories</title>${lines.join('')}`);
}

function choose(url: URL, response: ServerResponse): void {
  const scenario = url.pathname.split('/')[2] ?? '';
  response.writeHead(302, {
    'set-cookie': `story=${scenario}; Path=/`,
    location: url.searchParams.get('to') ?? '/',
  });
  response.end();
}

function stream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(`data: ${JSON.stringify({ type: 'hello', now: new Date().toISOString() })}\n\n`);
}

export function stories(): Plugin {
  return {
    name: 'stories',
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const url = new URL(request.url ?? '/', 'http://127.0.0.1');
        if (url.pathname === '/stories/') return index(response);
        if (url.pathname.startsWith('/stories/') && !url.pathname.includes('.')) return choose(url, response);
        if (!url.pathname.startsWith('/v1/')) return next();
        const scenario = scenarioOf(request);
        if (url.pathname === '/v1/live' && scenario !== 'gone') return stream(response);
        const { status, body } = answer(scenario, url.pathname, url.searchParams);
        const send = () => {
          response.writeHead(status, { 'content-type': 'application/json' });
          response.end(JSON.stringify(body));
        };
        if (scenario === 'slow' && url.pathname !== '/v1/session') setTimeout(send, SLOW_MS);
        else send();
      });
    },
  };
}
