// A driver that goes away and comes back, GPUs that come later, a tool that hangs: what the ledger says then.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Executed } from '../../collector/ports.ts';
import type { FakeDevice } from '../collector/agent-fixture.ts';
import { FaultSite, POLL_MS, START_MS, uuidOf } from './site.ts';

let site: FaultSite;
beforeEach(async () => {
  site = new FaultSite();
  gpu(0).percent = 100;
  gpu(0).processes = [{ pid: 4 }];
  site.node.proc.put({ pid: 4, comm: 'train' });
  await site.pass(10);
});
afterEach(async () => {
  expect(await site.differences()).toEqual([]);
  await site.close();
});

function gpu(index: number): FakeDevice {
  const found = site.node.devices[index];
  if (found === undefined) throw new Error(`no GPU ${index}`);
  return found;
}

/** What every call gives in place of its answer. */
function answer(change: (executed: Executed) => Partial<Executed>): void {
  site.faults.execute =
    (real) =>
    async (...call) => {
      const executed = await real(...call);
      return { ...executed, ...change(executed) };
    };
}
/** Four polls with the fault; the interval before the first and the one after the last are dark too. */
const FAULTY = 4;

describe('a driver that is loaded anew', () => {
  const gone = 'Failed to initialize NVML: Driver/library version mismatch\n';
  const unload = (): void => answer(() => ({ stdout: Buffer.from(gone), exitCode: 18 }));

  it('all devices vanish and come back: one dark stretch each, and the same devices', async () => {
    unload();
    await site.pass(FAULTY);
    site.faults.execute = null;
    await site.pass(10);
    await site.end();
    for (const index of [0, 1])
      expect(site.dark(uuidOf(index))).toMatchObject([
        { cause: 'tool_failed', fromMs: START_MS + 10 * POLL_MS },
      ]);
    expect(site.booked()).toEqual({
      unaccounted: 18 * POLL_MS,
      'unobserved tool_failed': (FAULTY + 1) * POLL_MS,
    });
    expect(site.problems().join('\n')).toContain('Driver/library version mismatch');
    expect(site.rows('SELECT count(*) AS n FROM devices')).toEqual([{ n: 2 }]);
  });

  it('one does not come back: it is missing, not gone, until the books are told', async () => {
    unload();
    await site.pass(FAULTY);
    site.faults.execute = null;
    gpu(1).lost = true;
    await site.pass(300);
    await site.end();
    const { idle, ...dark } = site.booked(uuidOf(1));
    expect(idle).toBe(9 * POLL_MS);
    expect(dark['unobserved device_missing']).toBeGreaterThanOrEqual(298 * POLL_MS);
    expect(site.booked()['unaccounted']).toBe(9 * POLL_MS + 299 * POLL_MS);
  });

  it.each([
    ['one GPU', [1], 'device_missing'],
    ['all GPUs', [0, 1], 'tool_failed'],
  ])('%s lost while no agent ran: the next one says why they are dark', async (_, lost, cause) => {
    await site.node.agent.stop();
    for (const index of lost) gpu(index).lost = true;
    site.kill();
    await site.pass(300);
    await site.end();
    for (const index of lost) {
      const { idle, unaccounted, ...dark } = site.booked(uuidOf(index));
      expect((idle ?? 0) + (unaccounted ?? 0)).toBe(9 * POLL_MS);
      expect(dark).toEqual({
        'unobserved agent_stopped': POLL_MS,
        [`unobserved ${cause}`]: 299 * POLL_MS,
      });
    }
  });

  it('a GPU that is added is found by the next inventory, and booked from then on', async () => {
    site.node.devices.push({ uuid: uuidOf(2), percent: 0, processes: [] });
    await site.pass(130);
    await site.end();
    const booked = site.booked(uuidOf(2));
    expect(Object.keys(booked)).toEqual(['unobserved device_missing', 'idle']);
    // Not before the batch that first shows it.
    expect(booked['unobserved device_missing']).toBeLessThanOrEqual(30_000);
  });
});

it('a tool that hangs is asked less and less often, and again at its own pace when it answers', async () => {
  let calls = 0;
  answer((executed) => {
    calls += 1;
    return executed.failure === null ? { stdout: Buffer.alloc(0), failure: 'timeout', exitCode: null } : {};
  });
  await site.pass(120);
  // Ten minutes: not more than a call each 16 polls, once it is known to hang, and one inventory.
  expect(calls).toBeLessThanOrEqual(20);
  site.faults.execute = null;
  await site.pass(40);
  await site.end();
  const booked = site.booked();
  expect(site.dark()).toMatchObject([{ cause: 'tool_timeout', fromMs: START_MS + 10 * POLL_MS }]);
  expect((booked['unaccounted'] ?? 0) + (booked['unobserved tool_timeout'] ?? 0)).toBe(169 * POLL_MS);
  expect(booked['unaccounted']).toBeGreaterThanOrEqual(9 * POLL_MS + 20 * POLL_MS);
});

it('no GPU at first, then GPUs: the books open with the first inventory that shows them', async () => {
  const empty = new FaultSite();
  const all = empty.node.devices;
  empty.node.devices = [];
  await empty.pass(20);
  empty.node.devices = all;
  await empty.pass(20);
  await empty.end();
  expect(empty.booked()['idle']).toBeGreaterThan(0);
  expect(Object.keys(empty.booked())).toEqual(['unobserved device_missing', 'idle']);
  expect(await empty.differences()).toEqual([]);
  await empty.close();
});
