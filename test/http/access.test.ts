/** Who may ask what: every role on every route, and what a cookie may do. */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { JobList } from '../../api/contract/jobs.ts';
import { Session } from '../../api/contract/overview.ts';
import { ROLES } from '../../api/contract/primitives.ts';
import { mayUse } from '../../api/http/access.ts';
import { type Service, startService } from './service.ts';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

/** An address of the route: parameters that pass its schema, and nothing behind them. */
const addressOf = (path: string): string =>
  path
    .replace('/jobs/{id}', '/jobs/j_0000000000000000')
    .replace('/findings/{id}', '/findings/f_0000000000000000')
    .replace('{source}', 'slurm')
    .replace('{sourceInstance}', 'default');

describe('every role on every route', () => {
  test.each(ROLES)('%s', async (role) => {
    const token = await service.tokenFor(role);
    const wrong: string[] = [];
    for (const route of service.app.routes) {
      if (route.access === 'open' || route.openTo || route.id === 'followLive') continue;
      const body = route.bodyLimitBytes === undefined ? {} : { raw: '{' };
      const { status } = await service.ask(route.method.toUpperCase(), addressOf(route.path), {
        token,
        ...body,
      });
      const allowed = mayUse(role, route.access);
      if ((status === 403) === allowed || status === 401 || status >= 500)
        wrong.push(`${route.id}: ${status}`);
    }
    expect(wrong).toEqual([]);
  });

  test('nobody without a token, with a wrong one, or with a revoked one', async () => {
    const token = await service.tokenFor('admin');
    const id = token.split('_')[1] ?? '';
    const changed = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
    const answers = async (given: string | undefined) =>
      Promise.all(
        service.app.routes
          .filter((route) => route.access !== 'open' && !route.openTo)
          .map(async (route) => {
            const more = given === undefined ? {} : { token: given };
            return (await service.ask(route.method.toUpperCase(), addressOf(route.path), more)).status;
          }),
      );
    expect(new Set(await answers(undefined))).toEqual(new Set([401]));
    expect(new Set(await answers('glt_nonsense'))).toEqual(new Set([401]));
    expect(new Set(await answers(changed))).toEqual(new Set([401]));
    expect((await service.ask('GET', '/v1/session', { token })).status).toBe(200);
    await service.app.services.tokens.revoke(id);
    expect(new Set(await answers(token))).toEqual(new Set([401]));
  });

  test('the metrics are open to this machine only, not through a proxy on it', async () => {
    const proxied = { 'x-forwarded-for': '203.0.113.9' };
    const ask = async (more: Parameters<Service['ask']>[2]) =>
      (await service.ask('GET', '/metrics', more)).status;
    expect(await ask({})).toBe(200);
    expect(await ask({ headers: proxied })).toBe(401);
    expect(await ask({ headers: proxied, token: await service.tokenFor('viewer') })).toBe(200);
    expect(await ask({ headers: proxied, token: await service.tokenFor('agent') })).toBe(403);
    // fetch sets Host by itself.
    const byName = await new Promise<number | undefined>((resolve, reject) => {
      const asked = request(
        `${service.url}/metrics`,
        { headers: { host: 'ledger.example.org' } },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        },
      );
      asked.once('error', reject).end();
    });
    expect(byName).toBe(401);
    const everywhere = await startService({ host: '0.0.0.0' });
    expect((await everywhere.ask('GET', '/metrics')).status).toBe(401);
    await everywhere.stop();
  });
});

