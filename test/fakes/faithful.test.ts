/** The stand-in prints what real ones print: headers, columns, elements and words are held to captures where they are there. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAccountedApps } from '../../collector/sources/nvidia-smi/accounted-apps.ts';
import { parseList } from '../../collector/sources/nvidia-smi/list.ts';
import { parsePmon } from '../../collector/sources/nvidia-smi/pmon.ts';
import { parseQueryGpu } from '../../collector/sources/nvidia-smi/query-gpu.ts';
import { parseXml } from '../../collector/sources/nvidia-smi/xml.ts';
import { createFakeNvidiaSmi } from './nvidia-smi.ts';
import { run } from './run.ts';

const CORPUS = fileURLToPath(new URL('../../../shared/corpus/nvidia-smi/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'gpuledger-smi-'));
const fake = createFakeNvidiaSmi(folder);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const smi = (...args: string[]): string => run(fake.path, ...args).stdout;

const WHOLE = 'GPU-aaaaaaaa-0000-4000-8000-000000000000';
const DIVIDED = 'GPU-aaaaaaaa-0000-4000-8000-000000000001';
const instance = (at: number, gpuInstance: number, computeInstance: number, profile: string) => ({
  ...{ uuid: `MIG-aaaaaaaa-0000-4000-8000-00000000000${at}`, gpuInstance, computeInstance, profile },
  memoryMiB: 40_000,
});
const INSTANCES = [
  instance(0, 2, 0, '1c.3g.40gb'),
  instance(1, 2, 1, '2c.3g.40gb'),
  instance(2, 9, 0, '1g.10gb'),
];

beforeAll(() => {
  fake.setDevices([
    { uuid: WHOLE, index: 0, model: 'NVIDIA H100 80GB HBM3' },
    { uuid: DIVIDED, index: 1, model: 'NVIDIA H100 80GB HBM3', instances: INSTANCES },
  ]);
  fake.setProcesses([
    { device: WHOLE, pid: process.pid, sm: 80, memoryBytes: 4096 * 1_048_576 },
    { device: DIVIDED, pid: 1, sm: 50, memoryBytes: 1_048_576, gpuInstance: 2, computeInstance: 1 },
  ]);
  const row = { device: WHOLE, busyPercent: 71, memoryPercent: 8, maxMemoryMiB: 0 };
  fake.setAccounting({
    on: true,
    rows: [
      { ...row, pid: 15_727, timeMs: 5270 },
      { ...row, pid: 7, timeMs: 0 },
    ],
  });
});

/** Texts of captures whose name has these parts. */
function captures(kind: string, pattern: RegExp): { name: string; text: string; driver: string }[] {
  const path = join(CORPUS, kind);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((name) => pattern.test(name))
    .map((name) => ({
      name,
      text: readFileSync(join(path, name), 'utf8'),
      driver: /-(\d{3}\.[\d.]*\d)-/.exec(name)?.[1] ?? '580.95.05',
    }));
}

test.skipIf(!existsSync(CORPUS))('captures are found', () => {
  expect(captures('query-gpu', /linux-5/).length).toBeGreaterThan(2);
  expect(captures('pmon', /linux-/).length).toBeGreaterThan(2);
  expect(captures('xml', /-v1[123]-/).length).toBeGreaterThan(2);
});

const bareNames = (header: string): string[] =>
  header.split(', ').map((cell) => cell.trim().split(' ')[0] ?? '');

test.each(['query-compute-apps', 'query-accounted-apps'])('%s has the header of captures', (kind) => {
  for (const { name, text } of captures(kind, /\.csv$/)) {
    const header = text.split('\n')[0]?.trimEnd() ?? '';
    if (!header.includes('pid')) continue;
    const ours = smi(`--${kind}=${bareNames(header).join(',')}`, '--format=csv').split('\n')[0];
    expect(ours, name).toBe(header);
  }
});

