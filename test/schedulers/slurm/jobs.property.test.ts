/** What holds of every row, whatever Slurm or somebody in its place writes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JobIn } from '../../../api/contract/jobs.ts';
import { declarationOf, type Terms } from '../../../api/schedulers/slurm/declare.ts';
import { nodeGres, tresCounts } from '../../../api/schedulers/slurm/gres.ts';
import { expandHosts, MAX_HOSTS } from '../../../api/schedulers/slurm/hostlist.ts';
import { readJob } from '../../../api/schedulers/slurm/job.ts';
import { textRows } from '../../../api/schedulers/slurm/text-rows.ts';

const START = 1_795_419_932;
const number = (value: number | null) =>
  fc.constantFrom<unknown>(
    value,
    ...(value === null
      ? [{ set: false, infinite: false, number: 0 }]
      : [{ set: true, infinite: false, number: value }]),
  );
const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(-1, 1e300, 4_294_967_294, 0, '', 'None assigned', 'N/A', null, [], {}, Number.NaN),
  fc.record({ set: fc.boolean(), infinite: fc.boolean(), number: fc.oneof(fc.double(), fc.integer()) }),
);
const name = fc.string({ unit: 'binary', maxLength: 2000 });
const row = fc.record({
  ...{
    job_id: fc.oneof(fc.nat(), odd),
    job_state: fc.oneof(fc.constantFrom('RUNNING', 'COMPLETED', ['CANCELLED'], 'X'), odd),
  },
  ...{
    user_name: fc.oneof(name, odd),
    user_id: fc.oneof(fc.nat(), odd),
    account: fc.oneof(name, odd),
    name: fc.oneof(name, odd),
  },
  ...{ comment: fc.oneof(name, odd), nodes: fc.oneof(fc.constantFrom('gn[1-3]', 'gn1', 'n[0-99999]'), odd) },
  gres_detail: fc.oneof(
    fc.array(fc.oneof(fc.constantFrom('gpu:a100:2(IDX:0-1)', 'shard:3(0/4,3/4)'), odd)),
    odd,
  ),
  tres_alloc_str: fc.oneof(
    fc.constantFrom('gres/gpu=3,gres/gpu:a100=3', 'gres/gpu=1000000', 'gres/shard=7'),
    odd,
  ),
  ...{
    submit_time: fc.oneof(number(START), odd),
    start_time: fc.oneof(number(START), odd),
    end_time: fc.oneof(number(START + 9), odd),
  },
  ...{
    restart_cnt: odd,
    array_job_id: odd,
    array_task_id: odd,
    het_job_id: odd,
    het_job_offset: odd,
    resize_time: number(null),
  },
  ...{ step_id: odd, qos: odd, partition: odd, resv_name: odd, command: odd, cluster: odd },
});
const terms: Terms = {
  cluster: 'lab',
  noAccount: 'none',
  indicesAreMinors: true,
  shortNodeNames: false,
  nodes: new Map(),
};
const read = (value: unknown) =>
  readJob(value, { origin: 'controller', nowMs: START * 1000, zoneless: false });

test('a row that is read is a job that the service takes; one that is not has a reason or held nothing', () => {
  let taken = 0;
  fc.assert(
    fc.property(row, (value) => {
      const { job, problems } = read(value);
      for (const { subject, message } of problems)
        expect(`${subject}${message}`).not.toMatch(/[\p{Cc}\p{Cs}]/u);
      if (job === null) return;
      taken += 1;
      const { declaration } = declarationOf(job, terms);
      const parsed = JobIn.safeParse(declaration);
      expect(parsed.error?.issues ?? []).toEqual([]);
      expect(job.endMs === null || job.endMs >= job.startMs).toBe(true);
    }),
    { numRuns: 2000 },
  );
  expect(taken).toBeGreaterThan(50);
});

test('what one field holds changes no other', () => {
  const good = {
    ...{
      job_id: 8,
      job_state: 'RUNNING',
      user_name: 'a',
      user_id: 1,
      account: 'x',
      name: 'n',
      nodes: 'gn1',
      cluster: 'lab',
    },
    ...{
      submit_time: START,
      start_time: START,
      gres_detail: ['gpu:2(IDX:0-1)'],
      comment: 'c',
      qos: 'q',
      partition: 'p',
    },
  };
  const fields = ['user_name', 'user_id', 'account', 'name', 'comment', 'qos', 'partition'] as const;
  const wanted = read(good).job;
  fc.assert(
    fc.property(fc.constantFrom(...fields), odd, (field, value) => {
      const { job } = read({ ...good, [field]: value });
      const own = field === 'user_name' ? 'user' : field === 'user_id' ? 'uid' : field;
      expect({ ...job, [own]: null }).toEqual({ ...wanted, [own]: null });
    }),
  );
});

test('a list of hosts is the names that it was made of', () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(fc.constantFrom('gn', 'rack-1.node', 'n'), numbers, fc.boolean(), (prefix, list, padded) => {
      const text = (one: number) => (padded ? String(one).padStart(3, '0') : String(one));
      const sorted = [...list].sort((a, b) => a - b);
      const ranges: string[] = [];
      for (let at = 0; at < sorted.length; ) {
        let end = at;
        while ((sorted[end + 1] ?? -1) === (sorted[end] ?? 0) + 1) end += 1;
        ranges.push(
          end === at ? text(sorted[at] ?? 0) : `${text(sorted[at] ?? 0)}-${text(sorted[end] ?? 0)}`,
        );
        at = end + 1;
      }
      expect(expandHosts(`${prefix}[${ranges.join(',')}],login`)).toEqual([
        ...sorted.map((one) => prefix + text(one)),
        'login',
      ]);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => (expandHosts(text)?.length ?? 0) <= MAX_HOSTS));
  expect(expandHosts('a[0-9][0-9]b[1-2]')).toHaveLength(200);
  for (const text of ['a[0-99999][0-99999]', 'a[', 'a[1-]', 'a b', 'a[3-1]', ''])
    expect(expandHosts(text)).toBeNull();
});

test('indices are as many as the devices, and none is named twice', () => {
  const text = fc.oneof(
    fc.string(),
    fc.stringMatching(/^(gpu|shard)(:[a-z0-9.]{1,6})?:\d{1,2}(\((IDX:)?[\d,/-]{0,9}\))?$/),
  );
  fc.assert(
    fc.property(fc.array(text, { maxLength: 4 }), (parts) => {
      for (const { kind, count, indices, shares } of nodeGres(parts.join(',')) ?? []) {
        expect(count).toBeGreaterThan(0);
        if (indices === null) continue;
        expect(new Set(indices).size).toBe(indices.length);
        if (kind === 'gpu') expect(indices).toHaveLength(count);
        if (shares !== null) expect(shares).toHaveLength(indices.length);
      }
    }),
  );
});

test('typed devices count once', () => {
  const types = fc.dictionary(fc.stringMatching(/^[a-z]\d{2,3}$/), fc.integer({ min: 1, max: 64 }), {
    minKeys: 1,
    maxKeys: 4,
  });
  fc.assert(
    fc.property(types, fc.boolean(), (counts, untyped) => {
      const total = Object.values(counts).reduce((sum, one) => sum + one, 0);
      const typed = Object.entries(counts).map(([type, count]) => `gres/gpu:${type}=${count}`);
      const text = ['cpu=4,mem=62.50G', ...typed, ...(untyped ? [`gres/gpu=${total}`] : [])].join(',');
      expect(tresCounts(text)).toEqual({ gpus: total, shards: 0, mps: 0, mig: [] });
    }),
  );
});

test('no line of text is two rows, and none of another width is one', async () => {
  const columns = [
    ['A', ['a']],
    ['B', ['b', 'c']],
    ['C', ['b', 'd']],
  ] as const;
  const cell = fc.string({ unit: 'grapheme-ascii' }).map((text) => text.replace(/[|\n]/g, ''));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(cell, { minLength: 1, maxLength: 5 })),
      fc.nat(9),
      async (lines, size) => {
        const text = lines.map((cells) => `${cells.join('|')}\n`).join('');
        async function* chunks() {
          for (let at = 0; at < text.length; at += size + 1) yield Buffer.from(text.slice(at, at + size + 1));
        }
        const rows: unknown[] = [];
        for await (const one of textRows(chunks(), columns)) rows.push(one);
        const wanted = lines
          .filter((cells) => cells.join('|').trim() !== '')
          .map((cells) => (cells.length === 4 && cells[3]?.trim() === '' ? cells.slice(0, 3) : cells))
          .map((cells) => {
            const [a, c, d] = cells.map((one) => one.trim());
            return cells.length === 3 ? { a, b: { c, d } } : undefined;
          });
        expect(rows).toEqual(wanted);
      },
    ),
  );
});
