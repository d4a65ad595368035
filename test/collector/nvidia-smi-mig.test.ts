import { describe, expect, it } from 'vitest';
import type { DeviceFact } from '../../api/contract/batch.ts';
import { readInventory } from '../../collector/sources/nvidia-smi.ts';
import {
  APPS,
  app,
  busOf,
  config,
  done,
  type Fake,
  fact,
  gpuText,
  reasons,
  rig,
  uuidOf,
} from './nvidia-smi-rig.ts';

const MIB = 1024 * 1024;
interface Instance {
  gi: number;
  ci: number;
  profile: string;
}
const row = (pid: number | string, gi: number, ci: number, name = 'x'): string => `<process_info>
  <gpu_instance_id>${gi}</gpu_instance_id><compute_instance_id>${ci}</compute_instance_id><pid>${pid}</pid><type>C</type>
  <process_name>${name}</process_name>
  <used_memory>7 MiB</used_memory></process_info>`;
function device(
  index: number,
  instances: readonly Instance[] | null,
  processes = '',
  model = 'NVIDIA H100',
): string {
  const rows = instances?.map(
    ({ gi, ci }, at) => `<mig_device><index>${at}</index><gpu_instance_id>${gi}</gpu_instance_id>
      <compute_instance_id>${ci}</compute_instance_id></mig_device>`,
  );
  return `<gpu id="${busOf(index)}"><product_name>${model}</product_name><uuid>${uuidOf(index)}</uuid>
    <mig_mode><current_mig>${instances ? 'Enabled' : 'Disabled'}</current_mig></mig_mode>
    <mig_devices>${rows?.join('') ?? 'None'}</mig_devices>
    <gpu_power_readings><current_power_limit>700.00 W</current_power_limit></gpu_power_readings>
    <processes>${processes}</processes></gpu>`;
}
const log = (body: string): string =>
  `<?xml version="1.0" ?>\n<nvidia_smi_log><driver_version>590.1</driver_version>${body}</nvidia_smi_log>\n`;
const list = (index: number, instances: readonly Instance[]): string =>
  `GPU ${index}: NVIDIA H100 (UUID: ${uuidOf(index)})\n${instances
    .map(({ profile }, at) => `  MIG ${profile.padEnd(12)}Device  ${at}: (UUID: MIG-${index}${at})\n`)
    .join('')}`;

const SHARED: readonly Instance[] = [
  { gi: 2, ci: 0, profile: '1c.3g.71gb' },
  { gi: 2, ci: 1, profile: '2c.3g.71gb' },
  { gi: 9, ci: 0, profile: '1g.18gb+me' },
];
async function inventoryOf(instances: readonly Instance[], model = 'NVIDIA H100', listed = instances) {
  const { execute, calls } = rig({
    report: () => done(log(device(0, instances, '', model) + device(1, null))),
    list: () => done(list(0, listed) + list(1, [])),
  });
  return { ...(await readInventory({ execute }, config)), calls };
}

