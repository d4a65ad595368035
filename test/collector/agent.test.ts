import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BatchBody, HOUR_MS } from '../../api/contract/batch.ts';
import { ShipError } from '../../collector/ports.ts';
import { accountOf, Node, START_MS, uuidOf } from './agent-fixture.ts';
import { BOOT_SECONDS } from './proc-fixture.ts';
import { faultyFiles, temporaryFolder } from './spool-fixture.ts';

let folder: ReturnType<typeof temporaryFolder>;
let disk: ReturnType<typeof faultyFiles>;
let node: Node;
beforeEach(() => {
  folder = temporaryFolder();
  disk = faultyFiles();
  node = new Node(folder.path, disk);
});
afterEach(() => {
  node.proc.destroy();
  folder.remove();
});

const bodies = async (): Promise<BatchBody[]> => (await node.stored()).map(({ body }) => body);
const device = (index: number) => {
  const found = node.devices[index];
  if (found === undefined) throw new Error(`no device ${index}`);
  return found;
};

describe('the agent', () => {
  it('tells at the first poll that it is there, with its inventory', async () => {
    await node.pass(1);
    const [first, ...others] = await bodies();
    expect(others).toEqual([]);
    expect(first).toMatchObject({
      seq: 1,
      fromMs: START_MS + 5000,
      toMs: START_MS + 5000,
      driverVersion: '580.1',
    });
    expect(first?.inventory?.map(({ uuid, model }) => [uuid, model])).toEqual([
      [uuidOf(0), 'NVIDIA T'],
      [uuidOf(1), 'NVIDIA T'],
    ]);
  });

  it('cuts batches at the edges of the ship interval and of the hour; the first of an hour stands alone', async () => {
    node.proc.put({ pid: 100, comm: 'python' });
    device(0).processes = [{ pid: 100 }];
    node.wallMs = START_MS + HOUR_MS - 70_000;
    await node.pass(30);
    const all = await bodies();
    const edges = all.map(({ toMs }) => toMs - START_MS - HOUR_MS);
    expect(edges).toEqual([-65_000, -60_000, -30_000, 0, 30_000, 60_000]);
    const first = all.find(({ fromMs }) => fromMs >= START_MS + HOUR_MS);
    expect(first?.inventory).toHaveLength(2);
    expect(first?.processes.map(({ pid }) => pid)).toEqual([100]);
    expect(all.filter(({ inventory }) => inventory !== null)).toHaveLength(2);
    for (const [i, body] of all.entries()) if (i > 0) expect(body.fromMs).toBe(all[i - 1]?.toMs);
  });

  it('ships at once when the set of processes on a device changes', async () => {
    await node.pass(3);
    await node.stored();
    node.proc.put({ pid: 7, comm: 'miner' });
    device(1).processes = [{ pid: 7 }];
    device(1).percent = 100;
    await node.pass(1);
    const last = (await bodies()).at(-1);
    expect(last?.toMs).toBe(node.wallMs);
    expect(last?.processes.map(({ comm }) => comm)).toContain('miner');
    expect(accountOf(last ? [last] : [], uuidOf(1))).toMatchObject({ 'pid 7': 2500 });
  });

  it('bounds early batches in rate', async () => {
    node = new Node(folder.path, disk, { pollIntervalMs: 1000 });
    await node.pass(1, 1000);
    for (let pid = 1; pid <= 20; pid += 1) {
      device(0).processes = [{ pid }];
      await node.pass(1, 1000);
    }
    const count = (await bodies()).length;
    expect(count).toBeGreaterThanOrEqual(10);
    expect(count).toBeLessThanOrEqual(13);
  });

  it('divides by SM share, and by halves where nothing says otherwise', async () => {
    device(0).percent = 50;
    device(0).processes = [{ pid: 1, sm: 30 }, { pid: 2, sm: 10 }, { pid: 3 }];
    device(1).percent = 10;
    device(1).processes = [{ pid: 1 }, { pid: 2 }];
    await node.pass(5);
    await node.agent.stop();
    const all = await bodies();
    expect(accountOf(all, uuidOf(0))).toEqual({ measured: 20_000, 'pid 1': 7500, 'pid 2': 2500 });
    expect(accountOf(all, uuidOf(1))).toEqual({ measured: 20_000, 'pid 1': 1000, 'pid 2': 1000 });
    expect(all.flatMap(({ tenancies }) => tenancies.map(({ method }) => method))).toContain('equal');
  });

  it('counts a process from its start, and gives those who left what trails behind them', async () => {
    await node.pass(2);
    // Two of the five seconds: the poll comes at START + 15 s.
    const startedMs = START_MS + 13_000;
    node.proc.put({ pid: 50, startTicks: startedMs / 10 - BOOT_SECONDS * 100 });
    device(0).processes = [{ pid: 50 }];
    device(0).percent = 100;
    await node.pass(1);
    device(0).processes = [];
    device(0).percent = 40;
    await node.pass(1);
    device(0).percent = 0;
    await node.pass(1);
    await node.agent.stop();
    const account = accountOf(await bodies(), uuidOf(0));
    expect(account['measured']).toBe(20_000);
    expect(account['no process']).toBeUndefined();
    expect(account['pid 50']).toBe(2000 + 2000);
  });

  it('calls work without a process that only when two readings in a row show it', async () => {
    device(0).percent = 0;
    await node.pass(2);
    device(0).percent = 80;
    await node.pass(1);
    device(0).percent = 0;
    await node.pass(1);
    await node.agent.stop();
    expect(accountOf(await bodies(), uuidOf(0))).toEqual({ measured: 15_000 });
    node.start();
    await node.pass(1);
    device(0).percent = 80;
    await node.pass(3);
    device(0).percent = 0;
    await node.pass(1);
    await node.agent.stop();
    expect(accountOf(await bodies(), uuidOf(0))).toMatchObject({ 'no process': 12_000 });
  });

  it('leaves the others alone when a device fails, and says why', async () => {
    device(1).percent = 100;
    device(1).processes = [{ pid: 9 }];
    await node.pass(3);
    device(0).lost = true;
    await node.pass(2);
    device(0).lost = false;
    await node.pass(3);
    await node.agent.stop();
    const all = await bodies();
    expect(accountOf(all, uuidOf(0))).toEqual({ measured: 20_000, device_missing: 15_000 });
    expect(accountOf(all, uuidOf(1))).toEqual({ measured: 35_000, 'pid 9': 35_000 });
  });

  it('stays up without nvidia-smi, shows the node, and finds the GPUs when the driver comes', async () => {
    node.toolFailure = 'missing';
    await node.pass(10);
    const blind = await bodies();
    expect(blind[0]?.inventory).toEqual([]);
    expect(blind[0]?.problems.length).toBeGreaterThan(0);
    expect(node.logged).toEqual(['no inventory of the GPUs: nvidia-smi was not found']);
    node.toolFailure = null;
    await node.pass(12);
    await node.agent.stop();
    const account = accountOf(await bodies(), uuidOf(0));
    expect(account['tool_missing']).toBe(60_000);
    expect(account['measured']).toBe(node.wallMs - START_MS - 65_000);
    expect(node.logged).toContain('watching 2 GPUs');
  });

  it('reports a time-out of the tool as a gap beside good time', async () => {
    await node.pass(3);
    node.toolFailure = 'timeout';
    await node.pass(1);
    node.toolFailure = null;
    await node.pass(20);
    await node.agent.stop();
    const account = accountOf(await bodies(), uuidOf(0));
    expect(account['tool_timeout']).toBeGreaterThanOrEqual(10_000);
    expect((account['tool_timeout'] ?? 0) + (account['measured'] ?? 0)).toBe(23 * 5000);
  });

  it('goes on after an orderly stop: one chain, and the time between is a gap', async () => {
    await node.pass(3);
    await node.agent.stop();
    node.wallMs += 100_000;
    node.monotonicMs += 100_000;
    node.start();
    await node.pass(3);
    await node.agent.stop();
    const all = await bodies();
    expect(new Set(all.map(({ stream }) => stream)).size).toBe(1);
    expect(accountOf(all, uuidOf(0))).toEqual({ measured: 20_000, agent_stopped: 105_000 });
    expect(node.service.streams.size).toBe(1);
  });

  it('says nothing of the time after a crash: that is silence, for the service to see', async () => {
    await node.pass(8);
    node.start();
    node.wallMs += 100_000;
    await node.pass(8);
    await node.agent.stop();
    const all = await bodies();
    expect(accountOf(all, uuidOf(0))).toEqual({ measured: 25_000 + 35_000 });
    expect(all.map(({ seq }) => seq)).toEqual(all.map((_, i) => i + 1));
  });

  it('loses nothing while the service is away', async () => {
    node.service.refusal = new ShipError('down', false);
    device(0).percent = 100;
    device(0).processes = [{ pid: 4 }];
    for (let i = 0; i < 30; i += 1) {
      await node.pass(1);
      await node.agent.ship();
    }
    expect(node.service.stored).toEqual([]);
    node.service.refusal = null;
    await node.agent.stop();
    expect(accountOf(await bodies(), uuidOf(0))).toEqual({ measured: 145_000, 'pid 4': 145_000 });
    expect(node.logged).toEqual([
      'watching 2 GPUs',
      'batches cannot be sent: down',
      'batches are being sent again',
    ]);
  });

  it('reports the time that a full or refusing disk cost, and every process again', async () => {
    node.proc.put({ pid: 4, comm: 'train' });
    device(0).percent = 100;
    device(0).processes = [{ pid: 4 }];
    await node.pass(7);
    disk.readOnly = true;
    node.proc.put({ pid: 5, comm: 'late' });
    device(1).processes = [{ pid: 5 }];
    await node.pass(20);
    disk.readOnly = false;
    await node.pass(10);
    await node.agent.stop();
    const all = await bodies();
    const account = accountOf(all, uuidOf(0));
    expect(account['spool_full']).toBeGreaterThanOrEqual(90_000);
    expect((account['spool_full'] ?? 0) + (account['measured'] ?? 0)).toBe(36 * 5000);
    const after = all.filter(({ gaps }) => gaps.some(({ reason }) => reason === 'spool_full')).at(-1);
    const told = all.filter(({ seq }) => seq > (after?.seq ?? 0)).flatMap(({ processes }) => processes);
    expect(told.map(({ comm }) => comm)).toEqual(expect.arrayContaining(['train', 'late']));
    expect(node.logged.some((line) => line.includes('the spool cannot be written'))).toBe(true);
    expect(node.logged).toContain('the spool takes batches again');
  });

  it('stays inside its bound and reports the rest as not measured', async () => {
    node = new Node(folder.path, disk, { spoolMaxBytes: 6000 });
    node.service.refusal = new ShipError('down', false);
    await node.pass(720);
    node.service.refusal = null;
    await node.agent.ship();
    await node.pass(12);
    await node.agent.stop();
    const account = accountOf(await bodies(), uuidOf(0));
    expect(account['spool_full']).toBeGreaterThan(0);
    expect((account['spool_full'] ?? 0) + (account['measured'] ?? 0)).toBe(731 * 5000);
  });

  it('never reports a moment twice when the clock is set back, across a restart too', async () => {
    await node.pass(10);
    node.wallMs -= 20_000;
    await node.pass(10);
    await node.agent.stop();
    node.start();
    node.wallMs -= 12_000;
    await node.pass(10);
    await node.agent.stop();
    const all = await bodies();
    expect(accountOf(all, uuidOf(0))).toEqual({ measured: node.wallMs - START_MS - 5000 });
    expect(all.flatMap(({ clockSteps }) => clockSteps)).toMatchObject([{ stepMs: -20_000 }]);
    for (const [i, body] of all.entries())
      if (i > 0) expect(body.fromMs).toBeGreaterThanOrEqual(all[i - 1]?.toMs ?? 0);
  });

  /** Runs for 50 polls; the times between them. */
  async function pauses(): Promise<number[]> {
    const controller = new AbortController();
    const polls: number[] = [];
    const { agent } = node;
    const poll = agent.poll.bind(agent);
    agent.poll = async () => {
      polls.push(node.monotonicMs);
      if (polls.length === 50) controller.abort();
      await poll();
    };
    await agent.run(controller.signal);
    await agent.stop();
    return polls.slice(1).map((at, i) => at - (polls[i] ?? 0));
  }

  it('runs until it is told to stop, pacing its polls with jitter', async () => {
    const between = await pauses();
    expect(Math.min(...between)).toBeGreaterThanOrEqual(4500);
    expect(Math.max(...between)).toBeLessThanOrEqual(5500);
    expect(new Set(between).size).toBeGreaterThan(40);
    expect(node.service.stored.length).toBeGreaterThan(5);
  });

  it('has a pace that nobody can foresee who knows its names, and the same one from the same seed', async () => {
    const paces: string[] = [];
    for (const config of [{ seed: 'a' }, { seed: 'a' }, { seed: undefined }, { seed: undefined }]) {
      node.proc.destroy();
      node = new Node(folder.path, disk, config);
      paces.push((await pauses()).map(Math.round).join(' '));
    }
    expect(paces[1]).toBe(paces[0]);
    expect(new Set(paces).size).toBe(3);
  });
});
