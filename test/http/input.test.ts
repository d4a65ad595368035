/** Bad input to every address gets a problem that names the field. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BATCH_LIMITS } from '../../api/contract/batch.ts';
import { Problem } from '../../api/contract/primitives.ts';
import { type Answer, type Service, startService } from './service.ts';

let service: Service;
let token: string;
let agent: string;
beforeAll(async () => {
  service = await startService();
  token = await service.tokenFor('admin');
  agent = await service.tokenFor('agent');
});
/** Batches come from agents only. */
const tokenOf = (path: string): string => (path === '/v1/batches' ? agent : token);
afterAll(() => service.stop());

function fieldsOf(answer: Answer): string[] {
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  const problem = Problem.parse(answer.json);
  expect(problem.status).toBe(answer.status);
  return (problem.errors ?? []).map((error) => error.field);
}

const addressOf = (path: string): string => path.replaceAll(/\{\w+\}/g, 'x');

describe('every route', () => {
  test('refuses a query parameter that it does not know', async () => {
    for (const route of service.app.routes) {
      const answer = await service.ask(route.method.toUpperCase(), `${addressOf(route.path)}?mistake=1`, {
        token: tokenOf(route.path),
        ...(route.bodyLimitBytes === undefined ? {} : { body: {} }),
      });
      expect([route.id, answer.status, fieldsOf(answer)]).toEqual([route.id, 400, ['mistake']]);
    }
  });

  test('with a parameter in its path names that parameter', async () => {
    const withParameters = service.app.routes.filter((route) => route.path.includes('{'));
    expect(withParameters.length).toBeGreaterThan(3);
    for (const route of withParameters) {
      const path = route.path.replaceAll(/\{\w+\}/g, '%20%00');
      const answer = await service.ask(route.method.toUpperCase(), path, {
        token,
        ...(route.bodyLimitBytes === undefined ? {} : { body: {} }),
      });
      expect([route.id, answer.status]).toEqual([route.id, 400]);
      expect(Object.keys(route.params.shape)).toContain(fieldsOf(answer)[0]);
    }
  });

  test('with a body refuses what is not JSON, not an object, of another type, or too large', async () => {
    const withBody = service.app.routes.filter((route) => route.bodyLimitBytes !== undefined);
    expect(withBody.length).toBeGreaterThanOrEqual(6);
    for (const route of withBody) {
      const path = route.path.replace('{id}', 'j_0000000000000000').replaceAll(/\{\w+\}/g, 'slurm');
      const ask = (more: Parameters<Service['ask']>[2]) =>
        service.ask(route.method.toUpperCase(), path, { token: tokenOf(route.path), ...more });
      const malformed = await ask({ raw: '{"a":' });
      expect([route.id, malformed.status, fieldsOf(malformed)]).toEqual([route.id, 400, ['body']]);
      const empty = await ask({});
      expect([route.id, empty.status]).toEqual([route.id, 400]);
      expect(fieldsOf(empty).length).toBeGreaterThan(0);
      const list = await ask({ body: [] });
      expect([route.id, list.status]).toEqual([route.id, 400]);
      expect(fieldsOf(list).length).toBeGreaterThan(0);
      const text = await ask({ raw: 'a', headers: { 'content-type': 'text/plain' } });
      expect([route.id, text.status, fieldsOf(text)]).toEqual([route.id, 415, ['body']]);
      // Small on the wire, large when decompressed.
      const bomb = gzipSync(`{"x":"${'y'.repeat((route.bodyLimitBytes ?? 0) + 1)}"}`);
      const large = await ask({ raw: new Uint8Array(bomb), headers: { 'content-encoding': 'gzip' } });
      expect([route.id, large.status, fieldsOf(large)]).toEqual([route.id, 413, ['body']]);
      const latin = await ask({ raw: new Uint8Array(Buffer.from('{"account":"M\u00fcller"}', 'latin1')) });
      expect([route.id, latin.status, fieldsOf(latin)]).toEqual([route.id, 400, ['body']]);
      const wide = await ask({
        raw: '{}',
        headers: { 'content-type': 'application/json; charset=iso-8859-1' },
      });
      expect([route.id, wide.status, fieldsOf(wide)]).toEqual([route.id, 415, ['body']]);
      for (const encoding of ['gzip', 'deflate', 'br', 'zstd']) {
        const broken = await ask({
          raw: new Uint8Array([1, 2, 3]),
          headers: { 'content-encoding': encoding },
        });
        expect([route.id, encoding, broken.status, fieldsOf(broken)]).toEqual([
          route.id,
          encoding,
          400,
          ['body'],
        ]);
      }
      const unknown = await ask({ raw: '{}', headers: { 'content-encoding': 'rot13' } });
      expect([route.id, unknown.status, fieldsOf(unknown)]).toEqual([route.id, 415, ['body']]);
    }
  });
});

