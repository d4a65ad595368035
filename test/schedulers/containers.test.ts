// Docker's API on a socket, served by the test, and the source that asks it.
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { ContainersSettings, createContainersSource } from '../../api/schedulers/containers.ts';
import { temporaryFolder } from '../store/site.ts';
import { RecordingSink } from './recording-sink.ts';

const NOW = Date.parse('2026-11-23T12:00:00Z');
const CORPUS = new URL('../../../shared/corpus/docker/inspect.json', import.meta.url);
const ID = 'ab'.repeat(32);

let containers: Map<string, unknown>;
let list: unknown;
let asked: string[];
let server: Server;
let socket: string;
let sink: RecordingSink;
let stop: AbortController;
let running: Promise<unknown>;

beforeEach(async () => {
  containers = new Map();
  [list, asked, running] = [undefined, [], Promise.resolve()];
  sink = new RecordingSink();
  stop = new AbortController();
  socket = join(temporaryFolder(), 'docker.sock');
  server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(decodeURIComponent(path));
    const [, id] = /^\/containers\/(\w+)\/json$/.exec(path) ?? [];
    const answer =
      id === undefined ? (list ?? [...containers.keys()].map((Id) => ({ Id }))) : containers.get(id);
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer ?? { message: 'none' }));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});

afterEach(async () => {
  stop.abort();
  await running.catch(() => undefined);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const source = (more: Record<string, unknown> = {}) =>
  createContainersSource(
    ContainersSettings.parse({ node: 'n1', socket, pollSeconds: 1, ...more }),
    () => NOW,
  );
function follow(more: Record<string, unknown> = {}): void {
  running = source(more).follow(null, sink, stop.signal);
  running.catch(() => undefined);
}
const until = (check: () => void) => vi.waitFor(check, { timeout: 8000, interval: 10 });

const container = (change: { State?: object; Config?: object; HostConfig?: object } = {}) => ({
  Id: ID,
  Name: '/trainer',
  Path: 'python',
  Args: ['train.py', '--token', 'secret-of-a-user'],
  State: {
    Running: true,
    StartedAt: '2026-11-23T07:59:21.010373718Z',
    FinishedAt: '0001-01-01T00:00:00Z',
    ...change.State,
  },
  Config: {
    Image: 'pytorch:2',
    Labels: { 'gpuledger.account': 'nlp', 'gpuledger.user': 'ann' },
    Env: ['SECRET=secret-of-a-user'],
    ...change.Config,
  },
  HostConfig: change.HostConfig ?? {},
});

test('a container with the label is a job, as long as it runs, and again when it runs again', async () => {
  containers.set(ID, container());
  follow();
  await until(() => expect(sink.completeToMs).toBe(NOW - 1000));
  expect(asked[0]).toContain('{"label":["gpuledger.account"]}');
  expect(sink.jobs.get(ID)).toMatchObject({
    source: 'docker',
    account: 'nlp',
    user: 'ann',
    name: 'trainer',
    start: '2026-11-23T07:59:21.010Z',
    end: null,
    allocations: [],
    boundaries: [`docker:${ID}`],
    image: 'pytorch:2',
    entrypoint: ['python', 'train.py'],
  });
  expect(JSON.stringify([...sink.jobs.values()])).not.toContain('secret-of-a-user');
  const first = sink.jobs.get(ID)?.incarnation;
  containers.set(
    ID,
    container({ State: { StartedAt: '2026-11-23T09:00:00Z', FinishedAt: '2026-11-23T08:30:00Z' } }),
  );
  await until(() => expect(sink.jobs.get(ID)?.incarnation).not.toBe(first));
  expect(sink.told).toHaveLength(3);
  containers.set(
    ID,
    container({
      State: { Running: false, StartedAt: '2026-11-23T09:00:00Z', FinishedAt: '2026-11-23T10:00:00Z' },
    }),
  );
  await until(() => expect(sink.jobs.get(ID)?.end).toBe('2026-11-23T10:00:00.000Z'));
});

test('a container that is gone has ended', async () => {
  containers.set(ID, container());
  follow({ engine: 'podman' });
  await until(() => expect(sink.jobs.get(ID)?.boundaries).toEqual([`podman:${ID}`]));
  containers.clear();
  await until(() => expect(sink.jobs.get(ID)?.end).toBe(new Date(NOW).toISOString()));
});

const GPU = 'GPU-aaaaaaaa-0000-0000-0000-000000000000';
test.each<[string, object, object, unknown[]]>([
  ['all', { DeviceRequests: [{ Count: -1, Capabilities: [['gpu']] }] }, {}, [{ node: 'n1' }]],
  [
    'two',
    { DeviceRequests: [{ Count: 2, Capabilities: [['gpu', 'nvidia']] }] },
    {},
    [{ node: 'n1', count: 2 }],
  ],
  [
    'by uuid and by number',
    { DeviceRequests: [{ Count: 0, DeviceIDs: [GPU, '1'], Capabilities: [['gpu']] }] },
    {},
    [
      { node: 'n1', devices: [GPU] },
      { node: 'n1', count: 1 },
    ],
  ],
  [
    'by its interface',
    { DeviceRequests: [{ Driver: 'cdi', DeviceIDs: ['nvidia.com/gpu=0'] }] },
    {},
    [{ node: 'n1', count: 1 }],
  ],
  [
    'by its runtime',
    { Runtime: 'nvidia' },
    { Env: [`NVIDIA_VISIBLE_DEVICES=${GPU}`] },
    [{ node: 'n1', devices: [GPU] }],
  ],
  [
    'by its device nodes',
    {
      Devices: [
        { PathOnHost: '/dev/nvidiactl' },
        { PathOnHost: '/dev/nvidia3' },
        { PathOnHost: '/dev/nvidia0' },
      ],
    },
    {},
    [{ node: 'n1', indices: [0, 3] }],
  ],
  ['by the interface of Podman', { Devices: [{ PathOnHost: 'nvidia.com/gpu=all' }] }, {}, [{ node: 'n1' }]],
  ['void', { Runtime: 'nvidia' }, { Env: ['NVIDIA_VISIBLE_DEVICES=void'] }, []],
  ['by a variable that no runtime reads', {}, { Env: ['NVIDIA_VISIBLE_DEVICES=all'] }, []],
  ['odd things', { DeviceRequests: [7, { Count: 'all', DeviceIDs: [{}], Capabilities: [['gpu']] }] }, {}, []],
])('devices that it asked for: %s', async (_, HostConfig, config, wanted) => {
  const Labels = { 'gpuledger.account': 'nlp' };
  containers.set(ID, container({ HostConfig, Config: { Labels, ...config } }));
  follow();
  await until(() => expect(sink.jobs.size).toBe(1));
  expect(sink.jobs.get(ID)?.allocations.map(({ share: _share, ...one }) => one)).toEqual(wanted);
});

test('what cannot be used costs itself alone', async () => {
  containers.set(ID, container());
  containers.set('12'.repeat(32), container({ Config: { Labels: { 'gpuledger.account': '  ' } } }));
  containers.set('34'.repeat(32), container({ Config: { Labels: ['gpuledger.account'] } }));
  containers.set('56'.repeat(32), container({ State: { StartedAt: '2026-11-23 07:59' } }));
  containers.set(
    '78'.repeat(32),
    container({ State: { Running: false, FinishedAt: '2026-11-23T07:00:00Z' } }),
  );
  containers.set('bc'.repeat(32), '{"Id": "bc');
  list = [...[...containers.keys()].map((Id) => ({ Id })), null, { Id: '../x' }, { Id: '9a'.repeat(32) }];
  follow();
  await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
  expect([...sink.jobs.keys()].sort()).toEqual(['78'.repeat(32), ID].sort());
  expect(sink.problems.map(({ message }) => message).sort()).toEqual([
    `${socket} answers with what is no JSON`,
    'State.FinishedAt is no time after State.StartedAt: it ends when it began',
    'State.StartedAt is no time with a zone: it is not declared',
    'a container has no id of 64 hexadecimal digits',
    'a container has no id of 64 hexadecimal digits',
    'its label gpuledger.account says nothing: it is not declared',
    'its label gpuledger.account says nothing: it is not declared',
  ]);
});

test('no socket, and something else behind it', async () => {
  list = '{"half": ';
  await expect(source().follow(null, sink, stop.signal)).rejects.toThrow(/no JSON/);
  list = {};
  await expect(source().follow(null, sink, stop.signal)).rejects.toThrow(/no list of containers/);
  const [check] = await source({ socket: '/nonexistent.sock' }).check(stop.signal);
  expect(check).toMatchObject({ ok: false, message: expect.stringContaining('ENOENT') });
});

test.skipIf(!existsSync(CORPUS))('a recorded container is read', async () => {
  const [recorded] = z
    .array(z.looseObject({ Id: z.string() }))
    .parse(JSON.parse(readFileSync(CORPUS, 'utf8')));
  if (recorded === undefined) throw new Error('the corpus has no container');
  containers.set(recorded.Id, recorded);
  follow({ account: 'com.example.job' });
  await until(() =>
    expect(sink.jobs.get(recorded.Id)).toMatchObject({ account: 'rl-42', name: 'trainer', end: null }),
  );
});

test('what is of another form is told, and costs what stands in it', async () => {
  const odd = [
    container(),
    container({ Config: { Labels: { 'gpuledger.account': 5 } } }),
    container({ HostConfig: { DeviceRequests: { Count: 1 }, Devices: 'all' } }),
    { ...container(), State: 'running' },
  ];
  for (const [at, one] of odd.entries()) containers.set(String(at).repeat(64), one);
  follow();
  await until(() => expect(sink.completeToMs).toBeGreaterThan(0));
  expect([...sink.jobs.values()].map((job) => job.externalId[0]).sort()).toEqual(['0', '2']);
  expect(
    sink.problems.map(({ subject, message }) => `${subject?.[0]} ${message.split(':')[0]}`).sort(),
  ).toEqual([
    '1 its label gpuledger.account says nothing',
    '2 HostConfig.DeviceRequests is of another form',
    '2 HostConfig.Devices is of another form',
    '3 State is of another form',
  ]);
});
