/** The launcher: whoever has an old Node, or no libraries, reads one line that says what to do. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, cpSync, mkdirSync, mkdtempSync, openSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const TOP = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAMS = [
  ['api/bin.js', 'api/cli/main.ts'],
  ['collector/bin.js', 'collector/cli/main.ts'],
  ['test/simulator/bin.js', 'test/simulator/demo.ts'],
] as const;
/** Makes this Node say that it is an old one. */
const PRETEND_OLD =
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.1.0"}})';

/** A folder with just the launcher and one program: what a clone without `npm ci` looks like to it. */
function clone(bin: string, main: string, below = ''): { folder: string; bin: string } {
  const folder = join(mkdtempSync(join(tmpdir(), 'gpuledger-launch-')), below);
  for (const file of ['package.json', 'api/contract/launch.js', bin, main]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(TOP, file), join(folder, file));
  }
  return { folder, bin: join(folder, bin) };
}

const run = (args: readonly string[]) => spawnSync(process.execPath, args, { encoding: 'utf8' });

test.each(PROGRAMS)('%s without libraries: one line and its remedy', (program, main) => {
  const { folder, bin } = clone(program, main);
  const { status, stdout, stderr } = run([bin, '--help']);
  expect(stderr).toMatch(/^\S+: its libraries are not installed\. Run "npm ci" in \S+\n$/);
  expect(stderr).toContain(folder);
  expect([status, stdout]).toEqual([1, '']);
});

test.each(PROGRAMS)('%s on an old Node alone: one line and its remedy', (program, main) => {
  const { status, stdout, stderr } = run(['--import', PRETEND_OLD, clone(program, main).bin]);
  expect(stderr).toMatch(/^\S+ needs Node 22\.18 or newer, and this is 20\.1\.0\. Run "npm ci" in .+\n$/);
  expect([status, stdout]).toEqual([1, '']);
});

test('on an old Node with another beside it: the program runs there, with its arguments and exit code', () => {
  const { folder, bin } = clone(...PROGRAMS[0]);
  const beside = join(folder, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin');
  mkdirSync(beside, { recursive: true });
  symlinkSync('/bin/echo', join(beside, 'node'));
  const echoed = run(['--import', PRETEND_OLD, bin, 'jobs', 'list']);
  expect([echoed.status, echoed.stdout]).toEqual([0, `${bin} jobs list\n`]);

  const real = run(['--import', PRETEND_OLD, join(TOP, 'api/bin.js'), 'no-such-command']);
  expect([real.status, real.stderr]).toEqual([2, expect.stringContaining('no-such-command')]);
});

test('installed as a package, where Node runs no TypeScript: one line and its remedy', () => {
  const { status, stderr } = run([clone(...PROGRAMS[0], 'node_modules/gpuledger').bin]);
  expect(stderr).toMatch(/^gpuledger does not run from a node_modules folder\. Clone .+\n$/);
  expect(status).toBe(1);
});

test('whoever stops reading early is no error', async () => {
  const child = spawn(process.execPath, [join(TOP, 'api/bin.js'), '--help'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [code] = await once(child, 'close');
  expect([code, stderr]).toEqual([0, '']);
});

test.each([
  [['collector/bin.js', 'run', '--once'], 2],
  [['collector/bin.js', 'doctor'], 2],
  [['api/bin.js', '--help'], 1],
])(
  '%j into a full disk: one line, and no exit code that an answer could have',
  ([bin = '', ...args], expected) => {
    const full = openSync('/dev/full', 'w');
    try {
      const { status, stderr } = spawnSync(process.execPath, [join(TOP, bin), ...args], {
        stdio: ['ignore', full, 'pipe'],
        encoding: 'utf8',
      });
      expect(stderr).toMatch(/^\S+: what it has to say cannot be written: ENOSPC.*\n$/);
      expect(status).toBe(expected);
    } finally {
      closeSync(full);
    }
  },
);
