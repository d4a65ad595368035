// What the agent remembers of its devices over a restart: only what the contract takes, of this boot only.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { restoreDevices, saveDevices } from '../../collector/device-memory.ts';
import { files } from '../../collector/ports/real.ts';
import { fact } from './nvidia-smi-rig.ts';
import { temporaryFolder } from './spool-fixture.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const DEVICES = [fact(0), fact(1)];
const restored = (bootId = 'boot') => restoreDevices(files, folder.path, bootId);

it('is what was saved, without how a device was divided, and nothing after a reboot', () => {
  expect(restored()).toEqual([]);
  saveDevices(files, folder.path, 'boot', [fact(0), fact(1, true)]);
  expect(restored()).toEqual(DEVICES);
  expect(restored('another boot')).toEqual([]);
});

it('is nothing where the file was cut or changed into what the contract refuses', () => {
  saveDevices(files, folder.path, 'boot', DEVICES);
  const path = join(folder.path, 'devices.json');
  const text = readFileSync(path, 'utf8');
  for (let end = 0; end < text.length; end += 1) {
    writeFileSync(path, text.slice(0, end));
    expect(restored()).toEqual([]);
  }
  for (const [from, to] of [
    ['GPU-0', 'CPU-0'],
    ['"index":0', '"index":-1'],
    ['"index":0', '"index":1e9'],
    ['"model":"T"', '"model":"\\u0000"'],
    ['"model":"T"', `"model":"${'x'.repeat(254)}"`],
    ['"version":1', '"version":2'],
  ] as const) {
    expect(text).toContain(from);
    writeFileSync(path, text.replace(from, to));
    expect(restored()).toEqual([]);
  }
  writeFileSync(path, text.replace('"memoryBytes":100', '"memoryBytes":"much"'));
  expect(restored()[0]?.memoryBytes).toBeNull();
});
