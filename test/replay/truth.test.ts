/** Whom a scenario's processes compute for, and how much, where the file leaves it to the model. */
import { expect, test } from 'vitest';
import { build } from './build.ts';
import { readScenario } from './load.ts';
import { truthOf } from './truth.ts';

const HEAD = 'id: X\ntitle: x\nfamily: x\nlength: 100\nloads: {full: {sm: 98, memory: 1GiB}}\n';
const totals = (text: string) => truthOf(build(readScenario(HEAD + text, 'x.yaml')));

test('a process computes for its own job, else for that whose root it is, else for that of its parent', () => {
  const { byJob } = totals(`
jobs: {a: {on: {gpu-n1: 0}, start: 0}, b: {source: ray, on: {gpu-n1: 1}, start: 0, root: driver}}
processes:
  script: {job: a, start: 0}
  below: {parent: script, start: 0, uses: [{gpus: 0, load: full}]}
  driver: {start: 0}
  worker: {parent: driver, start: 0, uses: [{gpus: 1, load: full}]}
`);
  expect(Object.fromEntries(byJob)).toEqual({ a: 98_000, b: 98_000 });
});

test('an instance of a divided GPU gives no more than its slices, to all that are in it', () => {
  const { divertedMs, occupiedMs } = totals(`
nodes: {gpu-n1: {gpus: {count: 1}, instances: [{gpus: 0, id: 1, profile: 3g.40gb}, {gpus: 0, id: 2, profile: 4g.40gb}]}}
processes:
  alone: {start: 0, uses: [{gpus: 0, load: full, instance: {gpu: 1}}], truth: diverted}
  two: {start: 0, uses: [{gpus: 0, load: full, instance: {gpu: 2}}], truth: diverted, copies: {count: 2}}
`);
  // 42 of 3 slices of 7, and 28 for each of two in 4 slices of 7.
  expect([divertedMs, occupiedMs]).toEqual([98_000, 100_000]);
});
