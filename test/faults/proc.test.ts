// A /proc that refuses, vanishes or holds what nobody expects: what the ledger says then.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Files } from '../../collector/ports.ts';
import { errno, FaultSite, POLL_MS, uuidOf } from './site.ts';

let site: FaultSite;
beforeEach(() => {
  site = new FaultSite();
});
afterEach(async () => {
  expect(await site.differences()).toEqual([]);
  await site.close();
});

function work(...pids: number[]): void {
  const gpu = site.node.devices[0];
  if (gpu === undefined) throw new Error('no GPU');
  gpu.percent = 100;
  gpu.processes = pids.map((pid) => ({ pid }));
}

/** Every look at a path of /proc that `at` matches fails. */
const failing =
  (code: string, at: RegExp) =>
  (real: Files): Files => {
    const guard =
      <Args extends [string, ...unknown[]], Result>(act: (...args: Args) => Result) =>
      (...args: Args): Result => {
        if (args[0].startsWith(site.node.proc.root) && at.test(args[0])) throw errno(code);
        return act(...args);
      };
    return {
      ...real,
      ...{ read: guard(real.read), hold: guard(real.hold), readLink: guard(real.readLink) },
      ...{ list: guard(real.list), identify: guard(real.identify) },
    };
  };
const keys = (): string[] =>
  site.rows('SELECT key FROM processes ORDER BY key').map(({ key }) => String(key));

describe('a process that was seen', () => {
  it.each([
    ['EACCES', /./],
    ['ENOENT', /./],
    ['EMFILE', /./],
    ['EIO', /./],
    ['ENOMEM', /./],
    ['EACCES', /\/(exe|environ|cgroup|cmdline)$/],
    ['EMFILE', /\/4\/stat$/],
  ])('%s at %s for a while: it is still the same process, or its time is not measured', async (code, at) => {
    site.node.proc.put({ pid: 4, comm: 'train' });
    work(4);
    await site.pass(8);
    site.faults.files = failing(code, at);
    await site.pass(4);
    site.faults.files = null;
    await site.pass(8);
    await site.end();
    expect(keys()).toEqual(['4/40']);
    const { unaccounted = 0, ...dark } = site.booked();
    expect(unaccounted + (dark['unobserved processes_unreadable'] ?? 0)).toBe(19 * POLL_MS);
    expect(unaccounted).toBeGreaterThanOrEqual(14 * POLL_MS);
  });
});

it('bytes of every kind in names, paths, control groups and arguments reach the books as inert text', async () => {
  const bytes = Buffer.from(
    Array.from({ length: 255 }, (_, i) => i + 1).filter((byte) => byte !== 10 && byte !== 47),
  );
  site.node.proc.put({
    ...{ pid: 4, comm: bytes.subarray(0, 15), cmdline: Buffer.concat([bytes, Buffer.from([0]), bytes]) },
    ...{ cgroup: `0::/${bytes.toString('latin1')}\n` },
  });
  work(4);
  await site.pass(8);
  await site.end();
  expect(site.booked()).toEqual({ unaccounted: 7 * POLL_MS });
  const rows = JSON.stringify([
    ...site.rows('SELECT * FROM processes'),
    ...site.rows('SELECT * FROM personal'),
  ]);
  expect(rows).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]|\\u00[01]/);
});

it('a thousand processes with command lines of 131,000 bytes on one device are booked whole', async () => {
  const pids = Array.from({ length: 1000 }, (_, i) => 4_000_000 + i);
  for (const pid of pids) site.node.proc.put({ pid, comm: 'many' });
  const long = Buffer.alloc(131_000, '--token=x ');
  site.faults.files = (real) => ({
    ...real,
    read: (path, maxBytes) =>
      path.endsWith('/cmdline')
        ? { bytes: Buffer.from(long.subarray(0, maxBytes)), cut: long.length > maxBytes }
        : real.read(path, maxBytes),
  });
  work(...pids);
  await site.pass(3);
  await site.end();
  expect(Object.values(site.booked()).reduce((a, b) => a + b, 0)).toBe(2 * POLL_MS);
  expect(keys().length).toBeGreaterThanOrEqual(512);
});

it('more GPUs than a batch may hold: those that are told are booked whole, and it says so', async () => {
  site.node.devices = Array.from({ length: 80 }, (_, i) => ({
    ...{ uuid: `GPU-00000000-0000-4000-8000-${String(i).padStart(12, '0')}`, percent: 0, processes: [] },
  }));
  await site.pass(8);
  await site.end();
  expect(site.rows('SELECT count(*) AS n FROM devices')).toEqual([{ n: 64 }]);
  expect(site.booked(uuidOf(3))).toEqual({ idle: 7 * POLL_MS });
  expect([...site.problems(), ...site.node.logged].join('\n')).toMatch(/80|64/);
});
