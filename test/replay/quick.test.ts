/** A few scenarios of different families, played and held to the goals; `npm run bench:diversion -- --check` plays them all. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { bench } from './diversion-score.ts';

const file = (name: string): string => fileURLToPath(new URL(`../scenarios/${name}.yaml`, import.meta.url));

test.each([
  ['d02', 'a foreign process inside a job'],
  ['d04', 'no job, a renamed program'],
  ['d09', 'a pid used again'],
  ['d12', "another job's GPUs"],
  ['d14', 'an agent that is killed'],
  ['d23', 'a tunnel'],
  ['b10', 'checks of the site'],
  ['b16', 'a container that starts'],
])('%s: %s', { timeout: 60_000 }, async (name) => {
  const { score, misses } = await bench(file(name));
  expect(score.conserved).toBe(true);
  expect(misses).toEqual([]);
});
