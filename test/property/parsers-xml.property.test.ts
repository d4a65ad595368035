// The XML report of nvidia-smi: what was printed is read, in any order, and of a report that is cut only whole devices.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseXml } from '../../collector/sources/nvidia-smi/xml.ts';
import { hostileLine, printable } from './hostile.ts';

const RUNS = { numRuns: 200 };
const MIB = 1_048_576;
const MAX_PID = 2 ** 31 - 1;

const entities = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');
const element = (name: string, ...content: string[]): string => `<${name}>${content.join('')}</${name}>`;
const measured = (max: number) =>
  fc.oneof(fc.nat(max), fc.constantFrom('N/A', 'GPU is lost', 'Unknown Error'));
const printed = (value: number | string, unit: string): string =>
  typeof value === 'number' ? `${value} ${unit}` : value;
const known = (value: number | string, scale: number): unknown =>
  typeof value === 'number' ? value * scale : { unknown: value };

const xmlProcess = fc.record({
  pid: fc.integer({ min: 1, max: MAX_PID }),
  type: fc.constantFrom('C', 'G', 'C+G', 'M+C'),
  name: printable.filter((name) => !/[\0-\x08\x0b-\x1f]/.test(name)),
  memory: measured(200_000),
  instance: fc.option(fc.nat(15)),
});
const xmlAccounted = fc.record({
  pid: fc.integer({ min: 1, max: MAX_PID }),
  util: measured(100),
  memory: measured(200_000),
  time: fc.nat(),
});
const xmlDevice = fc.record({
  uuid: fc.uuid().map((text) => `GPU-${text}`),
  minor: fc.nat(63),
  util: measured(100),
  memory: measured(200_000),
  watts: measured(1500),
  powerNames: fc.constantFrom(
    ['power_readings', 'power_draw'],
    ['gpu_power_readings', 'power_draw'],
    ['gpu_power_readings', 'average_power_draw'],
    ['gpu_power_readings', 'instant_power_draw'],
  ),
  mig: fc.boolean(),
  instances: fc.array(fc.record({ gpu: fc.nat(15), compute: fc.nat(7) }), { maxLength: 7 }),
  accounting: fc.boolean(),
  processes: fc.array(xmlProcess, { maxLength: 4 }),
  accounted: fc.array(xmlAccounted, { maxLength: 4 }),
  order: fc.nat(11),
});
type XmlDevice = typeof xmlDevice extends fc.Arbitrary<infer T> ? T : never;

function printDevice(device: XmlDevice, at: number): string {
  const [group = '', draw = ''] = device.powerNames;
  const mode = (on: boolean): string => (on ? 'Enabled' : 'Disabled');
  const parts = [
    element('uuid', device.uuid),
    element('minor_number', String(device.minor)),
    element('product_name', 'NVIDIA H100'),
    element('utilization', element('gpu_util', printed(device.util, '%'))),
    element('fb_memory_usage', element('used', printed(device.memory, 'MiB'))),
    element(group, element(draw, printed(device.watts, 'W'))),
    element('mig_mode', element('current_mig', mode(device.mig))),
    element(
      'mig_devices',
      ...device.instances.map(({ gpu, compute }, index) =>
        element(
          'mig_device',
          element('index', String(index)),
          element('gpu_instance_id', String(gpu)),
          element('compute_instance_id', String(compute)),
        ),
      ),
    ),
    element('accounting_mode', mode(device.accounting)),
    element(
      'processes',
      ...device.processes.map((one) =>
        element(
          'process_info',
          element('gpu_instance_id', String(one.instance ?? 'N/A')),
          element('pid', String(one.pid)),
          element('type', one.type),
          element('process_name', entities(one.name)),
          element('used_memory', printed(one.memory, 'MiB')),
        ),
      ),
    ),
    element(
      'accounted_processes',
      ...device.accounted.map((one) =>
        element(
          'accounted_process_info',
          element('pid', String(one.pid)),
          element('gpu_util', printed(one.util, '%')),
          element('max_memory_usage', printed(one.memory, 'MiB')),
          element('time', `${one.time} ms`),
          element('is_running', one.time === 0 ? '1' : '0'),
        ),
      ),
    ),
    element('something_new', element('gpu_util', '77 %'), element('pid', '4711')),
  ];
  const turned = [...parts.slice(device.order), ...parts.slice(0, device.order)];
  return `<gpu id="00000000:${(16 + at).toString(16)}:00.0">${turned.join('\n\t\t')}</gpu>`;
}
const printReport = (devices: readonly XmlDevice[]): string =>
  `<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v13.dtd">\n<nvidia_smi_log>\n\t${element(
    'driver_version',
    '580.95.05',
  )}\n\t${element('attached_gpus', String(devices.length))}\n\t${devices.map(printDevice).join('\n\t')}\n</nvidia_smi_log>\n`;
