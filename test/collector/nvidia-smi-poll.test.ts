import { describe, expect, it } from 'vitest';
import type { AgentClock, Execute, Executed } from '../../collector/ports.ts';
import { createDevicePoller, readInventory } from '../../collector/sources/nvidia-smi.ts';
import {
  APPS,
  app,
  busOf,
  config,
  done,
  type Fake,
  fact,
  gpuText,
  PMON,
  polled,
  reasons,
  rig,
  uuidOf,
  withGpu,
} from './nvidia-smi-rig.ts';

describe('a good poll', () => {
  it('joins devices, contexts and shares, with the clocks of the first answer', async () => {
    const reading = await polled({
      apps: () => done(APPS + app(0, 11) + app(0, 12) + app(1, 11, '[N/A]')),
      pmon: () =>
        done(`${PMON}0 11 C 40 1 python\n0 12 C - - python\n0 99 G 3 1 Xorg\n1 11 M+C 0 0 two words\n`),
    });
    expect(reading.wallMs).toBe(1_100);
    expect(reading.monotonicMs).toBe(1_100.5);
    expect(reading.problems).toEqual([]);
    expect(reading.devices[0]).toEqual({
      ok: true,
      uuid: uuidOf(0),
      utilisationPercent: 50,
      memoryUsedBytes: 10 * 1024 ** 2,
      powerMilliwatts: 30_000,
      powerLimitMilliwatts: 400_000,
      partition: [],
      processes: [
        {
          pid: 11,
          type: 'C',
          smPercent: 40,
          memoryBytes: 5 * 1024 ** 2,
          gpuInstance: null,
          computeInstance: null,
        },
        {
          pid: 12,
          type: 'C',
          smPercent: null,
          memoryBytes: 5 * 1024 ** 2,
          gpuInstance: null,
          computeInstance: null,
        },
        { pid: 99, type: 'G', smPercent: 3, memoryBytes: null, gpuInstance: null, computeInstance: null },
      ],
    });
    expect(reading.devices[1]).toMatchObject({
      processes: [{ pid: 11, type: 'M+C', smPercent: 0, memoryBytes: null }],
    });
  });

  it('matches by UUID, not by index or order', async () => {
    const reading = await polled({
      ...withGpu({ 0: { index: '1' }, 1: { index: '0', 'utilization.gpu': '7 %' } }, [1, 0]),
    });
    expect(reading.devices).toMatchObject([
      { uuid: uuidOf(0), utilisationPercent: 50 },
      { uuid: uuidOf(1), utilisationPercent: 7 },
    ]);
  });
});

describe('one sick device leaves the other alone', () => {
  it.each<[string, Fake, string]>([
    ['no row', withGpu({}, [1]), 'device_missing'],
    [
      'requires reset',
      withGpu({ 0: { 'utilization.gpu': '[GPU requires reset]', 'memory.used': '0 MiB' } }),
      'device_error',
    ],
    ['is lost', withGpu({ 0: { 'power.draw': '[GPU is lost]' } }), 'device_error'],
    ['ERR!', withGpu({ 0: { 'memory.used': 'ERR!' } }), 'device_error'],
    ['unknown error', withGpu({ 0: { 'utilization.gpu': '[Unknown Error]' } }), 'device_error'],
    ['more than 100 %', withGpu({ 0: { 'utilization.gpu': '101 %' } }), 'device_error'],
    ['less than 0 %', withGpu({ 0: { 'utilization.gpu': '-1 %' } }), 'device_error'],
    ['more memory used than there is', withGpu({ 0: { 'memory.used': '101 MiB' } }), 'device_error'],
    ['no utilisation', withGpu({ 0: { 'utilization.gpu': '[N/A]' } }), 'value_unknown'],
    ['nonsense', withGpu({ 0: { 'utilization.gpu': 'seven' } }), 'value_unknown'],
    ['two rows', withGpu({}, [0, 0, 1]), 'device_error'],
    ['at another bus id', withGpu({ 0: { 'pci.bus_id': '00000000:0F:00.0' } }), 'device_error'],
    [
      'a row that is cut',
      { gpu: (fields) => done(`${gpuText(fields, [1])}0, ${uuidOf(0)}, 0000`) },
      'device_missing',
    ],
    [
      'an error line instead of a row',
      { gpu: (fields) => done(`${gpuText(fields, [1])}GPU0: 0000:00:00.0: GPU is lost.\n`, 15) },
      'device_error',
    ],
    [
      'a process without a pid',
      { apps: () => done(APPS + app(0, '[Insufficient Permissions]')) },
      'processes_unreadable',
    ],
    [
      'half a process row',
      { apps: () => done(`${APPS}${uuidOf(0)}, ${busOf(0)}\n`) },
      'processes_unreadable',
    ],
    [
      'a process at another bus id',
      { apps: () => done(`${APPS}${uuidOf(0)}, ${busOf(1)}, 5, 1 MiB\n`) },
      'processes_unreadable',
    ],
  ])('%s', async (_name, fake, reason) => {
    const { devices } = await polled(fake);
    expect(reasons(devices)).toEqual([reason, 'ok']);
    expect(devices[0]).toMatchObject({ uuid: uuidOf(0), detail: expect.stringMatching(/./) });
  });

  it('reports a device that the inventory lacks', async () => {
    const { devices, problems } = await polled(withGpu({}, [0, 1, 2]));
    expect(reasons(devices)).toEqual(['ok', 'ok']);
    expect(problems).toMatchObject([{ message: expect.stringContaining(uuidOf(2)) }]);
  });
});

