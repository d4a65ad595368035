/** What each naive way says where it is known to be right, and where it is known to be wrong. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type BaselineName, scoreBaselines } from './baselines.ts';
import { build } from './build.ts';
import { loadScenario } from './load.ts';

const of = (name: string) =>
  scoreBaselines(build(loadScenario(fileURLToPath(new URL(`../scenarios/${name}.yaml`, import.meta.url)))));

/** Whether it claims nearly all of what was diverted, charges it to a job, or passes over it. */
function verdict(name: string, way: BaselineName): string {
  const scores = of(name);
  const { rightMs, chargedMs } = scores[way];
  const all = Math.max(...Object.values(scores).map((one) => Math.max(one.rightMs, one.chargedMs)));
  if (rightMs > 0.8 * all) return 'claims';
  return chargedMs > 0.8 * all ? 'charges' : 'nothing';
}

test.each<[string, string, BaselineName, string]>([
  ['a login session', 'd01', 'A1', 'nothing'],
  ['a login session', 'd01', 'A5', 'claims'],
  ['a login session', 'd01', 'A6', 'claims'],
  ['inside a job', 'd02', 'A1', 'charges'],
  ['inside a job', 'd02', 'A3', 'charges'],
  ['inside a job', 'd02', 'A5', 'charges'],
  ['a renamed program', 'd04', 'A6', 'nothing'],
  ['a borrowed job id', 'd05', 'A4', 'charges'],
  ['a borrowed job id', 'd05', 'A5', 'claims'],
  ["another job's GPUs", 'd12', 'A1', 'charges'],
  ["another job's GPUs", 'd12', 'A5', 'charges'],
  ['a little, all day', 'd25', 'A7', 'charges'],
])('%s (%s): %s %s', (_, name, way, expected) => {
  expect(verdict(name, way)).toBe(expected);
});

test('the shape of a load accuses declared work', () => {
  const { A7, A5 } = of('b15');
  expect(A7.claimedMs).toBeGreaterThan(0);
  expect(A7.rightMs).toBe(0);
  expect(A5.claimedMs).toBe(0);
});