const report = fc.uniqueArray(xmlDevice, { selector: ({ uuid }) => uuid, maxLength: 4 });

describe('the XML report', () => {
  it('has what was printed, in any order of elements, beside elements that nobody knows', () => {
    fc.assert(
      fc.property(report, (devices) => {
        const output = parseXml(printReport(devices));
        expect(output).toMatchObject({
          problems: [],
          whole: true,
          attached: devices.length,
          driverVersion: '580.95.05',
        });
        expect(output.devices).toMatchObject(
          devices.map((device) => ({
            ...{ uuid: device.uuid, minor: device.minor, migEnabled: device.mig },
            utilisationPercent: known(device.util, 1),
            memoryUsedBytes: known(device.memory, MIB),
            powerMilliwatts: known(device.watts, 1000),
            accountingEnabled: device.accounting,
            migInstances: device.instances.map(({ gpu, compute }, index) => ({
              ...{ index, gpuInstance: gpu, computeInstance: compute },
            })),
          })),
        );
        expect(output.processes).toMatchObject(
          devices.flatMap(({ uuid, processes }) =>
            processes.map((one) => ({
              ...{ device: uuid, pid: one.pid, type: one.type, memoryBytes: known(one.memory, MIB) },
              gpuInstance: one.instance ?? { unknown: 'N/A' },
            })),
          ),
        );
        const names = devices.flatMap(({ processes }) => processes.map(({ name }) => name.trim()));
        for (const [at, { name }] of output.processes.entries())
          if (typeof name === 'string') expect(name).toBe(names[at]);
        expect(output.accounted).toMatchObject(
          devices.flatMap(({ uuid, accounted }) =>
            accounted.map((one) => ({
              ...{ device: uuid, pid: one.pid, timeMs: one.time, running: one.time === 0 },
              gpuUtilisationPercent: known(one.util, 1),
              maxMemoryBytes: known(one.memory, MIB),
            })),
          ),
        );
      }),
      RUNS,
    );
  });

  it('that is cut anywhere is not whole, says so, and has only whole devices', () => {
    fc.assert(
      fc.property(report, fc.nat(), (devices, cut) => {
        const text = printReport(devices);
        const end = text.lastIndexOf('</nvidia_smi_log>') + '</nvidia_smi_log>'.length;
        const whole = parseXml(text);
        const part = parseXml(text.slice(0, cut % end));
        expect(part.whole).toBe(false);
        if (cut % end > 0) expect(part.problems).not.toEqual([]);
        expect(part.devices).toEqual(whole.devices.slice(0, part.devices.length));
        expect(part.processes).toEqual(whole.processes.slice(0, part.processes.length));
        expect(part.accounted).toEqual(whole.accounted.slice(0, part.accounted.length));
      }),
      RUNS,
    );
  });

  it('keeps errors around it apart', () => {
    fc.assert(
      fc.property(report, hostileLine, hostileLine, (devices, before, after) => {
        fc.pre(![before, after].some((line) => line.includes('<') || line.trim() === ''));
        const text = printReport(devices);
        const whole = parseXml(text);
        const output = parseXml(`${before}\n${text}${after}\n`);
        expect({ ...output, problems: [] }).toEqual(whole);
        expect(output.problems).toHaveLength(2);
      }),
      RUNS,
    );
  });

  it('of any text gives bounded answers', () => {
    const tag = fc.constantFrom(
      '<gpu>',
      '</gpu>',
      '<nvidia_smi_log>',
      '</nvidia_smi_log>',
      '<!DOCTYPE x [<!ENTITY a "b">]>',
      '<uuid>',
      '<![CDATA[',
      ']]>',
      '<!--',
      '&a;',
      '<processes>',
      '__proto__',
      '<__proto__>',
      '<pid>7</pid>',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(tag, hostileLine), { maxLength: 20 }), (pieces) => {
        const output = parseXml(pieces.join(''));
        expect(parseXml(pieces.join(''))).toEqual(output);
        expect(output.problems.length).toBeLessThanOrEqual(257);
        for (const { pid } of output.processes)
          if (typeof pid === 'number') expect(pieces.join('')).toContain(String(pid));
      }),
      RUNS,
    );
  });
});
