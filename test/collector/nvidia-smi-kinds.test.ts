// Kinds of devices and ways of use that answer in their own ways.
import { describe, expect, it } from 'vitest';
import { parseXml } from '../../collector/sources/nvidia-smi/xml.ts';
import { APPS, app, done, fact, gpuText, PMON, polled, reasons, rig, withGpu } from './nvidia-smi-rig.ts';

const MIB = 1024 * 1024;

describe('at a poll', () => {
  it('unified memory: no memory of the device, but of its processes', async () => {
    const memory = { 'memory.used': '[Not Supported]', 'memory.total': '[Not Supported]' };
    const { devices } = await polled({
      ...withGpu({ 0: memory }),
      apps: () => done(APPS + app(0, 5, '900 MiB')),
    });
    expect(devices[0]).toMatchObject({
      ok: true,
      memoryUsedBytes: { unknown: 'Not Supported' },
      processes: [{ pid: 5, memoryBytes: 900 * MIB }],
    });
  });

  it('a virtual GPU: power, memory of processes and shares are unknown, not zero', async () => {
    const none = { 'power.draw': '[N/A]', 'enforced.power.limit': '[N/A]', 'accounting.mode': '[N/A]' };
    const { devices } = await polled({
      ...withGpu({ 0: none }),
      apps: () => done(APPS + app(0, 5, '[N/A]') + app(0, 6, '[N/A]')),
      pmon: () => done('Not supported on the device(s)\n', 255),
    });
    expect(devices[0]).toMatchObject({
      ...{
        ok: true,
        utilisationPercent: 50,
        powerMilliwatts: { unknown: 'N/A' },
        powerLimitMilliwatts: { unknown: 'N/A' },
      },
      processes: [
        { pid: 5, smPercent: null, memoryBytes: null },
        { pid: 6, smPercent: null, memoryBytes: null },
      ],
    });
  });

  it('MPS: clients and server are one process each, with their types', async () => {
    const { devices } = await polled({
      apps: () => done(APPS + app(0, 5, '25 MiB') + app(0, 6) + app(0, 7)),
      pmon: () => done(`${PMON}0 5 C - - nvidia-cuda-mps\n0 6 M+C 30 1 a\n0 7 M+C 20 1 a\n1 - - - - -\n`),
    });
    expect(devices[0]).toMatchObject({
      processes: [
        { pid: 5, type: 'C', smPercent: null },
        { pid: 6, type: 'M+C', smPercent: 30 },
        { pid: 7, type: 'M+C', smPercent: 20 },
      ],
    });
  });

  it('a hidden process is a process: its name is not even asked for', async () => {
    const { devices } = await polled({ apps: () => done(APPS + app(0, 312_710, '[N/A]')) });
    expect(devices[0]).toMatchObject({ processes: [{ pid: 312_710, memoryBytes: null }] });
  });

  it('numbers are another after a restart: the UUID counts', async () => {
    const { devices } = await polled({
      ...withGpu({ 0: { index: '1' }, 1: { index: '0' } }),
      apps: () => done(APPS + app(0, 5) + app(0, 6)),
      pmon: () => done(`${PMON}0 - - - - -\n1 5 C 9 1 a\n1 6 C 8 1 a\n`),
    });
    expect(devices).toMatchObject([{ processes: [{ smPercent: 9 }, { smPercent: 8 }] }, { processes: [] }]);
  });

  it('memory that grew while it needs a reset says nothing: 0 MiB in use is not idle', async () => {
    const sick = {
      'memory.used': '0 MiB',
      'utilization.gpu': '[GPU requires reset]',
      'power.draw': '[GPU requires reset]',
    };
    expect(reasons((await polled(withGpu({ 0: sick }))).devices)).toEqual(['device_error', 'ok']);
  });

  it('a driver that hangs for shares alone is asked less often for those, and goes on to measure', async () => {
    const { poller, calls } = rig({ pmon: () => done('', 0, 'timeout') });
    for (let poll = 0; poll < 4; poll += 1)
      expect(reasons((await poller.poll([fact(0), fact(1)])).devices)).toEqual(['ok', 'ok']);
    expect(calls.filter(([head]) => head === 'pmon')).toHaveLength(3);
    expect(calls.filter(([head]) => head?.startsWith('--query-gpu'))).toHaveLength(4);
  });

  it.each([
    'Failed to initialize NVML: Unknown Error',
    'Failed to initialize NVML: Insufficient Permissions',
    'GPU access blocked by the operating system',
    'Unable to determine the device handle for GPU0000:91:00.0: Unknown Error',
  ])('%s: nothing is measured, in the words of the tool', async (line) => {
    const { devices } = await polled({ gpu: () => done(`${line}\n`, 255) });
    expect(devices[0]).toMatchObject({
      ok: false,
      reason: 'tool_failed',
      detail: expect.stringContaining(line),
    });
  });

  it('an error line among good rows is one device, by whatever its words', async () => {
    for (const line of [
      'GPU0: 0000:00:00.0: Unknown Error',
      'Unable to determine the device handle for GPU 0000:00:00.0: GPU is lost.  Reboot the system to recover this GPU',
    ]) {
      const { poller } = rig({
        gpu: (fields) => done(gpuText(fields, [1]).replace('\n', `\n${line}\n`), 15),
      });
      const { devices } = await poller.poll([fact(0), fact(1)]);
      expect(reasons(devices)).toEqual(['device_error', 'ok']);
    }
  });
});

describe('in a report', () => {
  const limit = (body: string) =>
    parseXml(`<nvidia_smi_log><gpu id="00000000:01:00.0">${body}</gpu></nvidia_smi_log>`).devices[0]
      ?.powerLimitMilliwatts;

  it.each([
    [
      '<power_readings><power_limit>250.00 W</power_limit><enforced_power_limit>180.00 W</enforced_power_limit></power_readings>',
      180_000,
    ],
    [
      '<power_readings><power_limit>250.00 W</power_limit><enforced_power_limit>N/A</enforced_power_limit></power_readings>',
      250_000,
    ],
    [
      '<gpu_power_readings><current_power_limit>700.00 W</current_power_limit><max_power_limit>1 W</max_power_limit></gpu_power_readings>',
      700_000,
    ],
    [
      '<gpu_power_readings><current_power_limit>N/A</current_power_limit></gpu_power_readings>',
      { unknown: 'N/A' },
    ],
  ])('the limit of power is the enforced one: %s', (body, expected) => {
    expect(limit(body)).toEqual(expected);
  });

  it('the driver has its version under the name that 610 gave it', () => {
    expect(
      parseXml('<nvidia_smi_log><kmd_version>610.57.04</kmd_version></nvidia_smi_log>').driverVersion,
    ).toBe('610.57.04');
  });
});
