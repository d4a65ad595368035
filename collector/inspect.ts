/**
 * What we understand of a captured output: the parsers' results in one documented, stable shape (docs/INSPECT.md). Pure
 * and total: any text gives an answer.
 */
import { type CgroupOwner, cgroupOwner } from '../api/contract/cgroup.ts';
import { isUnknown, type Value } from './reading.ts';
import { parseAccountedApps } from './sources/nvidia-smi/accounted-apps.ts';
import { parseComputeApps } from './sources/nvidia-smi/compute-apps.ts';
import { parseList } from './sources/nvidia-smi/list.ts';
import {
  type AccountedProcess,
  createProblems,
  MAX_CHARS,
  type ParsedDevice,
  type ParsedProcess,
  type Problem,
  UNKNOWN_DEVICE,
  unknown,
} from './sources/nvidia-smi/parsed.ts';
import { parsePmon } from './sources/nvidia-smi/pmon.ts';
import { parseQueryGpu } from './sources/nvidia-smi/query-gpu.ts';
import { parseXml } from './sources/nvidia-smi/xml.ts';

export const INSPECT_KINDS = [
  'xml',
  'query-gpu',
  'compute-apps',
  'accounted-apps',
  'pmon',
  'list',
  'cgroup',
] as const;
export type InspectKind = (typeof INSPECT_KINDS)[number];

/** Bounds a file that is inspected; parsers stop at the same number of characters. */
export const INSPECT_MAX_BYTES = MAX_CHARS;

/**
 * The answer. A value that the text does not give is `{"unknown": "<reason>"}`, never 0, null or absent.
 *
 * - `devices`: uuid, index, minor, busId, model, utilisationPercent, memoryUtilisationPercent, memoryUsedBytes,
 *   memoryTotalBytes, powerMilliwatts, powerLimitMilliwatts, migEnabled, accountingEnabled and `migInstances` (index, uuid, profile,
 *   gpuInstance, computeInstance, memoryUsedBytes, memoryTotalBytes). query-gpu: one for each row. pmon: one for each
 *   index that has a row.
 * - `processes`: device (UUID, else bus id, else index as text), pid, type, name, smPercent, memoryBytes, gpuInstance,
 *   computeInstance. One for each row that names a process; captures of several ticks repeat them. For cgroup: exactly
 *   one `{owner}`, null where no line names an owner.
 * - `accounted`: device, pid, gpuUtilisationPercent, memoryUtilisationPercent, maxMemoryBytes, timeMs, running.
 * - `problems`: what was not understood or says that something is wrong; `line` from 1 or null, `device` or null.
 */
export interface Inspection {
  readonly kind: InspectKind;
  /** null where the kind never has it. */
  readonly driverVersion: Value<string> | null;
  readonly devices: readonly InspectedDevice[];
  readonly processes: readonly (InspectedProcess | { readonly owner: CgroupOwner | null })[];
  readonly accounted: readonly AccountedProcess[];
  readonly problems: readonly InspectedProblem[];
}
export type InspectedDevice = ParsedDevice;
export type InspectedProcess = ParsedProcess;
type InspectedProblem = Pick<Problem, 'line' | 'device' | 'message'>;

export function inspect(kind: InspectKind, text: string): Inspection {
  // No output has any: a file that was cut while somebody wrote to it does, and one of two bytes a character.
  const plain = text.replaceAll('\0', '');
  const inspection = understood(kind, plain);
  if (plain.length === text.length) return inspection;
  const message = `${text.length - plain.length} NUL characters were left out`;
  return { ...inspection, problems: [...inspection.problems, { line: null, device: null, message }] };
}

function understood(kind: InspectKind, text: string): Inspection {
  switch (kind) {
    case 'xml': {
      const { devices, processes, accounted, driverVersion, problems } = parseXml(text);
      return answer(kind, { devices, processes, accounted, problems, driverVersion: version(driverVersion) });
    }
    case 'query-gpu': {
      const { devices, driverVersion, problems } = parseQueryGpu(text);
      return answer(kind, { devices, problems, driverVersion: version(driverVersion) });
    }
    case 'compute-apps': {
      const { processes, problems } = parseComputeApps(text);
      return answer(kind, { processes: processes.map(({ busId: _, ...process }) => process), problems });
    }
    case 'accounted-apps':
      return answer(kind, parseAccountedApps(text));
    case 'pmon': {
      const { processes, indexes, hasHeader, problems } = parsePmon(text);
      const devices = indexes.map((index): ParsedDevice => ({ ...UNKNOWN_DEVICE, index }));
      return answer(kind, { devices, processes, problems: hasHeader ? problems : [NO_HEADER, ...problems] });
    }
    case 'list':
      return answer(kind, parseList(text));
    case 'cgroup': {
      // As an editor may have left it; the kernel writes neither.
      const plain = text.replace(/^\ufeff/, '').replaceAll('\r\n', '\n');
      return {
        ...answer(kind, { problems: cgroupProblems(plain) }),
        processes: [{ owner: cgroupOwner(plain) }],
      };
    }
  }
}

const NO_HEADER: Problem = {
  line: null,
  device: null,
  message: 'no header line: the columns are not known',
  fault: false,
};
const version = (text: string | null): Value<string> => text ?? unknown('not in this output');

interface Parts {
  readonly devices?: readonly ParsedDevice[];
  readonly processes?: readonly ParsedProcess[];
  readonly accounted?: readonly AccountedProcess[];
  readonly problems: readonly Problem[];
  readonly driverVersion?: Value<string>;
}

function answer(kind: InspectKind, parts: Parts): Inspection {
  const ranges: InspectedProblem[] = [];
  const within = (value: Value<number>, device: Value<string>, what: string): Value<number> => {
    if (isUnknown(value) || (value >= 0 && value <= 100)) return value;
    ranges.push({ line: null, device: isUnknown(device) ? null : device, message: `${what} of ${value} %` });
    return unknown(`out of range: ${value}`);
  };
  /** Of what cannot be less than nothing. */
  const size = (value: Value<number>): Value<number> =>
    isUnknown(value) || value >= 0 ? value : unknown(`out of range: ${value}`);
  const devices = (parts.devices ?? []).map((device) => ({
    ...device,
    memoryUsedBytes: size(device.memoryUsedBytes),
    memoryTotalBytes: size(device.memoryTotalBytes),
    powerMilliwatts: size(device.powerMilliwatts),
    utilisationPercent: within(device.utilisationPercent, device.uuid, 'a utilisation'),
    memoryUtilisationPercent: within(device.memoryUtilisationPercent, device.uuid, 'a memory utilisation'),
  }));
  const processes = (parts.processes ?? []).map((process) => ({
    ...process,
    memoryBytes: size(process.memoryBytes),
    smPercent: within(process.smPercent, process.device, 'an SM share'),
  }));
  return {
    kind,
    driverVersion: parts.driverVersion ?? null,
    devices,
    processes,
    accounted: parts.accounted ?? [],
    problems: [...parts.problems.map(({ line, device, message }) => ({ line, device, message })), ...ranges],
  };
}

function cgroupProblems(text: string): Problem[] {
  const problems = createProblems();
  const lines = text.slice(0, 8192).split('\n', 64);
  for (const [at, line] of lines.entries())
    if (line !== '' && !/^\d{1,10}:[^:]*:\//.test(line)) problems.foreign(at + 1, line);
  return problems.list();
}

/** A value for people: known ones as text, unknown ones as their reason in brackets. */
export const shown = (value: Value<string | number | boolean>): string =>
  isUnknown(value) ? `[${value.unknown}]` : String(value);
