/** docs/SOURCES.md: its tables are made from the settings, and its example follows a PBS. */
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { SOURCE_KINDS } from '../api/cli/sources-file.ts';
import { JobList } from '../api/contract/jobs.ts';
import { SourceList } from '../api/contract/sources.ts';
import { start, until } from './cli/gpuledger.ts';
import { type Service, startService } from './http/service.ts';
import { temporaryFolder } from './store/site.ts';

const file = new URL('../docs/SOURCES.md', import.meta.url);

let service: Service;
let folder: string;
beforeEach(async () => {
  service = await startService();
  folder = temporaryFolder();
});
afterEach(async () => {
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

const Described = z.object({
  properties: z.record(
    z.string(),
    z.looseObject({ description: z.string().optional(), default: z.unknown().optional() }),
  ),
  required: z.array(z.string()).default([]),
});

function table(kind: string): string {
  const { settings } = SOURCE_KINDS[kind] ?? { settings: z.never() };
  const { properties, required } = Described.parse(z.toJSONSchema(settings, { io: 'input' }));
  const rows = Object.entries(properties).map(([name, { description = '', default: preset }]) => {
    const without = required.includes(name)
      ? 'needed'
      : preset === undefined
        ? ''
        : `\`${JSON.stringify(preset)}\``;
    return `| \`${name}\` | ${without} | ${description.replaceAll('|', '\\|')} |`;
  });
  return ['| setting | default | what |', '|---|---|---|', ...rows].join('\n');
}

test('names every setting of every kind, with its default', () => {
  const text = readFileSync(file, 'utf8');
  const marked = /<!-- settings:(\w+) -->\n[\s\S]*?<!-- end -->/g;
  const written = text.replaceAll(
    marked,
    (_all, kind: string) => `<!-- settings:${kind} -->\n${table(kind)}\n<!-- end -->`,
  );
  if (process.env['UPDATE_DOCS']) writeFileSync(file, written);
  else expect(text).toBe(written);
  expect([...text.matchAll(marked)].map((match) => match[1]).sort()).toEqual(
    Object.keys(SOURCE_KINDS).sort(),
  );
});

/** What qstat prints of a job that runs, of one that has ended, of one that waits, and of one of long ago. */
function pbsJobs(nowMs: number): unknown {
  const ctime = (ms: number) =>
    new Date(ms).toUTCString().replace(/^(\w+), (\d+) (\w+) (\d+) (\S+) GMT$/, '$1 $3 $2 $5 $4');
  const job = (more: object) => ({
    ...{ Job_Name: 'train', Job_Owner: 'alice@login1', queue: 'gpu', project: 'physics', job_state: 'R' },
    ...{ exec_vnode: '(n1:ncpus=4:ngpus=2)+(n2:ncpus=1)', stime: ctime(nowMs), run_count: 1, ...more },
  });
  const waiting = { Job_Name: 'later', Job_Owner: 'bob@login1', job_state: 'Q', queue: 'gpu' };
  return {
    Jobs: {
      '1.beta': job({}),
      '2.beta': job({ job_state: 'F', run_count: 2, resources_used: { walltime: '00:01:30' } }),
      '3.beta': waiting,
      '4.beta': job({
        stime: ctime(nowMs - 9 * 86_400_000),
        job_state: 'F',
        resources_used: { walltime: '01:00:00' },
      }),
    },
  };
}

test('its example for PBS has under 50 lines and declares what runs', async () => {
  const [, example = ''] = /```js\n([\s\S]*?)```/.exec(readFileSync(file, 'utf8')) ?? [];
  expect(example.split('\n').length).toBeLessThan(50);
  const startMs = Math.floor(Date.now() / 1000) * 1000 - 600_000;
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const executable = (path: string, text: string) => {
    writeFileSync(path, text);
    chmodSync(path, 0o755);
  };
  executable(join(bin, 'qstat'), `#!/bin/sh\ncat ${join(folder, 'qstat.json')}\n`);
  writeFileSync(join(folder, 'qstat.json'), JSON.stringify(pbsJobs(startMs)));
  executable(join(folder, 'pbs.mjs'), example);
  writeFileSync(join(folder, 'token'), await service.tokenFor('scheduler'));
  const config = join(folder, 'sources.yaml');
  writeFileSync(
    config,
    [
      `service: {url: '${service.url}', tokenFile: '${join(folder, 'token')}'}`,
      'sources:',
      `  - {kind: command, source: pbs, instance: beta, program: ['${join(folder, 'pbs.mjs')}']}`,
    ].join('\n'),
  );
  const running = start(['sources', 'run', '--config', config], { PATH: `${bin}:${process.env['PATH']}` });
  const token = await service.tokenFor('viewer');
  const sources = async () =>
    SourceList.parse((await service.ask('GET', '/v1/sources', { token })).json).items;
  try {
    await until(async () => (await sources()).some((one) => one.health?.state === 'following'));
  } finally {
    running.child.kill('SIGTERM');
  }
  expect(await running.ended).toMatchObject({ code: 0, stdout: '' });
  const [pbs] = await sources();
  expect(pbs).toMatchObject({
    source: 'pbs',
    sourceInstance: 'beta',
    jobs: 2,
    health: { state: 'stopped', problems: [] },
  });
  const { items } = JobList.parse((await service.ask('GET', '/v1/jobs', { token })).json);
  const startTime = new Date(startMs).toISOString();
  expect(items.sort((a, b) => (a.externalId < b.externalId ? -1 : 1))).toMatchObject([
    {
      ...{
        externalId: '1.beta',
        incarnation: 0,
        account: 'physics',
        user: 'alice',
        name: 'train',
        start: startTime,
      },
      ...{ end: null, boundaries: ['pbs:1.beta'], attributes: { queue: 'gpu' } },
      allocations: [{ node: 'n1', devices: null, count: 2 }],
    },
    { externalId: '2.beta', incarnation: 1, end: new Date(startMs + 90_000).toISOString() },
  ]);
});
