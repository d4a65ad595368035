import { totalmem } from 'node:os';
import { describe, expect, it } from 'vitest';
import type { HostFact } from '../../api/contract/batch.ts';
import { HostWatch } from '../../collector/host-watch.ts';
import { execute } from '../../collector/ports/execute.ts';
import { clock, files } from '../../collector/ports/real.ts';
import type { Execute, Executed } from '../../collector/ports.ts';
import { countProcesses, type HostLibrary, readHost } from '../../collector/sources/host.ts';
import { createProcfs } from '../../collector/sources/procfs.ts';

const GOOD: HostLibrary = {
  osInfo: () => Promise.resolve({ distro: 'Debian', release: '12', kernel: '6.1' }),
  cpu: () => Promise.resolve({ manufacturer: 'AMD', brand: 'EPYC', cores: 64 }),
  mem: () => Promise.resolve({ total: 1024 }),
  system: () => Promise.resolve({ virtual: true, virtualHost: 'KVM' }),
  processes: () => Promise.resolve({ all: 7 }),
};
const library = (changes: Partial<HostLibrary>) => () => Promise.resolve({ ...GOOD, ...changes });
const FACT: HostFact = {
  operatingSystem: 'Debian 12',
  kernel: '6.1',
  processor: 'AMD EPYC',
  cores: 64,
  memoryBytes: 1024,
  virtualisation: 'KVM',
};

describe('the host, as systeminformation describes it', () => {
  it('is what the library says, as harmless text', async () => {
    expect(await readHost(clock, library({}))).toEqual(FACT);
    const hostile = library({ osInfo: async () => ({ distro: 'A\nB\x1b[2J', release: '', kernel: '\0' }) });
    expect(await readHost(clock, hostile)).toMatchObject({ operatingSystem: 'A B [2J', kernel: null });
    expect(await countProcesses(clock, library({}))).toBe(7);
  });

  it('is unknown where the library fails, says nothing, or cannot be loaded', async () => {
    const failing = library({
      cpu: () => Promise.reject(new Error('spawn E2BIG')),
      mem: () => Promise.resolve({ total: 0 }),
      system: () => Promise.resolve({ virtual: false }),
      processes: () => Promise.reject(new Error('spawn E2BIG')),
    });
    const unknown = { processor: null, cores: null, memoryBytes: null, virtualisation: null };
    expect(await readHost(clock, failing)).toEqual({ ...FACT, ...unknown });
    expect(await countProcesses(clock, failing)).toBeNull();
    const missing = await readHost(clock, () => Promise.reject(new Error('Cannot find module')));
    expect(Object.values(missing)).toEqual([null, null, null, null, null, null]);
  });

  it('is unknown where the library never answers', async () => {
    const silent = library({ osInfo: () => new Promise(() => undefined) });
    const host = await readHost({ sleep: (_ms, signal) => clock.sleep(1, signal) }, silent);
    expect(host).toMatchObject({ operatingSystem: null, kernel: null });
  });
});

describe('the watch', () => {
  const ran = (stdout: string, more: Partial<Executed> = {}): Execute => {
    const run = { stderr: Buffer.alloc(0), exitCode: 0, failure: null, durationMs: 1, ...more };
    return () => Promise.resolve({ ...run, stdout: Buffer.from(stdout) });
  };
  const watching = (run: Execute, processes: number | null = 7) => {
    const problems: string[] = [];
    let nowMs = 0;
    const ports = { execute: run, clock: { ...clock, monotonicMs: () => nowMs } };
    const watch = new HostWatch(ports, {
      processes: () => processes,
      problem: (message) => problems.push(message),
    });
    return { watch, problems, wait: (ms: number) => (nowMs += ms) };
  };

  it('really asks, in a process of its own', async () => {
    const listed = createProcfs(files, '/proc').pids().length;
    const { watch, problems } = watching(execute, listed);
    expect(watch.fact()).toBeNull();
    await watch.lookIfDue();
    expect(watch.fact()).toMatchObject({ memoryBytes: totalmem(), kernel: expect.any(String) });
    expect(problems).toEqual([]);
  });

  it('asks once an hour', async () => {
    let calls = 0;
    const { watch, wait } = watching((...asked) => {
      calls += 1;
      return ran(`${JSON.stringify(FACT)}\n7\n`)(...asked);
    });
    await watch.lookIfDue();
    wait(3_599_000);
    await watch.lookIfDue();
    expect(calls).toBe(1);
    wait(1000);
    await watch.lookIfDue();
    expect(calls).toBe(2);
    expect(watch.fact()).toEqual(FACT);
  });

  it.each([
    ['', { exitCode: 1 }, 'the machine cannot be described: its program failed'],
    ['', { failure: 'missing' }, 'the machine cannot be described: its program did not run (missing)'],
    [
      '{"cores":"many","kernel":"\\u001b"}\n7\n',
      {},
      'the machine cannot be described: its program gave no answer',
    ],
    ['[', { failure: 'timeout' }, 'the machine cannot be described: its program took too long'],
  ] as const)('says why %j is no description', async (stdout, more, message) => {
    const { watch, problems } = watching(ran(stdout, more));
    await watch.lookIfDue();
    expect(watch.fact()).toBeNull();
    expect(problems).toEqual([message]);
  });

  it('keeps the description when the list of processes kills its program', async () => {
    const { watch, problems } = watching(ran(`${JSON.stringify(FACT)}\n`, { exitCode: 1 }));
    await watch.lookIfDue();
    expect(watch.fact()).toEqual(FACT);
    expect(problems).toEqual([
      'systeminformation cannot list the processes of this machine: its program failed',
    ]);
  });

  it.each([
    [0, 5000, 'systeminformation (ps) lists less than half of the processes that /proc shows'],
    [5000, 30, '/proc shows the agent less than half of the processes that systeminformation (ps) lists'],
    [5000, 4000, null],
    [90, 4, null],
    [5000, null, null],
  ])('compares %j processes with %j', async (theirs, ours, message) => {
    const { watch, problems } = watching(ran(`${JSON.stringify(FACT)}\n${theirs}\n`), ours);
    await watch.lookIfDue();
    expect(problems).toEqual(message === null ? [] : [message]);
  });
});
