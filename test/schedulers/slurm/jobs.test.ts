/** Runs of jobs from rows of every generation, and from rows that no generation has. */
import { describe, expect, test } from 'vitest';
import { JobIn } from '../../../api/contract/jobs.ts';
import { declarationOf, type Terms } from '../../../api/schedulers/slurm/declare.ts';
import { readJob } from '../../../api/schedulers/slurm/job.ts';

const START = 1_795_419_932;
const NOW_MS = (START + 600) * 1000;
const terms: Terms = {
  ...{ cluster: 'lab', noAccount: 'none', indicesAreMinors: true, shortNodeNames: false },
  nodes: new Map([
    ['gn2', { gpus: 2, shards: 8, mps: 400 }],
    ['cpu1', { gpus: 0, shards: 0, mps: 0 }],
  ]),
};
const set = (number: number) => ({ set: true, infinite: false, number });
const unset = { set: false, infinite: false, number: 0 };

/** As 20.11 to 22.05 write it. */
const old = {
  ...{
    job_id: 8,
    job_state: 'RUNNING',
    user_name: 'alice',
    user_id: 2001,
    account: 'research',
    name: 'train',
  },
  ...{ partition: 'gpu', qos: 'high', comment: '', nodes: 'gn1', gres_detail: ['gpu:a100:2(IDX:0-1)'] },
  ...{ tres_alloc_str: 'cpu=2,mem=62.50G,gres/gpu=2,gres/gpu:a100=2', cluster: 'lab' },
  ...{ submit_time: START - 3, start_time: START, end_time: START + 1800, restart_cnt: 0 },
  ...{ array_job_id: 0, array_task_id: null, het_job_id: 0, het_job_offset: 0, resize_time: 0 },
};
/** As 23.11 and later do. */
const recent = {
  ...old,
  job_state: ['RUNNING'],
  ...{ submit_time: set(START - 3), start_time: set(START), end_time: set(START + 1800) },
  ...{ array_job_id: set(0), array_task_id: unset, het_job_id: set(0), resize_time: set(0) },
};
const ended = {
  ...{ job_id: 8, user: 'alice', account: 'research', name: 'train', cluster: 'lab', nodes: 'gn1' },
  ...{ state: { current: ['COMPLETED'] }, comment: { job: 'RL' }, steps: [] },
  time: { submission: START - 3, start: START, end: START + 60, elapsed: 60 },
  tres: {
    allocated: [
      { type: 'gres', name: 'gpu', count: 2 },
      { type: 'gres', name: 'gpu:a100', count: 2 },
      { type: 'energy', name: null, count: -2 },
    ],
  },
};
const read = (row: unknown, origin: 'controller' | 'accounting' = 'controller') =>
  readJob(row, { origin, nowMs: NOW_MS, zoneless: false });
const declare = (row: unknown, origin: 'controller' | 'accounting' = 'controller', shown?: unknown) => {
  const { job, problems } = read(row, origin);
  if (job === null) throw new Error(`no job: ${JSON.stringify(problems)}`);
  const before = shown === undefined ? null : (read(shown).job?.gres ?? null);
  const { declaration, problems: wrong } = declarationOf(job, terms, before);
  return { ...JobIn.parse(declaration), wrong: [...problems, ...wrong].map((one) => one.message) };
};
const time = (seconds: number) => new Date(seconds * 1000).toISOString();

