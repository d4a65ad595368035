// Hiding in a crowd, and behind a first thread that has ended: what somebody can do to keep a connection or a device that
// it has open out of the agent's sight without any right of its own.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { DeviceHolders } from '../../collector/device-holders.ts';
import { HiddenProcesses } from '../../collector/hidden-processes.ts';
import { clock, files } from '../../collector/ports/real.ts';
import type { Files } from '../../collector/ports.ts';
import { createProcessTable } from '../../collector/processes.ts';
import { GPU, readingOf, UUID } from './observed.ts';
import { ProcFixture } from './proc-fixture.ts';

const T = 1_790_002_800_000;
const JOB = '0::/system.slice/slurmstepd.scope/job_8101/step_0/user/task_0\n';
const HEADER = '  sl  local_address rem_address   st\n';
/** From 10.0.0.1:40000 to 198.51.100.7:22, established. */
const TUNNEL =
  '   0: 0100000A:9C40 076433C6:0016 01 00000000:00000000 00:00000000 00000000  2001        0 77 1\n';

describe('a tunnel is seen', () => {
  const proc = new ProcFixture();
  afterEach(() => proc.destroy());

  const watch = (port: Files) =>
    createProcessTable(
      { files: port, clock },
      { procRoot: proc.root, passwdPath: proc.passwd, newSalt: () => '0'.repeat(32) },
    );

  /** A GPU process 30, and the last of these in its job with the tunnel at a descriptor. */
  function tunnelOf(pids: readonly number[], descriptor = 3): void {
    for (const pid of [30, ...pids]) {
      proc.put({ pid, cgroup: JOB });
      mkdirSync(join(proc.root, `${pid}/fd`));
    }
    proc.write('30/net/tcp', HEADER + TUNNEL);
    const pid = pids.at(-1) ?? 0;
    proc.link(`${pid}/fd/${descriptor}`, 'socket:[77]');
  }

  /** Descriptors that lead nowhere, in front of the real ones. */
  const crowded = (pids: readonly number[]): Files => ({
    ...files,
    list(path, atMost) {
      const names = files.list(path, atMost);
      if (!pids.some((pid) => path === `${proc.root}/${pid}/fd`)) return names;
      return [...Array.from({ length: 8192 }, (_, index) => String(1_000_000 + index)), ...names].slice(
        0,
        atMost,
      );
    },
  });

  it('behind more processes of its job than one look takes in, and it is told that they come in turns', () => {
    tunnelOf([3000]);
    const crowd = Array.from({ length: 1100 }, (_, index) => `${1000 + index}`);
    const inCrowd = (path: string): boolean =>
      crowd.includes(path.slice(proc.root.length + 1).split('/')[0] ?? '');
    const port: Files = {
      ...files,
      list: (path, atMost) =>
        path === proc.root ? [...crowd, ...files.list(path)] : inCrowd(path) ? [] : files.list(path, atMost),
      read: (path, maxBytes) =>
        inCrowd(path) && path.endsWith('/cgroup')
          ? { bytes: Buffer.from(JOB), cut: false }
          : files.read(path, maxBytes),
      readLink: (path) => files.readLink(path.endsWith('/ns/net') ? `${proc.root}/30/ns/net` : path),
    };
    const watched = watch(port);
    watched.observe([30], T);
    const seen = [0, 1].flatMap((turn) => watched.readConnections(T + turn * 10_000).facts);
    expect(seen.map(({ process, peerClass }) => [process, peerClass])).toEqual([['3000/30000', 'external']]);
    expect(watched.takeProblems().map(({ message }) => message)).toEqual([
      'jobs on GPUs have so many processes that their connections are looked at in turns',
    ]);
  });

  it('behind more descriptors of its job than one look follows', () => {
    tunnelOf([41, 42, 43, 44, 45]);
    const watched = watch(crowded([41, 42, 43, 44]));
    watched.observe([30], T);
    const seen = [0, 1].flatMap((turn) => watched.readConnections(T + turn * 10_000).facts);
    expect(seen.map(({ process }) => process)).toEqual(['45/450']);
    expect(watched.takeProblems().map(({ message }) => message)).toEqual([
      'the members of the jobs have so many descriptors that their sockets are looked for in turns',
    ]);
  });

  it('behind a first thread that has ended, which version 1 puts out of the control group of the job', () => {
    tunnelOf([41]);
    proc.put({ pid: 30, cgroup: '1:devices:/slurm/uid_2001/job_8101/step_0\n' });
    proc.write('30/net/tcp', HEADER + TUNNEL);
    proc.put({ pid: 41, state: 'Z', cgroup: '1:devices:/\n', exe: null });
    mkdirSync(join(proc.root, '41/fd'));
    proc.write('41/task/41/stat', '');
    proc.write('41/task/42/cgroup', '1:devices:/slurm/uid_2001/job_8101/step_0\n');
    proc.link('41/task/42/fd/3', 'socket:[77]');
    const watched = watch(files);
    watched.observe([30], T);
    expect(watched.readConnections(T).facts.map(({ process }) => process)).toEqual(['41/410']);
  });

  it('not behind so many descriptors of its own, and that is told', () => {
    tunnelOf([41], 9000);
    const watched = watch(crowded([41]));
    watched.observe([30], T);
    expect(watched.readConnections(T).facts).toEqual([]);
    expect(watched.takeProblems().map(({ message }) => message)).toEqual([
      'a process has more than 8192 descriptors: sockets among the others are not seen',
    ]);
  });
});

