/** Requests that are made to hang, to fill the memory, or to be answered with what they sent. */
import { request } from 'node:http';
import express from 'express';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Problem } from '../../api/contract/primitives.ts';
import { liveRoutes } from '../../api/http/routes/live.ts';
import { createLive } from '../../api/services/live.ts';
import { type Service, startService } from './service.ts';

let service: Service;
let token: string;
beforeAll(async () => {
  service = await startService();
  token = await service.tokenFor('admin');
});
afterAll(() => service.stop());

const START = '2026-10-01T00:00:00Z';
const JOB = { externalId: '1', account: 'a', start: START, allocations: [] };

test('HEAD of the event stream ends', async () => {
  const { status, headers } = await service.ask('HEAD', '/v1/live', { token });
  expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
});

test('one token cannot take every place of the event stream', async () => {
  const end = new AbortController();
  const follow = (with_: string) =>
    fetch(`${service.url}/v1/live`, { headers: { authorization: `Bearer ${with_}` }, signal: end.signal });
  const first = await Promise.all(Array.from({ length: 24 }, () => follow(token)));
  expect(new Set(first.map((one) => one.status))).toEqual(new Set([200]));
  const more = await follow(token);
  expect([more.status, more.headers.get('retry-after')]).toEqual([429, '2']);
  expect((await follow(await service.tokenFor('viewer'))).status).toBe(200);
  end.abort();
});

test('an event stream ends when its token is no longer good', async () => {
  let good = true;
  const { routes } = liveRoutes({ live: createLive(), clock: { nowMs: () => 0 } }, 5);
  const caller = { name: 'a', role: 'viewer', node: null, accounts: null } as const;
  const app = express().get('/', async (request, response) => {
    await routes[0]?.run({ caller, request, response, stillAllowed: async () => good });
  });
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const reader = (await fetch(`http://127.0.0.1:${port}/`)).body?.getReader();
  let text = '';
  for (;;) {
    const part = await reader?.read();
    if (part?.value) text += new TextDecoder().decode(part.value);
    if (part?.done !== false) break;
    if (text.includes('still here')) good = false;
  }
  expect(text).toContain('hello');
  server.close();
});

test('a service that stops opens no event stream for a page that comes back at once', async () => {
  const { routes, close } = liveRoutes({ live: createLive(), clock: { nowMs: () => 0 } });
  const app = express().get('/', async (request, response) => {
    const caller = { name: 'a', role: 'viewer', node: null, accounts: null } as const;
    await routes[0]
      ?.run({ caller, request, response, stillAllowed: async () => true })
      .catch((error: Error) => response.status(503).end(error.message));
  });
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`;
  const followed = await fetch(url);
  close();
  expect(await followed.text()).toContain('hello');
  const again = await fetch(url);
  expect([again.status, await again.text()]).toEqual([503, 'The service is stopping']);
  server.close();
});

test('a body that is announced too large is refused before it comes', async () => {
  const { status, text } = await new Promise<{ status: number | undefined; text: string }>(
    (resolve, reject) => {
      const headers = {
        ...{ authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        'content-length': '99999999999',
      };
      const asked = request(`${service.url}/v1/jobs`, { method: 'POST', headers }, (answer) => {
        answer.once('data', (part: Buffer) => {
          resolve({ status: answer.statusCode, text: part.toString() });
          asked.destroy();
        });
      });
      asked.once('error', reject).write('{');
    },
  );
  expect([status, Problem.parse(JSON.parse(text)).errors?.[0]?.field]).toEqual([413, 'body']);
});

test('a list of millions is refused by its length, and a long list of mistakes is cut', async () => {
  const zeros = await service.ask('POST', '/v1/jobs', {
    token,
    raw: `{"externalId":"1","account":"a","start":"${START}","allocations":[${'0,'.repeat(1_900_000)}0]}`,
  });
  expect([zeros.status, Problem.parse(zeros.json).errors]).toEqual([
    400,
    [{ field: 'allocations', message: 'must hold at most 4096' }],
  ]);
  const devices = `[${'0,'.repeat(63)}0]`;
  const node = `{"node":"n","from":"${START}","devices":${devices}},`;
  const wrong = await service.ask('PUT', '/v1/fleet', {
    token,
    raw: `{"nodes":[${node.repeat(19_999)}${node.slice(0, -1)}]}`,
  });
  expect(wrong.status).toBe(400);
  expect(Problem.parse(wrong.json).errors).toHaveLength(50);
});

test('a problem does not send back what is as long as the body', async () => {
  const answer = await service.ask('POST', '/v1/jobs', {
    token,
    body: { ...JOB, [`x${'y'.repeat(3_000_000)}`]: 1, ['z'.repeat(500_000)]: 1 },
  });
  expect(answer.status).toBe(400);
  expect(answer.text.length).toBeLessThan(2_000);
  expect(Problem.parse(answer.json).errors?.[0]?.field).toMatch(/^xy{199}…$/);
});

test('deep nesting and names of prototypes are ordinary mistakes', async () => {
  const deep = await service.ask('POST', '/v1/jobs', {
    token,
    raw: `{"externalId":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`,
  });
  expect(deep.status).toBe(400);
  for (const name of ['__proto__', 'constructor', 'prototype']) {
    const answer = await service.ask('POST', '/v1/jobs', {
      token,
      raw: JSON.stringify(JOB).replace('{', `{"${name}":{"account":"b"},`),
    });
    expect([answer.status, Problem.parse(answer.json).errors]).toEqual([
      400,
      [{ field: name, message: 'is not known here' }],
    ]);
    const query = await service.ask('GET', `/v1/jobs?${name}=1`, { token });
    expect([query.status, Problem.parse(query.json).errors?.[0]?.field]).toEqual([400, name]);
  }
});
