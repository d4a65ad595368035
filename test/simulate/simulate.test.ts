/** The simulator itself: a seed says everything, what is right passes, what is wrong is found and made small. */

import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { generate } from './generate.ts';
import { shrink } from './shrink.ts';
import { simulate } from './simulate.ts';
import type { Document } from './site.ts';

test('a seed says everything, and a file says the same', () => {
  const texts = Array.from({ length: 20 }, (_, seed) => stringify(generate(seed)));
  expect(texts).toEqual(Array.from({ length: 20 }, (_, seed) => stringify(generate(seed))));
  expect(new Set(texts).size).toBe(20);
  for (const [seed, text] of texts.entries()) expect(parse(text)).toEqual(generate(seed));
});

test('seeds make up all that there is to make up', () => {
  const all = Array.from({ length: 400 }, (_, seed) => generate(seed));
  const kinds = new Set(all.flatMap(({ faults = [] }) => faults.map(({ kind }) => kind)));
  expect(kinds.size).toBeGreaterThanOrEqual(11);
  const jobs = all.flatMap(({ jobs: some = {} }) => Object.values(some));
  expect(new Set(jobs.map(({ source = 'slurm' }) => source))).toEqual(
    new Set(['slurm', 'kubernetes', 'docker', 'api']),
  );
  expect(jobs.some(({ incarnation = 0 }) => incarnation > 0)).toBe(true);
  expect(jobs.some(({ revisions = [] }) => revisions.length > 0)).toBe(true);
  expect(
    all.some(({ nodes = {} }) => Object.values(nodes).some(({ instances = [] }) => instances.length > 0)),
  ).toBe(true);
});

const SITE: Document = {
  ...{
    id: 'planted',
    title: 'One who computes for a job, one for nobody',
    family: 'planted',
    length: 200,
    poll: 10,
  },
  nodes: { n1: { gpus: { count: 2 } } },
  users: { alice: 1001, mallory: 1007 },
  loads: { full: { sm: 100, memory: '6GiB' } },
  jobs: { own: { id: '8101', user: 'alice', account: 'vision', start: -600, on: { n1: 0 } } },
  processes: {
    worker: { user: 'alice', job: 'own', start: -500, uses: [{ gpus: 0, load: 'full' }] },
    other: {
      user: 'mallory',
      exe: '/tmp/x',
      start: 20,
      uses: [{ gpus: 1, load: 'full' }],
      truth: 'diverted',
    },
  },
  expect: { reasons: ['no_job'] },
};

const rulesOf = async (document: Document): Promise<string[]> => [
  ...new Set((await simulate(document, 1)).failures.map(({ rule }) => rule)),
];
const changed = (name: string, more: object): Document => ({
  ...SITE,
  processes: { ...SITE.processes, [name]: { ...SITE.processes?.[name], ...more } },
});

test('what is right passes', { timeout: 30_000 }, async () => {
  expect((await simulate(SITE, 1)).failures).toEqual([]);
});

test.each([
  ['use that the ledger gives to nobody', changed('other', { truth: 'declared', truthJob: 'own' }), 'used'],
  ['use that the ledger gives to a job', changed('worker', { truth: 'diverted' }), 'unaccounted'],
  ['another reason', { ...SITE, expect: { reasons: ['after_end'] } }, 'reason'],
])('a ledger that says something else is found: %s', { timeout: 30_000 }, async (_, document, rule) => {
  expect(await rulesOf(document)).toContain(rule);
});

test('a failing site is made as small as it goes, by the same rule', async () => {
  const large = generate(8);
  const [node = ''] = Object.keys(large.nodes ?? {}).slice(-1);
  let played = 0;
  const small = await shrink(large, [{ rule: 'used', text: '' }], async ({ nodes = {} }) => {
    played += 1;
    return node in nodes ? [{ rule: 'used', text: '' }] : [{ rule: 'verify', text: 'another thing' }];
  });
  expect(Object.keys(small.document.nodes ?? {})).toEqual([node]);
  expect(small.document).toMatchObject({ jobs: {}, processes: {}, faults: [] });
  expect(small.tries).toBe(played);
});