describe('when a call fails', () => {
  it.each<[string, Executed, string]>([
    ['missing tool', done('', 0, 'missing'), 'tool_missing'],
    ['time-out', done('', 0, 'timeout'), 'tool_timeout'],
    ['not permitted', done('', 0, 'not_permitted'), 'tool_failed'],
    [
      'driver not loaded',
      done('NVIDIA-SMI has failed because it could not talk to the driver.\n', 9),
      'tool_failed',
    ],
    [
      'mismatch',
      done('Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.1\n', 18),
      'tool_failed',
    ],
    ['no devices', done('No devices were found\n', 6), 'device_missing'],
    ['nothing', done(''), 'tool_failed'],
  ])('query-gpu, %s: no device is measured', async (_name, executed, reason) => {
    const { devices } = await polled({ gpu: () => executed });
    expect(reasons(devices)).toEqual([reason, reason]);
  });

  it.each<[string, Executed]>([
    ['time-out', done(APPS, 0, 'timeout')],
    ['exit code', done(APPS, 255)],
    ['no header', done('Insufficient Permissions\n', 4)],
    ['cut', done(`${APPS}${app(0, 5)}GPU-0`)],
    ['too long', done(APPS + app(0, 5), 0, 'output_limit')],
    ['a row of nobody', done(`${APPS}[N/A], [N/A], 5, 1 MiB\n`)],
  ])('compute-apps, %s: an unreadable list is not an empty one', async (_name, executed) => {
    const { devices } = await polled({ apps: () => executed });
    expect(reasons(devices)).toEqual(['processes_unreadable', 'processes_unreadable']);
  });

  it('pmon: only the shares are unknown', async () => {
    const { devices, problems } = await polled({
      apps: () => done(APPS + app(0, 5)),
      pmon: () => done('Not supported on the device(s)\n', 255),
    });
    expect(devices[0]).toMatchObject({ ok: true, processes: [{ pid: 5, type: '?', smPercent: null }] });
    expect(problems).toMatchObject([
      { source: 'nvidia-smi pmon', message: expect.stringContaining('Not supported') },
    ]);
  });

  it('takes whole output with exit code 14 as good, and tells of the warning', async () => {
    const { devices, problems } = await polled({
      gpu: (fields) =>
        done(`${gpuText(fields, [0, 1])}WARNING: infoROM is corrupted at gpu 0000:01:00.0\n`, 14),
      apps: () => done(`${APPS}WARNING: infoROM is corrupted at gpu 0000:01:00.0\n`, 14),
    });
    expect(reasons(devices)).toEqual(['ok', 'ok']);
    expect(problems[0]).toMatchObject({ device: uuidOf(1), message: expect.stringContaining('infoROM') });
  });

  it('doubts a share that comes twice or is out of range', async () => {
    const { devices, problems } = await polled({
      pmon: () => done(`${PMON}0 5 C 10 1 a\n0 5 C 90 1 a\n1 6 C 140 1 a\n`),
    });
    expect(devices).toMatchObject([
      { processes: [{ pid: 5, smPercent: null }] },
      { processes: [{ pid: 6, smPercent: null }] },
    ]);
    expect(problems).toHaveLength(2);
  });
});

