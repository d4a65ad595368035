import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAccountedApps } from '../../collector/sources/nvidia-smi/accounted-apps.ts';
import { parseComputeApps } from '../../collector/sources/nvidia-smi/compute-apps.ts';
import { parseList } from '../../collector/sources/nvidia-smi/list.ts';
import { parsePmon } from '../../collector/sources/nvidia-smi/pmon.ts';
import { parseQueryGpu } from '../../collector/sources/nvidia-smi/query-gpu.ts';
import { bytes, milliwatts, percent, pid } from '../../collector/sources/nvidia-smi/values.ts';
import { parseXml } from '../../collector/sources/nvidia-smi/xml.ts';

const U0 = 'GPU-00000000-aaaa-bbbb-cccc-000000000000';
const U1 = 'GPU-11111111-aaaa-bbbb-cccc-111111111111';
const MIB = 1024 * 1024;

describe('values', () => {
  it('reads numbers with units exactly', () => {
    expect(bytes('24 MiB')).toBe(24 * MIB);
    expect(bytes('24', 'MiB')).toBe(24 * MIB);
    expect(bytes('7669', 'MB')).toBe(7669 * MIB);
    expect(milliwatts('433.78 W')).toBe(433_780);
    expect(milliwatts('0.29 W')).toBe(290);
    expect(percent('0 %')).toBe(0);
    expect(percent('100.00 %')).toBe(100);
  });

  it.each([
    ['[N/A]', 'N/A'],
    ['N/A', 'N/A'],
    ['[GPU requires reset]', 'GPU requires reset'],
    ['ERR!', 'ERR!'],
    ['', 'empty'],
    ['-', 'no sample'],
    ['12 parsecs', 'unit not understood: 12 parsecs'],
    ['1e3 %', '1e3 %'],
    ['0x10', '0x10'],
    ['\u0007', '\\x07'],
  ])('%j is unknown, not zero', (text, reason) => {
    expect(percent(text)).toEqual({ unknown: reason });
  });

  it('knows no amount without a unit, and no pid below 1', () => {
    expect(bytes('24')).toEqual({ unknown: 'no unit: 24' });
    expect(bytes('999999999999999 GiB')).toEqual({ unknown: 'too large' });
    expect(pid('0')).toEqual({ unknown: 'out of range: 0' });
    expect(pid('-1')).toEqual({ unknown: '-1' });
  });
});

describe('query-gpu', () => {
  it('reads columns by header, in any order, with or without units', () => {
    const text = `power.draw [W], utilization.gpu [%], memory.used [MiB], uuid\n30.50, 7, 12, ${U0}\n`;
    expect(parseQueryGpu(text).devices).toMatchObject([
      { uuid: U0, utilisationPercent: 7, memoryUsedBytes: 12 * MIB, powerMilliwatts: 30_500 },
    ]);
    expect(parseQueryGpu(text).devices[0]?.index).toEqual({ unknown: 'not in this output' });
  });

  it('goes on with other columns where captures were put together', () => {
    const text = `uuid, utilization.gpu [%]\n${U0}, 7 %\nmemory.used [MiB], uuid\n12, ${U1}\n`;
    expect(parseQueryGpu(text).devices).toMatchObject([
      { uuid: U0, utilisationPercent: 7 },
      { uuid: U1, memoryUsedBytes: 12 * MIB, utilisationPercent: { unknown: 'not in this output' } },
    ]);
    const apps = `pid, name\n12, a\nname, pid\npid, name, 13\n`;
    expect(parseComputeApps(apps).processes).toMatchObject([
      { pid: 12, name: 'a' },
      { pid: 13, name: 'pid, name' },
    ]);
  });

  it('keeps good rows beside errors, and says whose the errors are', () => {
    const text = [
      'index, uuid, utilization.gpu [%]',
      'Unable to determine the device handle for GPU 0000:05:00.0: GPU is lost.  Reboot the system to recover this GPU',
      `1, ${U1}, 40 %`,
      '',
      'WARNING: infoROM is corrupted at gpu 0000:06:00.0',
      `2, ${U0}`,
    ].join('\n');
    const { devices, problems } = parseQueryGpu(text);
    expect(devices).toMatchObject([{ uuid: U1, utilisationPercent: 40 }]);
    expect(problems).toMatchObject([
      { line: 2, device: '0000:05:00.0', fault: true },
      { line: 5, device: '0000:06:00.0', fault: false },
      { line: 6, device: null, fault: false },
    ]);
  });

  it('falls back to the other power fields, and reads error texts as unknown', () => {
    const text = `uuid, power.draw [W], power.draw.instant [W], utilization.gpu [%]\n${U0}, [N/A], 97.99 W, [GPU requires reset]\n`;
    expect(parseQueryGpu(text).devices).toMatchObject([
      { powerMilliwatts: 97_990, utilisationPercent: { unknown: 'GPU requires reset' } },
    ]);
  });

  it('takes from rows without a header only what says itself what it is', () => {
    const { devices, hasHeader, problems } = parseQueryGpu(
      `${U0}, 45 %, 12 MiB, 24 MiB\n${U1}, 0 %, 1 MiB, 24 MiB\n`,
    );
    expect(hasHeader).toBe(false);
    expect(devices.map((device) => device.uuid)).toEqual([U0, U1]);
    expect(devices[0]?.utilisationPercent).toEqual({ unknown: 'no header line' });
    expect(problems).toHaveLength(1);
  });

  it('finds no device in error text', () => {
    for (const text of [
      'No devices were found\n',
      'Failed to initialize NVML: Unknown Error\nNVML library version: 580.1\n',
      '',
    ]) {
      expect(parseQueryGpu(text).devices).toEqual([]);
    }
  });
});

