// Disks that are full, refuse, forget or damage: what the ledger says then, and what is never lost.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HOUR_MS } from '../../api/contract/batch.ts';
import { type Files, ShipError } from '../../collector/ports.ts';
import { errno, FaultSite, POLL_MS, START_MS } from './site.ts';

let site: FaultSite;
beforeEach(() => {
  site = newSite();
});
afterEach(async () => {
  expect(await site.differences()).toEqual([]);
  await site.close();
});

function newSite(): FaultSite {
  const made = new FaultSite();
  const gpu = made.node.devices[0];
  if (gpu === undefined) throw new Error('no GPU');
  gpu.percent = 100;
  gpu.processes = [{ pid: 4 }];
  made.node.proc.put({ pid: 4, comm: 'train' });
  return made;
}
const sum = (booked: Record<string, number>): number => Object.values(booked).reduce((a, b) => a + b, 0);
const spool = (): string => join(site.folder, 'spool');
const away = (): void => {
  site.faults.network = () => ({ send: () => Promise.reject(new ShipError('down', false)) });
};
/** The files of batches that wait, oldest first. */
function waiting(): string[] {
  const { stream } = JSON.parse(readFileSync(join(spool(), 'stream.json'), 'utf8'));
  const folder = join(spool(), stream);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => join(folder, name));
}

/** Every call that changes the disk fails. */
const refusing =
  (code: string) =>
  (real: Files): Files => ({
    ...real,
    writeDurably: () => {
      throw errno(code);
    },
    makeFolder: () => {
      throw errno(code);
    },
    rename: () => {
      throw errno(code);
    },
    remove: () => {
      throw errno(code);
    },
  });

describe('a disk that refuses', () => {
  it.each(['ENOSPC', 'EROFS', 'EIO', 'EDQUOT', 'EMFILE'])(
    '%s: what could not be kept is spool_full, nothing else, and well again by itself',
    async (code) => {
      await site.pass(12);
      site.faults.files = refusing(code);
      await site.pass(24);
      site.faults.files = null;
      await site.pass(12);
      await site.end();
      const booked = site.booked();
      expect(Object.keys(booked).sort()).toEqual(['unaccounted', 'unobserved spool_full']);
      expect(sum(booked)).toBe(47 * POLL_MS);
      // At most a batch more than the two minutes on either side.
      expect(booked['unobserved spool_full']).toBeLessThanOrEqual(24 * POLL_MS + 30_000);
      expect(site.dark()).toHaveLength(1);
      expect(site.problems().join('\n')).not.toMatch(/uncaught|TypeError/);
    },
  );

  it('over the end of an hour: each hour has its part', async () => {
    site.away(HOUR_MS - 120_000);
    await site.pass(12);
    site.faults.files = refusing('ENOSPC');
    await site.pass(24);
    site.faults.files = null;
    await site.pass(12);
    await site.end();
    expect(sum(site.booked())).toBe(47 * POLL_MS);
    expect(site.dark()).toMatchObject([{ cause: 'spool_full' }]);
  });

  it('one that is really full: a small file system of its own', async ({ skip }) => {
    const folder = join(site.folder, 'spool');
    try {
      mkdirSync(folder, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' });
    } catch {
      skip('this account may not mount');
    }
    try {
      site.kill();
      await site.pass(12);
      away();
      writeFileSync(join(folder, 'of-somebody-else'), Buffer.alloc(44 * 1024));
      await site.pass(240);
      rmSync(join(folder, 'of-somebody-else'));
      site.faults.network = null;
      await site.pass(12);
      await site.end();
      const booked = site.booked();
      expect(sum(booked)).toBe(263 * POLL_MS);
      expect(Object.keys(booked).sort()).toEqual(['unaccounted', 'unobserved spool_full']);
      expect(site.node.logged.some((line) => line.includes('ENOSPC'))).toBe(true);
    } finally {
      execFileSync('umount', ['-l', folder]);
    }
  });
});

describe('a spool that goes away under a running agent', () => {
  it.each([
    ['deleted while batches wait', (): void => rmSync(spool(), { recursive: true })],
    [
      'on a disk that comes back empty',
      (): void => {
        rmSync(spool(), { recursive: true });
        mkdirSync(spool());
      },
    ],
  ])('%s: exactly what waited there is spool_corrupt', async (_what, act) => {
    await site.pass(12);
    away();
    await site.pass(24);
    // The first file there has been sent.
    const first = JSON.parse(readFileSync(waiting()[0] ?? '', 'utf8')).body.toMs;
    const last = JSON.parse(readFileSync(waiting().at(-1) ?? '', 'utf8')).body.toMs;
    act();
    site.faults.network = null;
    await site.pass(24);
    await site.end();
    expect(site.dark()).toEqual([{ fromMs: first, toMs: last, ms: last - first, cause: 'spool_corrupt' }]);
    expect(sum(site.booked())).toBe(59 * POLL_MS);
  });
});

describe('a spool that is damaged while no agent runs', () => {
  /** What lies on disk is cut or changed at a place, and a new agent takes it over. */
  async function damage(at: number, how: 'cut' | 'flip', index: number): Promise<void> {
    site = newSite();
    await site.pass(7);
    away();
    await site.pass(18);
    const files = [...waiting(), join(spool(), 'stream.json')];
    const path = files[index % files.length] ?? '';
    const bytes = readFileSync(path);
    const place = at % bytes.length;
    const lastMs = JSON.parse(readFileSync(files.at(-2) ?? '', 'utf8')).body.toMs;
    if (how === 'cut') writeFileSync(path, bytes.subarray(0, place));
    else {
      bytes[place] = (bytes[place] ?? 0) ^ 0x20;
      writeFileSync(path, bytes);
    }
    site.faults.network = null;
    site.away(60_000);
    site.kill();
    await site.pass(8);
    await site.end();
    const dark = site.dark();
    // What was in memory when the first agent was killed, and the time without one.
    expect(sum(site.booked())).toBe(24 * POLL_MS + 60_000 + 8 * POLL_MS);
    for (const one of dark) expect(['agent_silent', 'spool_corrupt']).toContain(one.cause);
    const lostMs = dark.reduce((all, { ms }) => all + ms, 0);
    const withoutMs = 60_000 + POLL_MS + START_MS + 25 * POLL_MS - lastMs;
    // Never more than the damaged batch, and never for another cause than that it was damaged.
    expect([withoutMs, withoutMs + 30_000]).toContain(lostMs);
    if (lostMs > withoutMs) expect(dark.map(({ cause }) => cause)).toContain('spool_corrupt');
    expect(await site.differences()).toEqual([]);
  }

  it('cut or changed at any byte of any file: it starts, and the rest is booked as it was measured', async () => {
    const outer = site;
    await fc.assert(
      fc
        .asyncProperty(fc.nat(100_000), fc.constantFrom('cut' as const, 'flip' as const), fc.nat(10), damage)
        .afterEach(async () => {
          if (site !== outer) await site.close();
          site = outer;
        }),
      {
        numRuns: 8,
        examples: [
          [0, 'cut', 0],
          [50, 'flip', 3],
        ],
      },
    );
  });
});

it('killed at any poll: nothing that was on disk is lost, nothing is there twice', async () => {
  for (let kill = 0; kill < 20; kill += 1) {
    await site.pass(1 + ((kill * 7) % 5));
    site.kill();
  }
  await site.pass(12);
  await site.end();
  expect(sum(site.booked())).toBe(site.clock.nowMs() - START_MS - POLL_MS);
  expect(Object.keys(site.booked()).sort()).toEqual(['unaccounted', 'unobserved agent_silent']);
});
