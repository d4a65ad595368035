/** The process table on the real /proc, with processes that this test starts and ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable, type ProcessTable } from '../../collector/processes.ts';

const SLEEP = '/bin/sleep';
const started: number[] = [];

const newTable = () => createProcessTable({ files, clock }, { procRoot: '/proc', passwdPath: '/etc/passwd' });
const factOf = (table: ProcessTable, pid: number) => table.liveFacts().facts.find((fact) => fact.pid === pid);
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 10 });
const commOf = (pid: number) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();

function start(file: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess & { pid: number } {
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: '/usr/bin:/bin', ...env },
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} did not start`);
  started.push(pid);
  return Object.assign(child, { pid });
}

/** Ends what the test started, by pid; what has gone already is none of its business. */
function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

const firstLine = (child: ChildProcess): Promise<string> =>
  new Promise((resolve) =>
    child.stdout?.once('data', (data: Buffer) => resolve(data.toString('utf8').trim())),
  );

afterEach(() => {
  for (const pid of started.splice(0)) end(pid);
});

describe('real processes', () => {
  it('tells this process and all its ancestors', () => {
    const table = newTable();
    const nowMs = Date.now();
    const key = table.observe([process.pid], nowMs).get(process.pid);
    const { facts, personal } = table.changedFacts();
    const own = facts.find((fact) => fact.key === key);
    expect(own).toMatchObject({ pid: process.pid, uid: process.getuid?.(), exitedMs: null, unreadable: [] });
    expect(own?.executable?.path).toBe(process.execPath);
    expect(own?.startedMs).toBeGreaterThan(nowMs - process.uptime() * 1000 - 5000);
    expect(own?.startedMs).toBeLessThanOrEqual(nowMs);
    expect(facts[0]?.parent).toBeNull();
    expect(personal.map((record) => record.digest)).toContain(own?.personal);
    const keys = new Set(facts.map((fact) => fact.key));
    for (const fact of facts) expect(fact.parent === null || keys.has(fact.parent)).toBe(true);
    expect(table.bootId()).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  });

  it('tells a file that bears the mark of deletion in its name from one that is deleted', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'marked-'));
    try {
      const plain = join(folder, 'train');
      const marked = `${plain} (deleted)`;
      copyFileSync(SLEEP, plain);
      copyFileSync(SLEEP, marked);
      const [gone, there] = [start(plain, ['300']).pid, start(marked, ['300']).pid];
      await eventually(() => expect([commOf(gone), commOf(there)]).toEqual(['train', 'train (deleted)']));
      rmSync(plain);
      const table = newTable();
      table.observe([gone, there], Date.now());
      expect(factOf(table, gone)?.executable).toMatchObject({ path: plain, deleted: true });
      expect(factOf(table, there)?.executable).toMatchObject({ path: marked, deleted: false });
      table.changedFacts();
      table.observe([gone, there], Date.now());
      // Nothing changed: it is not taken for an exec at each look.
      expect(table.changedFacts().facts).toEqual([]);
      rmSync(marked);
      table.observe([gone, there], Date.now());
      expect(factOf(table, there)?.executable).toMatchObject({ path: marked, deleted: true });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('keeps the lineage of a process that left its session and lost its parent', async () => {
    const shell = start('sh', ['-c', 'setsid sleep 300 & echo $!; read line'], { SLURM_JOB_ID: '4711' });
    const pid = Number(await firstLine(shell));
    started.push(pid);
    await eventually(() => expect(commOf(pid)).toBe('sleep'));
    const table = newTable();
    const nowMs = Date.now();
    table.observe([pid], nowMs);
    const before = factOf(table, pid);
    expect(before?.parent).toBe(factOf(table, shell.pid)?.key);
    expect(before?.claims).toEqual([{ name: 'SLURM_JOB_ID', value: '4711' }]);
    shell.stdin?.end('\n');
    await eventually(() => expect(existsSync(`/proc/${shell.pid}`)).toBe(false));
    table.observe([pid], nowMs + 60_000);
    expect(factOf(table, pid)).toEqual(before);
    expect(factOf(table, shell.pid)?.exitedMs).toBe(nowMs + 60_000);
  });

  it('sees an exec: the same process, another executable', async () => {
    const shell = start('sh', ['-c', 'echo ready; read line; exec sleep 300']);
    await firstLine(shell);
    const table = newTable();
    const key = table.observe([shell.pid], Date.now()).get(shell.pid);
    const before = factOf(table, shell.pid)?.executable;
    shell.stdin?.write('\n');
    await eventually(() => expect(commOf(shell.pid)).toBe('sleep'));
    expect(table.observe([shell.pid], Date.now()).get(shell.pid)).toBe(key);
    const after = factOf(table, shell.pid);
    expect(after?.earlierExecutables).toEqual([before]);
    expect(after?.executable?.path).toMatch(/\/sleep$/);
  });

  it('sees a renamed copy through its disguise, also when the file is deleted while it runs', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'disguise-'));
    try {
      const copy = join(folder, 'nvidia-persistenced');
      copyFileSync(SLEEP, copy);
      const child = start(copy, ['300']);
      const table = newTable();
      const nowMs = Date.now();
      table.observe([child.pid], nowMs);
      expect(factOf(table, child.pid)).toMatchObject({
        comm: 'nvidia-persiste',
        executable: { path: copy, deleted: false, fileSystem: expect.any(String) },
      });
      rmSync(copy);
      table.observe([child.pid], nowMs + 60_000);
      expect(factOf(table, child.pid)).toMatchObject({
        executable: { path: copy, deleted: true, fileSystem: expect.any(String) },
        earlierExecutables: [],
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('redacts and escapes the command line before it leaves the table', async () => {
    const child = start('sh', [
      '-c',
      'echo ready; read line',
      '\x1b[2J',
      '--password',
      'hunter2Hunter2',
      'a\\b',
    ]);
    await firstLine(child);
    const table = newTable();
    table.observe([child.pid], Date.now());
    const said = JSON.stringify([table.changedFacts(), table.exportState()]);
    expect(said).not.toContain('hunter2Hunter2');
    const digest = factOf(table, child.pid)?.personal;
    expect(table.liveFacts().personal.find((record) => record.digest === digest)?.value).toMatchObject({
      commandLine: 'sh -c echo ready; read line \\x1b[2J --password [redacted] a\\x5cb',
      commandLineCut: false,
    });
  });

  it('notices between two polls when one ends, and tells when it was found gone', async () => {
    const child = start(SLEEP, ['300']);
    const other = start(SLEEP, ['300']);
    const table = newTable();
    table.observe([child.pid, other.pid], 10_000);
    const keys = table.liveFacts().facts.flatMap((fact) => (fact.pid === child.pid ? fact.key : []));
    const [key = ''] = keys;
    table.noticeEnds(11_000);
    expect(table.endOf(key)).toBeNull();
    const gone = new Promise((resolve) => child.once('exit', resolve));
    end(child.pid);
    await gone;
    table.noticeEnds(12_000);
    table.noticeEnds(13_000);
    expect(table.endOf(key)).toBe(11_500);
    table.observe([other.pid], 15_000);
    expect(table.endOf(key)).toBe(11_500);
    expect(factOf(table, child.pid)?.exitedMs).toBe(12_000);
    expect(factOf(table, other.pid)?.exitedMs).toBeNull();
    table.observe([other.pid], 20_000);
    expect(table.endOf(key)).toBeNull();
  });
});
