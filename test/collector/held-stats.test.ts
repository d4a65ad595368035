// Stat files held open: on real processes, and on lines that a process could make.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { files } from '../../collector/ports/real.ts';
import type { Files } from '../../collector/ports.ts';
import { HeldStats } from '../../collector/sources/held-stats.ts';
import { createProcfs, type ProcessStat, parseStat } from '../../collector/sources/procfs.ts';
import { temporaryFolder } from './spool-fixture.ts';

const procfs = createProcfs(files, '/proc');
function statOf(pid: number): ProcessStat {
  const stat = procfs.stat(pid);
  if (!stat.ok) throw new Error(stat.why);
  return stat.value;
}
const descriptors = (): number => readdirSync('/proc/self/fd').length;

describe('a held process', () => {
  it('is read again and again, until it has ended', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const before = descriptors();
    const held = new HeldStats(files, '/proc');
    expect(held.read(pid)).toBeNull();
    held.hold(statOf(pid));
    expect(held.read(pid)).toEqual(statOf(pid));
    expect(held.read(pid)).toEqual(statOf(pid));
    expect(descriptors()).toBe(before + 2);
    expect(held.isOver(pid)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(held.read(pid)).toBeNull();
    expect(descriptors()).toBe(before);
  });

  it('is over once it has ended, which nobody else is told of who is not held', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const before = descriptors();
    const held = new HeldStats(files, '/proc');
    expect(held.isOver(pid)).toBe(false);
    held.hold(statOf(pid));
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(held.isOver(pid)).toBe(true);
    expect(held.isOver(pid)).toBe(false);
    expect(descriptors()).toBe(before);
  });

  it('is not held when another has its pid by then', () => {
    const held = new HeldStats(files, '/proc');
    const own = statOf(process.pid);
    held.hold({ ...own, startTicks: own.startTicks - 1 });
    expect(held.read(process.pid)).toBeNull();
  });

  it('is let go with all that nobody asks for any more', () => {
    const before = descriptors();
    const held = new HeldStats(files, '/proc');
    held.hold(statOf(process.pid));
    held.hold(statOf(process.ppid));
    held.releaseOthers(new Set([process.pid]));
    expect(held.read(process.pid)?.pid).toBe(process.pid);
    expect(held.read(process.ppid)).toBeNull();
    held.releaseOthers(new Set());
    expect(descriptors()).toBe(before);
  });
});

it('where few descriptors are allowed a quarter of them is used, and the others are read by their path', () => {
  let held = 0;
  const hold: Files['hold'] = (path) => {
    held += 1;
    return files.hold(path);
  };
  const read: Files['read'] = (path, maxBytes) =>
    path === '/proc/self/limits'
      ? { bytes: Buffer.from('Max open files            64                   64        files\n'), cut: false }
      : files.read(path, maxBytes);
  const stats = new HeldStats({ ...files, hold, read }, '/proc');
  const sleepers = Array.from({ length: 10 }, () => spawn('sleep', ['600'], { stdio: 'ignore' }));
  for (const { pid } of sleepers) stats.hold(statOf(pid ?? 0));
  expect(held).toBe(16);
  stats.releaseOthers(new Set());
  for (const sleeper of sleepers) sleeper.kill('SIGKILL');
});

it('a process whose stat cannot be held leaves no other file of it open', () => {
  const before = descriptors();
  const hold: Files['hold'] = (path) => {
    if (path.endsWith('/stat')) throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
    return files.hold(path);
  };
  const stats = new HeldStats({ ...files, hold }, '/proc');
  stats.hold(statOf(process.pid));
  expect(descriptors()).toBe(before);
});

describe('what a held file tells', () => {
  const rest = '1 900 900 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 5000 1000 10 0';
  /** Each line stands for one read; the last one for all that follow. */
  const reading = (...lines: string[]): HeldStats => {
    const left = lines.map((line) => Buffer.from(`${line}\n`));
    const read = (): Buffer => (left.length > 1 ? left.shift() : left[0]) ?? Buffer.alloc(0);
    const stub: Files = { ...files, hold: () => ({ read, close: () => undefined }) };
    const held = new HeldStats(stub, '/proc');
    const first = parseStat(Buffer.from(`900 (python) R ${rest}`));
    if (first !== null) held.hold(first);
    return held;
  };

  it('follows its state, its parent and its name', () => {
    const held = reading(
      `900 (python) R ${rest}`,
      `900 (python) S ${rest}`,
      `900 (python) S ${rest.replace('1', '77')}`,
      `900 (miner) S ${rest}`,
    );
    expect(held.read(900)?.state).toBe('S');
    expect(held.read(900)?.parentPid).toBe(77);
    expect(held.read(900)).toMatchObject({ comm: 'miner', parentPid: 1, startTicks: 5000 });
  });

  it('sees through a name that goes on like the fields behind it', () => {
    const held = reading(`900 (a) R ${rest}`, `900 (a) R 1 900 900 (b) R ${rest}`);
    expect(held.read(900)?.comm).toBe('a) R 1 900 900 (b');
  });

  it('is nothing where it is no stat line, or that of another process', () => {
    expect(reading(`900 (python) R ${rest}`, 'nonsense').read(900)).toBeNull();
    expect(
      reading(`900 (python) R ${rest}`, `900 (bash) R ${rest.replace('5000', '6000')}`).read(900),
    ).toBeNull();
    expect(reading(`900 (python) R ${rest}`, '900').read(900)).toBeNull();
  });
});

describe('a folder that is not the kernel’s', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(() => folder.remove());

  it('is not held: its files do not tell when a process ends', () => {
    const path = join(folder.path, 'stat');
    writeFileSync(path, '1 (x) S 0');
    const before = descriptors();
    expect(() => files.hold(path)).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
    expect(() => files.hold(join(folder.path, 'none'))).toThrow(/ENOENT/);
    expect(descriptors()).toBe(before);
  });
});