describe('how the tool is asked', () => {
  it('drops a field that the driver refuses, once', async () => {
    const { calls, poller } = rig({
      gpu: (fields) =>
        fields.includes('mig.mode.current')
          ? done('Field "mig.mode.current" is not a valid field to query.\n\n', 2)
          : done(gpuText(fields, [0, 1])),
    });
    expect(reasons((await poller.poll([fact(0), fact(1)])).devices)).toEqual(['ok', 'ok']);
    expect(reasons((await poller.poll([fact(0), fact(1)])).devices)).toEqual(['ok', 'ok']);
    expect(calls.filter((args) => args[0]?.startsWith('--query-gpu'))).toHaveLength(3);
  });

  it('never asks for text that a workload chooses', async () => {
    const { calls, poller } = rig({});
    await poller.poll([fact(0)]);
    expect(calls.flat().join(' ')).not.toMatch(/name/);
  });

  it('asks pmon in fours after it left devices out', async () => {
    const inventory = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => fact(index));
    const { calls, poller } = rig({
      gpu: (fields) => done(gpuText(fields, [0, 1, 2, 3, 4, 5, 6, 7])),
      pmon: (indexes) =>
        done(
          PMON +
            indexes
              .slice(0, 4)
              .map((index) => `${index} ${index}1 C 5 1 x\n`)
              .join(''),
        ),
    });
    for (let poll = 0; poll < 2; poll += 1) {
      const { devices, problems } = await poller.poll(inventory);
      expect(problems).toEqual([]);
      for (const device of devices) expect(device).toMatchObject({ ok: true, processes: [{ smPercent: 5 }] });
    }
    const asked = calls.filter((args) => args[0] === 'pmon').map((args) => args.at(-1));
    expect(asked).toEqual(['0,1,2,3,4,5,6,7', '4,5,6,7', '0,1,2,3', '4,5,6,7']);
  });

  it('says which device pmon leaves out for good', async () => {
    const { problems } = await polled({ pmon: () => done(`${PMON}0 - - - - -\n`) });
    expect(problems).toMatchObject([{ message: 'device 1 left out' }]);
  });

  it('has one call in flight, and one poll', async () => {
    let running = 0;
    let most = 0;
    const base = rig({});
    const execute: Execute = async (file, args, options) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return base.execute(file, args, options);
    };
    const clock: AgentClock = { wallMs: () => 0, monotonicMs: () => 0, sleep: async () => undefined };
    const poller = createDevicePoller({ execute, clock }, config);
    const [a, b] = await Promise.all([
      poller.poll([fact(0)]),
      poller.poll([fact(0)]),
      readInventory({ execute }, config),
    ]);
    expect(a).toBe(b);
    expect(most).toBe(1);
  });

  it('leaves calls out after time-outs, and recovers', async () => {
    let stuck = true;
    const { calls, poller } = rig({
      gpu: (fields) => (stuck ? done('', 0, 'timeout') : done(gpuText(fields, [0, 1]))),
    });
    const seen: string[] = [];
    for (let poll = 0; poll < 16; poll += 1) {
      stuck = poll < 8;
      seen.push(reasons((await poller.poll([fact(0)])).devices).join());
    }
    const gpuCalls = calls.filter((args) => args[0]?.startsWith('--query-gpu')).length;
    expect(seen.slice(0, 8)).toEqual(Array.from({ length: 8 }, () => 'tool_timeout'));
    expect(seen.at(-1)).toBe('ok');
    expect(gpuCalls).toBe(5);
  });
});
