/** Real processes in real control groups and namespaces: what the agent outside tells of them. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { cgroupOwner } from '../../api/contract/cgroup.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable, type ProcessTable } from '../../collector/processes.ts';
import { showsWholeMachine } from '../../collector/sources/proc-view.ts';
import { createSocketSource, parseEndpoint } from '../../collector/sources/sockets.ts';

const T = Date.now();
const NOBODY = 65_534;
const READY = 'echo ready; read line';
const V1 = '/sys/fs/cgroup/devices';
const V2 = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((path) =>
  existsSync(join(path, 'cgroup.controllers')),
);
const works = (file: string, ...args: string[]): boolean => spawnSync(file, args).status === 0;
const can = {
  namespaces: works('unshare', '--pid', '--fork', '--mount-proc', '--net', 'true'),
  users: works('unshare', '--user', '--map-root-user', 'true'),
  python: works('python3', '-c', ''),
  perl: works('perl', '-e', '1'),
};
const needs = (context: TestContext, what: keyof typeof can): void =>
  context.skip(!can[what], `this machine allows or has no ${what}`);

const started: ChildProcessWithoutNullStreams[] = [];
const groups: string[] = [];
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gpuledger-spaces-'));
});
afterEach(async () => {
  for (const child of started.splice(0)) {
    const ended = new Promise((resolve) => child.once('close', resolve));
    if (child.pid !== undefined) killGroup(child.pid);
    await ended;
  }
  for (const group of groups.splice(0).reverse()) await expect.poll(() => removed(group)).toBe(true);
  rmSync(folder, { recursive: true, force: true });
});

/** What was started has a group of its own, which what it started is in too. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}

function removed(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch {
    return !existsSync(group);
  }
}

/** Starts a program and waits for its first line; `next` gives further ones. */
async function start(file: string, args: string[], uid?: number) {
  const child = spawn(file, args, {
    stdio: 'pipe',
    detached: true,
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  started.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => String((await lines.next()).value);
  const first = await next();
  return { pid: child.pid ?? 0, first, next, say: (line: string) => child.stdin.write(`${line}\n`) };
}

const newTable = (procRoot = '/proc') =>
  createProcessTable({ files, clock }, { procRoot, passwdPath: '/etc/passwd' });
const factOf = (table: ProcessTable, pid: number) => table.liveFacts().facts.find((fact) => fact.pid === pid);
const childOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')[0]);

function enter(root: string, names: readonly string[], pid: number): void {
  let group = root;
  for (const name of names) {
    group = join(group, name);
    if (existsSync(group)) continue;
    mkdirSync(group);
    groups.push(group);
  }
  writeFileSync(join(group, 'cgroup.procs'), String(pid));
}

describe('control groups', () => {
  const unique = String(process.pid);

  it('of version 1 name the job, whatever group a process makes below it', async (context) => {
    context.skip(!existsSync(join(V1, 'cgroup.procs')), 'no version 1 hierarchy is mounted');
    const { pid } = await start('sh', ['-c', READY]);
    const job = [`slurm_t${unique}`, 'uid_1000', `job_${unique}`, 'step_0'];
    enter(V1, job, pid);
    const table = newTable();
    table.observe([pid], T);
    expect(cgroupOwner(factOf(table, pid)?.cgroup ?? '')).toMatchObject({
      boundary: `slurm:${unique}`,
      step: '0',
      uid: 1000,
    });
    enter(V1, [...job, 'docker', 'a'.repeat(64)], pid);
    table.observe([pid], T + 60_000);
    expect(cgroupOwner(factOf(table, pid)?.cgroup ?? '')?.boundary).toBe(`slurm:${unique}`);
  });

  it('of version 2 name the job, and a move out of it is kept as what was before', async (context) => {
    const root = V2 ?? '';
    context.skip(V2 === undefined, 'no version 2 hierarchy is mounted');
    const { pid } = await start('sh', ['-c', READY]);
    // A slice of its own: the machine's system.slice is not the test's.
    const slice = `gpuledgertest${unique}.slice`;
    enter(root, [slice, 'slurmstepd.scope', `job_${unique}`, 'step_batch', 'user', 'task_0'], pid);
    const table = newTable();
    table.observe([pid], T);
    const before = factOf(table, pid)?.cgroup ?? '';
    expect(before).toContain(`0::/${slice}/slurmstepd.scope/job_${unique}/step_batch/user/task_0`);
    expect(cgroupOwner(before)).toMatchObject({ boundary: `slurm:${unique}`, step: 'batch', task: '0' });
    writeFileSync(join(root, 'cgroup.procs'), String(pid));
    table.observe([pid], T + 60_000);
    const fact = factOf(table, pid);
    expect(fact?.earlierCgroups).toEqual([before]);
    expect(cgroupOwner(fact?.cgroup ?? '')?.boundary).not.toBe(`slurm:${unique}`);
  });

  it('are told as the host sees them, also of a process in a cgroup namespace', async (context) => {
    const root = V2 ?? '';
    context.skip(V2 === undefined, 'no version 2 hierarchy is mounted');
    needs(context, 'namespaces');
    const name = `docker-${'c'.repeat(64)}.scope`;
    const { pid, next, say } = await start('sh', [
      '-c',
      `${READY}; exec unshare --cgroup sh -c "tail -n1 /proc/self/cgroup; read line"`,
    ]);
    enter(root, [`gpuledgertest${unique}.slice`, name], pid);
    say('');
    expect(await next()).toBe('0::/');
    const table = newTable();
    table.observe([pid], T);
    expect(cgroupOwner(factOf(table, pid)?.cgroup ?? '')).toMatchObject({
      kind: 'docker',
      id: 'c'.repeat(64),
    });
  });
});

describe('a pid namespace', () => {
  it('is looked into from outside: the host’s pids, the lineage across its edge, the namespace’s number', async (context) => {
    needs(context, 'namespaces');
    const { pid, first } = await start('unshare', [
      '--pid',
      '--fork',
      '--mount-proc',
      'sh',
      '-c',
      `echo $$; ${READY}`,
    ]);
    expect(first).toBe('1');
    const inner = childOf(pid);
    const table = newTable();
    const keys = table.observe([inner], T);
    const fact = factOf(table, inner);
    expect(fact?.key).toBe(keys.get(inner));
    expect(fact?.parent).toBe(factOf(table, pid)?.key);
    expect(fact?.namespaces?.pid).toBe(statSync(`/proc/${inner}/ns/pid`).ino);
    expect(fact?.namespaces?.pid).not.toBe(factOf(table, pid)?.namespaces?.pid);
  });

  it('seen from inside is known for a part of the machine', async (context) => {
    needs(context, 'namespaces');
    const { pid } = await start('unshare', ['--pid', '--fork', '--mount-proc', 'sh', '-c', READY]);
    const root = `/proc/${childOf(pid)}/root/proc`;
    expect(showsWholeMachine(files, root)).toBe(false);
    const table = newTable(root);
    table.observe([1], T);
    expect(factOf(table, 1)).toMatchObject({ comm: 'sh', parent: null });
    // What the driver would name is a pid of the host, which nobody has here: said, not guessed.
    const key = table.observe([pid], T).get(pid);
    expect(factOf(table, pid)).toMatchObject({ key, startTicks: null });
    expect(factOf(table, pid)?.unreadable).not.toEqual([]);
  });
});

it('a listener in a network namespace is found there, and not in the host’s tables', async (context) => {
  needs(context, 'namespaces');
  needs(context, 'python');
  const program =
    'import socket\ns=socket.socket()\ns.bind(("0.0.0.0",0))\ns.listen()\nprint(s.getsockname()[1],flush=True)\ninput()';
  const { pid, first } = await start('unshare', ['--net', 'python3', '-c', program]);
  const table = newTable();
  table.observe([pid], T);
  const key = factOf(table, pid)?.key;
  expect(table.readConnections(T).facts.filter((fact) => fact.process === key)).toMatchObject([
    { kind: 'listening', localPort: Number(first) },
  ]);
  const sockets = createSocketSource(files, '/proc');
  const ports = (of: number): unknown[] => {
    const rows = sockets.table(of);
    return rows.ok ? rows.value.map(({ local }) => parseEndpoint(local)?.port) : [];
  };
  expect(ports(pid)).toEqual([Number(first)]);
  expect(sockets.namespace(pid)).not.toEqual(sockets.namespace(process.pid));
});

it('root of a user namespace is who it is outside', async (context) => {
  needs(context, 'users');
  context.skip(process.getuid?.() !== 0, 'needs root, to start it as nobody');
  const script = `id -u; ${READY}`;
  const { pid, first } = await start('unshare', ['--user', '--map-root-user', 'sh', '-c', script], NOBODY);
  expect(first).toBe('0');
  const table = newTable();
  table.observe([pid], T);
  expect(factOf(table, pid)).toMatchObject({ uid: NOBODY });
  expect(factOf(table, pid)?.namespaces?.user).not.toBe(statSync('/proc/self/ns/user').ino);
});

describe('what runs in a tree of files of its own', () => {
  it('is told by its inode, and by its path as far as it can be reached', async (context) => {
    context.skip(process.getuid?.() !== 0, 'needs root, for chroot');
    mkdirSync(join(folder, 'bin'));
    copyFileSync('/bin/sh', join(folder, 'bin/trainer'));
    // Libraries and all: the same files at the same places.
    const mounts = `for d in lib lib64 usr; do [ -e /$d ] && mkdir -p ${folder}/$d && mount --rbind /$d ${folder}/$d; done`;
    const script = `${mounts}; exec chroot ${folder} /bin/trainer -c '${READY}'`;
    context.skip(!works('unshare', '--mount', 'true'), 'this machine allows no mount namespaces');
    const { pid, first } = await start('unshare', ['--mount', 'sh', '-c', script]);
    expect(first).toBe('ready');
    const table = newTable();
    table.observe([pid], T);
    const { ino } = statSync(join(folder, 'bin/trainer'));
    expect(factOf(table, pid)?.executable).toMatchObject({
      path: join(folder, 'bin/trainer'),
      inode: String(ino),
      deleted: false,
    });
  });

  it('on an overlay has the overlay’s inode, not that of the file of the same path on the host', async (context) => {
    needs(context, 'namespaces');
    for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(folder, name));
    copyFileSync('/bin/sh', join(folder, 'lower/trainer'));
    chmodSync(join(folder, 'lower/trainer'), 0o755);
    const options = `lowerdir=${folder}/lower,upperdir=${folder}/upper,workdir=${folder}/work`;
    const mount = `mount -t overlay overlay -o ${options} ${folder}/merged`;
    context.skip(!works('unshare', '--mount', 'sh', '-c', mount), 'this machine mounts no overlays');
    const { pid } = await start('unshare', [
      '--mount',
      'sh',
      '-c',
      `${mount} && exec ${folder}/merged/trainer -c '${READY}'`,
    ]);
    const table = newTable();
    table.observe([pid], T);
    const executable = factOf(table, pid)?.executable;
    expect(executable).toMatchObject({ path: join(folder, 'merged/trainer'), fileSystem: 'overlay' });
    expect(existsSync(join(folder, 'merged/trainer'))).toBe(false);
  });
});

describe('disguises', () => {
  it('a title changes the name and the command line, and neither the executable nor the key', async (context) => {
    needs(context, 'perl');
    const { pid, next, say } = await start('perl', [
      '-e',
      '$|=1; print "ready\\n"; <STDIN>; $0="VLLM::Worker_TP1"; print "new\\n"; <STDIN>',
    ]);
    const table = newTable();
    const key = table.observe([pid], T).get(pid);
    const before = factOf(table, pid);
    say('');
    expect(await next()).toBe('new');
    expect(table.observe([pid], T + 60_000).get(pid)).toBe(key);
    const after = factOf(table, pid);
    expect(after?.comm).toBe('VLLM::Worker_TP');
    expect(after?.executable).toEqual(before?.executable);
    expect(after?.earlierExecutables).toEqual([]);
  });

  it('an orphan of two forks has init for a parent, and still the session that it came from', async () => {
    const script = `(sleep 300 & echo $! $(exec sh -c 'echo $PPID')); ${READY}`;
    const { pid, first } = await start('sh', ['-c', script]);
    const [orphan = 0, between = 0] = first.split(' ').map(Number);
    await expect.poll(() => existsSync(`/proc/${between}`) && between !== pid).toBe(false);
    const table = newTable();
    table.observe([orphan], T);
    const fact = factOf(table, orphan);
    const parent = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${orphan}/stat`, 'latin1'))?.[1]);
    expect(fact?.parent).toBe(parent === 0 ? null : factOf(table, parent)?.key);
    expect(parent).not.toBe(pid);
    expect(fact?.sessionId).toBe(pid);
  });

  it('a process whose first thread has ended still shows what runs, and where', async (context) => {
    needs(context, 'python');
    // The system call that ends one thread, and not the process, has another number on each architecture.
    const program =
      'import ctypes,platform,sys,threading\n' +
      'def run():\n print("ready",flush=True)\n sys.stdin.read()\n' +
      'threading.Thread(target=run).start()\n' +
      'ctypes.CDLL(None).syscall(93 if platform.machine()=="aarch64" else 60,0)';
    const { pid } = await start('python3', ['-c', program]);
    const state = (): string => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ?? '';
    await expect.poll(state).toBe('Z');
    const table = newTable();
    table.observe([pid], T);
    const fact = factOf(table, pid);
    expect(fact?.exitedMs).toBeNull();
    expect(fact?.executable?.path).toMatch(/python/);
    expect(fact?.unreadable).toEqual([]);
  });
});
