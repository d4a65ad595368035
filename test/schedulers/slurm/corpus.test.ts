/** Captured answers of real clusters: every generation says the same of the same jobs. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { JobIn } from '../../../api/contract/jobs.ts';
import { rowsOf } from '../../../api/schedulers/slurm/answers.ts';
import { declarationOf } from '../../../api/schedulers/slurm/declare.ts';
import { readJob } from '../../../api/schedulers/slurm/job.ts';
import { readNode } from '../../../api/schedulers/slurm/nodes.ts';

const corpus = fileURLToPath(new URL('../../../../shared/corpus/slurm/', import.meta.url));
const here = existsSync(corpus);
const files = here ? globSync('**/*.json', { cwd: corpus }).sort() : [];
const answers = files.filter((file) => /squeue|sacct|jobs/.test(file) && !file.includes('sonar'));
const nodeAnswers = files.filter((file) => /nodes|sinfo/.test(file));

async function rows(file: string, keys: readonly string[]): Promise<unknown[]> {
  const text = readFileSync(corpus + file);
  async function* chunks() {
    for (let at = 0; at < text.length; at += 4096) yield text.subarray(at, at + 4096);
  }
  const found: unknown[] = [];
  const cluster = /"cluster":\s*"([^"]+)"/.exec(text.toString('utf8'))?.[1] ?? 'lab';
  for await (const row of rowsOf(chunks(), keys, cluster)) found.push(row);
  return found;
}

async function declared(file: string) {
  const origin = file.includes('sacct') ? 'accounting' : 'controller';
  const terms = {
    cluster: 'lab',
    noAccount: 'none',
    indicesAreMinors: true,
    shortNodeNames: false,
    nodes: new Map(),
  };
  const jobs: JobIn[] = [];
  for (const row of await rows(file, ['jobs'])) {
    const { job, problems } = readJob(row, { origin, nowMs: 1_900_000_000_000, zoneless: false });
    expect(problems).toEqual([]);
    if (job !== null) jobs.push(JobIn.parse(declarationOf(job, terms).declaration));
  }
  return jobs.sort((a, b) => Number(a.externalId) - Number(b.externalId) || a.incarnation - b.incarnation);
}

describe.skipIf(!here)('captured answers', () => {
  test.each(answers)('%s is read without a problem', async (file) => {
    expect((await declared(file)).length).toBeGreaterThan(0);
  });

  test.each(['real-24.11.5-cgroupv1', 'real-26.05.5-cgroupv2'])(
    '%s: all versions of one answer agree',
    async (folder) => {
      for (const kind of ['squeue', 'sacct', 'scontrol.jobs']) {
        const same = answers.filter((file) => file.startsWith(`${folder}/${kind}.v`));
        const [first, ...others] = await Promise.all(same.map(declared));
        const plain = (jobs: readonly JobIn[] = []) =>
          jobs.map((job) => ({ ...job, boundaries: job.boundaries?.slice(0, 1) }));
        for (const other of others) expect(plain(other)).toEqual(plain(first));
        expect(same.length).toBeGreaterThan(1);
      }
    },
  );

  test.each(nodeAnswers)('%s names its nodes', async (file) => {
    // sinfo tells of groups of nodes from 23.11 on: it is not asked there, and would be refused.
    if (/24|26/.test(file) && !file.includes('nodes'))
      return expect(rows(file, ['nodes'])).rejects.toThrow('no list of nodes');
    const found = (await rows(file, ['nodes'])).map((row) =>
      readNode(row, (problem) => expect(problem).toBeNull()),
    );
    expect(found.length).toBeGreaterThan(0);
    for (const node of found) expect(node?.name).toEqual(expect.any(String));
    const down = /node-fail|rivos/.test(file) ? ['down'] : [];
    expect(found.flatMap((node) => node?.condition?.condition ?? [])).toEqual(down);
  });

  test('a requeued job is several runs, each with its own time', async () => {
    const runs = (await declared('real-22.05/04-after-node-return/sacct.json')).filter(
      (one) => one.externalId === '7',
    );
    expect(runs.map((one) => one.end === null)).toEqual([false, false, true]);
    for (const [at, run] of runs.slice(1).entries()) expect(run.start >= (runs[at]?.end ?? '')).toBe(true);
  });
});