describe('what runs', () => {
  test('is the same in every generation', () => {
    const wanted = declare(old);
    expect(wanted).toMatchObject({
      ...{ externalId: '8', incarnation: START - 3, start: time(START), end: null, uid: 2001, wrong: [] },
      ...{ allocations: [{ node: 'gn1', indices: [0, 1], share: 1 }], boundaries: ['slurm:8'] },
    });
    expect(declare(recent)).toEqual(wanted);
    const first = { ...old, nodes: 1, job_resources: { nodes: 'gn1', allocated_hosts: 1 } };
    expect(declare(first)).toEqual(wanted);
  });

  test('may have the id, and be of the user, that is no value in 16 bits', () => {
    expect(declare({ ...old, job_id: 65_534, user_id: 65_534 })).toMatchObject({
      externalId: '65534',
      uid: 65_534,
    });
    expect(declare({ ...old, user_id: 4_294_967_294 })).toMatchObject({ uid: null, wrong: [] });
  });

  test('has numbers in words where an answer writes them so', () => {
    const { wrong } = declare({
      ...recent,
      ...{ job_id: '8', end_time: 'Infinity', array_task_id: 'NaN', restart_cnt: { set: true, number: '0' } },
      ...{ het_job_offset: { set: true, infinite: true, number: 0 }, user_id: 'unlimited' },
    });
    expect(wrong).toEqual([]);
  });

  test('is named by its SLUID from 26.05 on', () => {
    const { boundaries } = declare({ ...recent, step_id: { sluid: 's8SHM83NVZ5B00', step_id: 'entire' } });
    expect(boundaries).toEqual(['slurm:8', 'slurm-sluid:10143944870846442496']);
  });

  test('has the indices of each node, shares of shards, and parts for MIG', () => {
    const on = (nodes: string, ...gres_detail: string[]) =>
      declare({ ...recent, nodes, gres_detail }).allocations;
    expect(on('gn[1-2]', 'gpu:a100:1(IDX:3)', 'gpu:h100:1(IDX:0)')).toMatchObject([
      { node: 'gn1', indices: [3] },
      { node: 'gn2', indices: [0] },
    ]);
    expect(on('gn1', 'gpu:a100:3(IDX:0-1,3)')).toMatchObject([{ indices: [0, 1, 3] }]);
    expect(on('gn2', 'shard:3(0/4,3/4)')).toMatchObject([{ indices: [1], share: 0.75 }]);
    expect(on('gn2', 'shard:3(IDX:1)')).toMatchObject([{ indices: [1], share: 0.75 }]);
    expect(on('gn1', 'gpu:1g.5gb:2(IDX:0,3)')).toMatchObject([{ count: 1, share: 0.286 }]);
    expect(on('gn1', 'gpu:a100_3g.20gb:3(IDX:0-2)')).toMatchObject([{ count: 2, share: 0.643 }]);
    expect(on('gn1', 'gpu:rtx_pro_2g.48gb:1(IDX:0)')).toMatchObject([{ count: 1, share: 0.5 }]);
    expect(on('gn1', 'gpu:a100:1(IDX:0),gpu:v100:1(IDX:3),nic:1')).toMatchObject([
      { indices: [0] },
      { indices: [3] },
    ]);
    expect(on('gn1', 'gpu:2')).toMatchObject([{ count: 2 }]);
    expect(on('gn1', 'gpu:2(CNT:2)')).toMatchObject([{ count: 2 }]);
    expect(on('gn1', 'gpu:(null):2(IDX:1-2)')).toMatchObject([{ indices: [1, 2] }]);
    expect(on('gn1', 'gres/gpu:a100:2(IDX:1-2)(S:0)')).toMatchObject([{ indices: [1, 2] }]);
    expect(on('gn1', 'gpu:(null):0(IDX:N/A)')).toEqual([]);
    expect(on('gn2', 'shard:1K(1024/1024,0/1024)')).toMatchObject([{ indices: [0] }]);
    // Of the multi-process service: of 200 for each device where the node says so, else in percent.
    expect(on('gn2', 'mps:50(IDX:1)')).toMatchObject([{ indices: [1], share: 0.25 }]);
    expect(on('gn1', 'mps:a100:50(IDX:1)')).toMatchObject([{ indices: [1], share: 0.5 }]);
    expect(on('gn1', 'mps:50(0/100,50/100)')).toMatchObject([{ indices: [1], share: 0.5 }]);
    expect(on('gn1', 'mps:100(IDX:0)')).toMatchObject([{ indices: [0], share: 1 }]);
    // One string for two nodes: nobody knows whose it is.
    expect(on('gn[1-2]', 'gpu:a100:1(IDX:3)')).toMatchObject([{ count: 1 }, { count: 1 }]);
  });

  test('holds its devices while it is suspended or being ended, and not while it waits', () => {
    for (const job_state of [
      'SUSPENDED',
      ['CANCELLED', 'COMPLETING'],
      ['RUNNING', 'COMPLETING'],
      'CONFIGURING',
      ['STOPPED'],
    ])
      expect(read({ ...recent, job_state }).job?.phase).toBe('holding');
    for (const job_state of ['PENDING', ['PENDING', 'REQUEUED'], ['PENDING', 'RESV_DEL_HOLD']])
      expect(read({ ...recent, job_state, nodes: '' }).job).toBeNull();
    for (const job_state of ['CANCELLED by 2002', ['NODE_FAIL'], 'PREEMPTED', ['OUT_OF_MEMORY'], 'BOOT_FAIL'])
      expect(read({ ...recent, job_state, end_time: set(START + 5) }).job).toMatchObject({ phase: 'ended' });
    // A state of a later release is judged by its times: this end is still to come.
    expect(read({ ...recent, job_state: ['EXPEDITED'] }).job?.phase).toBe('holding');
    expect(read({ ...recent, job_state: ['EXPEDITED'], end_time: set(START + 5) }).job?.phase).toBe('ended');
  });

  test('is a task or component by its raw id', () => {
    expect(declare({ ...recent, array_job_id: set(2), array_task_id: set(0) })).toMatchObject({
      ...{ externalId: '8', attributes: { array: '2_0' } },
    });
    const { attributes } = declare({ ...recent, het_job_id: set(11), het_job_offset: set(1) });
    expect(attributes).toMatchObject({ het: '11+1' });
  });

  test('keeps what a name or an account may hold from harming', () => {
    const name = 'x|y\n999|999|forged|alice\u0000\ud800';
    expect(declare({ ...recent, name, account: '', user_name: null })).toMatchObject({
      ...{ name: 'x|y?999|999|forged|alice??', account: 'none', user: null, uid: 2001 },
    });
  });
});