describe('holders of a device', () => {
  const proc = new ProcFixture();
  afterEach(() => proc.destroy());

  function watch(port: Files) {
    const holders = new DeviceHolders(port, proc.root, (pid) => `${pid}/${pid * 10}`);
    let polls = 0;
    return (count: number) => {
      for (; count > 0; count -= 1) {
        polls += 1;
        holders.step(readingOf(T + polls * 5000, []), [GPU], false);
      }
      return holders.troubles;
    };
  }

  it('that others crowd out of a poll have to wait, and that is told', () => {
    for (let pid = 1000; pid < 1065; pid += 1) {
      proc.put({ pid });
      proc.link(`${pid}/fd/3`, '/dev/nvidia0');
    }
    const poll = watch(files);
    expect(poll(5)).toEqual([
      'more than 64 new holders of devices in one poll: the others have to wait for another sweep',
    ]);
    expect(poll(24)).toEqual([]);
  });

  it('are found late among millions of descriptors, and that is told', () => {
    for (let pid = 1000; pid < 1080; pid += 1) proc.put({ pid });
    const many = Array.from({ length: 8000 }, (_, fd) => String(fd));
    const list = (path: string, atMost?: number) => (path.endsWith('/fd') ? many : files.list(path, atMost));
    const poll = watch({ ...files, list, readLink: () => Buffer.from('/dev/null') });
    expect(poll(170)).toEqual([]);
    expect(poll(30)).toEqual([
      'a look through the descriptors of all processes takes very long: holders of devices are found late',
    ]);
  });
});

