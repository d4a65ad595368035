// What the agent tells of holders of devices, of processes that hide and of its tools, beside the ledger.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BatchBody, HOUR_MS } from '../../api/contract/batch.ts';
import { checkBatchRequest } from '../../api/services/validate-batch.ts';
import { files } from '../../collector/ports/real.ts';
import { type FakeDevice, Node, uuidOf } from './agent-fixture.ts';
import { temporaryFolder } from './spool-fixture.ts';

let folder: ReturnType<typeof temporaryFolder>;
let node: Node;
let tool: string;
beforeEach(() => {
  folder = temporaryFolder();
  tool = join(folder.path, 'nvidia-smi');
  writeFileSync(tool, 'first');
  chmodSync(tool, 0o755);
  node = new Node(folder.path, files, { nvidiaSmi: tool });
  // The first kernel thread: this /proc shows the whole machine.
  node.proc.write('2/comm', 'kthreadd\n');
});
afterEach(() => {
  node.proc.destroy();
  folder.remove();
});

const bodies = async (): Promise<BatchBody[]> => {
  const batches = await node.stored();
  checkBatchRequest({ batches: batches.slice(-50) });
  return batches.map(({ body }) => body);
};
const holders = async () => (await bodies()).flatMap((body) => body.holders);
const integrity = async (kind: string) =>
  (await bodies()).flatMap((body) => body.integrity).filter((fact) => fact.kind === kind);
const device = (index: number): FakeDevice => {
  const found = node.devices[index];
  if (found === undefined) throw new Error(`no device ${index}`);
  return found;
};
/** A process with descriptors that lead to these. */
function hold(pid: number, targets: readonly string[], more: { parent?: number; exe?: string } = {}): void {
  node.proc.put({ pid, exe: process.execPath, ...more });
  for (const [fd, target] of targets.entries()) node.proc.link(`${pid}/fd/${fd}`, target);
}

describe('holders of a device', () => {
  it('are told once an hour, with their process, and not while the driver lists them', async () => {
    hold(300, ['/dev/null', '/dev/nvidia-uvm', '/dev/nvidia1', '/dev/nvidia1']);
    hold(301, ['/dev/nvidiactl', '/tmp/dev/nvidia', '/home/x/nvidia0']);
    hold(302, ['/var/lib/box/rootfs/dev/nvidia0 (deleted)']);
    hold(303, ['/dev/nvidia0', '/dev/nvidia1']);
    for (const one of [0, 1]) device(one).processes = [{ pid: 303 }];
    await node.pass(40);
    const told = (await holders()).map(({ device: uuid, process }) => `${process} ${uuid}`);
    expect(told.sort()).toEqual([`300/3000 ${uuidOf(1)}`, `302/3020 ${uuidOf(0)}`]);
    const body = (await bodies()).find((one) => one.holders.some(({ process }) => process === '300/3000'));
    const known = (await bodies())
      .filter(({ seq }) => seq <= (body?.seq ?? 0))
      .flatMap(({ processes }) => processes.map(({ key }) => key));
    expect(known).toContain('300/3000');
    await node.pass(HOUR_MS / 30_000, 30_000);
    const again = (await holders()).filter(({ process }) => process === '300/3000');
    expect(again).toHaveLength(2);
    expect(again[1]?.firstMs).toBe(again[0]?.firstMs);
    expect(again[1]?.lastMs).toBeGreaterThanOrEqual((again[0]?.lastMs ?? 0) + HOUR_MS / 2);
  });

  it('are looked for at once when a device works and shows no process', async () => {
    await node.pass(8);
    hold(300, ['/dev/nvidia0']);
    device(0).percent = 40;
    await node.pass(2);
    await node.pass(1, 30_000);
    expect((await holders()).map(({ process }) => process)).toEqual(['300/3000']);
  });

  it('leave a machine of many processes its time: a sweep of them takes several polls', async () => {
    for (let pid = 1000; pid < 1020; pid += 1) node.proc.put({ pid });
    hold(300, ['/dev/nvidia0']);
    // Each of the others seems to have very many open, all of which it closes meanwhile.
    const many = Array.from({ length: 400 }, (_, fd) => String(fd));
    const list = (path: string): string[] => (/\/10\d\d\/fd$/.test(path) ? many : files.list(path));
    let followed = 0;
    const readLink = (path: string): Buffer => {
      followed += 1;
      return files.readLink(path);
    };
    const other = new Node(
      join(folder.path, 'other'),
      { ...files, list, readLink },
      { procRoot: node.proc.root },
    );
    const ofPolls: number[] = [];
    for (let poll = 0; poll < 12; poll += 1) {
      followed = 0;
      await other.pass(1);
      ofPolls.push(followed);
    }
    other.proc.destroy();
    expect(Math.max(...ofPolls)).toBeLessThan(3500);
    expect(ofPolls.filter((count) => count > 1000).length).toBeGreaterThan(1);
    const told = (await other.stored()).flatMap(({ body }) => body.holders);
    expect(told.map(({ process }) => process)).toEqual(['300/3000']);
  });
});