describe('what has ended', () => {
  test('has a count by accounting, once, and the indices that were seen', () => {
    expect(declare(ended, 'accounting')).toMatchObject({
      ...{ partial: true, end: time(START + 60), attributes: { comment: 'RL' }, wrong: [] },
      allocations: [{ node: 'gn1', count: 2 }],
    });
    const seen = declare(ended, 'accounting', old);
    expect(seen).toMatchObject({ partial: false, allocations: [{ node: 'gn1', indices: [0, 1] }] });
  });

  test('counts typed devices where there is no untyped number, and is not spread to nodes without any', () => {
    const of = (nodes: string, allocated: unknown[]) =>
      declare({ ...ended, nodes, tres: { allocated } }, 'accounting');
    const typed = (name: string, count: number) => ({ type: 'gres', name, count });
    expect(of('gn1', [typed('gpu:a100', 1), typed('gpu:h100', 1)]).allocations).toMatchObject([{ count: 2 }]);
    expect(of('gn[1-2]', [typed('gpu', 3)])).toMatchObject({
      allocations: [{ count: 2 }, { count: 2 }],
      wrong: ['had 3 devices on 2 nodes, and it is not said how many on which: up to 2 on each'],
    });
    expect(of('cpu1,gn2', [typed('gpu', 2)]).allocations.map((one) => one.node)).toEqual(['gn2']);
    expect(of('gn2', [typed('shard', 3)]).allocations).toMatchObject([{ count: 1, share: 0.75 }]);
    expect(of('gn1', [typed('mps', 50)]).allocations).toMatchObject([{ count: 1, share: 0.5 }]);
  });

  test('has its count as a number of any form, and says where it cannot be read', () => {
    const of = (allocated: unknown) => declare({ ...ended, tres: { allocated } }, 'accounting');
    expect(of([{ type: 'gres', name: 'gpu', count: set(2) }])).toMatchObject({ allocations: [{ count: 2 }] });
    expect(of('gres/gpu=2').wrong).toEqual(['tres.allocated is not written as a list']);
    expect(of([{ type: 'gres', name: 'gpu', count: [2] }]).wrong).toEqual([
      'tres.allocated: count of gpu is not written as a number of a known form',
    ]);
  });

  test('never began where it was cancelled while it waited', () => {
    const time = { submission: START, start: 4_294_967_294, end: START + 5, elapsed: 0 };
    const cancelled = { ...ended, nodes: 'None assigned', state: { current: 'CANCELLED' }, time };
    expect(read(cancelled, 'accounting')).toEqual({ job: null, problems: [] });
  });

  test('ends after its time where its end lies before its start', () => {
    const time_ = { ...ended.time, end: START - 100 };
    const { end, wrong } = declare({ ...ended, time: time_ }, 'accounting');
    expect([end, wrong]).toEqual([time(START + 60), ['end lies before its start']]);
    const never = declare({ ...ended, time: { ...time_, elapsed: undefined } }, 'accounting');
    expect(never.end).toBe(time(START));
  });

  test('runs again under the submission that a requeue renews', () => {
    const again = {
      ...ended,
      time: { ...ended.time, submission: START + 60, start: START + 70, end: START + 90 },
    };
    const [one, other] = [declare(ended, 'accounting'), declare(again, 'accounting')];
    expect([one.externalId, other.externalId]).toEqual(['8', '8']);
    expect(one.incarnation).not.toBe(other.incarnation);
  });
});

describe('a field of another form', () => {
  test.each([
    ['account', { id: 5 }, { account: 'none' }],
    ['name', ['train'], { name: '' }],
    ['user_id', -5, { uid: null }],
    ['qos', true, { attributes: { partition: 'gpu' } }],
    ['gres_detail', [{ gpu: 2 }], { allocations: [{ node: 'gn1', count: 2 }] }],
    ['gres_detail', ['gpu:a100:two(IDX:0-1)'], { allocations: [{ node: 'gn1', count: 2 }] }],
    ['gres_detail', 'gpu:a100:2(IDX:0-1)', { allocations: [{ node: 'gn1', count: 2 }] }],
    ['end_time', 'soon', { end: null }],
    ['step_id', 'entire', { boundaries: ['slurm:8'] }],
    ['array_task_id', { infinite: 1 }, {}],
  ])('costs %s alone', (field, value, wanted) => {
    const { wrong, ...job } = declare({ ...old, [field]: value });
    expect(job).toMatchObject(wanted);
    expect(job).toMatchObject({ externalId: '8', start: time(START) });
    expect(wrong.join()).toContain(field);
  });

  test.each([
    ['job_id', 'eight'],
    ['job_id', 1e300],
    ['start_time', { set: true, number: -7 }],
    ['start_time', '2026-11-23T07:45:32'],
    ['submit_time', null],
    ['nodes', 'gn[0-999999999]'],
    ['nodes', null],
    ['nodes', 'None assigned'],
    ['nodes', { a: 1 }],
  ])('costs the row where %s is %j', (field, value) => {
    const { job, problems } = read({ ...old, [field]: value });
    expect(job).toBeNull();
    expect(problems.length).toBeGreaterThan(0);
  });

  test('is no row at all', () => {
    for (const row of [null, 5, 'x', [], [{}], {}]) {
      expect(read(row).job).toBeNull();
      expect(read(row).problems).toHaveLength(1);
    }
  });
});
