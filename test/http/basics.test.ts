/** What is true of every address: health, documents, pages, problems. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Service, startService } from './service.ts';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

test('health and readiness', async () => {
  expect((await service.ask('GET', '/healthz')).json).toEqual({ status: 'ok' });
  expect((await service.ask('GET', '/readyz')).json).toEqual({ status: 'ok' });
});

test('an unknown address is a problem, and so is a wrong method', async () => {
  const unknown = await service.ask('GET', '/v1/nothing');
  expect(unknown.status).toBe(404);
  expect(unknown.headers.get('content-type')).toContain('application/problem+json');
  expect(unknown.json).toMatchObject({ status: 404, code: 'not_found' });
  const wrong = await service.ask('POST', '/v1/ledger');
  expect(wrong.status).toBe(405);
  expect(wrong.headers.get('allow')).toBe('GET');
});

test('the overview answers on an empty database', async () => {
  const token = await service.tokenFor('viewer');
  const answer = await service.ask('GET', '/v1/overview?from=2026-10-01T00:00:00Z&to=2026-10-02T00:00:00Z', {
    token,
  });
  expect(answer.json).toMatchObject({ verdict: 'blind', worst: [], complete: { completeTo: null } });
});
