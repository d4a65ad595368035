// A dashboard of Ray, served by the test, and the source that follows it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createRaySource, RaySettings } from '../../api/schedulers/ray/source.ts';
import { temporaryFolder } from '../store/site.ts';
import { RecordingSink } from './recording-sink.ts';

const START = Date.parse('2026-11-23T10:00:00Z');
const NOW = START + 3_600_000;
const CORPUS = new URL('../../../shared/corpus/ray/api-jobs.json', import.meta.url);

let jobs: unknown;
let actors: unknown;
let status: number;
let seen: { path: string; authorization: string | undefined }[];
let server: Server;
let url: string;
let sink: RecordingSink;
let stop: AbortController;
let running: Promise<unknown>;

beforeEach(async () => {
  [jobs, actors, status, seen] = [[], [], 200, []];
  sink = new RecordingSink();
  stop = new AbortController();
  running = Promise.resolve();
  server = createServer((request, response) => {
    seen.push({ path: request.url ?? '', authorization: request.headers.authorization });
    response.writeHead(status, { date: new Date(NOW).toUTCString() });
    const isActors = request.url?.startsWith('/api/v0/actors') === true;
    const answer = isActors ? { result: true, data: { result: { total: 1, result: actors } } } : jobs;
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  stop.abort();
  await running.catch(() => undefined);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const source = (more: Record<string, unknown> = {}) =>
  createRaySource(RaySettings.parse({ url, account: 'rl', pollSeconds: 1, ...more }), () => NOW);
function follow(more: Record<string, unknown> = {}, sinceMs: number | null = null): void {
  running = source(more).follow(sinceMs, sink, stop.signal);
  running.catch(() => undefined);
}
const until = (check: () => void) => vi.waitFor(check, { timeout: 8000, interval: 10 });
const looked = () => until(() => expect(sink.completeToMs).toBe(NOW - 5_000));

const job = (change: Record<string, unknown> = {}): Record<string, unknown> => ({
  type: 'SUBMISSION',
  job_id: '02000000',
  submission_id: 'raysubmit_A',
  driver_info: { id: '02000000', node_ip_address: '10.0.0.7', pid: '4242' },
  status: 'RUNNING',
  entrypoint: 'python train.py --token secret-of-a-user',
  start_time: START,
  end_time: null,
  metadata: { name: 'sokoban' },
  runtime_env: { env_vars: { KEY: 'secret-of-a-user' } },
  ...change,
});
const actor = (change: Record<string, unknown> = {}) => ({
  ...{
    actor_id: 'a1',
    class_name: 'ActorWorker',
    state: 'ALIVE',
    job_id: '02000000',
    name: 'actor_train-0-G0',
  },
  ...{ ray_namespace: 'roll', is_detached: false, required_resources: { GPU: 0.01 } },
  ...change,
});

test('a job is declared under the id that its workers have, without any device, inside of what Ray runs in', async () => {
  jobs = [job()];
  actors = [actor(), actor({ name: 'Evaluator', is_detached: true }), actor({ state: 'DEAD' })];
  follow({ user: 'agent', within: { source: 'slurm', externalId: '8180' } });
  await looked();
  expect([...sink.jobs.values()]).toMatchObject([
    {
      source: 'ray',
      externalId: '02000000',
      incarnation: START / 1000,
      account: 'rl',
      user: 'agent',
      name: 'sokoban',
      start: new Date(START).toISOString(),
      end: null,
      allocations: [],
      within: { source: 'slurm', externalId: '8180' },
      attributes: {
        submissionId: 'raysubmit_A',
        namespaces: 'roll',
        actors: '2',
        detachedActors: 'Evaluator',
        driverNode: '10.0.0.7',
      },
    },
  ]);
  // What people hand over to their programs stays with Ray.
  expect(JSON.stringify([...sink.jobs.values()])).not.toContain('secret-of-a-user');
});

test('it ends when Ray says, or when it is seen to have ended, and with Ray itself', async () => {
  jobs = [
    job(),
    job({ job_id: '03000000', submission_id: 'raysubmit_B' }),
    job({ job_id: '04000000', submission_id: null }),
  ];
  follow();
  await until(() => expect(sink.jobs.size).toBe(3));
  jobs = [
    job({ status: 'SUCCEEDED', end_time: START + 60_000 }),
    job({ job_id: '03000000', submission_id: 'raysubmit_B', status: 'STOPPED' }),
    // It was restarted: the number is that of another job.
    job({ job_id: '04000000', submission_id: null, start_time: START + 120_000 }),
  ];
  await until(() => expect(sink.jobs.get('02000000')?.end).toBe(new Date(START + 60_000).toISOString()));
  expect(sink.jobs.get('03000000')?.end).toBe(new Date(NOW).toISOString());
  expect(sink.told.filter((id) => id === '04000000')).toHaveLength(3);
  jobs = [];
  await until(() => expect(sink.jobs.get('04000000')?.end).toBe(new Date(NOW).toISOString()));
});

test('a job has its submission for a name until it has a number', async () => {
  jobs = [job({ job_id: null, driver_info: null })];
  follow();
  await until(() => expect(sink.jobs.has('raysubmit_A')).toBe(true));
  jobs = [job()];
  // Its time is the number's: it is counted once.
  await until(() => expect(sink.jobs.get('raysubmit_A')?.end).toBe(sink.jobs.get('raysubmit_A')?.start));
  expect(sink.jobs.get('02000000')?.end).toBeNull();
});

test('jobs of sandboxes are told from those that train', async () => {
  jobs = [job(), job({ job_id: '05000000', submission_id: 'raysubmit_rock' })];
  actors = [
    actor(),
    actor({
      job_id: '05000000',
      class_name: 'SandboxActor',
      name: 'sandbox-0af3',
      ray_namespace: 'xrl-sandbox',
      is_detached: true,
    }),
  ];
  follow();
  await looked();
  expect(sink.jobs.get('05000000')).toMatchObject({
    commandPattern: '*SandboxActor*',
    attributes: { kind: 'sandboxes', detachedActors: 'sandbox-0af3' },
  });
  expect(sink.jobs.get('02000000')?.commandPattern).toBeNull();
  expect(sink.jobs.get('02000000')?.attributes['kind']).toBeUndefined();
});

test('after an outage only what may be new is said again, and what is gone is ended', async () => {
  jobs = [job(), job({ job_id: '01000000', submission_id: 'old', status: 'FAILED', end_time: START + 1000 })];
  follow({}, START + 3 * 3_600_000);
  await looked();
  expect([...sink.jobs.keys()]).toEqual(['02000000']);
});

test('a dashboard that asks for a token gets the one of the file, which is shown nowhere', async () => {
  const tokenFile = join(temporaryFolder(), 'token');
  writeFileSync(tokenFile, 'secret-of-the-site\n');
  follow({ tokenFile });
  await looked();
  expect(seen.every(({ authorization }) => authorization === 'Bearer secret-of-the-site')).toBe(true);
  status = 401;
  const [check] = await source({ tokenFile }).check(stop.signal);
  expect(check).toMatchObject({ ok: false, message: expect.stringContaining('asks for a token') });
  expect(JSON.stringify(check)).not.toContain('secret-of-the-site');
});

describe('what Ray should not say', () => {
  test('costs the row that says it', async () => {
    const odd: unknown[] = [
      null,
      7,
      [],
      'job',
      {},
      job({ job_id: 'x|y\n999' }),
      job({ submission_id: 'a\nb' }),
      job({ job_id: '06000000', start_time: null }),
      job({ job_id: '06000001', start_time: '2026-11-23' }),
      job({ job_id: '06000002', start_time: -1 }),
      job({ job_id: '06000003', start_time: 1e300 }),
      // In seconds it would have begun in 1970.
      job({ job_id: '06000006', start_time: START / 1000 }),
      job({ job_id: '06000004', status: 'EXPLODED' }),
      job({ job_id: '06000005', status: ['RUNNING'] }),
      job({ job_id: '07000000', status: 'STOPPED', end_time: START - 1 }),
    ];
    jobs = [
      ...odd,
      job({ metadata: { name: 'forged\nrow\u0000' } }),
      job({ metadata: 'none', driver_info: 3 }),
    ];
    actors = [null, 7, { state: 'ALIVE', job_id: 5 }, actor({ name: 7, ray_namespace: {} })];
    follow();
    await looked();
    // A status of a later release: whether it has an end decides.
    expect([...sink.jobs.keys()].sort()).toEqual(['02000000', '06000004']);
    expect(sink.problems.length).toBeGreaterThanOrEqual(odd.length - 1);
    expect(sink.problems.map(({ message }) => message)).toContain(
      'end_time lies before start_time: it is left out',
    );
  });

  test('ends no job that was understood before', async () => {
    jobs = [job()];
    follow();
    await until(() => expect(sink.jobs.size).toBe(1));
    jobs = [job({ status: { state: 'RUNNING' } }), job({ job_id: '03000000', submission_id: null })];
    await until(() => expect(sink.jobs.size).toBe(2));
    expect(sink.jobs.get('02000000')?.end).toBeNull();
    expect(sink.problems.map(({ message }) => message)).toContain('status is no text');
    jobs = [];
    await until(() => expect(sink.jobs.get('02000000')?.end).not.toBeNull());
  });

  test.each([
    ['{"half": ', /no JSON/],
    [{ jobs: [] }, /no list of jobs/],
    ['null', /no list of jobs/],
  ])('ends the source: %s', async (answer, message) => {
    jobs = answer;
    await expect(source().follow(null, sink, stop.signal)).rejects.toThrow(message);
    expect(sink.completeToMs).toBe(0);
  });

  test('a list of actors that it does not have is no harm', async () => {
    jobs = [job()];
    actors = [];
    follow();
    await looked();
    expect(sink.jobs.get('02000000')?.attributes['actors']).toBeUndefined();
  });

  test('an answer without a list of actors is told, and jobs are jobs', async () => {
    jobs = [job()];
    actors = { actor: actor() };
    follow();
    await looked();
    expect(sink.jobs.has('02000000')).toBe(true);
    expect(sink.problems).toContainEqual({
      subject: 'actors',
      message: expect.stringContaining('no list of actors'),
    });
  });
});

test.skipIf(!existsSync(CORPUS))('recorded answers are read', async () => {
  jobs = JSON.parse(readFileSync(CORPUS, 'utf8'));
  follow();
  await looked();
  expect([...sink.jobs.keys()].sort()).toEqual(['02000000', 'raysubmit_WBMEB9nTaMKmrKrN']);
  expect(sink.problems.map(({ subject }) => subject)).toEqual(['raysubmit_H9G6A2FEvtMjuLp5']);
});