const RANGE = 'from=2026-10-01T00:00:00Z&to=2026-10-02T00:00:00Z';
const NOW = new Date().toISOString();
const JOB = { externalId: '1', account: 'a', start: '2026-10-01T00:00:00Z', allocations: [] };

describe('bad values name their field', () => {
  const cases: [string, string, unknown, string[]][] = [
    ['GET', '/v1/ledger', undefined, ['from', 'to']],
    ['GET', '/v1/ledger?from=yesterday&to=2026-10-02T00:00:00Z', undefined, ['from']],
    ['GET', '/v1/ledger?from=2026-10-02T00:00:00&to=2026-10-03T00:00:00Z', undefined, ['from']],
    ['GET', '/v1/ledger?from=2026-10-02T00:00:00Z&to=2026-10-02T00:00:00Z', undefined, ['to']],
    ['GET', '/v1/ledger?from=2020-10-02T00:00:00Z&to=2026-10-02T00:00:00Z', undefined, ['to']],
    ['GET', `/v1/ledger?${RANGE}&group_by=planet`, undefined, ['group_by.0']],
    ['GET', `/v1/ledger?${RANGE}&group_by=day,hour,node,user`, undefined, ['group_by']],
    ['GET', `/v1/ledger?${RANGE}&from=2026-10-01T00:00:00Z`, undefined, ['from']],
    ['GET', '/v1/overview', undefined, ['from', 'to']],
    ['GET', '/v1/findings?limit=0', undefined, ['limit']],
    ['GET', '/v1/findings?limit=501', undefined, ['limit']],
    ['GET', '/v1/findings?sort=price', undefined, ['sort']],
    ['GET', '/v1/findings?running=perhaps', undefined, ['running']],
    ['GET', '/v1/findings?cursor=nonsense', undefined, ['cursor']],
    ['GET', '/v1/jobs?state=lost', undefined, ['state']],
    ['GET', '/v1/jobs?cursor=WyJhIl0', undefined, ['cursor']],
    ['GET', '/v1/nodes?cursor=e30', undefined, ['cursor']],
    ['GET', '/v1/devices?cursor=e30', undefined, ['cursor']],
    ['GET', '/v1/statements', undefined, ['period']],
    ['GET', '/v1/statements?period=2026-13', undefined, ['period']],
    ['GET', '/v1/statements?period=2026-10&format=xls', undefined, ['format']],
    ['GET', '/sign-in', undefined, ['code']],
    ['POST', '/v1/jobs', { ...JOB, account: '' }, ['account']],
    ['POST', '/v1/jobs', { ...JOB, start: 5 }, ['start']],
    ['POST', '/v1/jobs', { ...JOB, end: '2026-09-01T00:00:00Z' }, ['end']],
    ['POST', '/v1/jobs', { ...JOB, gpus: 4 }, ['gpus']],
    ['POST', '/v1/jobs', { ...JOB, allocations: [{ node: 'n', count: 0 }] }, ['allocations.0.count']],
    [
      'POST',
      '/v1/jobs',
      { ...JOB, allocations: [{ node: 'n', count: 1, devices: ['a'] }] },
      ['allocations.0.count'],
    ],
    ['PATCH', '/v1/jobs/j_0000000000000000', {}, ['body']],
    ['PATCH', '/v1/jobs/j_0000000000000000', { source: 'slurm' }, ['source']],
    ['PUT', '/v1/sources/slurm/default', { completeTo: 'now' }, ['completeTo']],
    [
      'PUT',
      '/v1/rates',
      { effectiveFrom: '2026-10-01T00:30:00Z', currency: 'EUR', perGpuHour: { default: '1' } },
      ['effectiveFrom'],
    ],
    [
      'PUT',
      '/v1/rates',
      { effectiveFrom: '2026-10-01T00:00:00Z', currency: 'euro', perGpuHour: { default: '-1' } },
      ['currency', 'perGpuHour.default'],
    ],
    ['PUT', '/v1/fleet', { nodes: [{ node: 'n' }] }, ['nodes.0.from', 'nodes.0.devices']],
    ['POST', '/v1/jobs', { ...JOB, account: 'a\u0000b' }, ['account']],
    ['POST', '/v1/jobs', { ...JOB, name: '\ud800' }, ['name']],
    ['POST', '/v1/jobs', { ...JOB, start: '0000-01-01T00:00:00Z' }, ['start']],
    ['POST', '/v1/jobs', { ...JOB, start: '9999-12-31T23:59:59-12:00' }, ['start']],
    ['POST', '/v1/jobs', { ...JOB, start: '2016-12-31T23:59:60Z' }, ['start']],
    ['GET', '/v1/jobs/%ed%a0%80', undefined, ['path']],
    ['PUT', '/v1/fleet', { nodes: [{ node: '\u0000', from: NOW, devices: [] }] }, ['nodes.0.node']],
    [
      'PUT',
      '/v1/fleet',
      { nodes: [{ node: 'n', from: NOW, devices: [{ uuid: '\u0000', model: 'm' }] }] },
      ['nodes.0.devices.0.uuid'],
    ],
    [
      'PUT',
      '/v1/fleet',
      { nodes: [{ node: 'n', from: '2006-10-01T00:00:00Z', devices: [] }] },
      ['nodes.0.from'],
    ],
    ['POST', '/v1/batches', { batches: [{ body: {} }] }, ['batches.0']],
  ];
  test.each(cases)('%s %s %j', async (method, path, body, fields) => {
    const answer = await service.ask(method, path, {
      token: tokenOf(path),
      ...(body === undefined ? {} : { body }),
    });
    expect(answer.status).toBe(400);
    const found = fieldsOf(answer);
    for (const field of fields) expect(found.some((one) => one.startsWith(field))).toBe(true);
  });
});

test('one batch request too many of a token at once is refused, and asks to come again', async () => {
  // Each request is held open by a body that does not end, so that they are under way together.
  const hold = (): { done: Promise<number>; end: () => void } => {
    let end = (): void => undefined;
    const stream = new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode('{'));
        end = () => controller.close();
      },
    });
    const done = fetch(`${service.url}/v1/batches`, {
      method: 'POST',
      headers: { authorization: `Bearer ${agent}`, 'content-type': 'application/json' },
      body: stream,
      duplex: 'half',
    }).then((response) => response.status);
    return { done, end };
  };
  const held = Array.from({ length: 5 }, hold);
  expect(await Promise.race(held.map((one) => one.done))).toBe(429);
  for (const one of held) one.end();
  const statuses = await Promise.all(held.map((one) => one.done));
  expect(statuses.sort()).toEqual([400, 400, 400, 400, 429]);
});

test('the limit of a batch request is where it says', () => {
  const route = service.app.routes.find((one) => one.id === 'sendBatches');
  expect(route?.bodyLimitBytes).toBe(BATCH_LIMITS.requestBytes);
});
