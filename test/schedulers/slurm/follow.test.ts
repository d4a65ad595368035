/** A cluster followed through what happens to it: jobs that come and go, outages, and answers that are not to be trusted. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { followSlurm } from '../../../api/schedulers/slurm/follow.ts';
import { createMemory, type Memory } from '../../../api/schedulers/slurm/following.ts';
import { createPrograms } from '../../../api/schedulers/slurm/programs.ts';
import { SlurmSettings } from '../../../api/schedulers/slurm/settings.ts';
import type {
  Declaration,
  NodeCondition,
  SourceProblem,
  SourceSink,
} from '../../../api/schedulers/source.ts';
import { until } from '../../e2e/processes.ts';
import { createFakeSlurm, type FakeSlurm } from './fake-slurm.ts';

const HOUR = 3_600_000;
const NOW = Math.floor(Date.now() / 1000) - 600;
const text = (seconds: number) => new Date(seconds * 1000).toISOString();

let fake: FakeSlurm;
let memory: Memory;
let offsetMs = 0;
beforeEach(() => {
  fake = createFakeSlurm();
  memory = createMemory();
  offsetMs = 0;
});
afterEach(() => fake.remove());

const running = (job_id: number, more: Record<string, unknown> = {}) => ({
  ...{
    job_id,
    job_state: ['RUNNING'],
    user_name: 'alice',
    user_id: 2001,
    account: 'research',
    name: 'train',
  },
  ...{ nodes: 'gn1', gres_detail: ['gpu:a100:2(IDX:0-1)'], tres_alloc_str: 'gres/gpu=2', cluster: 'lab' },
  ...{ submit_time: NOW - 10, start_time: NOW, end_time: NOW + 3600, ...more },
});
const ended = (job_id: number, start: number, end: number, more: Record<string, unknown> = {}) => ({
  ...{
    job_id,
    state: { current: ['COMPLETED'] },
    user: 'alice',
    account: 'research',
    name: 'train',
    cluster: 'lab',
  },
  ...{ nodes: 'gn1', time: { submission: NOW - 10, start, end, elapsed: Math.max(0, end - start) } },
  ...{ tres: { allocated: [{ type: 'gres', name: 'gpu', count: 2 }] }, ...more },
});

function follow(
  sinceMs: number | null,
  more: Record<string, unknown> = {},
  fail: (() => Promise<void>) | null = null,
) {
  const said: Declaration[] = [];
  const problems: SourceProblem[] = [];
  const completed: number[] = [];
  const conditions: NodeCondition[] = [];
  const missing: (readonly [string[], number])[] = [];
  const stop = new AbortController();
  const sink: SourceSink = {
    declare: fail ?? (async (jobs) => void said.push(...jobs)),
    complete: async (ms) => void completed.push(ms),
    endMissing: async (ids, ms) => void missing.push([[...ids].sort(), ms]),
    conditions: async (all) => void conditions.push(...all.filter((one) => one.fromMs !== one.toMs)),
    problem: (problem) => void problems.push(problem),
  };
  const settings = SlurmSettings.parse({
    cluster: 'lab',
    bin: fake.bin,
    pollSeconds: 1,
    backfillDays: 3,
    ...more,
  });
  const slurm = createPrograms(settings, () => undefined);
  const nowMs = () => Date.now() + offsetMs;
  const ending = followSlurm({ slurm, settings, memory, sink, signal: stop.signal, nowMs }, sinceMs).catch(
    (error) => {
      if (!stop.signal.aborted) throw error;
    },
  );
  ending.catch(() => undefined);
  const finish = async () => {
    stop.abort();
    await ending;
  };
  return { said, problems, completed, conditions, missing, ending, finish };
}
const caughtUp = (one: ReturnType<typeof follow>) =>
  until(
    'it to have caught up',
    () => (one.missing.length > 0 && one.completed.at(-1) !== undefined ? true : null),
    10_000,
    () => JSON.stringify(one.problems),
  );

test('the first start declares what runs, and each run of the past once', async () => {
  fake.controller([
    running(1),
    { ...running(2), job_state: ['PENDING'], nodes: '', array_task_string: '0-999999' },
  ]);
  const day = 86_400;
  const long = ended(3, NOW - 2 * day, NOW - 100);
  fake.accounting([
    long,
    ended(4, NOW - day, NOW - day + 60),
    ended(1, NOW, 0, { state: { current: ['RUNNING'] } }),
  ]);
  const one = follow(null);
  await caughtUp(one);
  await one.finish();
  expect(one.said.map((job) => job.externalId).sort()).toEqual(['1', '3', '4']);
  expect(one.said.find((job) => job.externalId === '1')).toMatchObject({
    end: null,
    allocations: [{ indices: [0, 1] }],
  });
  expect(one.said.find((job) => job.externalId === '3')).toMatchObject({
    partial: true,
    end: text(NOW - 100),
  });
  expect(one.missing).toEqual([[['1'], expect.any(Number)]]);
  expect(one.completed).toEqual([...one.completed].sort((a, b) => a - b));
  expect(fake.calls('sacct').length).toBe(3);
  expect(one.problems).toEqual([]);
});

test('a run that ends keeps the devices that were seen, whoever tells of its end', async () => {
  fake.controller([running(1), running(2)]);
  const one = follow(Date.now() - HOUR);
  await caughtUp(one);
  // The one is still listed, without its devices; the other has been forgotten, and accounting knows.
  fake.accounting([ended(2, NOW, NOW + 20)]);
  fake.controller([running(1, { job_state: ['COMPLETED'], gres_detail: [], end_time: NOW + 10 })]);
  await until('both ends', () => (one.said.filter((job) => job.end !== null).length === 2 ? true : null));
  await one.finish();
  const ends = one.said.filter((job) => job.end !== null);
  expect(ends.map((job) => [job.externalId, job.end]).sort()).toEqual([
    ['1', text(NOW + 10)],
    ['2', text(NOW + 20)],
  ]);
  for (const job of ends)
    expect(job).toMatchObject({ partial: false, uid: 2001, allocations: [{ indices: [0, 1] }] });
});

test('nothing is complete while the end of a run is not known, and five minutes later it is when it was seen last', async () => {
  fake.controller([running(1)]);
  const one = follow(Date.now() - HOUR);
  await caughtUp(one);
  fake.controller([]);
  const calls = fake.calls('sacct').length;
  await until('accounting to be asked twice', () => (fake.calls('sacct').length > calls + 1 ? true : null));
  const heldBack = one.completed.at(-1) ?? 0;
  expect(one.said.at(-1)?.end).toBeNull();
  offsetMs = 6 * 60_000;
  await until('the end', () => (one.said.at(-1)?.end !== null ? true : null));
  await until('it to be complete again', () =>
    (one.completed.at(-1) ?? 0) > heldBack + 5 * 60_000 ? true : null,
  );
  await one.finish();
  expect(one.said.at(-1)).toMatchObject({ externalId: '1', allocations: [{ indices: [0, 1] }] });
  expect(one.problems.at(-1)).toMatchObject({
    subject: 'job 1',
    message: expect.stringContaining('vanished'),
  });
});

test('an outage is asked of accounting, and nothing is complete before it answers', async () => {
  fake.controller([running(1)]);
  const one = follow(Date.now() - HOUR);
  await caughtUp(one);
  const before = one.completed.at(-1) ?? 0;
  fake.fails('sacct', 'sacct: error: slurm_persist_conn_open: Connection refused\n');
  offsetMs = 10 * 60_000;
  await until('the problem', () =>
    one.problems.find((problem) => problem.message.includes('Connection refused')),
  );
  expect(one.completed.at(-1) ?? 0).toBeLessThan(before + 60_000);
  const later = Math.floor((Date.now() + offsetMs) / 1000) - 120;
  fake.accounting([ended(7, later, later + 5)]);
  fake.fails('sacct', null);
  offsetMs += 90_000;
  await until('the run of the outage', () => one.said.find((job) => job.externalId === '7'));
  await until('it to be complete again', () =>
    (one.completed.at(-1) ?? 0) > before + 8 * 60_000 ? true : null,
  );
  await one.finish();
});

test('a run that is requeued keeps its start while it is being ended, and what the service did not take is said again', async () => {
  fake.controller([running(1)]);
  const failing = follow(Date.now(), {}, async () => {
    throw new Error('the service is away');
  });
  await expect(failing.ending).rejects.toThrow('the service is away');
  const one = follow(Date.now());
  await caughtUp(one);
  expect(one.said).toHaveLength(1);
  fake.accounting([ended(1, NOW, NOW + 20, { state: { current: ['REQUEUED'] } })]);
  fake.controller([
    running(1, {
      job_state: ['PENDING', 'COMPLETING'],
      start_time: NOW + 21,
      restart_cnt: 1,
      gres_detail: [],
    }),
  ]);
  const polls = fake.calls('squeue').length;
  await until('it to be looked at', () => (fake.calls('squeue').length > polls + 1 ? true : null));
  expect(one.said).toHaveLength(1);
  fake.controller([
    running(1, {
      submit_time: NOW + 21,
      start_time: NOW + 30,
      restart_cnt: 1,
      gres_detail: ['gpu:1(IDX:3)'],
    }),
  ]);
  await until('both runs', () => (one.said.length === 3 ? true : null));
  await one.finish();
  expect(
    one.said
      .slice(1)
      .map(({ incarnation, start, end, allocations }) => [incarnation, start, end, allocations])
      .sort(),
  ).toEqual([
    [NOW - 10, text(NOW), text(NOW + 20), [{ node: 'gn1', indices: [0, 1] }]],
    [NOW + 21, text(NOW + 30), null, [{ node: 'gn1', indices: [3] }]],
  ]);
});

test('what is said once is not said again', async () => {
  fake.controller([running(1), running(2, { job_state: ['FAILED'], end_time: NOW + 5, gres_detail: [] })]);
  const one = follow(Date.now() - HOUR);
  await caughtUp(one);
  const polls = fake.calls('squeue').length;
  await until('further polls', () => (fake.calls('squeue').length > polls + 1 ? true : null));
  await one.finish();
  expect(one.said.map((job) => job.externalId)).toEqual(['1', '2']);
  // Also after a failure of the source, from which its memory is left.
  const again = follow(Date.now());
  await caughtUp(again);
  await again.finish();
  expect(again.said).toEqual([]);
});

test('rows of another cluster are left out, as a federation shows them, and said', async () => {
  fake.controller([running(1, { cluster: 'elsewhere' }), running(2)]);
  fake.accounting([ended(7, NOW - 90, NOW - 60, { cluster: 'elsewhere' }), ended(8, NOW - 90, NOW - 60)]);
  const one = follow(null);
  await caughtUp(one);
  await one.finish();
  expect(one.said.map((job) => job.externalId).sort()).toEqual(['2', '8']);
  expect(one.problems.map(({ subject }) => subject)).toEqual(expect.arrayContaining(['job 1', 'job 7']));
  expect(one.problems[0]?.message).toContain('of another cluster');
  expect(fake.calls('squeue')[0]).toContain('--local');
});

test('an answer of another cluster is refused', async () => {
  fake.controller([running(1, { cluster: 'elsewhere' })]);
  const one = follow(null);
  await expect(one.ending).rejects.toThrow('of cluster elsewhere, not of lab');
  expect(one.said).toEqual([]);
  fake.controller([running(1)]);
  fake.config({ ClusterName: 'elsewhere' });
  await expect(follow(null).ending).rejects.toThrow('of cluster elsewhere, not of lab');
});

test('half an answer is good for its rows, and moves nothing on', async () => {
  const whole = JSON.stringify({ jobs: [running(1), running(2), running(3)] });
  fake.says('squeue', whole.slice(0, whole.indexOf('"job_id":3') + 5));
  const one = follow(null);
  await expect(one.ending).rejects.toThrow('stops in the middle');
  expect(one.said.map((job) => job.externalId)).toEqual(['1', '2']);
  expect(one.completed).toEqual([]);
  expect([...memory.live.values()].map(({ job }) => job.jobId)).toEqual([1, 2]);
  fake.controller([running(1), running(2), running(3)]);
  const again = follow(null);
  await caughtUp(again);
  await again.finish();
  expect(again.said.map((job) => job.externalId)).toEqual(['3']);
});

test.each([
  ['under another name', { tasks: [] }],
  ['as another type', { jobs: { 8: running(8) } }],
  ['as nothing', { jobs: null, errors: [] }],
])('an answer that has its list %s ends nothing, and moves nothing on', async (_how, answer) => {
  fake.says('squeue', JSON.stringify(answer));
  const one = follow((NOW - 60) * 1000);
  await expect(one.ending).rejects.toThrow(
    'the answer has no list of jobs: nothing can be concluded from it',
  );
  expect([one.completed, one.missing, one.said]).toEqual([[], [], []]);
});

test('one bad row, or field, keeps no other back', async () => {
  const rows = [
    running(1, { name: ['x'] }),
    { job_id: 'nine', job_state: 'RUNNING' },
    running(3, { name: ['y'] }),
  ].map((row) => JSON.stringify(row));
  fake.says('squeue', `{"jobs":[${[...rows, '{"job_id":4,"x":}', JSON.stringify(running(5))].join(',')}]}`);
  const one = follow(Date.now());
  await caughtUp(one);
  await one.finish();
  expect(one.said.map((job) => job.externalId)).toEqual(['1', '3', '5']);
  const messages = one.problems.map(({ subject, message }) => `${subject}: ${message}`);
  expect(messages).toContain('job 1: name is not written as text (and 1 more in the same answer)');
  expect(messages.join()).toContain('job_id is missing');
  expect(messages.join()).toContain('cannot be read, or is too large');
});

test('without accounting what runs is declared, and what nobody knows any more ends', async () => {
  fake.config({ ClusterName: 'lab', AccountingStorageType: 'accounting_storage/none' });
  fake.controller([running(1)]);
  const one = follow(Date.now() - HOUR);
  await caughtUp(one);
  fake.controller([]);
  await until('the end', () => one.said.find((job) => job.end !== null));
  await one.finish();
  expect(fake.calls('sacct')).toEqual([]);
  expect(one.missing).toHaveLength(1);
  expect(one.problems[0]).toMatchObject({ subject: 'accounting' });
});

test('nodes that take no jobs have a condition, from its reason on until it is gone', async () => {
  const gn1 = {
    name: 'gn1',
    state: ['IDLE', 'DRAIN'],
    gres: 'gpu:a100:4',
    reason: 'bad\nfan',
    reason_changed_at: NOW - 50,
  };
  fake.nodes([
    gn1,
    { name: 'gn2', state: 'mixed', state_flags: ['MAINTENANCE'] },
    { name: 'gn3', state: ['IDLE'] },
    {},
  ]);
  const one = follow(Date.now());
  await caughtUp(one);
  expect(one.conditions).toMatchObject([
    { node: 'gn1', condition: 'drained', fromMs: (NOW - 50) * 1000, toMs: null, reason: 'bad?fan' },
    { node: 'gn2', condition: 'maintenance', toMs: null },
  ]);
  expect(memory.nodes.get('gn1')).toEqual({ gpus: 4, shards: 0, mps: 0 });
  fake.nodes([{ ...gn1, state: ['IDLE'] }]);
  offsetMs = 61_000;
  const over = await until('the end of it', () => one.conditions[2]);
  await one.finish();
  expect(over).toMatchObject({
    node: 'gn1',
    condition: 'drained',
    fromMs: (NOW - 50) * 1000,
    toMs: expect.any(Number),
  });
  expect(one.problems).toMatchObject([{ subject: 'a node' }]);
});
