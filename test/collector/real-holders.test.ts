// The second road to a device, with real processes: they open a device (that of /dev/null) that their own mount namespace
// calls /dev/nvidia0, sit in real control groups, and are covered in /proc. Needs root and `unshare`; control groups where
// some are mounted.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { IntegrityFact, ProcessFact } from '../../api/contract/batch.ts';
import { DeviceHolders } from '../../collector/device-holders.ts';
import { clock, files } from '../../collector/ports/real.ts';
import { createProcessTable } from '../../collector/processes.ts';
import { GPU, readingOf, UUID } from './observed.ts';

const hasNamespaces = spawnSync('unshare', ['-m', 'true']).status === 0;
const DEVICES = '/sys/fs/cgroup/devices';
const started: number[] = [];
const groups: string[] = [];

afterEach(async () => {
  for (const pid of started.splice(0)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  for (const folder of groups.splice(0).reverse())
    await expect.poll(() => removed(folder), { timeout: 5000 }).toBe(true);
});

function removed(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return !existsSync(folder);
  }
}

function start(file: string, args: readonly string[]): ChildProcess & { pid: number } {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  if (child.pid === undefined) throw new Error(`${file} did not start`);
  started.push(child.pid);
  return Object.assign(child, { pid: child.pid });
}

/** Resolves with the lines that a process prints until it says "ready". */
const readiness = (child: ChildProcess): Promise<string[]> =>
  new Promise((resolve) => {
    let said = '';
    child.stdout?.on('data', (data: Buffer) => {
      said += data.toString('utf8');
      if (said.includes('ready\n')) resolve(said.split('\n').slice(0, -2));
    });
  });

/** A shell with a /dev of its own, which is no child of this process: the agent's own children do not count. */
async function inOwnDev(script: string): Promise<{ pid: number; lines: string[] }> {
  const dev =
    'mount -t tmpfs none /dev && for name in null nvidia0 nvidiactl nvidia1; do mknod /dev/$name c 1 3; done';
  const between = 'unshare -m sh -c "$1" <&0 & wait';
  const child = start('sh', ['-c', between, 'sh', `echo $$; ${dev} && ${script}`]);
  const [pid, ...lines] = await readiness(child);
  started.push(Number(pid));
  return { pid: Number(pid), lines };
}

const keyOf = (pid: number): string => {
  const ticks = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ')[19];
  return `${pid}/${ticks}`;
};

describe.skipIf(!hasNamespaces)('holders of a device', () => {
  const watch = () => {
    const table = createProcessTable({ files, clock }, { procRoot: '/proc', passwdPath: '/etc/passwd' });
    const holders = new DeviceHolders(files, '/proc', (pid, atMs) => table.known.adopt(pid, atMs));
    let atMs = 1_790_002_800_000;
    return {
      table,
      /** Polls at an even pace for two minutes: what was told meanwhile. */
      poll(listed: readonly number[]) {
        return Array.from({ length: 24 }).flatMap(() => {
          atMs += 5000;
          holders.step(readingOf(atMs, listed), [GPU], false);
          return holders.due(atMs);
        });
      },
    };
  };

  it('finds one that the driver does not list, and puts its process on the wire', async () => {
    const { pid } = await inOwnDev('exec 3</dev/nvidia0 4</dev/nvidiactl; echo ready; exec sleep 300');
    const { poll, table } = watch();
    const [fact, ...more] = poll([]);
    expect(more).toEqual([]);
    expect(fact).toMatchObject({ device: UUID, process: keyOf(pid) });
    expect(fact?.lastMs).toBeGreaterThan(fact?.firstMs ?? 0);
    expect(table.changedFacts().facts.map(({ key }) => key)).toContain(keyOf(pid));
    // It lasts, and nothing new is to be said of it in this hour.
    expect(poll([])).toEqual([]);
  });

  it('is not held up by one with very many descriptors, and says that it did not follow them all', async () => {
    const opens = 'for i in $(seq 11 9000); do eval "exec $i</dev/null"; done';
    const script = `ulimit -n 10000; exec 3</dev/nvidia1; ${opens}; echo ready; exec sleep 300`;
    const { pid } = await inOwnDev(`exec bash -c '${script}'`);
    const table = createProcessTable({ files, clock }, { procRoot: '/proc', passwdPath: '/etc/passwd' });
    const holders = new DeviceHolders(files, '/proc', (one, atMs) => table.known.adopt(one, atMs));
    for (let poll = 0; poll < 24; poll += 1) holders.step(readingOf(poll * 5000, []), [GPU], false);
    expect(holders.troubles.join()).toContain(`pid ${pid} has more than 8192 descriptors`);
  });

  it('tells nothing of one that is listed, that only has the control file, or that has another device', async () => {
    const listed = await inOwnDev('exec 3</dev/nvidia0; echo ready; exec sleep 300');
    await inOwnDev('exec 3</dev/nvidiactl; echo ready; exec sleep 300');
    await inOwnDev('exec 3</dev/nvidia1; echo ready; exec sleep 300');
    const other = await inOwnDev('exec 3</dev/nvidia0; echo ready; exec sleep 300');
    expect(
      watch()
        .poll([listed.pid])
        .map(({ process }) => process),
    ).toEqual([keyOf(other.pid)]);
  });

  it('tells nothing of a file that only has the name of a device', async () => {
    await inOwnDev('rm /dev/nvidia0; : > /dev/nvidia0; exec 3</dev/nvidia0; echo ready; exec sleep 300');
    expect(watch().poll([])).toEqual([]);
  });

  it('leaves out what a listed process forked, unless it runs another executable', async () => {
    const forks = '(read x) <&0 & echo $!; sleep 300 <&0 & echo $!';
    const { pid, lines } = await inOwnDev(`exec 3</dev/nvidia0; ${forks}; echo ready; read x`);
    const [forked, other] = lines.slice(-2).map(Number);
    started.push(forked ?? 0, other ?? 0);
    await expect.poll(() => readFileSync(`/proc/${other}/comm`, 'utf8')).toBe('sleep\n');
    const told = watch().poll([pid]);
    expect(told.map(({ process }) => process)).toEqual([keyOf(other ?? 0)]);
  });
});

