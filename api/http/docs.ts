/** /docs: the OpenAPI document as a readable page. All assets are local. */
import { readFile } from 'node:fs/promises';
import { Router } from 'express';
import { absolutePath } from 'swagger-ui-dist';
import { PROBLEMS } from './problem.ts';

const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'] as const;
const ASSET_MAX_AGE_SECONDS = 3600;

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>gpuledger API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" type="image/png" href="/docs/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>`;

const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], layout: 'BaseLayout' });\n`;

const inert = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

const PROBLEMS_PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>gpuledger problems</title><h1>Problems</h1><dl>
${Object.entries(PROBLEMS)
  .map(
    ([code, { status, title, remedy }]) =>
      `<dt id="${code}"><code>${code}</code> (${status}): ${title}</dt><dd>${inert(remedy)}</dd>`,
  )
  .join('\n')}</dl></html>`;

/** `type` of every problem points at `/docs/problems#<code>`. */
export function docsRouter(): Router {
  const router = Router();
  router.get('/docs', (_request, response) => void response.type('html').send(PAGE));
  router.get('/docs/problems', (_request, response) => void response.type('html').send(PROBLEMS_PAGE));
  router.get('/docs/start.js', (_request, response) => void response.type('js').send(START));
  for (const name of ASSETS) {
    router.get(`/docs/${name}`, async (_request, response) => {
      const bytes = await readFile(`${absolutePath()}/${name}`);
      response.set('Cache-Control', `public, max-age=${ASSET_MAX_AGE_SECONDS}`);
      response.type(name.slice(name.lastIndexOf('.'))).send(bytes);
    });
  }
  return router;
}