describe('an inventory of divided devices', () => {
  it('has numbers from the report, UUIDs and sizes from the list', async () => {
    const { devices, problems } = await inventoryOf(SHARED);
    expect(problems).toEqual([]);
    expect(devices).toMatchObject([
      {
        migEnabled: true,
        powerLimitMilliwatts: 700_000,
        slices: 7,
        instances: [
          { uuid: 'MIG-00', gpuInstance: 2, computeInstance: 0, profile: '1c.3g.71gb', slices: 3 },
          { uuid: 'MIG-01', gpuInstance: 2, computeInstance: 1, profile: '2c.3g.71gb', slices: 3 },
          { uuid: 'MIG-02', gpuInstance: 9, computeInstance: 0, profile: '1g.18gb+me', slices: 1 },
        ],
      },
      { migEnabled: false, slices: null, instances: [] },
    ]);
  });

  it('asks for the list only where a device is divided', async () => {
    const { execute, calls } = rig({ report: () => done(log(device(0, null) + device(1, []))) });
    expect((await readInventory({ execute }, config)).devices).toMatchObject([
      { slices: null },
      { slices: 7 },
    ]);
    expect(calls).toEqual([['-q', '-x']]);
  });

  it.each([
    ['NVIDIA A30', 4],
    ['NVIDIA RTX PRO 6000 Blackwell Server Edition', 4],
    ['NVIDIA RTX PRO 5000 Blackwell', 2],
    ['NVIDIA A100-SXM4-80GB', 7],
    ['NVIDIA GB200', 7],
  ])('%s has %d slices', async (model, slices) => {
    const { devices } = await inventoryOf([{ gi: 3, ci: 0, profile: '1g.6gb' }], model);
    expect(devices?.[0]).toMatchObject({ slices });
  });

  it('says so when the list does not tell sizes, and never counts fewer slices than there are', async () => {
    const silent = await inventoryOf(SHARED, 'NVIDIA H100', []);
    expect(silent.devices?.[0]?.instances.map(({ slices, profile }) => [slices, profile])).toEqual([
      [null, null],
      [null, null],
      [null, null],
    ]);
    expect(silent.problems).toMatchObject([
      { device: uuidOf(0), message: expect.stringContaining('how large') },
    ]);
    const seven = await inventoryOf([{ gi: 0, ci: 0, profile: '7g.96gb' }], 'NVIDIA RTX PRO 6000');
    expect(seven.devices?.[0]).toMatchObject({ slices: 7 });
  });
});

/** Device 0 is divided, device 1 is not. */
async function divided(fake: Fake, instances = SHARED) {
  const inventory: readonly DeviceFact[] = (await inventoryOf(instances)).devices ?? [];
  const mig = { 'utilization.gpu': '[N/A]', 'mig.mode.current': 'Enabled' };
  const made = rig({
    gpu: (fields) => done(gpuText(fields, [0, 1], { 0: mig })),
    apps: () => done(APPS + app(0, 11) + app(0, 12)),
    report: () => done(log(device(0, SHARED, row(11, 2, 1) + row(12, 9, 0)))),
    ...fake,
  });
  return { ...made, poll: () => made.poller.poll(inventory) };
}

