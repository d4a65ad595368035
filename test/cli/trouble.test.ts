/** What a person meets who calls gpuledger wrongly or in the wrong place: one line that says what to do. */
import { existsSync, mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { run, start, until } from './gpuledger.ts';

const folder = mkdtempSync(join(tmpdir(), 'gpuledger-trouble-'));

/** Runs `gpuledger` and holds that it says one line, of its own making, and nothing else. */
async function complaint(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(args);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^gpuledger: .+\n$/);
  return `${code} ${stderr.slice('gpuledger: '.length).trimEnd()}`;
}

test('start on a port that is taken', async () => {
  const other = createServer();
  onTestFinished(() => void other.close());
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const address = other.address();
  const port = String(typeof address === 'object' ? address?.port : '');
  expect(await complaint('start', '--data', join(folder, 'start'), '--port', port)).toBe(
    `1 port ${port} on 127.0.0.1 is taken. Stop what uses it, or choose another with --port`,
  );
});

test('a second service on the same folder', async () => {
  const data = join(folder, 'used');
  const first = start(['serve', '--data', data, '--port', '0']);
  onTestFinished(async () => {
    first.child.kill('SIGTERM');
    await first.ended;
  });
  await until(() => first.stdout().includes('sign-in?code='));
  expect(await complaint('start', '--data', data, '--port', '0')).toMatch(
    /^1 another gpuledger service uses .*used\. Stop .*--data/,
  );
});

test.each([['verify'], ['token', 'list'], ['token', 'create', '--role', 'viewer']])(
  '%s %s in a wrong folder: said, and not made into one',
  async (...command) => {
    const nowhere = join(folder, 'nowhere');
    expect(await complaint(...command, '--data', nowhere)).toMatch(/^[12] there is no .*--data/);
    expect(existsSync(nowhere)).toBe(false);
  },
);

test.each([
  [['serve', '--data', ''], '2 --data (or GPULEDGER_DATA) must name a folder'],
  [['serve', '--prot', '3'], "2 unknown option '--prot' (Did you mean --port?). See: gpuledger serve --help"],
  [['fnidings'], "2 unknown command 'fnidings' (Did you mean findings?). See: gpuledger --help"],
  [['token', 'make'], "2 unknown command 'make'. See: gpuledger token --help"],
])('wrong usage: %j', async (args, expected) => {
  expect(await complaint(...args)).toBe(expected);
});
