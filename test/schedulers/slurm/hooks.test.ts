/** Prolog and epilog: what they send, and that nothing of it ever reaches the job. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { JobIn } from '../../../api/contract/jobs.ts';
import { temporaryFolder, until } from '../../e2e/processes.ts';

const HOOKS = fileURLToPath(new URL('../../../docs/deploy/slurm/', import.meta.url));
const folder = temporaryFolder('hooks');
const conf = join(folder.path, 'hooks.conf');
const heard: { authorization: string | undefined; body: unknown }[] = [];
/** A service that takes what comes, and never answers. */
const server = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    heard.push({
      authorization: request.headers.authorization,
      body: JSON.parse(Buffer.concat(parts).toString('utf8')),
    });
  });
  response.on('error', () => undefined);
});

const squeue = (line: string) =>
  writeFileSync(join(folder.path, 'squeue'), `#!/bin/sh\n[ "$TZ" = UTC ] && echo '${line}'\n`, {
    mode: 0o755,
  });
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  writeFileSync(join(folder.path, 'token'), 'glt_secret\n');
  writeFileSync(
    conf,
    `GPULEDGER_URL=http://127.0.0.1:${port}/\nGPULEDGER_TOKEN_FILE=${join(folder.path, 'token')}\n`,
  );
});
beforeEach(() => {
  heard.length = 0;
  squeue('8 |2026-11-23T07:45:29 |2026-11-23T07:45:32 |cpu=1,gres/gpu=2 |');
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  folder.remove();
});

const job = {
  ...{ SLURM_JOB_ID: '8', SLURM_JOB_UID: '2001', SLURM_JOB_USER: 'alice', SLURM_JOB_ACCOUNT: 'research' },
  ...{ SLURM_JOB_GPUS: '0,3', SLURMD_NODENAME: 'gn1', SLURM_CLUSTER_NAME: 'lab' },
};
/** Ends when the hook does, with all that holds its output. */
function hook(name: string, more: Record<string, string | undefined> = {}): void {
  const env = { GPULEDGER_HOOKS_CONF: conf, SLURM_BIN: folder.path, ...job, ...more };
  const { status, stdout, stderr } = spawnSync(join(HOOKS, name), { env, encoding: 'utf8' });
  expect([status, stdout, stderr]).toEqual([0, '', '']);
}
const sent = async () => JobIn.parse((await until('what it sends', () => heard[0])).body);

test('the prolog says which devices the job has on this node, and waits for no answer', async () => {
  hook('prolog.sh');
  expect(await sent()).toMatchObject({
    ...{ source: 'slurm', sourceInstance: 'lab', externalId: '8', incarnation: 1_795_419_929, partial: true },
    ...{ account: 'research', user: 'alice', uid: 2001, start: '2026-11-23T07:45:32Z', end: null },
    allocations: [{ node: 'gn1', indices: [0, 3] }],
  });
  expect(heard[0]?.authorization).toBe('Bearer glt_secret');
});

test('the epilog says the same with an end', async () => {
  hook('epilog.sh');
  const [allocation] = (await sent()).allocations;
  expect(allocation).toMatchObject({ node: 'gn1', indices: [0, 3], end: expect.stringMatching(/Z$/) });
});

test('what could leave its quotes is not sent, and 20.11 names devices elsewhere', async () => {
  hook('prolog.sh', {
    ...{ SLURM_JOB_ACCOUNT: 'a","x":"', SLURM_JOB_USER: '$(id)', SLURM_JOB_UID: '1;2' },
    ...{ SLURM_JOB_GPUS: undefined, CUDA_VISIBLE_DEVICES: '1' },
  });
  expect(await sent()).toMatchObject({
    account: 'none',
    user: null,
    uid: null,
    allocations: [{ indices: [1] }],
  });
});

describe('devices that Slurm counts in the order of the bus', () => {
  const bus = { GPULEDGER_INDICES: 'bus', GPULEDGER_PROC: folder.path };
  beforeAll(() => {
    for (const [address, minor] of [
      ['0000:0b:00.0', 2],
      ['0000:1b:00.0', 0],
      ['0000:8b:00.0', 1],
    ]) {
      const gpu = join(folder.path, 'driver/nvidia/gpus', String(address));
      mkdirSync(gpu, { recursive: true });
      writeFileSync(
        join(gpu, 'information'),
        `Model: \t\t NVIDIA A100\nIRQ:   \t\t 42\nDevice Minor: \t ${minor}\nGPU Excluded:\t No\n`,
      );
    }
  });

  test('are said by the numbers of their device nodes', async () => {
    hook('prolog.sh', { ...bus, SLURM_JOB_GPUS: '0,2' });
    expect((await sent()).allocations).toMatchObject([{ indices: [2, 1] }]);
  });

  test('are not said where the driver has no such device', async () => {
    hook('prolog.sh', { ...bus, SLURM_JOB_GPUS: '0,3' });
    hook('prolog.sh', { ...bus, GPULEDGER_PROC: '/nowhere' });
    squeue('9 |2026-11-23T07:45:29 |2026-11-23T07:45:32 |gres/gpu=1 |');
    hook('prolog.sh', { ...bus, SLURM_JOB_ID: '9', SLURM_JOB_GPUS: '1' });
    expect(await sent()).toMatchObject({ externalId: '9', allocations: [{ indices: [0] }] });
  });
});

test.each<[string, Record<string, string | undefined>]>([
  ['no settings', { GPULEDGER_HOOKS_CONF: '/nowhere' }],
  ['no devices', { SLURM_JOB_GPUS: '' }],
  ['MIG instances', { SLURM_JOB_GPUS: 'MIG-1' }],
  ['no job', { SLURM_JOB_ID: '8; rm' }],
  ['a node that is no name', { SLURMD_NODENAME: '"' }],
])('without a word where there are %s', async (_, more) => {
  hook('prolog.sh', more);
  // One that does speak, after it: what came first would have been heard first.
  squeue('9 |2026-11-23T07:45:29 |2026-11-23T07:45:32 |gres/gpu=1 |');
  hook('prolog.sh', { SLURM_JOB_ID: '9' });
  expect((await sent()).externalId).toBe('9');
});

test.each([
  ['parts of devices', '8 |2026-11-23T07:45:29 |2026-11-23T07:45:32 |gres/shard=3 |'],
  ['MIG profiles', '8 |2026-11-23T07:45:29 |2026-11-23T07:45:32 |gres/gpu:1g.5gb=1 |'],
  ['a job that waits', '8 |2026-11-23T07:45:29 |N/A |gres/gpu=1 |'],
  ['another job', '88 |2026-11-23T07:45:29 |2026-11-23T07:45:32 |gres/gpu=1 |'],
])('nor where squeue tells of %s', async (_, line) => {
  squeue(line);
  hook('prolog.sh');
  // What works behind it has its script among its arguments.
  await until('it to have asked', () =>
    spawnSync('pgrep', ['-f', 'squeue --noheader']).status === 1 ? true : null,
  );
  expect(heard).toEqual([]);
});
