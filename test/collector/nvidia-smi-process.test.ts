import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { DeviceFact } from '../../api/contract/batch.ts';
import { execute } from '../../collector/ports/execute.ts';
import type { AgentClock } from '../../collector/ports.ts';
import type { DeviceReading } from '../../collector/reading.ts';
import { createDevicePoller, readInventory } from '../../collector/sources/nvidia-smi.ts';
import { createFakeNvidiaSmi } from '../fakes/nvidia-smi.ts';

const folder = mkdtempSync(join(tmpdir(), 'nvidia-smi-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const fake = createFakeNvidiaSmi(folder);
const config = { nvidiaSmi: fake.path };
const clock: AgentClock = { wallMs: () => 5, monotonicMs: () => 6, sleep: async () => undefined };
const uuids = [0, 1, 2, 3, 4, 5].map((index) => `GPU-${index}0000000-1111-2222-3333-444444444444`);
const [first = ''] = uuids;
const others = uuids.slice(1);
const summary = (devices: readonly DeviceReading[]): string[] =>
  devices.map((device) => (device.ok ? 'ok' : device.reason));

let inventory: readonly DeviceFact[] = [];
beforeEach(async () => {
  fake.setFault(null);
  fake.setDevices(uuids.map((uuid, index) => ({ uuid, index, model: 'NVIDIA H100 80GB HBM3' })));
  fake.setProcesses([
    { device: first, pid: 4242, sm: 70, memoryBytes: 1024 ** 3 },
    { device: first, pid: 4343, sm: 0, memoryBytes: 1024 ** 3 },
  ]);
  const read = await readInventory({ execute }, config);
  expect(read).toMatchObject({ failure: null, problems: [] });
  inventory = read.devices ?? [];
});
const poll = () => createDevicePoller({ execute, clock }, config).poll(inventory);

describe('with an executable', () => {
  it('reads six devices and the processes of one', async () => {
    expect(inventory.map(({ uuid, index }) => [uuid, index])).toEqual(
      uuids.map((uuid, index) => [uuid, index]),
    );
    const { devices, problems, wallMs } = await poll();
    expect({ problems, wallMs }).toEqual({ problems: [], wallMs: 5 });
    expect(summary(devices)).toEqual(uuids.map(() => 'ok'));
    expect(devices[0]).toMatchObject({
      processes: [
        { pid: 4242, type: 'C', smPercent: 70, memoryBytes: 1024 ** 3 },
        { pid: 4343, type: 'C', smPercent: null },
      ],
    });
    for (const device of devices.slice(1))
      expect(device).toMatchObject({ utilisationPercent: 0, processes: [] });
  });

  it.each(['lost', 'requires_reset'] as const)('a device that is %s fails alone', async (fault) => {
    const devices = uuids.map((uuid, index) => ({ uuid, index, model: 'NVIDIA H100 80GB HBM3' }));
    fake.setDevices(devices.map((device) => (device.uuid === first ? { ...device, fault } : device)));
    const reading = await poll();
    expect(summary(reading.devices)).toEqual(['device_error', ...others.map(() => 'ok')]);
  });

  it('a row that is missing, and output that is cut, void what they miss', async () => {
    fake.setFault({ only: 'query-gpu', drop: first });
    expect(summary((await poll()).devices)).toEqual(['device_missing', ...others.map(() => 'ok')]);
    fake.setFault({ only: 'query-compute-apps', cutBytes: 70 });
    expect(new Set(summary((await poll()).devices))).toEqual(new Set(['processes_unreadable']));
  });

  it('rubbish and refusal are no measurement', async () => {
    fake.setFault({ garbage: true });
    expect(new Set(summary((await poll()).devices))).toEqual(new Set(['tool_failed']));
    fake.setFault({ text: 'Failed to initialize NVML: Unknown Error', exitCode: 255 });
    const { devices } = await poll();
    expect(devices[0]).toMatchObject({ reason: 'tool_failed', detail: expect.stringContaining('NVML') });
    expect(await readInventory({ execute }, { nvidiaSmi: join(folder, 'absent') })).toMatchObject({
      devices: null,
      failure: { reason: 'tool_missing' },
    });
  });

  it('reads divided devices beside whole ones, of several drivers', async () => {
    for (const driver of ['470.82.01', '550.54.15', '590.48.01']) {
      fake.setDriver(driver);
      const instances = [
        { gpuInstance: 1, computeInstance: 0, profile: '3g.40gb', uuid: 'MIG-a', memoryMiB: 40_320 },
        { gpuInstance: 9, computeInstance: 0, profile: '1g.10gb', uuid: 'MIG-b', memoryMiB: 9_984 },
      ];
      fake.setDevices(
        uuids.map((uuid, index) => ({
          uuid,
          index,
          model: 'NVIDIA H100',
          ...(index === 0 ? { instances } : {}),
        })),
      );
      const on = {
        device: first,
        pid: 4242,
        sm: 70,
        memoryBytes: 1024 ** 3,
        gpuInstance: 9,
        computeInstance: 0,
      };
      fake.setProcesses([on, { ...on, pid: 4343, gpuInstance: 1 }]);
      const read = await readInventory({ execute }, config);
      expect(read.problems).toEqual([]);
      expect(read.devices?.[0]).toMatchObject({ slices: 7, instances: [{ slices: 3 }, { slices: 1 }] });
      const { devices, problems } = await createDevicePoller({ execute, clock }, config).poll(
        read.devices ?? [],
      );
      expect({ driver, problems }).toEqual({ driver, problems: [] });
      expect(devices[0]).toMatchObject({
        partition: [
          { gpuInstance: 1, slices: 3 },
          { gpuInstance: 9, slices: 1 },
        ],
        processes: [
          { pid: 4242, gpuInstance: 9 },
          { pid: 4343, gpuInstance: 1 },
        ],
      });
      expect(summary(devices.slice(1))).toEqual(others.map(() => 'ok'));
    }
  });

  it('reads what ended since the poll before', async () => {
    const row = { device: first, memoryPercent: 1, busyPercent: 60, maxMemoryMiB: 9 };
    const poller = createDevicePoller({ execute, clock }, config);
    fake.setAccounting({ on: true, rows: [{ ...row, pid: 7, timeMs: 4000 }] });
    expect((await poller.poll(inventory)).ended).toEqual([]);
    fake.setAccounting({ on: true, rows: [7, 8].map((pid) => ({ ...row, pid, timeMs: 500 * pid })) });
    const { ended } = await poller.poll(inventory);
    expect(ended.map(({ pid, openMs, busyPercent }) => [pid, openMs, busyPercent])).toEqual([
      [7, 3500, 60],
      [8, 4000, 60],
    ]);
  });
});
