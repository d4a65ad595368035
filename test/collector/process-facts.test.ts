/** What is told of real processes: where they live, what they run from, and whose words are kept. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ProcessPersonal } from '../../api/contract/batch.ts';
import { sha256Hex } from '../../api/contract/canonical.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable, type ProcessTable } from '../../collector/processes.ts';
import { HeldStats } from '../../collector/sources/held-stats.ts';
import { createProcfs } from '../../collector/sources/procfs.ts';

const asRoot = process.getuid?.() === 0;
const T = Date.now();
const started: ChildProcessWithoutNullStreams[] = [];
let folder: string;

const newTable = (procRoot = '/proc') =>
  createProcessTable({ files, clock }, { procRoot, passwdPath: '/etc/passwd' });
const factOf = (table: ProcessTable, pid: number) => table.liveFacts().facts.find((fact) => fact.pid === pid);
const inode = (pid: number, name: string) =>
  Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/${name}`))?.[0] ?? Number.NaN);

function wordsOf(table: ProcessTable, pid: number): ProcessPersonal | null {
  const { facts, personal } = table.liveFacts();
  const digest = facts.find((fact) => fact.pid === pid)?.personal;
  const value = personal.find((record) => record.digest === digest)?.value;
  return value?.kind === 'process' ? value : null;
}

/** Starts a program and waits for its first line; `next` gives further ones. */
async function start(file: string, args: string[]) {
  const child = spawn(file, args, { stdio: 'pipe', detached: true });
  started.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => String((await lines.next()).value);
  const first = await next();
  return { pid: child.pid ?? 0, first, next, say: (line: string) => child.stdin.write(`${line}\n`) };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'facts-'));
});
afterEach(async () => {
  for (const child of started.splice(0)) {
    const ended = new Promise((resolve) => child.once('close', resolve));
    // The whole group: what a shell started goes with it.
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    await ended;
  }
  rmSync(folder, { recursive: true });
});

const copyOf = (program: string, ...place: string[]): string => {
  const path = join(...place);
  mkdirSync(join(path, '..'), { recursive: true });
  copyFileSync(program, path);
  chmodSync(path, 0o755);
  return path;
};

describe('where a process lives', () => {
  it('is told by its session and namespaces, as /proc numbers them', () => {
    const table = newTable();
    table.observe([process.pid], T);
    const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ') ?? [];
    expect(factOf(table, process.pid)).toMatchObject({
      sessionId: Number(fields[3]),
      namespaces: Object.fromEntries(
        ['pid', 'net', 'mnt', 'user'].map((name) => [name, inode(process.pid, name)]),
      ),
    });
  });

  it.runIf(asRoot)('is noticed when it moves without an exec', async () => {
    const program =
      'import ctypes,sys\nprint(1,flush=True)\ninput()\n' +
      'print(ctypes.CDLL(None).unshare(0x40000000),flush=True)\ninput()';
    const child = await start('python3', ['-c', program]);
    const table = newTable();
    table.observe([child.pid], T);
    expect(factOf(table, child.pid)?.namespaces?.net).toBe(inode(process.pid, 'net'));
    child.say('');
    expect(await child.next()).toBe('0');
    table.observe([child.pid], T + 60_000);
    expect(table.changedFacts().facts.map((fact) => fact.namespaces?.net)).toContain(inode(child.pid, 'net'));
    expect(inode(child.pid, 'net')).not.toBe(inode(process.pid, 'net'));
  });
});

describe('what a program runs from', () => {
  it('is memory, when it was never in a folder', async () => {
    const program =
      'import os\nfd=os.memfd_create("torch_shm")\n' +
      'os.write(fd,open("/bin/sh","rb").read())\nos.execve(fd,["python","-c","echo ready; read line"],os.environ)';
    const child = await start('python3', ['-c', program]);
    const table = newTable();
    table.observe([child.pid], T);
    expect(child.first).toBe('ready');
    expect(factOf(table, child.pid)?.executable).toMatchObject({
      path: '/memfd:torch_shm',
      deleted: true,
      fileSystem: 'memfd',
    });
  });

  it.runIf(asRoot)('is a file system in memory, also one that only it sees', async () => {
    const script =
      `mount -t tmpfs none ${folder} && cp /bin/sh ${folder}/w && chmod 755 ${folder}/w && ` +
      `exec ${folder}/w -c 'echo ready; read line'`;
    const child = await start('unshare', ['--mount', 'sh', '-c', script]);
    const table = newTable();
    table.observe([child.pid, process.pid], T);
    expect(child.first).toBe('ready');
    expect(factOf(table, child.pid)?.executable?.fileSystem).toBe('tmpfs');
    expect(factOf(table, process.pid)?.executable?.fileSystem).not.toBe('tmpfs');
  });
});

