/** The stand-in answers as the agent's readers expect, and every way to misbehave does what it says. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { Execute } from '../../collector/ports.ts';
import { createDevicePoller, readInventory } from '../../collector/sources/nvidia-smi.ts';
import { createFakeNvidiaSmi } from './nvidia-smi.ts';

const MIB = 1_048_576;
const UUIDS = [
  'GPU-aaaaaaaa-0000-4000-8000-000000000000',
  'GPU-aaaaaaaa-0000-4000-8000-000000000001',
] as const;
const folder = mkdtempSync(join(tmpdir(), 'gpuledger-smi-'));
const fake = createFakeNvidiaSmi(folder);
const config = { nvidiaSmi: fake.path };
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const execute: Execute = (file, args, { maxOutputBytes }) =>
  new Promise((resolve) => {
    execFile(
      file,
      [...args],
      { timeout: 1000, maxBuffer: maxOutputBytes, encoding: 'buffer' },
      (error, stdout, stderr) => {
        const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        resolve({
          ...{ stdout, stderr, exitCode, durationMs: 0 },
          failure: error?.killed === true ? 'timeout' : exitCode === null ? 'failed' : null,
        });
      },
    );
  });
const clock = { wallMs: () => 0, monotonicMs: () => 0, sleep: async () => {} };
const poll = async () => {
  const { devices } = await readInventory({ execute }, config);
  return createDevicePoller({ execute, clock }, config).poll(devices ?? []);
};
const run = (...args: string[]) => execute(fake.path, args, { timeoutMs: 1000, maxOutputBytes: 10 * MIB });

beforeEach(() => {
  fake.setFault(null);
  fake.setDevices(UUIDS.map((uuid, index) => ({ uuid, index, model: 'NVIDIA H100 80GB HBM3' })));
  fake.setProcesses([
    { device: UUIDS[0], pid: process.pid, sm: 80, memoryBytes: 4096 * MIB },
    { device: UUIDS[1], pid: process.pid, sm: 0, memoryBytes: 512 * MIB },
    { device: UUIDS[1], pid: 1, sm: 35, memoryBytes: 1024 * MIB },
  ]);
});

test('real pids are read back, device by device', async () => {
  const reading = await poll();
  expect(reading.problems).toEqual([]);
  expect(reading.devices).toMatchObject([
    {
      ...{ ok: true, uuid: UUIDS[0], utilisationPercent: 80 },
      processes: [{ pid: process.pid, type: 'C', smPercent: 80, memoryBytes: 4096 * MIB }],
    },
    {
      ...{ ok: true, uuid: UUIDS[1], utilisationPercent: 35 },
      processes: [
        { pid: 1, smPercent: 35, memoryBytes: 1024 * MIB },
        { pid: process.pid, smPercent: null, memoryBytes: 512 * MIB },
      ],
    },
  ]);
});

test('any list of fields works, by any of their names, with and without header and units', async () => {
  const csv = async (...format: string[]): Promise<string> =>
    (
      await run('--query-compute-apps=pid,used_memory,gpu_uuid', `--format=${['csv', ...format].join(',')}`)
    ).stdout.toString();
  expect((await csv()).split('\n').slice(0, 2)).toEqual([
    'pid, used_gpu_memory [MiB], gpu_uuid',
    `${process.pid}, 4096 MiB, ${UUIDS[0]}`,
  ]);
  expect((await csv('noheader', 'nounits')).split('\n')[0]).toBe(`${process.pid}, 4096, ${UUIDS[0]}`);
  const unknown = await run('--query-gpu=uuid,warp.factor', '--format=csv');
  expect(unknown).toMatchObject({ exitCode: 2 });
  expect(unknown.stdout.toString()).toBe('Field "warp.factor" is not a valid field to query.\n\n');
});

test('a device that needs a reset, and one that is lost, have no data; the other has', async () => {
  fake.setProcesses([]);
  for (const fault of ['requires_reset', 'lost'] as const) {
    fake.setDevices(
      UUIDS.map((uuid, index) => ({ uuid, index, model: 'X', ...(index === 1 ? { fault } : {}) })),
    );
    const listed = await readInventory({ execute }, config);
    const inventory = UUIDS.map((uuid, index) => ({
      ...{ uuid, index, minor: index, busId: `00000000:1${index}:00.0`, model: 'X' },
      ...{ memoryBytes: null, migEnabled: false, powerLimitMilliwatts: null, slices: null, instances: [] },
    }));
    expect(listed.devices?.length).toBe(fault === 'lost' ? 1 : 2);
    const reading = await createDevicePoller({ execute, clock }, config).poll(inventory);
    expect(reading.devices).toMatchObject([{ ok: true, utilisationPercent: 0 }, { ok: false }]);
  }
});

test('every way to misbehave gives problems, never a zero', async () => {
  const faults = [
    { hangSeconds: 5 },
    { text: 'Failed to initialize NVML: Driver/library version mismatch', exitCode: 18 },
    { garbage: true },
    { cutBytes: 60 },
    { drop: UUIDS[1] },
  ];
  const { devices } = await readInventory({ execute }, config);
  for (const fault of faults) {
    fake.setFault({ only: 'query-gpu', ...fault });
    const reading = await createDevicePoller({ execute, clock }, config).poll(devices ?? []);
    expect(reading.devices[1], JSON.stringify(fault)).toMatchObject({ ok: false });
  }
  fake.setFault({ only: 'xml', text: 'GPU access blocked by the operating system', exitCode: 4 });
  expect((await readInventory({ execute }, config)).failure).toMatchObject({ reason: 'tool_failed' });
  expect((await poll()).devices).toEqual([]);
});