describe('compute-apps', () => {
  const header = 'gpu_uuid, pid, process_name, used_gpu_memory [MiB]\n';

  it('reads a name with commas from both ends', () => {
    const { processes } = parseComputeApps(`${header}${U0}, 12, evil, 99, 1 MiB, 5 MiB\n`);
    expect(processes).toMatchObject([{ device: U0, pid: 12, name: 'evil, 99, 1 MiB', memoryBytes: 5 * MIB }]);
  });

  it('keeps unknown names and amounts apart from processes without a pid', () => {
    const { processes, problems } = parseComputeApps(
      `${header}${U0}, 12, [Not Found], [N/A]\n${U0}, [Insufficient Permissions], [Insufficient Permissions], 4 MiB\n`,
    );
    expect(processes).toMatchObject([
      { pid: 12, name: { unknown: 'Not Found' }, memoryBytes: { unknown: 'N/A' } },
      { pid: { unknown: 'Insufficient Permissions' } },
    ]);
    expect(problems).toMatchObject([{ line: 3, device: U0 }]);
  });

  it('tells an empty list from no answer', () => {
    expect(parseComputeApps(header)).toMatchObject({ processes: [], hasHeader: true, problems: [] });
    expect(parseComputeApps('No devices were found\n')).toMatchObject({ processes: [], hasHeader: false });
  });

  it('reads a lone pid and amount without a header, and no name', () => {
    expect(parseComputeApps(`${U0}, 12, python, 5 MiB\n`).processes).toMatchObject([
      { device: U0, pid: 12, memoryBytes: 5 * MIB, name: { unknown: 'no header line' } },
    ]);
    expect(parseComputeApps('12, 14, python\n').processes[0]?.pid).toEqual({ unknown: 'no header line' });
  });
});

it('accounted-apps: 0 ms is a process that still runs', () => {
  const text = [
    'gpu_uuid, pid, gpu_utilization [%], mem_utilization [%], max_memory_usage [MiB], time [ms]',
    `${U0}, 5, 99 %, 3 %, 0 MiB, 153712 ms`,
    `${U0}, 6, 2 %, 0 %, 538 MiB, 0 ms`,
  ].join('\n');
  expect(parseAccountedApps(text)).toMatchObject({
    accounted: [
      { device: U0, pid: 5, gpuUtilisationPercent: 99, maxMemoryBytes: 0, timeMs: 153_712, running: false },
      { pid: 6, timeMs: 0, running: true },
    ],
    problems: [],
  });
});