describe('an exec', () => {
  it('of a process that uses a device is noticed by the next poll, though its name stays', async () => {
    const shell = copyOf('/bin/sh', folder, 'one/worker');
    const other = copyOf('/bin/sh', folder, 'two/worker');
    const back = `exec ${shell} -c "echo back; read line"`;
    const child = await start(shell, [
      '-c',
      `echo ready; read line; exec ${other} -c 'echo there; read line; ${back}'`,
    ]);
    const table = newTable();
    table.observe([child.pid], T);
    child.say('');
    expect(await child.next()).toBe('there');
    table.observe([child.pid], T + 5000);
    child.say('');
    expect(await child.next()).toBe('back');
    table.observe([child.pid], T + 10_000);
    const fact = factOf(table, child.pid);
    expect(fact?.executable?.path).toBe(shell);
    expect(fact?.earlierExecutables.map(({ path }) => path)).toEqual([shell, other]);
  });
});

describe('a pid', () => {
  it.runIf(asRoot)('that another has taken between two polls is another process', async () => {
    const script = 'echo ready; while read command; do eval "$command"; done';
    const shell = await start('unshare', ['--pid', '--fork', '--mount-proc', 'sh', '-c', script]);
    const inner = await vi.waitFor(() => {
      const [pid] = readFileSync(`/proc/${shell.pid}/task/${shell.pid}/children`, 'latin1').split(' ');
      expect(pid).toMatch(/^\d+$/);
      return Number(pid);
    });
    shell.say('sleep 300 & echo $!');
    const pid = Number(await shell.next());
    const root = `/proc/${inner}/root/proc`;
    const table = newTable(root);
    const first = table.observe([pid], T).get(pid);
    const held = new HeldStats(files, root);
    const stat = createProcfs(files, root).stat(pid);
    if (stat.ok) held.hold(stat.value);
    expect(held.read(pid, false)).not.toBeNull();
    // A start is told to a hundredth of a second.
    shell.say('t=$(cut -d" " -f1 /proc/uptime); while [ $(cut -d" " -f1 /proc/uptime) = $t ]; do :; done');
    shell.say(
      `kill -9 ${pid}; wait ${pid}; echo ${pid - 1} >/proc/sys/kernel/ns_last_pid; sleep 300 & echo $!`,
    );
    expect(Number(await shell.next())).toBe(pid);
    expect(held.read(pid, false)).toBeNull();
    held.releaseOthers(new Set());
    const second = table.observe([pid], T + 5000).get(pid);
    expect(second).not.toBe(first);
    const facts = table.liveFacts().facts.filter((fact) => fact.pid === pid);
    expect(facts.map((fact) => [fact.key, fact.exitedMs])).toEqual([
      [first, T + 5000],
      [second, null],
    ]);
  });
});

describe('the words of a command line', () => {
  it('are kept of a process that uses a device; of its ancestors, who they are and a digest', async () => {
    const inner = 'echo $$; read line';
    const outer = await start('sh', [
      '-c',
      `sh -c '${inner}' private-word; true`,
      '--token',
      'of-nobody-else',
    ]);
    const pid = Number(outer.first);
    const table = newTable();
    table.observe([pid], T);
    expect(wordsOf(table, pid)?.commandLine).toBe(`sh -c ${inner} private-word`);
    const user = wordsOf(table, pid)?.user;
    expect(wordsOf(table, outer.pid)).toEqual({
      kind: 'process',
      user,
      commandLine: null,
      commandLineCut: false,
    });
    const redacted = `sh -c sh -c '${inner}' private-word; true --token [redacted]`;
    expect(factOf(table, outer.pid)?.argumentsDigest).toBe(sha256Hex(redacted));
    expect(JSON.stringify(table.exportState())).not.toContain('true --token');

    table.changedFacts();
    table.observe([pid, outer.pid], T + 5000);
    expect(table.changedFacts().facts.map((fact) => fact.pid)).toContain(outer.pid);
    expect(wordsOf(table, outer.pid)?.commandLine).toBe(redacted);
  });
});
