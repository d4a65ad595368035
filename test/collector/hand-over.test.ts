// What `run` becomes: the same process with another program in it, which loads little and leaves nothing of it to others.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from './spool-fixture.ts';

const collector = (path: string): string =>
  fileURLToPath(new URL(`../../collector/${path}`, import.meta.url));
const WATCHING = collector('cli/watching.ts');

/** Packages and modules of Node that a file loads, by itself and by ours that it imports; types are not loaded. */
function loadedBy(path: string, seen = new Set<string>()): Set<string> {
  const packages = new Set<string>();
  if (seen.has(path)) return packages;
  seen.add(path);
  const imports = /^(?:import|export) (?!type )(?:[^'";]*? from )?'([^']+)'/gm;
  for (const [, specifier = ''] of readFileSync(path, 'utf8').matchAll(imports)) {
    const found = specifier.startsWith('.') ? loadedBy(resolve(path, '..', specifier), seen) : [specifier];
    for (const one of found) packages.add(one);
  }
  return packages;
}

describe('the program that watches', () => {
  it('loads no library but those that it reads with, and no client that brings everything along', () => {
    const loaded = [...loadedBy(WATCHING)];
    expect(loaded.filter((name) => !name.startsWith('node:')).sort()).toEqual([
      'fast-xml-parser',
      'ipaddr.js',
    ]);
    expect(loaded).not.toContain('node:http');
    expect(loaded).not.toContain('node:https');
    expect([...loadedBy(collector('cli/main.ts'))]).toContain('zod');
  });
});

describe('run', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let child: ChildProcess | null = null;
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(() => {
    child?.kill('SIGKILL');
    folder.remove();
  });
  const until = async (what: () => boolean): Promise<void> => {
    while (!what()) await new Promise((wake) => setTimeout(wake, 20));
  };

  it('becomes it within the same process, and tells programs that it starts nothing of that or of the token', async () => {
    const tool = join(folder.path, 'nvidia-smi');
    const asked = join(folder.path, 'asked');
    writeFileSync(tool, `#!/bin/sh\nenv > ${asked}.new; mv ${asked}.new ${asked}\n`);
    chmodSync(tool, 0o755);
    const args = ['--api', 'http://127.0.0.1:1', '--spool', join(folder.path, 'spool'), '--nvidia-smi', tool];
    child = spawn(process.execPath, [collector('cli/main.ts'), 'run', ...args], {
      env: { PATH: process.env['PATH'] ?? '', GPULEDGER_TOKEN: 'glt_x' },
      stdio: 'ignore',
    });
    await until(() => existsSync(asked));
    const line = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').split('\0');
    expect(line).toContain(WATCHING);
    // Whoever lists processes still sees what it was started with.
    expect(line.slice(line.indexOf('run'))).toEqual(['run', ...args, '']);
    // The shell adds PWD and _. Neither ours nor the token is for a tool.
    const names = readFileSync(asked, 'utf8')
      .trim()
      .split('\n')
      .map((pair) => pair.split('=')[0] ?? '');
    expect(names.filter((name) => !['PWD', '_', 'SHLVL'].includes(name)).sort()).toEqual(['LC_ALL', 'PATH']);
  });
});
