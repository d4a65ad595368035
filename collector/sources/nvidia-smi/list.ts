/** `nvidia-smi -L`: devices and their MIG instances by UUID. */
import {
  createProblems,
  type MigInstance,
  NOT_IN_OUTPUT,
  type ParsedDevice,
  type Problem,
  readLines,
  UNKNOWN_DEVICE,
} from './parsed.ts';
import { name, uuid, whole } from './values.ts';

export interface ListOutput {
  readonly devices: readonly ParsedDevice[];
  readonly problems: readonly Problem[];
}

const DEVICE = /^GPU (\d{1,4}): (.{0,200}?) \(UUID: ([^()]{0,200})\)$/;
const MIG = /^MIG (\S{1,40})\s+Device\s+(\d{1,4}): \(UUID: ([^()]{0,200})\)$/;
/** Drivers before 470 spelt the instances into the UUID: MIG-GPU-<uuid>/<gpu instance>/<compute instance>. */
const OLD_MIG_UUID = /^MIG-GPU-[^/]+\/(\d{1,3})\/(\d{1,3})$/;

/** Never throws. */
export function parseList(text: string): ListOutput {
  const problems = createProblems();
  const devices: (ParsedDevice & { readonly migInstances: MigInstance[] })[] = [];
  for (const entry of readLines(text, problems)) {
    const line = entry.text.trim();
    const device = DEVICE.exec(line);
    const instance = device ? null : MIG.exec(line);
    const parent = devices.at(-1);
    if (device)
      devices.push({
        ...UNKNOWN_DEVICE,
        index: whole(device[1]),
        model: name(device[2]),
        uuid: uuid(device[3]),
        migInstances: [],
      });
    else if (instance && parent) parent.migInstances.push(instanceOf(instance));
    else problems.foreign(entry.line, entry.text);
  }
  // The list prints instances only where the mode is on; without any it says nothing.
  return {
    devices: devices.map((device) =>
      device.migInstances.length > 0 ? { ...device, migEnabled: true } : device,
    ),
    problems: problems.list(),
  };
}

function instanceOf(match: RegExpExecArray): MigInstance {
  const ids = OLD_MIG_UUID.exec(match[3] ?? '');
  return {
    index: whole(match[2]),
    uuid: uuid(match[3]),
    profile: name(match[1]),
    gpuInstance: whole(ids?.[1]),
    computeInstance: whole(ids?.[2]),
    memoryUsedBytes: NOT_IN_OUTPUT,
    memoryTotalBytes: NOT_IN_OUTPUT,
  };
}
