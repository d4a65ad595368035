import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { files } from '../../collector/ports/real.ts';
import {
  createProcfs,
  parseBootTimeMs,
  parseCgroup,
  parseClaims,
  parseCommandLine,
  parseExecutablePath,
  parseLoginUid,
  parseStat,
  parseStatus,
  parseUptimeMs,
} from '../../collector/sources/procfs.ts';
import { BOOT_ID, BOOT_SECONDS, ProcFixture } from './proc-fixture.ts';

const REST = 'S 1 4621 4621 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3';

describe('parsers of /proc', () => {
  it.each([
    ['a plain name', 'sleep', 'sleep'],
    ['a name that imitates the rest of the line', 'a) R 1 1\nq', 'a) R 1 1\\x0aq'],
    ['brackets', '((sd-pam))', '((sd-pam))'],
    ['no name', '', ''],
    ['bytes that are no text', Buffer.from([0xff, 0x28]), '\\xff('],
  ])('takes %s from stat', (_what, comm, expected) => {
    const line = Buffer.concat([Buffer.from('4621 ('), Buffer.from(comm), Buffer.from(`) ${REST}\n`)]);
    expect(parseStat(line)).toEqual({
      pid: 4621,
      comm: expected,
      state: 'S',
      parentPid: 1,
      sessionId: 4621,
      kernelThread: false,
      startTicks: 987_654,
    });
  });

  it('knows kernel threads, zombies and pids of seven digits', () => {
    const stat = parseStat(
      Buffer.from('4194303 (kworker/0:1) Z 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 20 0 1 0 12 0\n'),
    );
    expect(stat).toMatchObject({ pid: 4_194_303, state: 'Z', kernelThread: true, startTicks: 12 });
  });

  it.each([
    '',
    '1',
    '1 (a',
    '1 a) S 1',
    ') (',
    '1 (a) S',
    '1 (a) S x 1 1 0 -1 0',
    '99999999999 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 5',
    '1 (a) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 9007199254740991',
    '1 (a) 5 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 5',
  ])('refuses %j as stat', (text) => {
    expect(parseStat(Buffer.from(text))).toBeNull();
  });

  it('reads user and namespace pids from status', () => {
    const status = Buffer.from('Name:\tx\\nUid:\t0\nUid:\t2001\t0\t0\t0\nNSpid:\t21265\t1\n');
    expect(parseStatus(status)).toEqual({ uid: 2001, namespacePids: [21_265, 1] });
    expect(parseStatus(Buffer.from('nothing'))).toEqual({ uid: null, namespacePids: [] });
  });

  it('tells no login from the login of root', () => {
    expect(parseLoginUid(Buffer.from('4294967295'))).toBeNull();
    expect(parseLoginUid(Buffer.from('0'))).toBe(0);
  });

  it('splits arguments at NUL, empty ones and a missing end included', () => {
    expect(parseCommandLine(Buffer.from('a\0\0b c\0'), false)).toEqual({
      argv: ['a', '', 'b c'],
      cut: false,
    });
    expect(parseCommandLine(Buffer.from('ray::IDLE'), false).argv).toEqual(['ray::IDLE']);
    expect(parseCommandLine(Buffer.alloc(0), false)).toEqual({ argv: [], cut: false });
    expect(parseCommandLine(Buffer.from([0x61, 0xff, 0]), false).argv).toEqual(['a\\xff']);
    expect(parseCommandLine(Buffer.alloc(131_000, 'x'), false).argv[0]).toHaveLength(131_000);
    expect(parseCommandLine(Buffer.from('\0'.repeat(5000)), false)).toMatchObject({ cut: true });
  });

  it('takes only names of jobs from an environment', () => {
    const environ =
      'PATH=/bin\0SLURM_JOB_ID=42\0SECRET=x\0SLURM_JOB_ID=43\0X_SLURM_JOB_ID=9\0RAY_JOB_ID=\x1b\0=\0PBS_JOBID';
    expect(parseClaims(Buffer.from(environ))).toEqual([
      { name: 'SLURM_JOB_ID', value: '42' },
      { name: 'RAY_JOB_ID', value: '\\x1b' },
    ]);
  });

  it('keeps the lines of a cgroup file and escapes what is inside them', () => {
    expect(parseCgroup(Buffer.from('1:cpu:/a\x1bb\n0::/c d\n'))).toBe('1:cpu:/a\\x1bb\n0::/c d');
  });

  it('keeps the owner in a cgroup file that is made too long', () => {
    const deep = '/x'.repeat(2000);
    const text = parseCgroup(
      Buffer.from(`3:freezer:/slurm/uid_1/job_7${deep}\n2:cpu:${deep}\n1:pids:${deep}\n0::/system.slice\n`),
    );
    expect(text.length).toBeLessThanOrEqual(8192);
    expect(text.split('\n').map((line) => line.slice(0, 28))).toEqual([
      '3:freezer:/slurm/uid_1/job_7',
      '2:cpu:/x/x/x/x/x/x/x/x/x/x/x',
      '1:pids:/x/x/x/x/x/x/x/x/x/x/',
      '0::/system.slice',
    ]);
  });

  it('tells deleted executables and memory files', () => {
    expect(parseExecutablePath(Buffer.from('/tmp/x (deleted)'))).toEqual({
      path: '/tmp/x',
      deleted: true,
    });
    expect(parseExecutablePath(Buffer.from('/memfd:torch_shm (deleted)'))).toEqual({
      path: '/memfd:torch_shm',
      deleted: true,
    });
    expect(parseExecutablePath(Buffer.from('/usr/bin/python'))).toEqual({
      path: '/usr/bin/python',
      deleted: false,
    });
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (array) => {
        const bytes = Buffer.from(array);
        for (const parse of [
          parseStat,
          parseStatus,
          parseLoginUid,
          parseClaims,
          parseCgroup,
          parseExecutablePath,
          parseBootTimeMs,
          parseUptimeMs,
        ])
          parse(bytes);
        const { argv } = parseCommandLine(bytes, false);
        expect(argv.length).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});

describe('a relocated /proc', () => {
  let proc: ProcFixture;
  beforeEach(() => {
    proc = new ProcFixture();
  });
  afterEach(() => proc.destroy());

  it('tells boot, its time and its processes', () => {
    proc.put({ pid: 4_194_303 });
    proc.write('self-made/stat', '');
    const procfs = createProcfs(files, proc.root);
    expect(procfs.bootId()).toBe(BOOT_ID);
    expect(procfs.bootTimeMs(0)).toBe(BOOT_SECONDS * 1000);
    expect(procfs.pids()).toEqual([4_194_303]);
  });

  it('fills the seconds of the boot time from the uptime, as far as they agree', () => {
    const procfs = createProcfs(files, proc.root);
    proc.write('uptime', '100.25 3.00\n');
    expect(procfs.bootTimeMs(BOOT_SECONDS * 1000 + 100_900)).toBe(BOOT_SECONDS * 1000 + 650);
    expect(procfs.bootTimeMs(BOOT_SECONDS * 1000 + 200_900)).toBe(BOOT_SECONDS * 1000);
  });

  it('says in words why something cannot be read', () => {
    proc.put({ pid: 7, exe: null });
    const procfs = createProcfs(files, proc.root);
    expect(procfs.stat(8)).toEqual({ ok: false, gone: true, why: 'not there' });
    expect(procfs.executable('7')).toEqual({ ok: false, gone: true, why: 'not there' });
    proc.write('9/stat', '1 (imitation) S 1');
    expect(procfs.stat(9)).toEqual({ ok: false, gone: false, why: 'not understood' });
  });

  it('looks through a living thread when the first one has ended', () => {
    proc.put({ pid: 50, state: 'Z', exe: null });
    proc.write('50/task/50/stat', '');
    const procfs = createProcfs(files, proc.root);
    const before = procfs.stat(50);
    expect(before.ok && procfs.folder(before.value)).toBe('50');
    proc.write('50/task/51/stat', '');
    expect(before.ok && procfs.folder(before.value)).toBe('50/task/51');
  });
});