describe('processes that the driver names and /proc does not show', () => {
  it('are told when they stay, and not when they merely ended', async () => {
    node.proc.put({ pid: 400 });
    device(0).processes = [{ pid: 400 }, { pid: 500 }];
    await node.pass(1);
    node.proc.remove(400);
    await node.pass(2);
    device(0).processes = [{ pid: 500 }];
    await node.pass(10);
    const told = await integrity('process_hidden');
    expect(new Set(told.map(({ process }) => process)).size).toBe(1);
    expect(told[0]).toMatchObject({ device: uuidOf(0), process: expect.stringMatching(/^500\/\?/) });
    expect(told.at(-1)?.detail).toBe(
      'nvidia-smi names pid 500, which /proc does not show; no control group lists it',
    );
  });

  it('get the control group that lists them', async () => {
    const groups = join(folder.path, 'cgroup');
    const step = join(groups, 'system.slice', 'slurmstepd.scope', 'job_8101', 'step_0');
    mkdirSync(step, { recursive: true });
    writeFileSync(join(step, 'cgroup.procs'), '0\n44\n500\n');
    node.proc.write('self/mountinfo', `41 31 0:38 / ${groups} rw shared:1 - cgroup2 cgroup2 rw,nsdelegate\n`);
    device(0).processes = [{ pid: 500 }];
    await node.pass(10);
    const told = await integrity('process_hidden');
    expect(told.at(-1)?.detail).toContain(`; the control group ${step} lists it`);
    const [fact] = (await bodies()).flatMap(({ processes }) => processes).slice(-1);
    expect(fact).toMatchObject({ pid: 500, cgroup: '0::/system.slice/slurmstepd.scope/job_8101/step_0' });
  });

  it('say nothing where /proc shows a part of the machine only', async () => {
    node.proc.remove('2');
    device(0).processes = [{ pid: 500 }];
    await node.pass(10);
    expect(await integrity('process_hidden')).toEqual([]);
    const problems = (await bodies()).flatMap((body) => body.problems);
    expect(problems.map(({ message }) => message).join()).toContain('does not show the whole machine');
  });
});

it('more processes on a device than can be told of are said to be left out', async () => {
  device(0).processes = Array.from({ length: 512 }, (_, index) => ({ pid: 1000 + index }));
  const left = async () =>
    (await bodies()).flatMap(({ problems }) => problems.filter(({ source }) => source === 'devices'));
  await node.pass(12);
  expect(await left()).toEqual([]);
  device(0).processes.push({ pid: 2000 });
  await node.pass(12);
  expect((await left()).map(({ message }) => message)).toEqual([
    expect.stringContaining(`${uuidOf(0)}: it has more than 512 processes`),
  ]);
});

describe('readings that are far apart', () => {
  it('are told of although they still measure the time between them', async () => {
    await node.pass(12);
    const late = async () =>
      (await bodies()).flatMap(({ problems }) => problems.filter(({ source }) => source === 'polls'));
    expect(await late()).toEqual([]);
    // Just short of what counts as not measured.
    await node.pass(1, 14_900);
    await node.pass(12);
    expect((await late()).map(({ message }) => message)).toEqual([
      expect.stringContaining('two readings were more than two polls apart'),
    ]);
    expect((await bodies()).flatMap(({ gaps }) => gaps)).toEqual([]);
  });
});

describe('the tools', () => {
  it('go with the first batch of an hour, and with the next after a change', async () => {
    await node.pass(24);
    const told = async () => (await bodies()).flatMap(({ tools }) => (tools === null ? [] : [tools]));
    expect(await told()).toEqual([
      [expect.objectContaining({ role: 'nvidia_smi', path: tool, sizeBytes: 5 })],
    ]);
    writeFileSync(tool, 'second');
    await node.pass(24);
    expect((await told()).map(([one]) => one?.sizeBytes)).toEqual([5, 6]);
    await node.pass(HOUR_MS / 30_000, 30_000);
    expect(await told()).toHaveLength(3);
    expect((await integrity('tool_changed')).map(({ detail }) => detail)).toEqual([
      expect.stringContaining(`${tool} has another content`),
    ]);
  });

  it('are looked at before they run: who puts the right one back after each run is found out', async () => {
    writeFileSync(tool, 'right');
    const other = new Node(join(folder.path, 'other'), files, { nvidiaSmi: tool }, (ports) => ({
      ...ports,
      async execute(...call) {
        const answer = await ports.execute(...call);
        writeFileSync(tool, 'right');
        return answer;
      },
    }));
    for (let poll = 0; poll < 24; poll += 1) {
      if (poll > 3) writeFileSync(tool, 'wrong');
      await other.pass(1);
    }
    other.proc.destroy();
    const told = (await other.stored()).flatMap(({ body }) => body.integrity);
    expect(told.map(({ kind, detail }) => [kind, detail])).toContainEqual([
      'tool_changed',
      expect.stringContaining(`${tool} has another content`),
    ]);
  });

  it('are looked at although what was seen cannot be kept', async () => {
    const writeDurably = (path: string, bytes: Buffer): void => {
      if (path.endsWith('tools.json')) throw Object.assign(new Error('ENOSPC: planted'), { code: 'ENOSPC' });
      files.writeDurably(path, bytes);
    };
    const other = new Node(join(folder.path, 'other'), { ...files, writeDurably }, { nvidiaSmi: tool });
    await other.pass(30);
    writeFileSync(tool, 'second');
    await other.pass(24);
    const stored = (await other.stored()).map(({ body }) => body);
    other.proc.destroy();
    expect(stored.flatMap((body) => body.integrity).map(({ kind }) => kind)).toEqual(['tool_changed']);
    expect(stored.flatMap(({ problems }) => problems).map(({ message }) => message)).toContain(
      'ENOSPC: planted',
    );
  });

  it('are compared with what an earlier run saw, whatever became of its file', async () => {
    await node.pass(24);
    writeFileSync(tool, 'while nobody looked');
    node.start();
    await node.pass(24);
    expect(await integrity('tool_changed')).toHaveLength(1);
    const state = join(folder.path, 'spool', 'tools.json');
    expect(readFileSync(state, 'utf8')).toContain(tool);
    writeFileSync(state, '{"version":1,"tools":[{"role"');
    node.start();
    await node.pass(24);
    expect(await integrity('tool_changed')).toHaveLength(1);
  });
});
