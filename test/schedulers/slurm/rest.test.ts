/** Slurm through slurmrestd: which version, with which token, and what is said of a refusal. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createRest } from '../../../api/schedulers/slurm/rest.ts';
import { createSlurmSource, SlurmSettings } from '../../../api/schedulers/slurm/source.ts';
import { temporaryFolder } from '../../e2e/processes.ts';

const folder = temporaryFolder('rest');
const socket = join(folder.path, 'rest.sock');
const tokenFile = join(folder.path, 'token');
const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.secret';
let asked: IncomingMessage[] = [];
let answer: (path: string, response: ServerResponse) => void = () => undefined;
const server = createServer((request, response) => {
  asked.push(request);
  answer(request.url ?? '', response);
});
beforeAll(async () => {
  writeFileSync(tokenFile, `SLURM_JWT=${TOKEN}\n`);
  server.listen(socket);
  await once(server, 'listening');
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  folder.remove();
});
beforeEach(() => {
  asked = [];
});

const signal = new AbortController().signal;
const settings = (more: Record<string, unknown> = {}) =>
  SlurmSettings.parse({
    cluster: 'lab',
    rest: { url: `unix:${socket}`, tokenFile, user: 'ledger', ...more },
  });
function open(more: Record<string, unknown> = {}) {
  const { rest, ...others } = settings(more);
  if (rest === undefined) throw new Error('no rest');
  return createRest(others, rest);
}
/** A slurmrestd of one version; `jobs` is the body of its lists. */
const serving = (version: string, jobs: unknown) => (path: string, response: ServerResponse) => {
  if (!path.includes(`/${version}/`)) response.writeHead(404).end('Unable find requested URL.');
  else if (path.endsWith('/ping')) response.end('{"pings":[{"hostname":"x"}],"errors":[]}');
  else response.end(typeof jobs === 'string' ? jobs : JSON.stringify(jobs));
};
async function all(rows: AsyncIterable<unknown>) {
  const found: unknown[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

test('the newest version that is served is asked, with the token of the file', async () => {
  answer = serving('v0.0.42', { jobs: [{ job_id: 1 }, { job_id: 2 }], meta: { slurm: { cluster: 'lab' } } });
  const slurm = open();
  expect(await all((await slurm.jobs(signal)).rows)).toEqual([{ job_id: 1 }, { job_id: 2 }]);
  const headers = asked.at(-1)?.headers;
  expect(headers).toMatchObject({ 'x-slurm-user-token': TOKEN, 'x-slurm-user-name': 'ledger' });
  await all((await slurm.runs({ fromMs: 5000, toMs: 9000 }, signal)).rows);
  const { pathname, searchParams } = new URL(asked.at(-1)?.url ?? '', 'http://x');
  expect(pathname).toBe('/slurmdb/v0.0.42/jobs/');
  expect(Object.fromEntries(searchParams)).toEqual({
    ...{ start_time: 'uts5', end_time: 'uts9', skip_steps: 'true', show_duplicates: 'true' },
  });
});

test('the list that 20.11 answers is read, and accounting that it has not is not asked', async () => {
  answer = (path, response) => {
    if (path.startsWith('/slurmdb/')) response.writeHead(404).end();
    else serving('v0.0.35', [{ job_id: 7 }])(path, response);
  };
  const slurm = open();
  expect(await slurm.identify(signal)).toMatchObject({ version: 'v0.0.35', hasAccounting: false });
  expect(await all((await slurm.jobs(signal)).rows)).toEqual([{ job_id: 7 }]);
});

test('an answer of another cluster is refused', async () => {
  answer = serving('v0.0.45', { jobs: [], meta: { slurm: { cluster: 'elsewhere' } } });
  await expect(
    open()
      .jobs(signal)
      .then(({ rows }) => all(rows)),
  ).rejects.toThrow('of cluster elsewhere');
});

test('a database of several clusters answers with rows of others too, which is no problem', async () => {
  const row = (job_id: number, cluster: string) => ({
    ...{ job_id, cluster, state: { current: ['COMPLETED'] }, account: 'a', user: 'u', nodes: 'gn1' },
    ...{ time: { submission: 1_795_419_929, start: 1_795_419_932, end: 1_795_419_992, elapsed: 60 } },
  });
  answer = serving('v0.0.45', { jobs: [row(1, 'beta'), row(2, 'lab')], meta: { slurm: { cluster: 'lab' } } });
  const checks = await createSlurmSource(settings()).check(signal);
  expect(checks.find((one) => one.name === 'accounting')).toMatchObject({
    ...{ ok: true, message: '1 runs in the last hour' },
  });
});

test('a refusal is told in its own words, and never with the token', async () => {
  const source = createSlurmSource(settings({ version: 'v0.0.42' }));
  const message = async () => (await source.check(signal)).map((one) => one.message).join('\n');
  answer = (_, response) => response.writeHead(401).end('Authentication failure');
  expect(await message()).toContain('does not accept the token (401)');
  answer = (_, response) =>
    response.writeHead(500).end('{"errors":[{"error":"Unable to contact slurm controller"}]}');
  expect(await message()).toContain('slurmrestd answered 500: Unable to contact slurm controller');
  answer = (_, response) =>
    response.end('{"jobs":[],"errors":[{"error":"Zero Bytes","description":"no job"}]}');
  expect(await message()).toContain('Zero Bytes: no job');
  answer = (_, response) => response.writeHead(404).end();
  expect(await message()).toContain('state rest.version');
  answer = (_, response) => response.socket?.destroy();
  expect(await message()).not.toContain('secret');
});