describe('a sign-in link', () => {
  test('signs in once, with a cookie that scripts and other sites do not see', async () => {
    const link = new URL(await service.app.signInLink());
    const path = link.pathname + link.search;
    expect((await service.ask('HEAD', path)).status).toBe(401);
    const first = await service.ask('GET', path);
    expect(first.status).toBe(303);
    expect(first.headers.get('location')).toBe('/');
    const cookie = first.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/HttpOnly/);
    expect(cookie).toMatch(/SameSite=Strict/);
    expect(cookie).toMatch(/Path=\//);
    const second = await service.ask('GET', path);
    expect(second.status).toBe(401);
    expect(second.headers.get('set-cookie')).toBeNull();

    const signedIn = { cookie: cookie.split(';')[0] ?? '' };
    const session = await service.ask('GET', '/v1/session', { headers: signedIn });
    expect(session.json).toMatchObject({ name: 'local admin', roles: ['admin'], demo: false });
    const card = { effectiveFrom: '2026-10-01T00:00:00Z', currency: 'EUR', perGpuHour: { default: '2.50' } };
    const put = (headers: Record<string, string>) =>
      service.ask('PUT', '/v1/rates', { headers: { ...signedIn, ...headers }, body: card });
    expect((await put({})).status).toBe(403);
    expect((await put({ origin: 'https://elsewhere.example' })).status).toBe(403);
    expect((await put({ 'sec-fetch-site': 'cross-site', origin: service.url })).status).toBe(403);
    expect((await put({ 'sec-fetch-site': 'same-site' })).status).toBe(403);
    expect((await put({ origin: service.url })).status).toBe(200);
    expect((await put({ 'sec-fetch-site': 'same-origin' })).status).toBe(200);

    const out = await service.ask('DELETE', '/v1/session', {
      headers: { ...signedIn, 'sec-fetch-site': 'same-origin' },
    });
    expect(out.json).toEqual({ signedOut: true });
    expect((await service.ask('GET', '/v1/session', { headers: signedIn })).status).toBe(401);
  });

  test('of an owner shows its accounts and nothing else', async () => {
    const declare = async (account: string): Promise<void> => {
      const body = { externalId: account, account, start: '2026-10-01T00:00:00Z', allocations: [] };
      expect(
        (await service.ask('POST', '/v1/jobs', { token: await service.tokenFor('admin'), body })).status,
      ).toBe(201);
    };
    await declare('mine');
    await declare('theirs');
    const link = new URL(
      await service.app.signInLink({ name: 'Ann', role: 'owner', accounts: ['mine', 'also mine'] }),
    );
    const cookie = (await service.ask('GET', link.pathname + link.search)).headers.get('set-cookie') ?? '';
    const as = { cookie: cookie.split(';')[0] ?? '', 'sec-fetch-site': 'same-origin' };
    const session = await service.ask('GET', '/v1/session', { headers: as });
    expect(session.json).toMatchObject({ name: 'Ann', roles: ['owner'], accounts: ['mine', 'also mine'] });
    expect(Session.parse(session.json).may).not.toContain('ledger:read');
    const jobs = JobList.parse((await service.ask('GET', '/v1/jobs', { headers: as })).json).items;
    expect(jobs.map((job) => job.account)).toEqual(['mine']);
    expect((await service.ask('GET', '/v1/ledger', { headers: as })).status).toBe(403);
    const others = await service.ask('POST', '/v1/jobs', {
      headers: as,
      body: { externalId: 'x', account: 'theirs', start: '2026-10-01T00:00:00Z', allocations: [] },
    });
    expect(others.status).toBe(403);
    await expect(service.app.signInLink({ name: 'Bo', role: 'owner', accounts: null })).rejects.toThrow(
      /account/,
    );
    await expect(service.app.signInLink({ name: 'Bo', role: 'viewer', accounts: ['a'] })).rejects.toThrow(
      /account/,
    );
    await expect(service.app.signInLink({ name: 'Bo', role: 'agent', accounts: null })).rejects.toThrow(
      /node/,
    );
  });

  test('expires, and guessing is slowed down', async () => {
    let nowMs = Date.UTC(2026, 9, 5);
    const other = await startService({ clock: { nowMs: () => nowMs } });
    try {
      const link = new URL(await other.app.signInLink());
      nowMs += 15 * 60_000;
      expect((await other.ask('GET', link.pathname + link.search)).status).toBe(401);
      const statuses: number[] = [];
      for (let attempt = 0; attempt < 12; attempt += 1)
        statuses.push((await other.ask('GET', '/sign-in?code=wrong')).status);
      expect(statuses.slice(0, 9)).toEqual(new Array(9).fill(401));
      expect(statuses.at(-1)).toBe(429);
    } finally {
      await other.stop();
    }
  });
});