test('query-gpu names its columns as captures do, and has the fields of their drivers only', () => {
  for (const { name, text, driver } of captures('query-gpu', /linux-\d.*csv$/)) {
    fake.setDriver(driver);
    const known = new Set<string>(smi('--help-query-gpu').match(/"[^"\n]+"/g));
    const cells = (text.split('\n')[0] ?? '').trimEnd().split(', ');
    const common = cells.filter((cell) => known.has(`"${cell.split(' ')[0]}"`));
    expect(common.length, name).toBeGreaterThan(20);
    const ours = smi(`--query-gpu=${common.map((cell) => cell.split(' ')[0]).join(',')}`, '--format=csv');
    expect(ours.split('\n')[0], name).toBe(common.join(', '));
  }
  for (const { name, text, driver } of captures('help', /linux-\d.*-help-query-gpu\.txt$/)) {
    fake.setDriver(driver);
    const real = new Set(text.match(/"[^"\n]+"/g));
    const ours = (smi('--help-query-gpu').match(/"[^"\n]+"/g) ?? []).filter(
      (field) => !field.startsWith('"--'),
    );
    expect(
      ours.filter((field) => !real.has(field)),
      name,
    ).toEqual([]);
  }
});

/** Digits, names and spaces that differ between machines taken out. */
const shape = (line: string): string =>
  line
    .replaceAll(/(?:GPU|MIG)-[0-9a-f-]{30,}/g, 'UUID')
    .replace(/^GPU \d+: .* \(/, 'GPU n: model (')
    .replace(/MIG \d\S*\s+Device\s+\d+/, 'MIG profile Device n');

describe('pmon', () => {
  test('has header and row widths of captures, by driver', () => {
    for (const { name, text, driver } of captures('pmon', /linux-\d.*-pmon\.txt$/)) {
      fake.setDriver(driver);
      const [first, second, row = ''] = text.split('\n');
      const ours = smi('pmon', '-c', '1').split('\n');
      expect(ours.slice(0, 2), name).toEqual([first, second]);
      expect(ours[2]?.length, name).toBe(row.length);
    }
  });

  test('has the columns of older drivers in the order of its letters', () => {
    const words = (line = ''): string[] => line.trim().split(/\s+/);
    for (const { name, text } of captures('pmon', /s-u?mu?|s-mu/)) {
      const letters = /-s-(um|mu)/.exec(name)?.[1] ?? (name.includes('-s-um') ? 'um' : 'mu');
      fake.setDriver(text.includes('ccpm') ? '555.42.06' : '535.54.03');
      // Where a header is spaced by hand its units stand elsewhere, so only the names count.
      expect(words(smi('pmon', '-c', '1', '-s', letters).split('\n')[0]), name).toEqual(
        words(text.split('\n')[0]),
      );
    }
  });

  test('repeats its header after 44 rows, leaves devices out on old drivers, and counts ticks', () => {
    const uuids = Array.from({ length: 6 }, (_, index) => `GPU-bbbbbbbb-0000-4000-8000-00000000000${index}`);
    const other = createFakeNvidiaSmi(join(folder, 'other'));
    other.setDevices(uuids.map((uuid, index) => ({ uuid, index, model: 'X' })));
    other.setProcesses(
      uuids.flatMap((device) =>
        [1, 2, 3, 4, 5, 6, 7, 8].map((pid) => ({ device, pid, sm: 5, memoryBytes: 0 })),
      ),
    );
    const lines = run(other.path, 'pmon', '-c', '1').stdout.split('\n');
    expect(lines.flatMap((line, at) => (line.startsWith('# gpu') ? [at] : []))).toEqual([0, 46]);
    expect(parsePmon(lines.join('\n'))).toMatchObject({ indexes: [0, 1, 2, 3, 4, 5], problems: [] });
    const two = run(other.path, 'pmon', '-c', '2', '-d', '0').stdout.split('\n');
    expect(two.flatMap((line, at) => (line.startsWith('# gpu') ? [at] : []))).toEqual([0, 46, 92]);
    expect(parsePmon(run(other.path, 'pmon', '-c', '1', '-i', '4,5').stdout).indexes).toEqual([4, 5]);
    other.setDriver('440.33.01');
    expect(parsePmon(run(other.path, 'pmon', '-c', '1').stdout).indexes).toEqual([0, 1, 2, 3]);
    expect(parsePmon(run(other.path, 'pmon', '-c', '1', '-i', '4,5').stdout).indexes).toEqual([4, 5]);
  });
});

test('the list and the versions are worded as captures are', () => {
  fake.setDriver('590.48.01');
  const ours = new Set(smi('-L').trimEnd().split('\n').map(shape));
  for (const { name, text } of captures('list', /-L\.txt$/))
    for (const line of text.trimEnd().split('\n')) expect(ours, name).toContain(shape(line.trimEnd()));
  const keys = (text: string): string[] => text.split('\n').map((line) => line.split(':')[0] ?? '');
  for (const { name, text, driver } of captures('help', /linux-\d.*version\.txt$/)) {
    fake.setDriver(driver);
    expect(keys(smi('--version')), name).toEqual(keys(text));
  }
});

/** `gpu/power_readings/power_draw`, without lists of instances. */
function elements(xml: string): Set<string> {
  const paths = new Set<string>();
  const open: string[] = [];
  for (const [, close, tag = ''] of xml.matchAll(/<(\/?)([a-z_0-9]+)(?: [^>]*)?>/g)) {
    if (close === '/') open.pop();
    else {
      open.push(tag);
      paths.add(open.slice(1).join('/'));
    }
  }
  return paths;
}

test('the document has no elements but those of its schema’s captures', () => {
  for (const version of [11, 12, 13]) {
    const real = new Set<string>();
    const drivers = new Set<string>();
    for (const { text } of captures('xml', new RegExp(`-v${version}-`))) {
      if (!text.includes(`nvsmi_device_v${version}.dtd`)) continue;
      for (const path of elements(text)) real.add(path);
      const driver = /<driver_version>(\d+)\./.exec(text)?.[1];
      if (driver !== undefined && Number(driver) !== 550) drivers.add(`${driver}.10.01`);
    }
    for (const driver of drivers) {
      fake.setDriver(driver);
      const ours = smi('-q', '-x');
      expect(ours).toContain(`nvsmi_device_v${version}.dtd`);
      const own = [...elements(ours)].filter(
        (path) => !/mig_device\/|mig_device$|accounted_process_info/.test(path),
      );
      const strange = own.filter((path) => !real.has(path));
      expect(strange, driver).toEqual([]);
    }
  }
});

test('a divided device has instances, no utilisation and its processes’ instances', () => {
  fake.setDriver('590.48.01');
  const { devices, processes, problems } = parseXml(smi('-q', '-x'));
  expect(problems).toEqual([]);
  expect(devices[1]).toMatchObject({ migEnabled: true, utilisationPercent: { unknown: 'N/A' } });
  expect(
    devices[1]?.migInstances.map(({ gpuInstance, computeInstance }) => [gpuInstance, computeInstance]),
  ).toEqual([
    [2, 0],
    [2, 1],
    [9, 0],
  ]);
  expect(processes).toMatchObject([{ pid: process.pid }, { pid: 1, gpuInstance: 2, computeInstance: 1 }]);
  expect(parseList(smi('-L')).devices[1]?.migInstances.map(({ profile }) => profile)).toEqual(
    INSTANCES.map(({ profile }) => profile),
  );
  expect(parsePmon(smi('pmon', '-c', '1')).processes).toMatchObject([
    { pid: process.pid, smPercent: 80 },
    { pid: 1, smPercent: { unknown: 'no sample' } },
  ]);
  const rows = parseQueryGpu(
    smi('--query-gpu=uuid,utilization.gpu,mig.mode.current,power.draw', '--format=csv'),
  );
  expect(rows.devices).toMatchObject([
    { uuid: WHOLE, utilisationPercent: 80, migEnabled: false },
    { uuid: DIVIDED, utilisationPercent: { unknown: 'N/A' }, migEnabled: true },
  ]);
  expect(parseQueryGpu(smi('--query-gpu=uuid', '--format=csv', '-i', '1')).devices).toMatchObject([
    { uuid: DIVIDED },
  ]);
});

test('accounting has rows with time 0 while they run, in the document and in the query', () => {
  const expected = [
    { pid: 15_727, timeMs: 5270, running: false, gpuUtilisationPercent: 71, maxMemoryBytes: 0 },
    { pid: 7, timeMs: 0, running: true },
  ];
  const query = '--query-accounted-apps=gpu_uuid,pid,gpu_util,max_memory_usage,time';
  expect(parseAccountedApps(smi(query, '--format=csv')).accounted).toMatchObject(expected);
  expect(parseXml(smi('-q', '-x')).accounted).toMatchObject(expected);
  expect(parseXml(smi('-q', '-x')).devices.map(({ accountingEnabled }) => accountingEnabled)).toEqual([
    true,
    false,
  ]);
});
