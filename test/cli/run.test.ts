/** `gpuledger run`: the declaration, the environment, exit codes, signals, and a service that is away. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type JobDetail, JobList } from '../../api/contract/jobs.ts';
import { type Service, startService } from '../http/service.ts';
import { type Ran, run, start, until } from './gpuledger.ts';

let service: Service;
let environment: Record<string, string>;
beforeAll(async () => {
  service = await startService();
  environment = { GPULEDGER_URL: service.url, GPULEDGER_TOKEN: await service.tokenFor('owner') };
});
afterAll(() => service.stop());

const declare = (command: string[], flags: string[] = []): Promise<Ran> =>
  run(['run', '--account', 'research', ...flags, '--', ...command], environment);
async function job(id: string): Promise<JobDetail> {
  const token = environment['GPULEDGER_TOKEN'] ?? '';
  return (await service.ask('GET', `/v1/jobs/${id}`, { token })).json as JobDetail;
}

test('the command runs as the root process of a declared job, and finds its job in the environment', async () => {
  const script =
    'echo "$GPULEDGER_JOB_ID $$ $(cut -d" " -f22 /proc/$$/stat) [$GPULEDGER_TOKEN]"; echo "$1" >&2; exit 7';
  const ran = await declare(
    ['sh', '-c', script, 'x', 'a b'],
    ['--gpus', '2', '--name', 'try', '--exec', '/bin/*'],
  );
  expect([ran.code, ran.stderr]).toEqual([7, 'a b\n']);
  const [id = '', pid, ticks, token] = ran.stdout.trim().split(' ');
  expect(token).toBe('[]');
  const declared = await job(id);
  expect(declared).toMatchObject({
    ...{ source: 'run', account: 'research', name: 'try', executables: ['/bin/*'], version: 2 },
    root: {
      node: hostname().split('.')[0],
      bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      pid: Number(pid),
      startTicks: Number(ticks),
    },
    allocations: [{ count: 2, devices: null }],
  });
  // It was declared before the command began, and ended with it.
  expect(declared.versions[0]?.end).toBeNull();
  expect(declared.end).not.toBeNull();
});

test('a name that is not given does not repeat arguments, which may hold secrets', async () => {
  const ran = await declare(['sh', '-c', 'echo $GPULEDGER_JOB_ID', '--password=hunter2']);
  expect((await job(ran.stdout.trim())).name).toBe('sh');
});

test('a signal reaches the command, and its number becomes the exit code', async () => {
  const running = start(
    [
      'run',
      '--account',
      'research',
      '--',
      'sh',
      '-c',
      'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done',
    ],
    environment,
  );
  await until(() => running.stdout().includes('up'));
  running.child.kill('SIGTERM');
  expect(await running.ended).toMatchObject({ code: 3, stdout: 'up\nbye\n' });
  const killed = await declare(['sh', '-c', 'kill -KILL $$']);
  expect(killed.code).toBe(137);
  expect((await declare(['/nonexistent/program'])).code).toBe(127);
});

test('while the service is away the command runs, unless --strict; a wrong token is said too', async () => {
  const away = { GPULEDGER_URL: 'http://127.0.0.1:9', GPULEDGER_TOKEN: 'glt_x' };
  const strict = await run(['run', '--account', 'a', '--strict', '--', 'sh', '-c', 'echo ran'], away);
  expect([strict.code, strict.stdout]).toEqual([1, '']);
  expect(strict.stderr).toContain('does not answer');
  const refused = await run(['run', '--account', 'a', '--', 'sh', '-c', 'echo ran; exit 4'], {
    ...environment,
    GPULEDGER_TOKEN: 'glt_wrong',
  });
  expect([refused.code, refused.stdout]).toEqual([4, 'ran\n']);
  expect(refused.stderr).toContain('running without a declaration');
});

test('a declaration that failed is made as soon as the service is there', async () => {
  // A port that is free now; the service comes up on it while the command runs.
  const first = await startService();
  const { url } = first;
  const token = await first.tokenFor('admin');
  await first.app.stop();
  const running = start(
    [
      'run',
      '--account',
      'late',
      '--',
      'sh',
      '-c',
      'while [ ! -e "$0" ]; do sleep 0.05; done',
      `${first.folder}/go`,
    ],
    {
      GPULEDGER_URL: url,
      GPULEDGER_TOKEN: token,
    },
  );
  await until(() => running.stderr().includes('trying again'));
  const { createApp, createLog } = await import('../../api/app.ts');
  const app = await createApp({
    dataFolder: first.folder,
    host: '127.0.0.1',
    port: Number(new URL(url).port),
    log: createLog('silent'),
  });
  await app.start();
  await until(() => running.stderr().includes('declared now'));
  const { writeFileSync } = await import('node:fs');
  writeFileSync(`${first.folder}/go`, '');
  expect((await running.ended).code).toBe(0);
  const answer = await fetch(`${url}/v1/jobs`, { headers: { authorization: `Bearer ${token}` } });
  const jobs = JobList.parse(await answer.json());
  expect(jobs.items.map((one) => [one.account, one.end !== null])).toEqual([['late', true]]);
  await app.stop();
}, 60_000);
