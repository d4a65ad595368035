// Which devices "two of this node" are.
import { expect, test } from 'vitest';
import { bindNode, firstSeenIn, OPEN_END_MS, placesByCount } from '../../api/domain/bind.ts';
import type { Allocation, Job } from '../../api/domain/job.ts';
import { DEFAULT_POLICY } from '../../api/domain/policy.ts';
import { createJudge } from '../../api/domain/verdict.ts';
import { cell, GPU, job, NODE, processFact, SESSION_CGROUP, slurmCgroup, span } from './domain-facts.ts';

const DEVICES = ['d', 'b', 'a', 'c'];
const NOTHING_SEEN = new Map();

const allocation = (change: Partial<Allocation> = {}): Allocation => ({
  node: NODE,
  devices: null,
  count: null,
  fromMs: 0,
  toMs: null,
  shareMilli: 1000,
  ...change,
});
const holder = (id: string, change: Partial<Allocation> = {}, more: Partial<Job> = {}): Job =>
  job(id, { startMs: 0, endMs: 1000, allocations: [allocation(change)], ...more });
const placed = (jobs: Job[], seen: Parameters<typeof bindNode>[2] = NOTHING_SEEN) =>
  bindNode(NODE, jobs, seen, DEVICES, DEFAULT_POLICY).map(({ job: of, device, assumed }) => [
    of,
    device,
    assumed,
  ]);

test('named devices, and the whole node', () => {
  expect(placed([holder('n', { devices: ['c', 'a'] })])).toEqual([
    ['j_n', 'a', false],
    ['j_n', 'c', false],
  ]);
  expect(placed([holder('w')]).map(([, device]) => device)).toEqual(['a', 'b', 'c', 'd']);
});

test('other nodes place nothing', () => {
  expect(placed([holder('n', { node: 'n2', count: 1 })])).toEqual([]);
});

test('n of a node: the lowest free UUIDs, assumed', () => {
  expect(placed([holder('1', { devices: ['a'] }), holder('2', { count: 2 })])).toEqual([
    ['j_1', 'a', false],
    ['j_2', 'b', true],
    ['j_2', 'c', true],
  ]);
});

test('n of a node: where the job’s processes ran first, the rest assumed', () => {
  const seen = new Map([['j_2', new Map([['d', 5]])]]);
  expect(placed([holder('2', { count: 2 })], seen)).toEqual([
    ['j_2', 'a', true],
    ['j_2', 'd', false],
  ]);
});

test('n of a node: only the first n devices are its own', () => {
  const seen = new Map([['j_2', new Map(DEVICES.map((device, at) => [device, at]))]]);
  expect(placed([holder('2', { count: 1 })], seen)).toEqual([['j_2', 'd', false]]);
});

test('running on a device that another job was given by name does not give it away', () => {
  const seen = new Map([['j_2', new Map([['a', 5]])]]);
  expect(placed([holder('1', { devices: ['a'] }), holder('2', { count: 1 })], seen)).toEqual([
    ['j_1', 'a', false],
    ['j_2', 'b', true],
  ]);
});

test('a device is free again when the job before has ended', () => {
  const first = holder('1', { count: 4 });
  const second = holder('2', { count: 1, fromMs: 1000 }, { startMs: 1000, endMs: null });
  expect(bindNode(NODE, [second, first], NOTHING_SEEN, DEVICES, DEFAULT_POLICY).at(1)).toEqual({
    job: 'j_2',
    device: 'a',
    shareMilli: 1000,
    assumed: true,
    fromMs: 1000,
    toMs: OPEN_END_MS,
  });
});

test('shares of one device fit together until they fill it', () => {
  const jobs = ['1', '2', '3'].map((id) => holder(id, { count: 1, shareMilli: 500 }));
  expect(placed(jobs).map(([, device]) => device)).toEqual(['a', 'a', 'b']);
});

test('with nothing free the conflict shows instead of a job without device', () => {
  expect(placed([holder('1'), holder('2', { count: 1 })]).filter(([of]) => of === 'j_2')).toEqual([
    ['j_2', 'a', true],
  ]);
});

