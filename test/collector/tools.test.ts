// The files through which the GPUs are read, in a root folder of their own with a real linker cache.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { files } from '../../collector/ports/real.ts';
import type { Files } from '../../collector/ports.ts';
import { findInCache, parsePreload } from '../../collector/sources/linker.ts';
import { parseToolState, toolStateText } from '../../collector/tool-state.ts';
import { parseModuleVersion, Tools } from '../../collector/tools.ts';
import { temporaryFolder } from './spool-fixture.ts';

const isRoot = process.getuid?.() === 0;
const canLink = isRoot && ['gcc', 'ldconfig'].every((name) => spawnSync(name, ['--version']).status === 0);
const LIBRARIES = '/usr/lib/own';
const AT_MS = 1_790_002_800_000;

let folder: ReturnType<typeof temporaryFolder>;
let root: string;
beforeEach(() => {
  folder = temporaryFolder();
  root = folder.path;
  for (const one of ['/usr/bin', LIBRARIES, '/etc', '/proc/self', '/proc/driver/nvidia'])
    mkdirSync(join(root, one), { recursive: true });
  put('/proc/self/environ', 'HOME=/root\0PATH=/usr/local/bin:/usr/bin\0');
  put('/usr/bin/nvidia-smi', '#!/bin/sh\n', 0o755);
});
afterEach(() => folder.remove());

const put = (path: string, text: string, mode = 0o644): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  chmodSync(join(root, path), mode);
};
/** The real files of the machine as a changed root shows them. */
const rooted = (): Files => {
  const at = (path: string): string => join(root, path);
  return {
    ...files,
    read: (path, maxBytes) => files.read(at(path), maxBytes),
    list: (path) => files.list(at(path)),
    stat: (path) => files.stat(at(path)),
    digest: (path, maxBytes) => files.digest(at(path), maxBytes),
    realPath: (path) => files.realPath(at(path)).slice(files.realPath(root).length),
  };
};
const newTools = (before = '') =>
  new Tools(
    rooted(),
    { nvidiaSmi: 'nvidia-smi', procRoot: '/proc', architecture: process.arch },
    parseToolState(before),
  );
/** Kinds and details of one look. */
const look = (tools: Tools, driver: string | null = null, atMs = AT_MS): string[] => {
  tools.look(atMs, driver);
  return tools.due(atMs).map(({ kind, detail }) => `${kind}: ${detail}`);
};

