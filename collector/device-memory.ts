/**
 * Which devices the node had, kept in the spool's folder over a restart of the agent, as long as the machine runs: a GPU
 * that is lost meanwhile is missing and not gone.
 */
import { join } from 'node:path';
import { BATCH_LIMITS, type DeviceFact } from '../api/contract/batch.ts';
import type { Files } from './ports.ts';

const MAX_STATE_BYTES = 1024 * 1024;
const STATE_VERSION = 1;
const UUID = /^GPU-[0-9A-Za-z-]{1,100}$/;
const INERT = /^[ -~]{1,200}$/;
const MAX_NUMBER = 65_535;

const pathIn = (spoolFolder: string): string => join(spoolFolder, 'devices.json');

/** Throws what the disk does. */
export function saveDevices(
  files: Files,
  spoolFolder: string,
  bootId: string,
  devices: readonly DeviceFact[],
): void {
  files.writeDurably(
    pathIn(spoolFolder),
    Buffer.from(JSON.stringify({ version: STATE_VERSION, bootId, devices })),
  );
}

/** None on the first run, after a reboot, or of a damaged file. How a device was divided is not remembered. */
export function restoreDevices(files: Files, spoolFolder: string, bootId: string): DeviceFact[] {
  try {
    const { bytes, cut } = files.read(pathIn(spoolFolder), MAX_STATE_BYTES);
    const state: unknown = cut ? null : JSON.parse(bytes.toString('utf8'));
    if (!isObject(state) || state['version'] !== STATE_VERSION || state['bootId'] !== bootId) return [];
    const { devices } = state;
    if (!Array.isArray(devices) || devices.length > BATCH_LIMITS.devices) return [];
    const facts = devices.map(factOf).filter((fact) => fact !== null);
    return facts.length === devices.length ? facts : [];
  } catch {
    return [];
  }
}

type Members = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown, most = Number.MAX_SAFE_INTEGER): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= most;
const isText = (value: unknown, pattern: RegExp): value is string =>
  typeof value === 'string' && pattern.test(value);

function factOf(value: unknown): DeviceFact | null {
  if (!isObject(value)) return null;
  const { uuid, index, minor, busId, model, memoryBytes, powerLimitMilliwatts } = value;
  if (!isText(uuid, UUID) || !isText(busId, INERT) || !isText(model, INERT)) return null;
  if (!isCount(index, MAX_NUMBER)) return null;
  return {
    uuid,
    index,
    minor: isCount(minor, MAX_NUMBER) ? minor : null,
    busId,
    model,
    memoryBytes: isCount(memoryBytes) ? memoryBytes : null,
    powerLimitMilliwatts: isCount(powerLimitMilliwatts) ? powerLimitMilliwatts : null,
    ...{ migEnabled: false, slices: null, instances: [] },
  };
}
