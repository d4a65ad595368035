/** The document, the readable page and the built pages. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { PROBLEMS } from '../../api/http/problem.ts';
import { type Service, startService } from './service.ts';

let service: Service;
const SCRIPT = '/assets/index-abc123.js';
beforeAll(async () => {
  const pagesFolder = mkdtempSync(join(tmpdir(), 'gpuledger-pages-'));
  mkdirSync(join(pagesFolder, 'assets'));
  writeFileSync(join(pagesFolder, 'index.html'), `<!doctype html><script src="${SCRIPT}"></script>`);
  writeFileSync(join(pagesFolder, 'assets', 'index-abc123.js'), 'let a;');
  service = await startService({ pagesFolder });
});
afterAll(() => service.stop());

const Document = z.object({
  openapi: z.string(),
  paths: z.record(
    z.string(),
    z.record(
      z.string(),
      z.object({
        operationId: z.string(),
        responses: z.record(z.string(), z.unknown()),
        requestBody: z.unknown().optional(),
        parameters: z.array(z.object({ name: z.string(), in: z.string() })).default([]),
      }),
    ),
  ),
  components: z.object({ schemas: z.record(z.string(), z.unknown()) }),
});

test('the document covers every route, its parameters, its body and its problems', async () => {
  const document = Document.parse((await service.ask('GET', '/openapi.json')).json);
  expect(document.openapi).toMatch(/^3\.1/);
  const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  expect(documented.sort()).toEqual(
    service.app.routes.map((route) => `${route.method} ${route.path}`).sort(),
  );
  for (const route of service.app.routes) {
    const operation = document.paths[route.path]?.[route.method];
    const names = operation?.parameters.map((parameter) => parameter.name).sort();
    expect([route.id, names]).toEqual([
      route.id,
      [...Object.keys(route.params.shape), ...Object.keys(route.query.shape)].sort(),
    ]);
    expect([route.id, operation?.requestBody !== undefined]).toEqual([
      route.id,
      route.bodyLimitBytes !== undefined,
    ]);
    expect(Object.keys(operation?.responses ?? {})).toContain('400');
  }
  for (const name of ['Finding', 'Ledger', 'Statement', 'JobInput', 'BatchRequest', 'Problem'])
    expect(Object.keys(document.components.schemas)).toContain(name);
  const text = JSON.stringify(document);
  for (const [, name] of text.matchAll(/#\/components\/schemas\/([\w.-]+)/g))
    expect(document.components.schemas).toHaveProperty([name ?? '']);
});

test('/docs is a page with scripts of its own only, and every problem code has its entry', async () => {
  const page = await service.ask('GET', '/docs');
  expect(page.text).not.toMatch(/<script>|https?:\/\//);
  for (const [, path] of page.text.matchAll(/(?:src|href)="([^"]+)"/g))
    expect([path, (await service.ask('GET', path ?? '')).status]).toEqual([path, 200]);
  const problems = await service.ask('GET', '/docs/problems');
  for (const code of Object.keys(PROBLEMS)) expect(problems.text).toContain(`id="${code}"`);
});

test('pages are served at every address that is a page, assets for long, and nothing of another kind', async () => {
  for (const path of ['/', '/unaccounted', '/findings/f_0123456789abcdef', '/nodes/gpu01.example.com']) {
    const page = await service.ask('GET', path);
    expect([path, page.status, page.text]).toEqual([path, 200, expect.stringContaining(SCRIPT)]);
    expect(page.headers.get('cache-control')).toBe('no-cache');
  }
  const script = await service.ask('GET', SCRIPT);
  expect(script.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  for (const path of ['/assets/other.js', '/favicon.gif', '/v1/other', '/..%2f..%2fpackage.json'])
    expect([path, (await service.ask('GET', path)).status]).toEqual([path, 404]);
});

test('no page may run an inline script, be framed, or talk to another site', async () => {
  const { headers } = await service.ask('GET', '/');
  const policy = headers.get('content-security-policy') ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self'");
  expect(policy).not.toMatch(/script-src[^;]*unsafe/);
  expect(policy).toContain("connect-src 'self'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(headers.get('x-powered-by')).toBeNull();
});
