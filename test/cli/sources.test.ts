/** `gpuledger sources`: the file of sources and what is said of wrong ones, tests of sources, and secrets. */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readSourcesFile } from '../../api/cli/sources-file.ts';
import { type Service, startService } from '../http/service.ts';
import { temporaryFolder } from '../store/site.ts';
import { run } from './gpuledger.ts';

let service: Service;
let folder: string;
let token: string;
beforeAll(async () => {
  service = await startService();
  folder = temporaryFolder();
  token = await service.tokenFor('scheduler');
});
afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

const write = (name: string, text: string, mode = 0o644): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};
const sources = (words: string[], environment: Record<string, string> = {}) =>
  run(['sources', ...words], { GPULEDGER_URL: service.url, GPULEDGER_TOKEN: token, ...environment });

describe('a file of sources that is wrong', () => {
  const wrong: [string, string, RegExp][] = [
    ['is no YAML', 'sources: [', /is no YAML/],
    ['names no source', 'sources: []', /sources: /],
    ['has an unknown kind', 'sources: [{kind: cron}]', /sources\.0\.kind: .*slurm, kubernetes/],
    ['has an unknown member', 'sources: [{kind: slurm, cluster: a, clutser: b}]', /sources\.0: .*clutser/],
    ['lacks a member', 'sources: [{kind: slurm}]', /sources\.0\.cluster: /],
    [
      'has one of another type',
      'sources: [{kind: slurm, cluster: a, pollSeconds: soon}]',
      /sources\.0\.pollSeconds: /,
    ],
    [
      'has one twice',
      'sources: [{kind: slurm, cluster: a}, {kind: slurm, cluster: a}]',
      /sources\.1: slurm\/a is there/,
    ],
    [
      'names a program without a path',
      'sources: [{kind: command, source: pbs, program: [qstat]}]',
      /program: must begin/,
    ],
    [
      'takes another kind’s name',
      'sources: [{kind: command, source: slurm, program: [/x]}]',
      /source: must not be one of/,
    ],
  ];
  test.each(wrong)('%s', (_what, text, message) => {
    expect(() => readSourcesFile(write('wrong.yaml', text), () => 0)).toThrow(message);
  });

  test('is wrong usage', async () => {
    const none = await sources(['test', '--config', join(folder, 'none.yaml')]);
    expect(none).toMatchObject({ code: 2, stderr: expect.stringMatching(/cannot be read/) });
  });
});

describe('a source of one’s own', () => {
  const config = (program: string, more = ''): string =>
    write(
      'own.yaml',
      `sources: [{kind: command, source: pbs, instance: beta, program: ['${program}']${more}}]`,
    );

  test('is tested: whether it runs, whether its lines can be read, whether the service takes the token', async () => {
    const line = '{"externalId":"1","account":"a","start":"2026-10-01T00:00:00Z","allocations":[]}';
    const good = await sources([
      'test',
      '--config',
      config(write('good', `#!/bin/sh\necho '${line}'\n`, 0o755)),
    ]);
    expect(good).toMatchObject({ code: 0, stderr: '' });
    expect(good.stdout).toMatch(/^ok {5}pbs\/beta program: it printed 1 lines$/m);
    expect(good.stdout).toMatch(/^ok {5}service token/m);
    const half = await sources([
      'test',
      '--config',
      config(write('half', `#!/bin/sh\necho '{"exter'\n`, 0o755)),
    ]);
    expect(half.code).toBe(1);
    expect(half.stdout).toMatch(/^FAILED pbs\/beta lines: line 1 is no JSON/m);
    const viewer = await service.tokenFor('agent');
    const missing = ['test', '--json', '--config', config(join(folder, 'nothing'))];
    const refused = await sources(missing, { GPULEDGER_TOKEN: viewer });
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.stdout)).toMatchObject({
      checks: [
        { name: 'program', ok: false },
        { source: 'service', ok: false },
      ],
    });
  });

  test('never shows a credential that it prints itself', async () => {
    // Whatever the variable is called: the settings say that the program is given it.
    for (const variable of ['PBS_TOKEN', 'PBS_LOGIN']) {
      const text = `#!/bin/sh\necho "cannot sign in with $${variable}" >&2\nexit 3\n`;
      const path = config(write('leak', text, 0o755), `, environment: [${variable}]`);
      for (const command of ['test', 'explain']) {
        const ran = await sources([command, '--config', path], { [variable]: 'hunter2-hunter2' });
        if (command === 'test') expect(ran.stdout).toMatch(/^FAILED pbs\/beta program: .*\[redacted\]/m);
        expect(ran.stdout + ran.stderr).not.toContain('hunter2');
      }
    }
  });

  test('never shows who signs in by an address, nor what a file of tokens holds', async () => {
    const secret = 'hunter2-hunter2';
    const tokenFile = write('ray.token', secret);
    const path = write(
      'signs-in.yaml',
      [
        `service: {url: 'http://ann:${secret}@127.0.0.1:1', tokenFile: '${tokenFile}'}`,
        `sources: [{kind: ray, url: 'http://ann:${secret}@127.0.0.1:1', account: nlp, tokenFile: '${tokenFile}'}]`,
      ].join('\n'),
    );
    for (const command of ['test', 'explain']) {
      const ran = await sources([command, '--config', path], { GPULEDGER_URL: '', GPULEDGER_TOKEN: '' });
      expect(ran.stdout).toContain('127.0.0.1:1');
      expect(ran.stdout + ran.stderr).not.toContain('hunter2');
    }
  });

  test('is explained: what it reads, its settings with defaults, and how it stands', async () => {
    const path = config(join(folder, 'good'));
    const problems = [{ at: new Date().toISOString(), subject: 'job 7', message: 'its end is no time' }];
    const health = { state: 'failing', problems };
    const body = { completeTo: '2026-10-01T00:00:00Z', health };
    expect((await service.ask('PUT', '/v1/sources/pbs/beta', { token, body })).status).toBe(200);
    const after = (await sources(['explain', '--config', path])).stdout;
    expect(after).toMatch(/intervalSeconds 60/);
    expect(after).toMatch(/complete to 2026-10-01T00:00:00.000Z/);
    expect(after).toMatch(/job 7: its end is no time/);
    expect((await sources([])).stdout).toMatch(/pbs +beta +scheduler +failing/);
  });
});
