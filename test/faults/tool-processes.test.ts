// Programs that do not end as programs should: really started, with what the ledger says where a poll is at stake.
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createExecute, execute } from '../../collector/ports/execute.ts';
import { temporaryFolder } from '../collector/spool-fixture.ts';
import { FaultSite, POLL_MS } from './site.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const limits = { timeoutMs: 300, maxOutputBytes: 100_000 };
function program(text: string): string {
  const path = join(folder.path, 'program');
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}
const isAlive = (pid: number): boolean => {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
};
async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('a tool that was started', () => {
  it('and ignores every signal that can be ignored is ended, with its children that hold the pipe', async () => {
    const path = program("trap '' TERM INT HUP\nsleep 600 & echo $!\nwhile :; do sleep 600; done");
    const { failure, stdout } = await execute(path, [], limits);
    expect(failure).toBe('timeout');
    await gone(Number(stdout.toString()));
  });

  it('and leaves a child behind that holds the pipe has given its whole answer when it ends', async () => {
    const path = program('sleep 600 & echo $!\necho answer\nexit 14');
    const { failure, exitCode, stdout } = await execute(path, [], { ...limits, timeoutMs: 60_000 });
    expect({ failure, exitCode }).toEqual({ failure: null, exitCode: 14 });
    const [pid, answer] = stdout.toString().split('\n');
    expect(answer).toBe('answer');
    process.kill(Number(pid), 'SIGKILL');
  });

  it('and is killed by somebody else in the middle of its output has no answer', async () => {
    const path = program('echo half; kill -9 $$');
    expect(await execute(path, [], limits)).toMatchObject({ failure: 'killed', exitCode: null });
  });

  it('and cannot be ended is left behind; after three of them no more are started until one is gone', async () => {
    const left: number[] = [];
    const unkillable = createExecute(({ pid }) => void left.push(pid ?? 0));
    const path = program('exec sleep 600');
    const calls = [1, 2, 3].map(() => unkillable(path, [], limits));
    for (const executed of await Promise.all(calls)) expect(executed.failure).toBe('timeout');
    expect(left).toHaveLength(3);
    const refused = await unkillable(path, [], limits);
    expect(refused.failure).toBe('timeout');
    expect(refused.stderr.toString()).toBe('3 calls before this one are stuck and cannot be ended');
    for (const pid of left) process.kill(pid, 'SIGKILL');
    for (const pid of left) await gone(pid);
    const answers = program('echo well');
    // Refused at once while the ended ones are not reaped; that takes turns of the event loop.
    await expect
      .poll(async () => (await unkillable(answers, [], { ...limits, timeoutMs: 5000 })).stdout.toString(), {
        interval: 10,
        timeout: 10_000,
      })
      .toBe('well\n');
  });

  it('with more on its command line than the system takes is an answer, not an end', async () => {
    const { failure, stderr } = await execute('/bin/true', ['x'.repeat(4_000_000)], limits);
    expect(failure).toBe('failed');
    expect(stderr.toString()).toMatch(/E2BIG/);
  });
});

it('calls that are stuck show in the ledger as tool_timeout, and in the problems of the node', async () => {
  const site = new FaultSite();
  await site.pass(5);
  const left: number[] = [];
  const unkillable = createExecute(({ pid }) => void left.push(pid ?? 0));
  const path = program('exec sleep 600');
  // Three that never end, then what the port says of the next one.
  site.faults.execute =
    () =>
    (_file, args, { maxOutputBytes }) =>
      unkillable(path, args, { timeoutMs: 1, maxOutputBytes });
  await Promise.all([1, 2, 3].map(() => unkillable(path, [], { ...limits, timeoutMs: 1 })));
  await site.pass(3);
  for (const pid of left) process.kill(pid, 'SIGKILL');
  site.faults.execute = null;
  await site.pass(20);
  await site.end();
  const { idle, ...dark } = site.booked();
  expect(Object.keys(dark)).toEqual(['unobserved tool_timeout']);
  expect((dark['unobserved tool_timeout'] ?? 0) + (idle ?? 0)).toBe(27 * POLL_MS);
  expect(site.problems().join('\n')).toMatch(/3 calls before this one are stuck and cannot be ended/);
  expect(await site.differences()).toEqual([]);
  await site.close();
});
