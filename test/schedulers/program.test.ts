/** Programs of a scheduler: bounded in time and size, in a clean environment. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ProgramError, runProgram } from '../../api/schedulers/program.ts';
import { temporaryFolder, until } from '../e2e/processes.ts';

async function run(script: string, more: Partial<Parameters<typeof runProgram>[0]> = {}) {
  const parts: Buffer[] = [];
  let error: unknown = null;
  try {
    const call = { file: '/bin/sh', args: ['-c', script], silenceMs: 60_000, maxBytes: 1_000_000, ...more };
    for await (const chunk of runProgram(call)) parts.push(chunk);
  } catch (thrown) {
    error = thrown;
  }
  return { text: Buffer.concat(parts).toString('utf8'), error };
}

test('have UTC, one language, and nothing of our environment', async () => {
  process.env['GPULEDGER_TOKEN'] = 'secret';
  const { text } = await run('env; date +%Z', { environment: { SLURM_CONF: '/x' } });
  delete process.env['GPULEDGER_TOKEN'];
  expect(text).toContain('LC_ALL=C\n');
  expect(text).toContain('SLURM_CONF=/x\n');
  expect(text).toMatch(/\nUTC\n$/);
  expect(text).not.toContain('GPULEDGER');
});

test('that fail say so in their own words, after what they answered', async () => {
  const { text, error } = await run('echo half; echo "no controller" >&2; exit 3');
  expect(text).toBe('half\n');
  expect(error).toMatchObject({ failure: 'failed', said: 'no controller\n' });
  expect(String(error)).toContain('exit code 3): no controller');
});

test.each([
  ['silent', 'echo x; sleep 600', { silenceMs: 200 }],
  ['too_large', 'yes', { maxBytes: 100_000 }],
  ['failed', 'kill -9 $$', {}],
])('end as %s', async (failure, script, more) => {
  expect((await run(script, more)).error).toMatchObject({ failure });
});

test('that are not there, or may not be run', async () => {
  expect((await run('', { file: '/nowhere/squeue' })).error).toMatchObject({ failure: 'missing' });
  expect((await run('', { file: '/etc/passwd' })).error).toMatchObject({ failure: 'not_permitted' });
});

test('are ended with all that they started when they are stopped, or read no further', async () => {
  const folder = temporaryFolder('program');
  const isGone = (name: string) => {
    const pid = Number(readFileSync(join(folder.path, name), 'utf8'));
    try {
      return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ') ? true : null;
    } catch {
      return true;
    }
  };
  const script = (name: string) => `sleep 600 & echo $! > ${join(folder.path, name)}; echo started; wait`;
  const stop = new AbortController();
  const stopped = run(script('a'), { signal: stop.signal });
  await until('its pid', () => readFileSync(join(folder.path, 'a'), 'utf8') || null);
  stop.abort();
  expect((await stopped).error).toMatchObject({ failure: 'stopped' });
  await until('the end of its child', () => isGone('a'));
  const call = { file: '/bin/sh', args: ['-c', script('b')], silenceMs: 60_000, maxBytes: 1000 };
  for await (const _ of runProgram(call)) break;
  await until('the end of its child', () => isGone('b'));
  expect((await run('', { signal: stop.signal })).error).toBeInstanceOf(ProgramError);
  folder.remove();
});
