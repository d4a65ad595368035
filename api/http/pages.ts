/** The built pages: hashed assets for a year, index.html for every address that is a page. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import express, { Router } from 'express';

const ASSET_MAX_AGE_MS = 365 * 24 * 3_600_000;

const INDEX = 'index.html';
const NOT_BUILT = `<!doctype html><html lang="en"><meta charset="utf-8"><title>gpuledger</title>
<p>The pages are not built. Run <code>npm run build:web</code>; the API works without them: <a href="/docs">/docs</a>.</p></html>`;

/** The first part of an address tells pages from files and the API; behind it may stand a node's name, dots and all. */
const PAGE = /^\/(?!(?:v1|docs|assets)(?:\/|$))[^./]*(?:\/.*)?$/;

/** `folder` is what `vite build web` wrote. */
export function pagesRouter(folder: string): Router {
  const router = Router();
  router.use(
    '/assets',
    express.static(join(folder, 'assets'), { immutable: true, maxAge: ASSET_MAX_AGE_MS, index: false }),
  );
  router.use(express.static(folder, { index: false, maxAge: 0 }));
  router.get(PAGE, (_request, response) => {
    response.set('Cache-Control', 'no-cache');
    // By its folder: an installation below a folder such as ~/.local is not a hidden file.
    if (existsSync(join(folder, INDEX))) response.sendFile(INDEX, { root: folder });
    else response.type('html').send(NOT_BUILT);
  });
  return router;
}
