// `run --once`: one reading of real processes through a stand-in nvidia-smi; nothing kept, nothing sent.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { createWard, UUIDS, type Ward } from './doctor-fixture.ts';

const main = fileURLToPath(new URL('../../collector/cli/main.ts', import.meta.url));
const SECRET = 'hunter2-not-for-anyone';
const Reading = z.object({
  node: z.string(),
  driverVersion: z.string().nullable(),
  accountingMode: z.unknown(),
  failure: z.object({ reason: z.string() }).nullable(),
  devices: z.array(
    z.object({ device: z.object({ uuid: z.string() }), reading: z.record(z.string(), z.unknown()) }),
  ),
  processes: z.array(
    z.object({
      key: z.string(),
      pid: z.number(),
      uid: z.number().nullable(),
      comm: z.string(),
      executable: z.object({ path: z.string() }).nullable(),
      commandLine: z.string().nullable(),
      lineage: z.array(z.object({ key: z.string(), comm: z.string() })),
      unreadable: z.array(z.string()),
    }),
  ),
  problems: z.array(z.object({ source: z.string(), message: z.string() })),
});

let ward: Ward;
beforeEach(() => {
  ward = createWard();
});
afterEach(() => ward.remove());

const look = (...args: string[]) =>
  spawnSync(
    process.execPath,
    [main, 'run', '--once', '--nvidia-smi', ward.nvidiaSmi.path, '--spool', ward.spool, ...args],
    { encoding: 'utf8', cwd: ward.folder, env: { PATH: process.env['PATH'] ?? '' } },
  );

it('shows devices, and who the processes on them are, without token, service or spool', async () => {
  const child = spawn('sleep', ['60'], { argv0: 'sleep' });
  const script = spawn('sh', ['-c', `sleep 60; : --password ${SECRET}`]);
  await Promise.all([once(child, 'spawn'), once(script, 'spawn')]);
  try {
    ward.nvidiaSmi.setProcesses([
      { device: UUIDS[0], pid: child.pid ?? 0, sm: 70, memoryBytes: 1 },
      { device: UUIDS[1], pid: script.pid ?? 0, sm: 20, memoryBytes: 1 },
    ]);
    const before = readdirSync(ward.folder);
    const { status, stdout, stderr } = look('--json');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const reading = Reading.parse(JSON.parse(stdout));
    expect(reading.failure).toBeNull();
    expect(
      reading.devices.map(({ device, reading: own }) => [device.uuid, own['utilisationPercent']]),
    ).toEqual([
      [UUIDS[0], 70],
      [UUIDS[1], 20],
    ]);
    expect(reading.processes.map(({ pid }) => pid)).toEqual([child.pid, script.pid]);
    const [sleeper] = reading.processes;
    expect(sleeper).toMatchObject({ comm: 'sleep', commandLine: 'sleep 60', uid: process.geteuid?.() });
    expect(sleeper?.key).toMatch(new RegExp(`^${child.pid}/\\d+$`));
    expect(sleeper?.lineage[0]?.key).toMatch(new RegExp(`^${process.pid}/\\d+$`));
    expect(sleeper?.lineage.at(-1)?.key).toMatch(/^1\//);
    expect(stdout).not.toContain(SECRET);
    const shown = look();
    expect(shown.stdout).toMatch(/command +sleep 60\n/);
    expect(shown.stdout).toMatch(/below +.+ \(\d+\/\d+\) < /);
    expect(shown.stdout).not.toContain(SECRET);
    expect(existsSync(join(ward.folder, 'spool'))).toBe(false);
    expect(readdirSync(ward.folder)).toEqual(before);
  } finally {
    child.kill('SIGKILL');
    script.kill('SIGKILL');
  }
});

it('ends with 1 where something was not measured, and says what', () => {
  ward.nvidiaSmi.setDevices([
    { uuid: UUIDS[0], index: 0, model: 'NVIDIA H100 80GB HBM3' },
    { uuid: UUIDS[1], index: 1, model: 'NVIDIA H100 80GB HBM3', fault: 'requires_reset' },
  ]);
  const sick = look();
  expect(sick.status).toBe(1);
  expect(sick.stdout).toMatch(/0001 .*not measured/);
  const none = look('--json', '--nvidia-smi', join(ward.folder, 'none'));
  expect(none.status).toBe(1);
  expect(Reading.parse(JSON.parse(none.stdout)).failure?.reason).toBe('tool_missing');
});

it.each([
  ['one that lost its UUID', { drop: UUIDS[1] }],
  ['one that is lost', null],
])('ends with 1 where the report does not describe every device: %s', (_, fault) => {
  ward.nvidiaSmi.setFault(fault);
  if (fault === null)
    ward.nvidiaSmi.setDevices([
      { uuid: UUIDS[0], index: 0, model: 'T' },
      { uuid: UUIDS[1], index: 1, model: 'T', fault: 'lost' },
    ]);
  const { status, stdout } = look('--json');
  const { failure, devices } = Reading.parse(JSON.parse(stdout));
  expect({ status, devices: devices.length }).toEqual({ status: 1, devices: 1 });
  expect(failure?.reason).toBe('device_missing');
});

it('ends with 1 where a report describes no GPU at all', () => {
  ward.nvidiaSmi.setDevices([]);
  expect(look()).toMatchObject({ status: 1, stdout: expect.stringContaining('Not measured') });
});

it('says that processes cannot be told where there is no /proc', () => {
  ward.nvidiaSmi.setProcesses([{ device: UUIDS[0], pid: process.pid, sm: 10, memoryBytes: 1 }]);
  const { status, stdout } = look('--json', '--proc', join(ward.folder, 'none'));
  expect(status).toBe(1);
  const { devices, processes } = Reading.parse(JSON.parse(stdout));
  expect(processes).toEqual([]);
  expect(devices[0]?.reading).toMatchObject({ ok: false, reason: 'processes_unreadable' });
});

it('shows a process that /proc hides by its pid', () => {
  ward.nvidiaSmi.setProcesses([{ device: UUIDS[0], pid: 4_194_304, sm: 10, memoryBytes: 1 }]);
  const [hidden] = Reading.parse(JSON.parse(look('--json').stdout)).processes;
  expect(hidden).toMatchObject({ pid: 4_194_304, executable: null, unreadable: ['process: not in /proc'] });
  expect(look().stdout).toContain('not read    process: not in /proc');
});

it('keeps --json for itself', () => {
  const { status, stderr } = spawnSync(process.execPath, [main, 'run', '--json'], { encoding: 'utf8' });
  expect(status).toBe(2);
  expect(stderr).toContain('--once');
});
