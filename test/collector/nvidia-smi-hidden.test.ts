import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Devices } from '../../collector/devices.ts';
import { files } from '../../collector/ports/real.ts';
import type { Execute, Executed } from '../../collector/ports.ts';
import { busOf, done, uuidOf } from './nvidia-smi-rig.ts';

let procRoot = '';
beforeEach(() => {
  procRoot = mkdtempSync(join(tmpdir(), 'driver-list-'));
});
afterEach(() => rmSync(procRoot, { recursive: true, force: true }));

const NONE = done('No devices were found\n', 6);
const report = (...indexes: number[]): Executed => {
  const devices = indexes.map((index) => `<gpu id="${busOf(index)}"><uuid>${uuidOf(index)}</uuid></gpu>`);
  return done(`<nvidia_smi_log>${devices.join('')}</nvidia_smi_log>\n`);
};

/** What is said after a reading where the driver has so many GPUs; null where it has no list. */
async function said(driverHas: number | null, answer: Executed) {
  for (let index = 0; index < (driverHas ?? 0); index += 1)
    mkdirSync(join(procRoot, 'driver/nvidia/gpus', busOf(index)), { recursive: true });
  const execute: Execute = async () => answer;
  const clock = { wallMs: () => 1_000, monotonicMs: () => 1_000, sleep: async () => undefined };
  const config = { nvidiaSmi: 'nvidia-smi', procRoot, spoolFolder: procRoot, inventoryIntervalMs: 600_000 };
  const states: (string | null)[] = [];
  const problems: string[] = [];
  const devices = new Devices(
    config,
    'boot',
    { execute, files, clock },
    {
      problem: ({ message }) => problems.push(message),
      inventoryChanged: () => undefined,
      state: (thing, wrong) => thing === 'inventory' && states.push(wrong),
    },
  );
  await devices.read();
  return { blind: devices.blind, state: states.at(-1), problems };
}

it('says that a device control group hides GPUs that the driver has', async () => {
  const { blind, state } = await said(8, NONE);
  expect(blind).toMatchObject({ reason: 'device_missing' });
  for (const text of [blind?.detail, state])
    expect(text).toContain('the driver has 8: a device control group hides them from the agent');
});

it('blames no control group where the driver has none, or has no list', async () => {
  for (const driverHas of [0, null])
    expect(await said(driverHas, NONE)).toMatchObject({ blind: { detail: 'No devices were found' } });
});

it('tells of GPUs that are not shown among those that are', async () => {
  const some = await said(3, report(0, 1));
  expect(some.state).toContain('shows 2 of the 3 GPUs');
  expect(some.problems).toContain(some.state);
  expect(await said(3, report(0, 1, 2))).toMatchObject({ state: null });
});