describe('the tools', () => {
  it('are told with owner and content, and hashed again only when they were written to', () => {
    symlinkSync('nvidia-smi', join(root, '/usr/bin/smi'));
    const tools = new Tools(
      rooted(),
      { nvidiaSmi: 'smi', procRoot: '/proc', architecture: process.arch },
      null,
    );
    expect(look(tools)).toEqual(isRoot ? [] : [expect.stringContaining('tool_exposed')]);
    const [smi, ...more] = tools.tools ?? [];
    expect(more).toEqual([]);
    expect(smi).toEqual({
      ...{ role: 'nvidia_smi', path: '/usr/bin/nvidia-smi', version: null, sizeBytes: 10 },
      ...{ ownerUid: process.getuid?.(), sha256: files.digest(join(root, '/usr/bin/nvidia-smi'), 100) },
      ...files.identify(join(root, '/usr/bin/nvidia-smi')),
    });
    expect(tools.look(AT_MS, null)).toBe(false);
    put('/usr/bin/nvidia-smi', '#!/bin/sh\nexit\n', 0o755);
    expect(tools.look(AT_MS, null)).toBe(true);
    // A content of the same length under the times of the earlier one is another content.
    const path = join(root, '/usr/bin/nvidia-smi');
    const { changedMs } = files.stat(path);
    const { atime, mtime } = statSync(path);
    while (files.stat(path).changedMs === changedMs) {
      put('/usr/bin/nvidia-smi', '#!/bin/sh\ntrue\n', 0o755);
      utimesSync(path, atime, mtime);
    }
    expect(tools.look(AT_MS, null)).toBe(true);
  });

  it('are found as execvp finds them, and none where there is none', () => {
    put('/usr/local/bin/nvidia-smi', 'not executable');
    const tools = newTools();
    tools.look(AT_MS, null);
    expect(tools.tools?.map(({ path }) => path)).toEqual(['/usr/bin/nvidia-smi']);
    chmodSync(join(root, '/usr/local/bin/nvidia-smi'), 0o755);
    tools.look(AT_MS, null);
    expect(tools.tools?.map(({ path }) => path)).toEqual(['/usr/local/bin/nvidia-smi']);
    rmSync(join(root, '/usr'), { recursive: true });
    tools.look(AT_MS, null);
    expect(tools.tools).toEqual([]);
  });

  it('say what is loaded into every program, once while it stays so', () => {
    put('/etc/ld.so.preload', '# ours\n/usr/lib/own/hide.so:/none.so\n');
    put('/usr/lib/own/hide.so', 'x');
    put('/proc/self/environ', 'PATH=/usr/bin\0LD_PRELOAD=/tmp/wallaby.so\0');
    const tools = newTools();
    const told = look(tools);
    expect(told).toContain('preload_set: /etc/ld.so.preload names /usr/lib/own/hide.so /none.so');
    expect(told).toContain('preload_set: LD_PRELOAD in the environment of the agent names /tmp/wallaby.so');
    expect(tools.tools?.filter(({ role }) => role === 'preload').map(({ path }) => path)).toEqual([
      '/usr/lib/own/hide.so',
    ]);
    expect(look(tools)).toEqual([]);
    // In the next hour it still lasts, and is told again.
    expect(look(tools, null, AT_MS + 3_600_000)).toEqual(told);
  });

  it('notice a changed content or another file, unless the driver is another too', () => {
    const tools = newTools();
    look(tools, '580.95.05');
    put('/usr/bin/nvidia-smi', 'another', 0o755);
    const [changed, ...more] = look(tools, '580.95.05').filter((text) => text.startsWith('tool_changed'));
    expect(changed).toContain('/usr/bin/nvidia-smi has another content');
    expect(more).toEqual([]);
    expect(look(tools, '580.95.05')).toEqual([]);
    // Of this run or an earlier one.
    const saved = tools.state === null ? '' : toolStateText(tools.state);
    put('/usr/local/bin/nvidia-smi', 'shadow', 0o755);
    expect(look(newTools(saved), '580.95.05').join()).toContain(
      '/usr/local/bin/nvidia-smi is used instead of /usr/bin/nvidia-smi; the driver is 580.95.05 as before',
    );
    expect(look(newTools(saved), '590.10').join()).not.toContain('tool_changed');
    expect(look(newTools('{"version":1,"tools":'), '580.95.05').join()).not.toContain('tool_changed');
  });

  it.skipIf(!isRoot)('name who else can write them', () => {
    chmodSync(join(root, '/usr/bin/nvidia-smi'), 0o775);
    expect(look(newTools())).toEqual(['tool_exposed: /usr/bin/nvidia-smi: it can be written by its group']);
    chmodSync(join(root, '/usr/bin/nvidia-smi'), 0o755);
    chownSync(join(root, '/usr/bin'), 1000, 0);
    chmodSync(join(root, '/usr/bin'), 0o757);
    expect(look(newTools())).toEqual([
      'tool_exposed: /usr/bin/nvidia-smi: its folder /usr/bin belongs to uid 1000, its folder /usr/bin can be written by everybody',
    ]);
    // Where links lead through a folder of somebody else, that somebody decides.
    chownSync(join(root, '/usr/bin'), 0, 0);
    chmodSync(join(root, '/usr/bin'), 0o755);
    mkdirSync(join(root, '/usr/local/bin'), { recursive: true });
    chownSync(join(root, '/usr/local/bin'), 1000, 0);
    symlinkSync('../../bin/nvidia-smi', join(root, '/usr/local/bin/nvidia-smi'));
    expect(look(newTools())).toEqual([
      'tool_exposed: /usr/bin/nvidia-smi: its folder /usr/local/bin belongs to uid 1000',
    ]);
  });

  it.skipIf(!canLink)('include the library that the linker would load, by its real cache', () => {
    const real = join(root, LIBRARIES, 'libnvidia-ml.so.580.95.05');
    execFileSync('gcc', ['-shared', '-Wl,-soname,libnvidia-ml.so.1', '-o', real, '-x', 'c', '/dev/null']);
    put('/etc/ld.so.conf', `${LIBRARIES}\n`);
    execFileSync('ldconfig', ['-r', root]);
    put(
      '/proc/driver/nvidia/version',
      'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (x@y)\nGCC version:  gcc 13\n',
    );
    const tools = newTools();
    expect(look(tools, '580.95.05')).toEqual([]);
    expect(tools.tools?.find(({ role }) => role === 'libnvidia_ml')).toMatchObject({
      ...{ path: `${LIBRARIES}/${basename(real)}`, version: '580.95.05' },
      ...{ sha256: files.digest(real, 10_000_000), ownerUid: 0 },
    });
    execFileSync('mv', [real, join(root, LIBRARIES, 'libnvidia-ml.so.580.159.03')]);
    execFileSync('ldconfig', ['-r', root]);
    const told = look(tools, '580.95.05').join('\n');
    expect(told).toContain(
      'version_mismatch: kernel module 580.95.05, nvidia-smi says 580.95.05, library 580.159.03',
    );
    expect(told).toContain('libnvidia-ml.so.580.159.03 is used instead of');
  });
});