describe('control groups', () => {
  const proc = new ProcFixture();
  afterEach(() => proc.destroy());

  /** `folders` control groups in one, by the names g0, g1, …; nothing is in them. */
  function watch(folders: number, cgroup: string) {
    const point = join(proc.root, 'groups');
    mkdirSync(point, { recursive: true });
    proc.write('2/comm', 'kthreadd\n');
    proc.write('self/mountinfo', `41 31 0:38 / ${point} rw - cgroup2 cgroup2 rw\n`);
    const names = Array.from({ length: folders }, (_, index) => `g${index}`);
    const below = join(point, cgroup);
    const list = (path: string, atMost?: number): string[] =>
      path === below ? names.slice(0, atMost) : path.startsWith(point) ? [] : files.list(path, atMost);
    const known = {
      ...{ keyOf: () => null, adopt: () => null, learn: () => undefined },
      listed: () => [{ cgroup: `0::/${cgroup}\n` }],
    };
    return new HiddenProcesses({ ...files, list }, proc.root, known);
  }

  it('of others are too many to find a hidden process in: that is said, and not that none has it', () => {
    const toldWith = (folders: number): string | undefined => {
      const hidden = watch(folders, '');
      return Array.from({ length: 100 })
        .flatMap((_, poll) => {
          hidden.follow(readingOf(T + poll * 5000, [500]), new Map([[500, '500/?1']]));
          return hidden.due(T + poll * 5000);
        })
        .at(-1)?.detail;
    };
    expect(toldWith(10)).toMatch(/; no control group lists it$/);
    expect(toldWith(9000)).toMatch(/; there are more control groups than are looked through for it$/);
  });

  it('of one job are too many to compare them all with /proc, and that is told', () => {
    const troublesWith = (folders: number): readonly string[] => {
      const hidden = watch(folders, 'system.slice/slurmstepd.scope/job_8101');
      hidden.lookAtMembers(T);
      return hidden.troubles;
    };
    expect(troublesWith(500)).toEqual([]);
    expect(troublesWith(600)).toEqual([
      'jobs on GPUs have so many control groups or processes that not all are compared with /proc',
    ]);
  });
});

const canShow = process.getuid?.() === 0 && spawnSync('python3', ['-c', '']).status === 0;
describe.skipIf(!canShow)('a process whose first thread has ended', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dead-'));
  let child: ChildProcess | null = null;
  afterEach(() => {
    // The group: what it started between itself and the process that is watched.
    if (child?.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('still shows its sockets, and the device that it has open', async () => {
    mkdirSync(join(folder, 'dev'));
    // The device of /dev/null under another name.
    execFileSync('mknod', [join(folder, 'dev/nvidia0'), 'c', '1', '3']);
    // The system call that ends one thread, and not the process, has another number on each architecture.
    const program =
      'import ctypes,os,platform,socket,threading,time\n' +
      'def run():\n' +
      ` device = os.open("${folder}/dev/nvidia0", os.O_RDONLY)\n` +
      ' listener = socket.create_server(("127.0.0.1", 0))\n' +
      ' print(os.getpid(), flush=True)\n' +
      ' time.sleep(300)\n' +
      'threading.Thread(target=run).start()\n' +
      'ctypes.CDLL(None).syscall(93 if platform.machine()=="aarch64" else 60,0)';
    // Not a child of this process: the agent's own children do not count as holders.
    const between = spawn('sh', ['-c', 'python3 -c "$1" & wait', 'sh', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    child = between;
    const said = await new Promise<string>((resolve) =>
      between.stdout.once('data', (data: Buffer) => resolve(data.toString('utf8'))),
    );
    const pid = Number(said);
    const stat = (): string => readFileSync(`/proc/${pid}/stat`, 'latin1');
    await expect.poll(() => /\) (\S)/.exec(stat())?.[1]).toBe('Z');
    const key = `${pid}/${/\) (.*)/s.exec(stat())?.[1]?.split(' ')[19]}`;

    const table = createProcessTable({ files, clock }, { procRoot: '/proc', passwdPath: '/etc/passwd' });
    table.observe([pid], T);
    const { facts } = table.readConnections(T);
    // Whatever else lives in the same control group may listen too.
    expect(facts.map(({ process, kind }) => [process, kind])).toContainEqual([key, 'listening']);

    const holders = new DeviceHolders(files, '/proc', (one, atMs) => table.known.adopt(one, atMs));
    const told = Array.from({ length: 24 }).flatMap((_, poll) => {
      holders.step(readingOf(T + poll * 5000, []), [GPU], false);
      return holders.due(T + poll * 5000);
    });
    expect(told.map(({ device, process }) => [device, process])).toContainEqual([UUID, key]);
  });
});
