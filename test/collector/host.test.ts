import { hostname, totalmem } from 'node:os';
import { describe, expect, it } from 'vitest';
import { clock } from '../../collector/ports/real.ts';
import { type HostLibrary, readHost } from '../../collector/sources/host.ts';

const library = (changes: Partial<HostLibrary>): (() => Promise<HostLibrary>) => {
  const good: HostLibrary = {
    osInfo: () => Promise.resolve({ hostname: 'gn1', distro: 'Debian', release: '12', kernel: '6.1' }),
    cpu: () => Promise.resolve({ manufacturer: 'AMD', brand: 'EPYC', cores: 64 }),
    mem: () => Promise.resolve({ total: 1024 }),
  };
  return () => Promise.resolve({ ...good, ...changes });
};

describe('the host', () => {
  it('is told by systeminformation', async () => {
    expect(await readHost(clock)).toMatchObject({ hostname: hostname(), memoryBytes: totalmem() });
  });

  it('is unknown where the library fails, says nothing, or cannot be loaded', async () => {
    const failing = library({
      cpu: () => Promise.reject(new Error('spawn E2BIG')),
      mem: () => Promise.resolve({ total: 0 }),
    });
    expect(await readHost(clock, failing)).toEqual({
      hostname: 'gn1',
      os: 'Debian 12',
      kernel: '6.1',
      cpuModel: { unknown: 'spawn E2BIG' },
      cpuCount: { unknown: 'spawn E2BIG' },
      memoryBytes: { unknown: 'not a positive whole number' },
    });
    const missing = await readHost(clock, () => Promise.reject(new Error('Cannot find module')));
    expect(missing.hostname).toEqual({ unknown: 'Cannot find module' });
  });

  it('is unknown where the library never answers', async () => {
    const silent = library({ osInfo: () => new Promise(() => undefined) });
    const host = await readHost({ sleep: (_ms, signal) => clock.sleep(1, signal) }, silent);
    expect(host.hostname).toEqual({ unknown: 'no answer within 10000 ms' });
  });
});
