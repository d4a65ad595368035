/** A full disk on the service's side: whoever sends is told to come again, not that the service is broken. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import Database from 'better-sqlite3';
import express from 'express';
import { expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../api/app.ts';
import { Problem } from '../../api/contract/primitives.ts';
import { problemHandler } from '../../api/http/problem.ts';

test('a write that finds no room is answered with 503', async () => {
  const database = new Database(':memory:');
  database.exec('CREATE TABLE t (x)');
  database.pragma('max_page_count = 2');
  const app = express();
  app.post('/', () => {
    database.exec('INSERT INTO t VALUES (zeroblob(100000))');
  });
  app.use(problemHandler(createLog('silent')));
  const server = createServer(app).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.close();
    database.close();
  });
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST' });
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2']);
  expect(Problem.parse(await response.json())).toMatchObject({
    code: 'unavailable',
    detail: 'The disk of the service is full',
  });
});
