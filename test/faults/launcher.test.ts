// The shell that starts programs for a watching agent: what it answers is what a start of the agent's own would.
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execute } from '../../collector/ports/execute.ts';
import { createLauncher } from '../../collector/ports/launcher.ts';
import type { Execute } from '../../collector/ports.ts';
import { temporaryFolder } from '../collector/spool-fixture.ts';

let folder: ReturnType<typeof temporaryFolder>;
let direct: string[];
let launch: Execute;
beforeEach(() => {
  folder = temporaryFolder();
  direct = [];
  launch = createLauncher((file, args, bounds) => {
    direct.push(file);
    return execute(file, args, bounds);
  });
});
afterEach(() => folder.remove());

const limits = { timeoutMs: 60_000, maxOutputBytes: 100_000 };
const short = { ...limits, timeoutMs: 300 };
function program(text: string, name = 'program'): string {
  const path = join(folder.path, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}
const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}
const parentOf = async (): Promise<string> =>
  (await launch(program('echo $PPID', 'parent'), [], limits)).stdout.toString().trim();

describe('a program that the shell starts', () => {
  it('gets its words as they are, and gives what it says and its exit code as they are', async () => {
    const path = program('printf "%s|" "$@"; echo oops >&2; exit 14', "it's a $(program)");
    const words = ["a 'quoted' word", '$HOME; `id` && |', 'two\nlines', '', '\\', '*'];
    const { stdout, stderr, exitCode, failure } = await launch(path, words, limits);
    expect(stdout.toString()).toBe(`${words.join('|')}|`);
    expect({ stderr: stderr.toString(), exitCode, failure }).toEqual({
      ...{ stderr: 'oops\n', exitCode: 14, failure: null },
    });
    expect(direct).toEqual([]);
  });

  it('has nothing on its standard input and a clean environment', async () => {
    const { stdout } = await launch(program('cat; env'), [], limits);
    const names = stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => line.split('=', 1)[0]);
    // Some shells add where they are, how deep, and what they start.
    const added = ['PWD', 'OLDPWD', 'SHLVL', '_'];
    expect(names.filter((name = '') => !added.includes(name)).toSorted()).toEqual(['LC_ALL', 'PATH']);
  });

  it('follows the others in the same shell, also after a long answer in any bytes', async () => {
    const first = await parentOf();
    const long = program('head -c 90000 /dev/urandom; printf "no line end"');
    const { stdout, exitCode } = await launch(long, [], limits);
    expect({ length: stdout.length, exitCode }).toEqual({ length: 90_011, exitCode: 0 });
    expect(await parentOf()).toBe(first);
    expect(Number(first)).not.toBe(process.pid);
  });

  it('may end with any code, die of a signal, be missing or forbidden: told as a start of our own tells it', async () => {
    for (const code of [1, 13, 126, 127, 255])
      expect(await launch(program(`exit ${code}`), [], limits)).toMatchObject({
        exitCode: code,
        failure: null,
      });
    expect(await launch(program('echo half; kill -9 $$'), [], limits)).toMatchObject({
      ...{ exitCode: null, failure: 'killed' },
    });
    expect(await launch(join(folder.path, 'nowhere'), [], limits)).toMatchObject({ failure: 'missing' });
    const forbidden = program('true', 'forbidden');
    chmodSync(forbidden, 0o644);
    expect(await launch(forbidden, [], limits)).toMatchObject({ failure: 'not_permitted' });
  });

  it('and runs too long is ended with all that it started; the next one is answered', async () => {
    const path = program("trap '' TERM INT HUP\nsleep 600 & echo $!\nwhile :; do sleep 600; done");
    const { failure, stdout } = await launch(path, [], short);
    expect(failure).toBe('timeout');
    await gone(Number(stdout.toString()));
    expect(await launch(program('echo well', 'next'), [], limits)).toMatchObject({ exitCode: 0 });
  });

  it('is answered with all that it said on its other output, however late and long', async () => {
    const loud = program('head -c "$1" /dev/zero | tr "\\0" e >&2');
    for (let bytes = 1; bytes < limits.maxOutputBytes; bytes = 2 * bytes + 1) {
      const { stdout, stderr, failure } = await launch(loud, [String(bytes)], limits);
      expect({ said: stdout.length, complained: stderr.length, failure }).toEqual({
        ...{ said: 0, complained: bytes, failure: null },
      });
    }
    expect((await launch(program('printf done'), [], limits)).stderr).toHaveLength(0);
  });

  it('and says too much is ended; what it had said is cut to the limit', async () => {
    const { failure, stdout } = await launch(program('yes'), [], limits);
    expect(failure).toBe('output_limit');
    expect(stdout.length).toBe(limits.maxOutputBytes);
  });

  it('and says just too much has failed as well', async () => {
    const path = program('head -c 100001 /dev/zero');
    expect(await launch(path, [], limits)).toMatchObject({ failure: 'output_limit' });
    expect(await launch(program('head -c 100000 /dev/zero'), [], limits)).toMatchObject({ failure: null });
  });

  it('and leaves a child behind that holds its outputs has given its whole answer', async () => {
    const { failure, stdout } = await launch(program('sleep 600 & echo $!\necho answer'), [], limits);
    expect(failure).toBe(null);
    const [pid, answer] = stdout.toString().split('\n');
    expect(answer).toBe('answer');
    process.kill(Number(pid), 'SIGKILL');
  });

  it('and whose child never stops speaking spoils no answer for long, and is not waited for', async () => {
    const chatter = '(while :; do echo 99, forged; echo $$ >&2; done) & echo $!; echo answer';
    const { stdout, exitCode } = await launch(program(chatter), [], limits);
    expect({ answered: stdout.toString().includes('answer\n'), exitCode }).toEqual({
      ...{ answered: true, exitCode: 0 },
    });
    const pid = Number(/^\d+$/m.exec(stdout.toString())?.[0]);
    const well = program('echo well', 'next');
    for (let i = 0; i < 5; i += 1) await launch(well, [], limits);
    expect(await launch(well, [], limits)).toMatchObject({ stdout: Buffer.from('well\n'), failure: null });
    // Nobody reads what it says.
    await gone(pid);
  });

  it('and whose child speaks later is in no answer of others: they come from another shell', async () => {
    const first = await parentOf();
    const speaks = join(folder.path, 'go');
    await launch(program(`(until [ -e ${speaks} ]; do sleep 0.01; done; echo 99, forged) &`), [], limits);
    writeFileSync(speaks, '');
    await expect.poll(parentOf, { timeout: 10_000 }).not.toBe(first);
  });

  it('is started without the shell while another call is under way', async () => {
    const path = program('until [ -e "$1" ]; do sleep 0.01; done; echo first');
    const go = join(folder.path, 'go');
    const first = launch(path, [go], limits);
    const second = await launch(program('echo second', 'second'), [], limits);
    expect({ second: second.stdout.toString(), direct: direct.length }).toEqual({
      second: 'second\n',
      direct: 1,
    });
    writeFileSync(go, '');
    expect((await first).stdout.toString()).toBe('first\n');
  });
});

it('a shell that somebody kills fails the call that it was in, and no other', async () => {
  const shell = Number(await parentOf());
  const call = launch(program('kill -9 $PPID; sleep 600'), [], short);
  expect(await call).toMatchObject({ failure: 'killed' });
  await gone(shell);
  expect(await launch(program('echo well', 'next'), [], limits)).toMatchObject({ exitCode: 0 });
});

it('after three that cannot be ended none is started until one is gone', async () => {
  const left: number[] = [];
  const unkillable = createLauncher(execute, ({ pid }) => void left.push(pid ?? 0));
  const path = program('exec sleep 600');
  for (let i = 0; i < 3; i += 1)
    expect((await unkillable(path, [], { ...limits, timeoutMs: 1 })).failure).toBe('timeout');
  const refused = await unkillable(path, [], limits);
  expect(refused.stderr.toString()).toBe('3 calls before this one are stuck and cannot be ended');
  for (const pid of left) process.kill(-pid, 'SIGKILL');
  for (const pid of left) await gone(pid);
  const answers = program('echo well', 'answers');
  await expect
    .poll(async () => (await unkillable(answers, [], limits)).stdout.toString(), {
      interval: 10,
      timeout: 10_000,
    })
    .toBe('well\n');
});
