// Stat files held open: on real processes, and on lines that a process could make.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
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
/** How many files of processes are open here; what else the test's runner opens does not count. */
const descriptors = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /^\/proc\/\d+\/(stat|comm)$/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false; // the one that reads this list, which is closed by now
    }
  }).length;
/** What stays the same of a process that goes on; its times of use may grow between two readings. */
const identity = (stat: ProcessStat | null) => stat && { pid: stat.pid, startTicks: stat.startTicks };

describe('a held process', () => {
  it('is read again and again, until it has ended', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const before = descriptors();
    const held = new HeldStats(files, '/proc');
    expect(held.read(pid, true)).toBeNull();
    held.hold(statOf(pid));
    expect(identity(held.read(pid, true))).toEqual(identity(statOf(pid)));
    expect(identity(held.read(pid, true))).toEqual(identity(statOf(pid)));
    expect(descriptors()).toBe(before + 2);
    expect(held.isOver(pid)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(held.read(pid, true)).toBeNull();
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
    expect(held.read(process.pid, true)).toBeNull();
  });

  it('is let go with all that nobody asks for any more', () => {
    const before = descriptors();
    const held = new HeldStats(files, '/proc');
    held.hold(statOf(process.pid));
    held.hold(statOf(process.ppid));
    held.releaseOthers(new Set([process.pid]));
    expect(held.read(process.pid, true)?.pid).toBe(process.pid);
    expect(held.read(process.ppid, true)).toBeNull();
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

describe('what held files tell', () => {
  const rest = '1 900 900 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 5000 1000 10 0';
  const first = `900 (python) R ${rest}`;
  /** What the kernel would say of process 900; `name` is its own file. */
  const holding = (said: { stat: string; name: string }): HeldStats => {
    const hold: Files['hold'] = (path) => ({
      read: () => Buffer.from(`${path.endsWith('/comm') ? said.name : said.stat}\n`),
      close: () => undefined,
    });
    const held = new HeldStats({ ...files, hold }, '/proc');
    const stat = parseStat(Buffer.from(first));
    if (stat !== null) held.hold(stat);
    return held;
  };

  it('follows its state and its parent when it is asked for afresh, and its name at once', () => {
    const said = { stat: first, name: 'python' };
    const held = holding(said);
    said.stat = `900 (python) S ${rest.replace('1', '77')}`;
    expect(held.read(900, false)).toMatchObject({ state: 'R', parentPid: 1 });
    expect(held.read(900, true)).toMatchObject({ state: 'S', parentPid: 77 });
    said.stat = `900 (miner) S ${rest}`;
    said.name = 'miner';
    expect(held.read(900, false)).toMatchObject({ comm: 'miner', parentPid: 1, startTicks: 5000 });
  });

  it('sees through a name that goes on like the fields behind it', () => {
    const said = { stat: first, name: 'a' };
    const held = holding(said);
    said.stat = `900 (a) R 1 900 900 (b) R ${rest}`;
    said.name = 'a) R 1 900 9';
    expect(held.read(900, false)?.comm).toBe('a) R 1 900 900 (b');
  });

  it('is nothing where it is no stat line, or that of another process', () => {
    for (const stat of ['nonsense', `900 (bash) R ${rest.replace('5000', '6000')}`, '900']) {
      const said = { stat: first, name: 'python' };
      const held = holding(said);
      said.stat = stat;
      expect(held.read(900, true)).toBeNull();
      expect(held.read(900, false)).toBeNull();
    }
  });

  it('goes without the name where that cannot be held', () => {
    const hold: Files['hold'] = (path) => {
      if (path.endsWith('/comm')) throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
      return files.hold(path);
    };
    const held = new HeldStats({ ...files, hold }, '/proc');
    held.hold(statOf(process.pid));
    expect(held.read(process.pid, false)?.pid).toBe(process.pid);
    expect(held.isOver(process.pid)).toBe(false);
    held.releaseOthers(new Set());
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
