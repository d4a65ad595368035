// Links, mounts and lists as the kernel writes them, and the hours in which what lasts is told.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HOUR_MS } from '../../api/contract/batch.ts';
import { Lasting } from '../../collector/lasting.ts';
import { parseHierarchies } from '../../collector/sources/cgroupfs.ts';
import { minorOf } from '../../collector/sources/device-files.ts';

describe('links to devices', () => {
  it('name a GPU by its number, wherever the folder of devices is', () => {
    expect(minorOf('/dev/nvidia0')).toBe(0);
    expect(minorOf('/dev/nvidia15')).toBe(15);
    expect(minorOf('/run/containers/x/rootfs/dev/nvidia3 (deleted)')).toBe(3);
    const others = [
      '/dev/nvidiactl',
      '/dev/nvidia-uvm',
      '/dev/nvidia-caps/nvidia-cap1',
      '/dev/nvidia-modeset',
    ];
    for (const other of [...others, '/tmp/nvidia0', '/dev/nvidia0.txt', '/mydev/nvidia0', 'socket:[1]', ''])
      expect(minorOf(other)).toBeNull();
  });

  it('name none or a small number, whatever they are', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const minor = minorOf(`/dev/nvidia${text}`);
        expect(minor === null || /^\d{1,4}(?: \(deleted\))?$/.test(text)).toBe(true);
        expect(minor === null || (Number.isSafeInteger(minor) && minor >= 0)).toBe(true);
      }),
    );
  });
});

describe('mounts of control groups', () => {
  const HYBRID = [
    '28 22 0:25 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755',
    '29 28 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct',
    '30 28 0:27 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,release_agent=/x,name=systemd',
    '31 28 0:28 / /sys/fs/cgroup/unified rw shared:12 - cgroup2 cgroup2 rw,nsdelegate',
    '32 28 0:29 /docker/abc /sys/fs/cgroup/devices rw master:13 - cgroup cgroup rw,devices',
    '33 28 0:30 / /mnt/a\\040b rw - cgroup cgroup rw,memory',
    'nonsense',
  ];

  it('are known by their controllers, version 2 first', () => {
    expect(parseHierarchies(Buffer.from(HYBRID.join('\n')))).toEqual([
      { controllers: '', point: '/sys/fs/cgroup/unified', root: '' },
      { controllers: 'cpu,cpuacct', point: '/sys/fs/cgroup/cpu,cpuacct', root: '' },
      { controllers: 'name=systemd', point: '/sys/fs/cgroup/systemd', root: '' },
      { controllers: 'devices', point: '/sys/fs/cgroup/devices', root: '/docker/abc' },
    ]);
  });

  it('have absolute points, whatever the table says', () => {
    const line = fc.oneof(fc.constantFrom(...HYBRID), fc.string());
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        for (const one of parseHierarchies(Buffer.from(lines.join('\n')))) {
          expect(one.point.startsWith('/')).toBe(true);
          expect(one.root === '' || one.root.startsWith('/')).toBe(true);
        }
      }),
    );
  });
});

describe('what lasts', () => {
  const T = 1_790_002_800_000;

  it('is told when new, once in each further hour, and when something else is to be said', () => {
    const lasting = new Lasting<{ detail: string }>();
    const look = (atMs: number, detail: string) => {
      lasting.see('x', { detail }, atMs);
      lasting.endRound();
      return lasting.due(atMs);
    };
    expect(look(T, 'a')).toEqual([{ detail: 'a', firstMs: T, lastMs: T }]);
    expect(look(T + 60_000, 'a')).toEqual([]);
    expect(look(T + 120_000, 'b')).toEqual([{ detail: 'b', firstMs: T, lastMs: T + 120_000 }]);
    expect(look(T + HOUR_MS, 'b')).toEqual([{ detail: 'b', firstMs: T, lastMs: T + HOUR_MS }]);
    // A clock that was set back must not make an end before the beginning.
    expect(look(T - HOUR_MS, 'c')).toEqual([{ detail: 'c', firstMs: T, lastMs: T + HOUR_MS }]);
  });

  it('has ended when a whole look did not see it, and begins anew', () => {
    const lasting = new Lasting<object>();
    lasting.see('x', {}, T);
    lasting.endRound();
    lasting.due(T);
    lasting.endRound();
    expect([lasting.has('x'), lasting.size]).toEqual([false, 0]);
    lasting.see('x', {}, T + 5000, T + 1000);
    expect(lasting.due(T + 5000)).toEqual([{ firstMs: T + 1000, lastMs: T + 5000 }]);
  });

  it('is told in every hour in which it was seen, at most once for the same words', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: HOUR_MS }), { minLength: 1, maxLength: 50 }),
        (steps) => {
          const lasting = new Lasting<object>();
          let atMs = T;
          const seen = new Set<number>();
          const told: number[] = [];
          for (const step of steps) {
            atMs += step;
            lasting.see('x', {}, atMs);
            lasting.endRound();
            seen.add(Math.floor(atMs / HOUR_MS));
            for (const { lastMs } of lasting.due(atMs)) told.push(Math.floor(lastMs / HOUR_MS));
          }
          expect(told).toEqual([...seen]);
        },
      ),
    );
  });
});