describe('pmon', () => {
  it('reads columns by header, also one that comes again in mid-tick', () => {
    const text = [
      '# gpu         pid   type     sm    mem    command ',
      '# Idx           #    C/G      %      %    name ',
      '    0         11     C      0      0    two words      ',
      '    1          -     -      -      -    -              ',
      '# gpu         pid   type     fb     sm    command ',
      '# Idx           #    C/G     MB      %    name ',
      '    2         12   M+C     40      -    python         ',
    ].join('\n');
    const { processes, indexes, problems } = parsePmon(text);
    expect(processes).toMatchObject([
      { device: '0', pid: 11, type: 'C', smPercent: 0, name: 'two words' },
      { device: '2', pid: 12, type: 'M+C', smPercent: { unknown: 'no sample' }, memoryBytes: 40 * MIB },
    ]);
    expect(indexes).toEqual([0, 1, 2]);
    expect(problems).toEqual([]);
  });

  it('takes no row that is cut, and none before a header', () => {
    const text =
      '    0         11     C      9      0    early\n# gpu pid type sm mem command\n    0         11     C      9\n    0 11 C 9 0\n';
    const { processes, problems } = parsePmon(text);
    expect(processes).toEqual([]);
    expect(problems.map((problem) => problem.line)).toEqual([1, 3, 4]);
  });

  it('reads the clock columns of -o DT', () => {
    const text = [
      '#Date       Time        gpu        pid  type    sm  command',
      '#YYYYMMDD   HH:MM:SS    Idx          #   C/G     %  name',
      ' 20261123   10:00:00      3         77     C    50  x',
    ].join('\n');
    expect(parsePmon(text).processes).toMatchObject([{ device: '3', pid: 77, smPercent: 50 }]);
  });

  it('says what the tool says', () => {
    expect(parsePmon('Not supported on the device(s)\n')).toMatchObject({
      hasHeader: false,
      problems: [{ message: 'Not supported on the device(s)' }],
    });
  });
});

it('list: devices with their MIG instances, in both spellings', () => {
  const text = [
    `GPU 0: NVIDIA A100 (40 GB) (UUID: ${U0})`,
    `  MIG 3g.20gb     Device  0: (UUID: MIG-${U0}/1/0)`,
    '  MIG 1c.2g.10gb  Device  1: (UUID: MIG-2)',
    `GPU 1: Tesla T4 (UUID: ${U1})`,
    'Unable to determine the device handle for GPU 0000:07:00.0: Unknown Error',
  ].join('\n');
  expect(parseList(text)).toMatchObject({
    devices: [
      {
        index: 0,
        uuid: U0,
        model: 'NVIDIA A100 (40 GB)',
        migEnabled: true,
        migInstances: [
          { index: 0, profile: '3g.20gb', gpuInstance: 1, computeInstance: 0 },
          { index: 1, profile: '1c.2g.10gb', uuid: 'MIG-2' },
        ],
      },
      { index: 1, uuid: U1, migInstances: [] },
    ],
    problems: [{ line: 5, device: '0000:07:00.0', fault: true }],
  });
});

const gpu = (body: string, id = '00000000:01:00.0'): string => `<gpu id="${id}">${body}</gpu>`;
const log = (body: string): string =>
  `<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">\n<nvidia_smi_log>${body}</nvidia_smi_log>\n`;