test('an allocation ends with its job and never outlives it', () => {
  const late = holder('1', { devices: ['a'], fromMs: -50, toMs: 5000 });
  expect(bindNode(NODE, [late], NOTHING_SEEN, DEVICES, DEFAULT_POLICY)).toMatchObject([
    { fromMs: 0, toMs: 1000 },
  ]);
});

test('first seen: by boundary or lineage, from the job’s start on; a claim places nothing', () => {
  const jobs = [job('8101', { startMs: 500 }), job('8120')];
  const facts = cell({
    jobs,
    processes: [
      processFact(1, { cgroup: slurmCgroup(8101) }),
      processFact(2, { cgroup: SESSION_CGROUP, claims: [{ name: 'SLURM_JOB_ID', value: '8120' }] }),
    ],
  });
  const seen = firstSeenIn(
    createJudge(facts),
    new Map([[GPU, [span(0, 1000, { 1: 1, 2: 1 })]]]),
    DEFAULT_POLICY,
  );
  expect([...seen].map(([id, devices]) => [id, [...devices]])).toEqual([['j_8101', [[GPU, 500]]]]);
});

test('a self-declared job takes no place before it counts', () => {
  const late = { selfDeclared: true, firstRecordedAtMs: 500 + DEFAULT_POLICY.selfDeclarationLeadMs };
  const jobs = [holder('1', { devices: ['a'] }, late), holder('2', { count: 1 }, { endMs: 400 })];
  expect(placed(jobs)).toEqual([
    ['j_2', 'a', true],
    ['j_1', 'a', false],
  ]);
});

test('a job asks for devices by number where any of its versions does, on that node', () => {
  const counts = (change: Partial<Allocation>, earlier?: Job[]) =>
    placesByCount({ ...holder('n', change), ...(earlier === undefined ? {} : { earlier }) }, NODE);
  expect([counts({ count: 1 }), counts({}), counts({ devices: ['a'] })]).toEqual([true, false, false]);
  expect(counts({ count: 1, node: 'n2' })).toBe(false);
  expect(counts({}, [holder('n', { count: 1 })])).toBe(true);
});

test('allocations of one job that begin together, and what was seen at once, have one order', () => {
  const twice = holder(
    'n',
    {},
    {
      allocations: [allocation({ devices: ['a'], toMs: 900 }), allocation({ devices: ['a'], toMs: 500 })],
    },
  );
  const both = [twice, holder('m', { count: 1 }), holder('k', { count: 1 })];
  const of = (jobs: Job[], seen: Parameters<typeof bindNode>[2]) =>
    bindNode(NODE, jobs, seen, DEVICES, DEFAULT_POLICY);
  const seen = new Map(
    ['j_m', 'j_k'].map((id) => [
      id,
      new Map([
        ['d', 5],
        ['c', 5],
        ['b', 2000],
      ]),
    ]),
  );
  const placedThere = of(both, seen);
  expect(of(both.toReversed(), new Map([...seen].reverse()))).toEqual(placedThere);
  expect(placedThere.map(({ job: id, device, toMs }) => [id, device, toMs])).toEqual([
    ['j_n', 'a', 500],
    ['j_n', 'a', 900],
    ['j_k', 'c', 1000],
    ['j_m', 'd', 1000],
  ]);
});

test('what is seen after a job has ended places nothing', () => {
  const process = processFact(1, { cgroup: slurmCgroup(1) });
  const ended = job('1', { startMs: 0, endMs: 1000 });
  const facts = cell({ processes: [process], jobs: [ended] });
  const seen = (fromMs: number) =>
    firstSeenIn(createJudge(facts), new Map([[GPU, [span(fromMs, 2000, { 1: 1 })]]]), DEFAULT_POLICY);
  expect([...(seen(999).get('j_1') ?? [])]).toEqual([[GPU, 999]]);
  expect(seen(1000).size).toBe(0);
});