describe('a poll of a divided device', () => {
  it('joins processes and instances, from a report of that device alone', async () => {
    const { poll, calls } = await divided({});
    const { devices, problems } = await poll();
    expect(problems).toEqual([]);
    expect(devices).toMatchObject([
      {
        ok: true,
        utilisationPercent: { unknown: expect.stringContaining('MIG') },
        partition: [
          { gpuInstance: 2, slices: 3 },
          { gpuInstance: 9, slices: 1 },
        ],
        processes: [
          { pid: 11, type: 'C', gpuInstance: 2, computeInstance: 1, smPercent: null, memoryBytes: 7 * MIB },
          { pid: 12, gpuInstance: 9, computeInstance: 0 },
        ],
      },
      { ok: true, utilisationPercent: 50, partition: [] },
    ]);
    expect(calls.filter(([head]) => head === '-q')).toEqual([['-q', '-x', '-i', '0']]);
  });

  it('asks again when the contexts change, and every half a minute', async () => {
    let pids = [11, 12];
    const { poll, calls, advance } = await divided({
      apps: () => done(APPS + pids.map((pid) => app(0, pid)).join('')),
      report: () => done(log(device(0, SHARED, pids.map((pid) => row(pid, 2, 0)).join('')))),
    });
    const reports = () => calls.filter(([head]) => head === '-q').length;
    await poll();
    const again = await poll();
    expect([reports(), again.devices[0]]).toMatchObject([
      1,
      { processes: [{ gpuInstance: 2 }, { gpuInstance: 2 }] },
    ]);
    pids = [12, 13];
    await poll();
    expect(reports()).toBe(2);
    advance(30_000);
    await poll();
    expect(reports()).toBe(3);
  });

  it('counts the memory that two compute instances share once', async () => {
    const { poll } = await divided({
      apps: () => done(APPS + app(0, 11, '9 MiB') + app(0, 11, '9 MiB')),
      report: () => done(log(device(0, SHARED, row(11, 2, 0) + row(11, 2, 1)))),
    });
    const [reading] = (await poll()).devices;
    expect(reading).toMatchObject({ processes: [{ pid: 11, gpuInstance: 2, memoryBytes: 9 * MIB }] });
    expect(reading?.ok && reading.processes).toHaveLength(1);
  });

  it('reads the whole report where the driver does not understand the choice', async () => {
    const { poll, calls } = await divided({
      report: (only) =>
        only
          ? done('Invalid combination of input arguments.\n', 2)
          : done(log(device(0, SHARED, row(11, 2, 0) + row(12, 9, 0)) + device(1, null))),
    });
    expect(reasons((await poll()).devices)).toEqual(['ok', 'ok']);
    expect(calls.filter(([head]) => head === '-q')).toEqual([
      ['-q', '-x', '-i', '0'],
      ['-q', '-x'],
    ]);
  });

  it('shows a process that only the report has', async () => {
    const { poll } = await divided({ apps: () => done(APPS) });
    const { devices } = await poll();
    expect(devices[0]).toMatchObject({ processes: [{ pid: 11 }, { pid: 12 }] });
  });

  const OTHER: readonly Instance[] = [{ gi: 1, ci: 0, profile: '3g.71gb' }];
  it.each<[string, Fake, string]>([
    ['divided anew', { report: () => done(log(device(0, OTHER))) }, 'value_unknown'],
    ['no longer divided', { report: () => done(log(device(0, null))) }, 'processes_unreadable'],
    ['not in the report', { report: () => done(log(device(1, null))) }, 'processes_unreadable'],
    ['a report that hangs', { report: () => done('', 0, 'timeout') }, 'tool_timeout'],
    ['a report that is cut', { report: () => done(log(device(0, SHARED)).slice(0, -30)) }, 'tool_failed'],
    [
      'pids that are blank',
      { report: () => done(log(device(0, SHARED, row('Insufficient Permissions', 2, 0)))) },
      'processes_unreadable',
    ],
    [
      'processes that may not be seen',
      { report: () => done(log(device(0, SHARED, 'Insufficient Permissions'))) },
      'processes_unreadable',
    ],
    [
      'blank rows in the list of contexts',
      { apps: () => done(`${APPS}${uuidOf(0)}, ${busOf(0)}, [Insufficient Permissions], [N/A]\n`) },
      'processes_unreadable',
    ],
    [
      'a name that hides rows',
      { report: () => done(log(device(0, SHARED, row(11, 2, 0, 'a\n<!--') + row(12, 2, 0, '-->\nb')))) },
      'processes_unreadable',
    ],
  ])('%s: that device is not measured, the other is', async (_name, fake, reason) => {
    const { poll } = await divided(fake);
    expect(reasons((await poll()).devices)).toEqual([reason, 'ok']);
  });

  it('a name cannot change the report', async () => {
    const name = '</process_name><used_memory>0 MiB</used_memory></process_info></processes></gpu><!--';
    const { poll } = await divided({
      report: () => done(log(device(0, SHARED, row(11, 2, 0, name) + row(12, 9, 0, '& <')))),
    });
    expect((await poll()).devices[0]).toMatchObject({ processes: [{ gpuInstance: 2 }, { gpuInstance: 9 }] });
  });

  it('sizes that are not known leave the device unmeasured', async () => {
    const unsized = {
      ...fact(0, true),
      instances: [{ uuid: null, gpuInstance: 2, computeInstance: 0, profile: null, slices: null }],
    };
    const { poller } = rig({
      gpu: (fields) => done(gpuText(fields, [0], { 0: { 'mig.mode.current': 'Enabled' } })),
      report: () => done(log(device(0, [{ gi: 2, ci: 0, profile: '' }]))),
    });
    expect(reasons((await poller.poll([unsized])).devices)).toEqual(['value_unknown']);
  });
});