describe('what the linker reads', () => {
  it.skipIf(spawnSync('ldconfig', ['-p']).status !== 0)('agrees with ldconfig about this machine', () => {
    const cache = readFileSync('/etc/ld.so.cache');
    const listed = execFileSync('ldconfig', ['-p'], { encoding: 'utf8' });
    const own = process.arch === 'x64' ? 'libc6,x86-64' : 'libc6,AArch64';
    const rows = [...listed.matchAll(/^\t(\S+) \(([^)]*)\) => (\S+)$/gm)].filter(
      ([, , kind]) => kind === own,
    );
    expect(rows.length).toBeGreaterThan(10);
    for (const [, name = '', , path = ''] of rows)
      expect(findInCache(cache, name, process.arch)).toContain(path);
    expect(findInCache(cache, 'libnone.so.1', process.arch)).toEqual([]);
  });

  it('finds nothing in what is no cache, whatever is in it', () => {
    const header = fc.constantFrom('', 'glibc-ld.so.cache1.1', 'ld.so-1.7.0');
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 400 }), (start, rest) => {
        const cache = Buffer.concat([Buffer.from(start), rest]);
        for (const path of findInCache(cache, 'libc.so.6', 'x64')) expect(path).toMatch(/^\//);
      }),
    );
  });

  it('takes preload lists apart as the linker does', () => {
    expect(parsePreload('/a.so /b.so:/c.so\t/d.so\n# no\n/e.so # no\n')).toEqual([
      ...['/a.so', '/b.so', '/c.so', '/d.so', '/e.so'],
    ]);
  });

  it('knows the version of the kernel module in both of its forms', () => {
    expect(
      parseModuleVersion(
        'NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 14:37:44 UTC 2024\n',
      ),
    ).toBe('470.256.02');
    expect(
      parseModuleVersion('NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  610.1  Release Build\n'),
    ).toBe('610.1');
    expect(parseModuleVersion('NVRM version: none\n')).toBeNull();
  });

  it('takes back the state that it wrote, and no other', () => {
    const state = { driverVersion: '580.95.05', tools: [] };
    expect(parseToolState(toolStateText(state))).toEqual(state);
    for (const text of ['', 'null', '[]', '{}', '{"version":1,"driverVersion":5,"tools":[]}'])
      expect(parseToolState(text)).toBeNull();
    const bad = { version: 1, driverVersion: null, tools: [{ role: 'nvidia_smi', path: 5 }] };
    expect(parseToolState(JSON.stringify(bad))).toBeNull();
  });
});
