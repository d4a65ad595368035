// A tool that lies, breaks off or loses its driver: what the ledger says then.
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

/** What every call, or calls of one kind, give in place of their answer. */
function answer(change: (executed: Executed) => Partial<Executed>, kind = ''): void {
  site.faults.execute =
    (real) =>
    async (...call) => {
      const executed = await real(...call);
      return call[1].join(' ').includes(kind) ? { ...executed, ...change(executed) } : executed;
    };
}
const text = (edit: (said: string) => string) => (executed: Executed) => ({
  stdout: Buffer.from(edit(executed.stdout.toString('latin1')), 'latin1'),
});

/** Four polls with the fault; the interval before the first and the one after the last are dark too. */
const FAULTY = 4;
const darkMs = (FAULTY + 1) * POLL_MS;
const goodMs = 9 * POLL_MS + 9 * POLL_MS;

async function withFault(): Promise<void> {
  await site.pass(FAULTY);
  site.faults.execute = null;
  await site.pass(10);
  await site.end();
}

const GPU = '--query-gpu';
const APPS = '--query-compute-apps';
const row = uuidOf(0);
/** What is wrong, by what the ledger says of device 0; device 1 is another matter. */
const lies: [string, string, (executed: Executed) => Partial<Executed>, string][] = [
  ['fewer rows than the inventory', GPU, text((said) => without(said, row)), 'device_missing'],
  ['other UUIDs', GPU, text((said) => said.replaceAll(row, row.replace('GPU-0', 'GPU-f'))), 'device_missing'],
  ['utilisation of 250 %', GPU, text((said) => said.replaceAll('100 %', '250 %')), 'device_error'],
  ['utilisation below zero', GPU, text((said) => said.replaceAll('100 %', '-5 %')), 'device_error'],
  ['memory below zero', GPU, text((said) => said.replaceAll('10 MiB', '-10 MiB')), 'device_error'],
  ['a device twice', GPU, text((said) => twice(said, row)), 'device_error'],
  ['no output at all, and success', GPU, () => ({ stdout: Buffer.alloc(0) }), 'tool_failed'],
  [
    'an error text, and success',
    GPU,
    text(() => 'Failed to initialize NVML: Unknown Error\n'),
    'tool_failed',
  ],
  [
    'another encoding',
    GPU,
    (was) => ({ stdout: Buffer.from(was.stdout.toString(), 'utf16le') }),
    'tool_failed',
  ],
  ['bytes of no encoding', GPU, () => ({ stdout: Buffer.alloc(4000, 0xfe) }), 'tool_failed'],
  [
    'output without end',
    GPU,
    () => ({ stdout: Buffer.alloc(4 << 20, 'x'), failure: 'output_limit', exitCode: null }),
    'tool_failed',
  ],
  [
    'killed in mid output',
    GPU,
    (was) => ({ stdout: was.stdout.subarray(0, 130), failure: 'killed', exitCode: null }),
    'tool_failed',
  ],
  [
    'processes on a device that is not there',
    APPS,
    text((said) => said.replaceAll(row, row.replace('GPU-0', 'GPU-f'))),
    'processes_unreadable',
  ],
  [
    'an error text for the processes, and success',
    APPS,
    text(() => 'Unable to determine the device handle\n'),
    'processes_unreadable',
  ],
  [
    'half a list of processes',
    APPS,
    (was) => ({ stdout: was.stdout.subarray(0, -3) }),
    'processes_unreadable',
  ],
];
const without = (said: string, part: string): string =>
  said
    .split('\n')
    .filter((line) => !line.includes(part))
    .join('\n');
const twice = (said: string, part: string): string =>
  said
    .split('\n')
    .flatMap((line) => (line.includes(part) ? [line, line.replace('100 %', '0 %')] : [line]))
    .join('\n');

describe('a tool that lies', () => {
  it.each(lies)(
    '%s: not measured from the last good reading to the next',
    async (_what, kind, change, cause) => {
      answer(change, kind);
      await withFault();
      const [dark, ...others] = site.dark();
      expect(others).toEqual([]);
      const fromMs = START_MS + 10 * POLL_MS;
      expect(dark).toEqual({ fromMs, toMs: fromMs + darkMs, ms: darkMs, cause });
      expect(site.booked()).toEqual({ unaccounted: goodMs, [`unobserved ${cause}`]: darkMs });
    },
  );

  const harmless: [string, string, (executed: Executed) => Partial<Executed>][] = [
    ['exit code 14 with valid output', '', () => ({ exitCode: 14 })],
    ['text on standard error', '', () => ({ stderr: Buffer.alloc(100_000, 0x1b) })],
    ['numbers with a comma for a point', GPU, text((said) => said.replaceAll('30.00 W', '30,00 W'))],
    ['pmon with rubbish', 'pmon', () => ({ stdout: Buffer.alloc(10_000, 0xff) })],
    ['pmon without end', 'pmon', () => ({ failure: 'output_limit', exitCode: null })],
  ];
  it.each(harmless)('%s: nothing is lost', async (_what, kind, change) => {
    answer(change, kind);
    await withFault();
    expect(site.booked()).toEqual({ unaccounted: 23 * POLL_MS });
  });
});