describe('xml', () => {
  it.each([
    ['<power_readings><power_draw>30.25 W</power_draw></power_readings>'],
    ['<gpu_power_readings><power_draw>30.25 W</power_draw></gpu_power_readings>'],
    [
      `<gpu_power_readings><average_power_draw>N/A</average_power_draw>
        <instant_power_draw>30.25 W</instant_power_draw></gpu_power_readings>`,
    ],
  ])('finds power under its names: %s', (body) => {
    expect(parseXml(log(gpu(body))).devices[0]?.powerMilliwatts).toBe(30_250);
  });

  it('reads devices, MIG, processes and accounting', () => {
    const body = `<product_name>A100</product_name><uuid>${U0}</uuid><minor_number>2</minor_number>
      <mig_mode><current_mig>Enabled</current_mig></mig_mode><accounting_mode>Disabled</accounting_mode>
      <mig_devices><mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0</compute_instance_id>
      <fb_memory_usage><total>40448 MiB</total><used>298 MiB</used></fb_memory_usage></mig_device></mig_devices>
      <fb_memory_usage><total>81920 MiB</total><used>0 MiB</used></fb_memory_usage>
      <utilization><gpu_util>N/A</gpu_util></utilization>
      <supported_clocks><supported_mem_clock><value>1 MHz</value></supported_mem_clock></supported_clocks>
      <processes><process_info><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0</compute_instance_id><pid>9</pid>
      <type>C</type><process_name>a&lt;b</process_name><used_memory>298 MiB</used_memory></process_info></processes>
      <accounted_processes><accounted_process_info><pid>8</pid><gpu_util>1 %</gpu_util><memory_util>0 %</memory_util>
      <max_memory_usage>3 MiB</max_memory_usage><time>7 ms</time><is_running>0</is_running></accounted_process_info></accounted_processes>`;
    const output = parseXml(
      log(`<driver_version>580.1</driver_version><attached_gpus>1</attached_gpus>${gpu(body)}`),
    );
    expect(output).toMatchObject({
      whole: true,
      driverVersion: '580.1',
      devices: [
        {
          uuid: U0,
          minor: 2,
          busId: '00000000:01:00.0',
          migEnabled: true,
          accountingEnabled: false,
          utilisationPercent: { unknown: 'N/A' },
          memoryUsedBytes: 0,
          migInstances: [{ index: 0, gpuInstance: 1, computeInstance: 0, memoryUsedBytes: 298 * MIB }],
        },
      ],
      processes: [{ device: U0, pid: 9, type: 'C', name: 'a<b', gpuInstance: 1, memoryBytes: 298 * MIB }],
      accounted: [{ device: U0, pid: 8, timeMs: 7, running: false }],
      problems: [],
    });
  });

  it('reports what is missing, lost or said beside the report', () => {
    const hidden = gpu(`<uuid>${U0}</uuid><processes>Insufficient Permissions</processes>`);
    const lost = gpu('<uuid>GPU is lost</uuid>', '00000000:02:00.0');
    const report = log(`<attached_gpus>3</attached_gpus>${hidden}${lost}`);
    const text = `${report}WARNING: infoROM is corrupted at gpu 0000:01:00.0\n`;
    const { devices, problems, whole } = parseXml(text);
    expect(whole).toBe(true);
    expect(devices).toHaveLength(2);
    expect(problems.map(({ message }) => message)).toEqual([
      'WARNING: infoROM is corrupted at gpu 0000:01:00.0',
      'the driver has 3 devices attached, the report describes 2',
      'processes: Insufficient Permissions',
      'a device without a UUID: GPU is lost',
    ]);
    expect(problems[0]?.line).toBe(4);
  });

  it('keeps the whole devices of a report that is cut short, and says so', () => {
    const text = log(gpu(`<uuid>${U0}</uuid>`) + gpu(`<uuid>${U1}</uuid>`));
    const output = parseXml(text.slice(0, text.indexOf(U1) + 8));
    expect(output.devices.map((device) => device.uuid)).toEqual([U0]);
    expect(output.whole).toBe(false);
  });

  it('expands no entities and survives depth', () => {
    const entities = '<!DOCTYPE nvidia_smi_log [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>';
    const body = gpu('<product_name>&b;</product_name>');
    const bomb = `${entities}\n<nvidia_smi_log>${body}</nvidia_smi_log>`;
    expect(parseXml(bomb).devices[0]?.model).toBe('&b;');
    const deep = parseXml(log('<a>'.repeat(50_000)));
    expect(deep).toMatchObject({
      devices: [],
      problems: [{ message: expect.stringContaining('nested') }, expect.anything()],
    });
  });
});

describe('any text', () => {
  const parsers = [parseXml, parseQueryGpu, parseComputeApps, parseAccountedApps, parsePmon, parseList];
  const pieces = fc.constantFrom(
    '<nvidia_smi_log>',
    '</nvidia_smi_log>',
    '<gpu id="x">',
    '</gpu>',
    '<processes>',
    '<process_info>',
    '<pid>',
    '</pid>',
    '<![CDATA[',
    '<!--',
    '<!DOCTYPE',
    '<__proto__>',
    '<constructor>',
    '&lt;',
    'uuid, index',
    'utilization.gpu [%]',
    'pid, process_name',
    ', ',
    ',',
    '\n',
    '\r\n',
    '# gpu pid',
    ' command',
    '-',
    '0',
    '99999999999999999999',
    '[N/A]',
    'GPU 0: ',
    '(UUID: ',
    'MIG 1g Device 0: ',
    U0,
    '%',
    ' MiB',
    '\u0000',
    '\ud800',
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.array(pieces, { maxLength: 40 }).map((list) => list.join('')),
  );
  it('never makes a parser throw or give more than it was given', () => {
    fc.assert(
      fc.property(text, (any) => {
        for (const parse of parsers) {
          const output = parse(any);
          const rows = Object.values(output).reduce(
            (sum, list) => sum + (Array.isArray(list) ? list.length : 0),
            0,
          );
          expect(rows).toBeLessThanOrEqual(4 * any.length + 4);
          JSON.stringify(output);
        }
      }),
      { numRuns: 600 },
    );
  });

  it('is bounded in lines and problems', () => {
    const { problems } = parseQueryGpu('x\n'.repeat(150_000));
    expect(problems.length).toBeLessThanOrEqual(257);
    expect(problems.at(-1)?.message).toMatch(/more problems/);
  });
});
