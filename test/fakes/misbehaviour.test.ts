/** The stand-in follows a scenario, replays and multiplies captures, and misbehaves in every way that it promises. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { parseComputeApps } from '../../collector/sources/nvidia-smi/compute-apps.ts';
import { parseList } from '../../collector/sources/nvidia-smi/list.ts';
import { parsePmon } from '../../collector/sources/nvidia-smi/pmon.ts';
import { parseQueryGpu } from '../../collector/sources/nvidia-smi/query-gpu.ts';
import { parseXml } from '../../collector/sources/nvidia-smi/xml.ts';
import { readCaptures } from './captures.ts';
import { createFakeNvidiaSmi } from './nvidia-smi.ts';
import { type Ran, run } from './run.ts';

const MIB = 1_048_576;
const UUIDS = [0, 1, 2].map((at) => `GPU-cccccccc-0000-4000-8000-00000000000${at}`);
const [FIRST = '', SECOND = ''] = UUIDS;
const folder = mkdtempSync(join(tmpdir(), 'gpuledger-smi-'));
const fake = createFakeNvidiaSmi(folder);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const GPUS = ['--query-gpu=uuid,index,utilization.gpu,power.draw', '--format=csv'];
const APPS = ['--query-compute-apps=gpu_uuid,pid,process_name,used_gpu_memory', '--format=csv'];
const smi = (...args: string[]): Ran => run(fake.path, ...args);

beforeEach(() => {
  fake.setFault(null);
  fake.setDevices(UUIDS.map((uuid, index) => ({ uuid, index, model: 'NVIDIA H100 80GB HBM3' })));
  fake.setProcesses([{ device: FIRST, pid: process.pid, sm: 80, memoryBytes: 64 * MIB }]);
});

describe('misbehaviour', () => {
  const healthy = (): string => smi(...GPUS).stdout;

  test('exit codes come with whatever was printed', () => {
    const whole = healthy();
    for (const exitCode of [2, 3, 4, 6, 8, 9, 10, 12, 13, 14, 15, 255]) {
      fake.setFault({ exitCode });
      expect(smi(...GPUS)).toMatchObject({ stdout: whole, code: exitCode });
    }
    fake.setFault({ exitCode: 14, after: 'WARNING: infoROM is corrupted at gpu 0000:10:00.0' });
    const { devices, problems } = parseQueryGpu(smi(...GPUS).stdout);
    expect(devices).toHaveLength(3);
    expect(problems).toMatchObject([{ device: '0000:10:00.0', fault: false }]);
  });

  test('it dies in the middle of a line', () => {
    const whole = healthy();
    fake.setFault({ cutBytes: 70, signal: 'SEGV' });
    expect(smi(...GPUS)).toEqual({ stdout: whole.slice(0, 70), code: null, signal: 'SIGSEGV' });
  });

  test('it prints lines among the rows, rows twice, rows not at all', () => {
    fake.setFault({ among: 'GPU1: 0000:11:00.0: Unknown Error' });
    const among = parseQueryGpu(smi(...GPUS).stdout);
    expect(among.devices).toHaveLength(3);
    expect(among.problems).toMatchObject([{ line: 3, device: '0000:11:00.0', fault: true }]);
    fake.setFault({ twice: true });
    expect(parseQueryGpu(smi(...GPUS).stdout).devices).toHaveLength(6);
    fake.setFault({ drop: SECOND });
    expect(parseQueryGpu(smi(...GPUS).stdout).devices).toHaveLength(2);
  });

  test('it refuses a field, and writes decimal commas', () => {
    fake.setFault({ only: 'query-gpu', unknownField: 'power.draw' });
    expect(smi(...GPUS)).toMatchObject({
      stdout: 'Field "power.draw" is not a valid field to query.\n\n',
      code: 2,
    });
    expect(smi(...APPS).code).toBe(0);
    fake.setFault({ locale: true });
    const { stdout } = smi(...GPUS);
    expect(stdout).toMatch(/, \d+,\d\d W$/m);
    expect(parseQueryGpu(stdout).devices.map(({ powerMilliwatts }) => typeof powerMilliwatts)).not.toContain(
      'number',
    );
  });

  test('it is sick for some calls, and well again', () => {
    fake.setFault({
      times: 2,
      text: 'Failed to initialize NVML: Driver/library version mismatch',
      exitCode: 18,
    });
    expect([smi(...GPUS).code, smi(...GPUS).code, smi(...GPUS).code]).toEqual([18, 18, 0]);
  });

  test('a child of it holds its output, and it ignores SIGTERM', async () => {
    const whole = healthy();
    fake.setFault({ holdSeconds: 30 });
    const held = spawn(fake.path, GPUS, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    let said = '';
    let closed = false;
    held.stdout.on('data', (data: Buffer) => {
      said += data.toString();
    });
    held.on('close', () => {
      closed = true;
    });
    await once(held, 'exit');
    expect([said, closed]).toEqual([whole, false]);
    process.kill(-(held.pid ?? 0), 'SIGKILL');
    await once(held, 'close');

    fake.setFault({ hangSeconds: 30, ignoresTerm: true, among: 'x' });
    const deaf = spawn(fake.path, GPUS, { stdio: 'ignore', detached: true });
    const pid = deaf.pid ?? 0;
    // SIGTERM is the 15th: bit 14 of the ignored signals.
    const ignores = (): boolean =>
      (Number.parseInt(/SigIgn:\s*(\w+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0', 16) &
        0x4000) !==
      0;
    await expect.poll(ignores).toBe(true);
    process.kill(pid, 'SIGTERM');
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    process.kill(-pid, 'SIGKILL');
    await once(deaf, 'exit');
  });

  test('lines come slowly, and output of a name is byte for byte', async () => {
    fake.setFault({ slowSeconds: 30 });
    const slow = spawn(fake.path, GPUS, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    const [first] = await once(slow.stdout, 'data');
    expect(String(first)).toBe('uuid, index, utilization.gpu [%], power.draw [W]\n');
    process.kill(-(slow.pid ?? 0), 'SIGKILL');
    await once(slow, 'close');
    fake.setFault(null);
    fake.setProcesses([
      { device: FIRST, pid: 7, sm: 1, memoryBytes: MIB, name: `a, b\n${FIRST}, 1, init, 99 MiB` },
    ]);
    const { processes } = parseComputeApps(smi(...APPS).stdout);
    // The tool cannot be asked for names safely: this is what a forged row looks like.
    expect(processes.map(({ pid }) => pid)).toContain(1);
  });

  test('sensors claim what is not', () => {
    const claims = { utilisationPercent: 0, hideProcesses: true };
    fake.setDevices(UUIDS.map((uuid, index) => ({ uuid, index, model: 'X', claims })));
    expect(parseQueryGpu(smi(...GPUS).stdout).devices[0]).toMatchObject({
      utilisationPercent: 0,
      powerMilliwatts: expect.toSatisfy((mw: number) => mw > 400_000),
    });
    expect(parseComputeApps(smi(...APPS).stdout)).toMatchObject({ processes: [], hasHeader: true });
  });

  test('memory of the host, a virtual GPU, and the clients of MPS', () => {
    fake.setDevices([
      { uuid: FIRST, index: 0, model: 'NVIDIA GB10', unifiedMemory: true },
      { uuid: SECOND, index: 1, model: 'GRID P4-1Q', virtual: true },
    ]);
    fake.setProcesses([
      { device: FIRST, pid: 10, sm: 0, memoryBytes: 25 * MIB, name: 'nvidia-cuda-mps-server' },
      { device: FIRST, pid: 11, sm: 40, memoryBytes: 64 * MIB, type: 'M+C' },
      { device: SECOND, pid: 12, sm: 40, memoryBytes: 64 * MIB },
    ]);
    const { devices, processes } = parseXml(smi('-q', '-x').stdout);
    expect(devices[0]?.memoryUsedBytes).toEqual({ unknown: 'N/A' });
    expect(processes.map(({ pid, type, memoryBytes }) => [pid, type, memoryBytes])).toEqual([
      [10, 'C', 25 * MIB],
      [11, 'M+C', 64 * MIB],
      [12, 'C', { unknown: 'N/A' }],
    ]);
    expect(processes[2]?.name).toEqual({ unknown: 'empty' });
  });
});

test('a loop prints its header once', async () => {
  const loop = spawn(fake.path, [...GPUS, '-lms', '10'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of loop.stdout) {
    text += String(chunk);
    if (text.split('\n').length > 8) break;
  }
  loop.kill();
  expect(text.match(/^uuid/gm)).toHaveLength(1);
  expect(parseQueryGpu(text.slice(0, text.lastIndexOf('\n') + 1)).devices.length).toBeGreaterThan(6);
});

test('it follows a scenario by its clock', () => {
  const busy = [{ device: FIRST, pid: 1, sm: 100, memoryBytes: MIB }];
  fake.setClock(0);
  fake.setScenario([
    { at: 0, processes: [] },
    { at: 10, processes: busy },
    { at: 20, fault: { only: 'query-gpu', exitCode: 9 } },
    { at: 30, processes: [], accounting: { on: true, rows: [] } },
  ]);
  const told = (second: number) => {
    fake.setClock(second);
    const ran = smi(...GPUS);
    const [device] = parseQueryGpu(ran.stdout).devices;
    return [ran.code, device?.utilisationPercent, parsePmon(smi('pmon', '-c', '1').stdout).processes.length];
  };
  expect([told(0), told(9), told(10), told(25), told(31)]).toEqual([
    [0, 0, 0],
    [0, 0, 0],
    [0, 100, 1],
    [9, 100, 1],
    [0, 0, 0],
  ]);
});

test('it replays what it printed itself, as often as wanted', () => {
  const recorded = {
    'query-gpu': smi(
      '--query-gpu=index,uuid,pci.bus_id,utilization.gpu,memory.used',
      '--format=csv',
      '-i',
      '0',
    ).stdout,
    'query-compute-apps': smi(...APPS).stdout,
    pmon: smi('pmon', '-c', '1', '-i', '0').stdout,
  };
  const other = createFakeNvidiaSmi(join(folder, 'replayed'));
  other.replay(recorded, 8);
  const gpus = parseQueryGpu(
    run(other.path, '--query-gpu=uuid,index,pci.bus_id,utilization.gpu', '--format=csv').stdout,
  );
  expect(gpus.problems).toEqual([]);
  expect(gpus.devices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(new Set(gpus.devices.map(({ uuid }) => uuid)).size).toBe(8);
  expect(new Set(gpus.devices.map(({ busId }) => busId)).size).toBe(8);
  expect(gpus.devices.map(({ utilisationPercent }) => utilisationPercent)).toEqual(Array(8).fill(80));
  const apps = parseComputeApps(run(other.path, ...APPS).stdout);
  expect(apps.processes.map(({ device }) => device)).toEqual(gpus.devices.map(({ uuid }) => uuid));
  expect(parsePmon(run(other.path, 'pmon', '-c', '1').stdout).indexes).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(run(other.path, '--query-gpu=serial', '--format=csv')).toMatchObject({ code: 2 });
});

const CORPUS = fileURLToPath(new URL('../../../shared/corpus/nvidia-smi/', import.meta.url));
test.skipIf(!existsSync(CORPUS))('it replays captures of real ones, and multiplies their GPU', () => {
  const read = (path: string): string => readFileSync(join(CORPUS, path), 'utf8');
  const captures = {
    'query-gpu': read('query-gpu/h200-mig-linux-590.48.01-load-query-gpu.csv'),
    'query-compute-apps': read('query-compute-apps/h200-mig-linux-590.48.01-load-compute-apps.csv'),
    'query-accounted-apps': read('query-accounted-apps/h200-mig-linux-590.48.01-load-accounted-apps.csv'),
    pmon: read('pmon/h200-mig-linux-590.48.01-load-pmon.txt'),
    list: read('list/h200-mig-linux-590.48.01-L.txt'),
    xml: read('xml/nvidia-l40s-595.91.07-v13-k8stestinfra-hw-qx-l40s-c7cf7.xml'),
  };
  const other = createFakeNvidiaSmi(join(folder, 'corpus'));
  other.replay(captures, 1);
  for (const [kind, option] of [
    ['query-gpu', '--query-gpu'],
    ['query-compute-apps', '--query-compute-apps'],
    ['query-accounted-apps', '--query-accounted-apps'],
  ] as const) {
    const text = captures[kind];
    const columns = (text.split('\n')[0] ?? '').split(', ').map((cell) => cell.trim().split(' ')[0]);
    expect(run(other.path, `${option}=${columns.join(',')}`, '--format=csv').stdout.trimEnd()).toBe(
      text.replaceAll('\r', '').trimEnd(),
    );
  }
  expect(run(other.path, 'pmon', '-c', '1').stdout).toBe(captures.pmon);
  expect(run(other.path, '-q', '-x').stdout).toBe(captures.xml);
  other.replay(captures, 8);
  const { devices, problems } = parseXml(run(other.path, '-q', '-x').stdout);
  expect(problems).toEqual([]);
  expect(new Set(devices.flatMap(({ uuid, busId, minor }) => [uuid, busId, minor])).size).toBe(24);
  const list = parseList(run(other.path, '-L').stdout);
  expect(list.problems).toEqual([]);
  expect(
    new Set(list.devices.flatMap(({ uuid, migInstances }) => [uuid, ...migInstances.map((one) => one.uuid)]))
      .size,
  ).toBe(48);
});

test('a folder of captures has what it has, and the program says what it can do', () => {
  expect(readCaptures(folder)).toEqual({});
  expect(smi('--stand-in-help').stdout).toContain('hold=SECONDS');
});