it.skipIf(!hasNamespaces)('a /proc of a container is known for what it is', () => {
  const module = new URL('../../collector/sources/proc-view.ts', import.meta.url).href;
  const ports = new URL('../../collector/ports/real.ts', import.meta.url).href;
  const script =
    `const { showsWholeMachine } = await import('${module}'); const { files } = await import('${ports}');` +
    "console.log(showsWholeMachine(files, '/proc'))";
  const node = [process.execPath, '--input-type=module', '-e', script];
  const inside = execFileSync('unshare', ['--pid', '--fork', '--mount-proc', ...node], { encoding: 'utf8' });
  expect(inside.trim()).toBe('false');
});

const hasCgroups = existsSync(join(DEVICES, 'cgroup.procs'));
describe.skipIf(!hasNamespaces || !hasCgroups)('processes covered in /proc', () => {
  /** Puts processes into the control group of a Slurm job of its own. */
  function jobOf(job: number, pids: readonly number[]): string {
    let folder = DEVICES;
    for (const name of [`slurm_t${process.pid}`, 'uid_0', `job_${job}`, 'step_0']) {
      folder = join(folder, name);
      if (!existsSync(folder)) {
        mkdirSync(folder);
        groups.push(folder);
      }
    }
    for (const pid of pids) writeFileSync(join(folder, 'cgroup.procs'), String(pid));
    return folder;
  }
  const busy = () => start(process.execPath, ['-e', 'console.log("ready");setTimeout(() => {}, 3e5)']);

  it('are told with what lies over them, and found in the control group of their job', async () => {
    const [seen, covered, member] = [busy(), busy(), busy()];
    await Promise.all([seen, covered, member].map(readiness));
    const folder = jobOf(4711, [seen.pid, covered.pid, member.pid]);
    const program = new URL('./look-covered.ts', import.meta.url).pathname;
    const output = execFileSync('unshare', [
      ...['-m', process.execPath, program, String(seen.pid), String(covered.pid), '--', String(member.pid)],
    ]);
    const {
      looks,
      troubles,
      processes,
    }: { looks: IntegrityFact[][]; troubles: unknown; processes: ProcessFact[] } = JSON.parse(
      output.toString('utf8'),
    );
    expect(troubles).toEqual([]);
    const [first = [], second = []] = looks;
    const hidden = processes.find(({ pid }) => pid === covered.pid);
    expect(first).toContainEqual(
      expect.objectContaining({ kind: 'process_covered', device: UUID, process: hidden?.key }),
    );
    const detail = first.find(({ device }) => device === UUID)?.detail ?? '';
    expect(detail).toContain(`a file system of type tmpfs is mounted over /proc/${covered.pid}`);
    expect(detail).toContain(`the control group ${folder} lists it`);
    // Its threads still show what it is: whose it is can be told although its folder cannot be read.
    expect(hidden).toMatchObject({ startTicks: null, uid: 0, executable: { path: process.execPath } });
    expect(hidden?.cgroup).toBe(`1:devices:/slurm_t${process.pid}/uid_0/job_4711/step_0`);
    expect(first.filter(({ kind }) => kind === 'member_hidden')).toEqual([]);
    const members = second.filter(({ kind }) => kind === 'member_hidden').map((fact) => fact.detail);
    expect(members.sort()).toEqual(
      [covered.pid, member.pid]
        .sort()
        .map((pid) => `the control group ${folder} lists pid ${pid}, which /proc does not show`),
    );
    expect(first.map(({ detail: text }) => text)).toContain(
      `a file system of type tmpfs is mounted over /proc/${member.pid}`,
    );
  });
});
