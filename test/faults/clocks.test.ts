// Clocks that stand still, jump and lie, and an agent that is not run: what the ledger says then.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HOUR_MS } from '../../api/contract/batch.ts';
import { FaultSite, POLL_MS, START_MS, uuidOf } from './site.ts';

let site: FaultSite;
beforeEach(async () => {
  site = new FaultSite();
  const gpu = site.node.devices[0];
  if (gpu === undefined) throw new Error('no GPU');
  gpu.percent = 100;
  gpu.processes = [{ pid: 4 }];
  site.node.proc.put({ pid: 4, comm: 'train' });
  await site.pass(10);
});
afterEach(async () => {
  expect(await site.differences()).toEqual([]);
  await site.close();
});

/** Polls that were made before the fault; the first one opens the books. */
const BEFORE_MS = 9 * POLL_MS;
/** The last reading before the fault. */
const lastMs = START_MS + 10 * POLL_MS;

describe('an agent that is not run', () => {
  it('stopped by SIGSTOP: the time between the two readings is poll_late, and nobody is charged with it', async () => {
    site.away(60_000);
    await site.pass(10);
    await site.end();
    expect(site.booked()).toEqual({
      unaccounted: BEFORE_MS + 9 * POLL_MS,
      'unobserved poll_late': 60_000 + POLL_MS,
    });
    const ms = 60_000 + POLL_MS;
    expect(site.dark()).toEqual([{ fromMs: lastMs, toMs: lastMs + ms, ms, cause: 'poll_late' }]);
  });

  it('stopped over the end of an hour: each hour has its part', async () => {
    const toEdge = START_MS + HOUR_MS - site.node.wallMs;
    site.away(toEdge + 600_000);
    await site.pass(5);
    await site.end();
    expect(site.booked()['unobserved poll_late']).toBe(toEdge + 600_000 + POLL_MS);
  });

  it('killed: the time from its last report to the next agent is agent_silent', async () => {
    await site.pass(2);
    site.away(300_000);
    site.kill();
    await site.pass(10);
    await site.end();
    const [dark, ...others] = site.dark();
    expect(others).toEqual([]);
    expect(dark).toMatchObject({ toMs: lastMs + 310_000 + POLL_MS, cause: 'agent_silent' });
    // Not more is lost than one ship interval of readings that were only in memory.
    expect(lastMs + 10_000 - (dark?.fromMs ?? 0)).toBeLessThanOrEqual(30_000);
  });
});

describe('suspend', () => {
  it('the monotonic clock stands still while the wall clock goes on: exactly that time is clock_step', async () => {
    site.away(1_234_567, 0);
    await site.pass(10);
    await site.end();
    expect(site.booked()).toEqual({
      unaccounted: BEFORE_MS + 10 * POLL_MS,
      'unobserved clock_step': 1_234_567,
    });
  });

  it('both clocks go on: the same time is poll_late', async () => {
    site.away(1_234_567);
    await site.pass(10);
    await site.end();
    expect(site.booked()).toEqual({
      unaccounted: BEFORE_MS + 9 * POLL_MS,
      'unobserved poll_late': 1_234_567 + POLL_MS,
    });
  });

  it('for three days: no time is lost from the books', async () => {
    const days = 3 * 24 * HOUR_MS;
    site.away(days, 0);
    await site.pass(10);
    await site.end();
    const { unaccounted, ...dark } = site.booked();
    expect(unaccounted).toBe(BEFORE_MS + 10 * POLL_MS);
    expect(Object.values(dark)).toEqual([days]);
  });
});

it('reboot: the same pid and start tick is another process, and the time between is not measured', async () => {
  await site.pass(2);
  site.away(120_000, -40_000);
  site.node.proc.write('sys/kernel/random/boot_id', '99999999-2222-3333-4444-555555555555\n');
  site.kill();
  await site.pass(10);
  await site.end();
  expect(site.dark()).toMatchObject([{ cause: 'agent_silent', toMs: lastMs + 130_000 + POLL_MS }]);
  const boots = site.rows("SELECT DISTINCT boot_id FROM processes WHERE key LIKE '4/%' ORDER BY 1");
  expect(boots).toHaveLength(2);
});

describe('a wall clock that is set, while the service’s time is known', () => {
  it.each([-START_MS, -2 * HOUR_MS, -60_000, -2000, 2000, 2 * HOUR_MS, 25 * HOUR_MS])(
    'by %d ms, and back: no reading leaves its place, and that it was set is told',
    async (stepMs) => {
      const uptime = () => Buffer.from(`${(site.node.monotonicMs / 1000).toFixed(2)} 0\n`);
      site.faults.files = (real) => ({
        ...real,
        read: (path, most) =>
          path.endsWith('/uptime') ? { bytes: uptime(), cut: false } : real.read(path, most),
      });
      await site.pass(6);
      site.node.wallMs += stepMs;
      await site.pass(5);
      site.node.wallMs -= stepMs;
      await site.pass(30);
      await site.end();
      expect(site.booked()).toEqual({ unaccounted: BEFORE_MS + 41 * POLL_MS });
      const told = site.problems().filter((problem) => problem.startsWith('clock: was set by '));
      expect(told).toHaveLength(2);
    },
  );
});

describe('a wall clock that is set, while the service does not tell its time', () => {
  /** How far it is set, and what else the books hold then. */
  const steps: [string, number, Record<string, number>][] = [
    ['two seconds forward', 2000, { 'unobserved clock_step': 2000 }],
    ['a day and an hour forward, which nobody would believe', 25 * HOUR_MS, {}],
    ['half a second back, which is no step', -500, {}],
    ['two seconds back', -2000, {}],
    ['a minute back', -60_000, {}],
    // A node that is new to the books opens them where its clock says.
    ['two hours back', -2 * HOUR_MS, { 'unobserved agent_silent': expect.any(Number) }],
    ['to 1970', -START_MS, {}],
    ['a year forward', 365 * 24 * HOUR_MS, {}],
  ];
  it.each(steps)('%s: nothing is booked twice, and the books balance', async (_what, stepMs, more) => {
    site.tellNoTime();
    await site.pass(0);
    site.kill();
    await site.pass(1);
    site.node.wallMs += stepMs;
    await site.pass(5);
    // Somebody puts it right.
    site.node.wallMs -= stepMs;
    await site.pass(30);
    await site.end();
    const booked = site.booked();
    expect(booked).toMatchObject(more);
    // All time from where the books open, and no more, is in them.
    const sum = Object.values(booked).reduce((total, ms) => total + ms, 0);
    const opened = site.rows('SELECT min(from_ms) AS ms FROM capacity')[0]?.['ms'];
    expect(sum).toBe(site.clock.nowMs() - Number(opened));
    expect(booked['unaccounted']).toBeLessThanOrEqual(44 * POLL_MS);
    expect(site.booked(uuidOf(1))).not.toEqual({});
  });

  it('a leap second that is repeated is not counted twice', async () => {
    site.node.wallMs -= 1000;
    await site.pass(10);
    await site.end();
    expect(site.booked()['unaccounted']).toBeLessThanOrEqual(BEFORE_MS + 10 * POLL_MS);
  });
});
