/**
 * From the three answers of one poll to one reading a device. Pure. Whatever fails, is missing or is absurd voids that
 * device and leaves the others alone.
 */
import type { DeviceFact } from '../../../api/contract/batch.ts';
import {
  type DeviceProcess,
  type DeviceReading,
  isUnknown,
  type ReadingProblem,
  UNTOLD_TYPE,
  type Value,
} from '../../reading.ts';
import type { Answer, Failure } from './call.ts';
import type { ComputeAppsOutput } from './compute-apps.ts';
import { NO_BUS_ID } from './inventory.ts';
import { type ParsedDevice, type ParsedProcess, type Problem, unknown } from './parsed.ts';
import { partitionOf } from './partition.ts';
import type { PmonOutput } from './pmon.ts';
import type { QueryGpuOutput } from './query-gpu.ts';
import { isAboutProcesses } from './report.ts';
import { busIdKey, uuidKey } from './values.ts';
import type { XmlOutput } from './xml.ts';

export interface PollAnswers {
  readonly gpus: Answer<QueryGpuOutput>;
  readonly apps: Answer<ComputeAppsOutput>;
  /** Null where it was not asked at all. */
  readonly pmon: PmonOutput | null;
  /** A report of the MIG devices at least; null where there is none. */
  readonly instances: Answer<XmlOutput> | null;
}

const FAULT = /is lost|requires? (?:a )?reset|fallen off|^ERR!?$|unable to determine/i;
const MAX_SM_PERCENT = 100;
/** No board draws a tenth of this; a sensor that says so is broken. */
const MAX_MILLIWATTS = 100_000_000;

export function assemble(
  inventory: readonly DeviceFact[],
  answers: PollAnswers,
): { devices: DeviceReading[]; problems: ReadingProblem[] } {
  const { gpus, apps, pmon, instances } = answers;
  if (!gpus.ok) {
    const { reason, detail } = gpus;
    return { devices: inventory.map(({ uuid }) => ({ ok: false, uuid, reason, detail })), problems: [] };
  }
  const place = createPlace(inventory);
  const problems = [...gpus.output.problems.map((problem) => place.problem('nvidia-smi query-gpu', problem))];
  if (apps.ok)
    problems.push(
      ...apps.output.problems.map((problem) => place.problem('nvidia-smi compute-apps', problem)),
    );
  else problems.push({ source: 'nvidia-smi compute-apps', device: null, message: apps.detail });
  for (const problem of pmon?.problems ?? []) problems.push(place.problem('nvidia-smi pmon', problem));

  const rows = Map.groupBy(gpus.output.devices, (row) => place.device(row.uuid, row.busId));
  for (const { uuid, busId } of rows.get(null) ?? [])
    problems.push({
      source: 'nvidia-smi query-gpu',
      device: null,
      message: `a device that the inventory does not have: ${known(uuid) ?? known(busId) ?? 'unnamed'}`,
    });
  const indexes = new Map<number, string>();
  for (const [uuid, [row]] of rows)
    if (uuid !== null && typeof row?.index === 'number') indexes.set(row.index, uuid);
  const shares = pmon ? sharesOf(pmon, indexes, problems) : null;
  const contexts = apps.ok ? contextsOf(apps.output, place) : null;

  const devices = inventory.map((device): DeviceReading => {
    const { uuid } = device;
    const row = rows.get(uuid)?.[0];
    const failure =
      place.fault(uuid, gpus.output.problems) ??
      failureOf(device, rows.get(uuid) ?? []) ??
      (apps.ok ? place.fault(uuid, apps.output.problems) : null) ??
      unreadable(uuid, apps, contexts);
    if (failure || !row) return { ok: false, uuid, ...(failure ?? MISSING) };
    const mig = migOf(device, row);
    const division = mig ? divisionOf(device, instances) : NOT_DIVIDED;
    if ('reason' in division) return { ok: false, uuid, ...division };
    const listed = [...(contexts?.byDevice.get(uuid) ?? []), ...division.processes];
    const processes = merge(listed, shares?.get(uuid) ?? null);
    return {
      ok: true,
      uuid,
      utilisationPercent: mig ? unknown('not measured under MIG') : row.utilisationPercent,
      memoryUsedBytes: row.memoryUsedBytes,
      powerMilliwatts: row.powerMilliwatts,
      powerLimitMilliwatts: row.powerLimitMilliwatts,
      partition: division.partition,
      processes,
    };
  });
  return { devices, problems };
}

const MISSING: Failure = { reason: 'device_missing', detail: 'no row in query-gpu' };

/** Finds the inventory's device by UUID or bus id. */
function createPlace(inventory: readonly DeviceFact[]) {
  const uuids = new Set(inventory.map((device) => device.uuid));
  const byBus = new Map(inventory.map((device) => [busIdKey(device.busId), device.uuid]));
  // Devices come with every process again.
  const places = new Map<string, string | null>();
  const named = (text: string | null): string | null => {
    if (text === null) return null;
    const before = places.get(text);
    if (before !== undefined) return before;
    const uuid = uuidKey(text);
    const found = uuids.has(uuid) ? uuid : (byBus.get(busIdKey(text)) ?? null);
    places.set(text, found);
    return found;
  };
  return {
    /** By UUID; by bus id only where the UUID cannot be read. */
    device: (uuid: Value<string>, busId: Value<string>): string | null =>
      typeof uuid === 'string' ? named(uuid) : typeof busId === 'string' ? named(busId) : null,
    named,
    problem: (source: string, { device, message }: Problem): ReadingProblem => ({
      source,
      device: named(device),
      message,
    }),
    fault: (uuid: string, problems: readonly Problem[]): Failure | null => {
      const found = problems.find((problem) => problem.fault && named(problem.device) === uuid);
      return found ? { reason: 'device_error', detail: found.message } : null;
    },
  };
}
type Place = ReturnType<typeof createPlace>;

/** A driver that does not say it at a poll leaves what the inventory says. */
export function migOf(device: DeviceFact, row: ParsedDevice): boolean {
  return isUnknown(row.migEnabled) ? device.migEnabled : row.migEnabled;
}

function failureOf(device: DeviceFact, rows: readonly ParsedDevice[]): Failure | null {
  const [row] = rows;
  if (!row) return MISSING;
  const broken = (detail: string): Failure => ({ reason: 'device_error', detail });
  if (rows.length > 1) return broken(`${rows.length} rows with this UUID`);
  const {
    utilisationPercent: util,
    memoryUsedBytes: used,
    memoryTotalBytes: total,
    powerMilliwatts: power,
  } = row;
  for (const value of [util, used, total, power, row.index, row.busId, row.migEnabled])
    if (isUnknown(value) && FAULT.test(value.unknown)) return broken(value.unknown);
  if (
    typeof row.busId === 'string' &&
    device.busId !== NO_BUS_ID &&
    busIdKey(row.busId) !== busIdKey(device.busId)
  )
    return broken(`at ${row.busId}, the inventory has ${device.busId}`);
  if (typeof util === 'number' && (util < 0 || util > 100)) return broken(`utilisation of ${util} %`);
  if (typeof used === 'number' && (used < 0 || (typeof total === 'number' && used > total)))
    return broken(`${used} bytes of memory in use`);
  if (typeof power === 'number' && (power < 0 || power > MAX_MILLIWATTS))
    return broken(`power of ${power} mW`);
  if (isUnknown(util) && !migOf(device, row)) {
    const reason = /^unknown error$/i.test(util.unknown) ? 'device_error' : 'value_unknown';
    return { reason, detail: `utilisation: ${util.unknown}` };
  }
  return null;
}

interface Division {
  readonly partition: { gpuInstance: number; slices: number }[];
  readonly processes: readonly ParsedProcess[];
}
const NOT_DIVIDED: Division = { partition: [], processes: [] };

/** How MIG divides a device, and which process is in which part: all of it from one report, or nothing. */
function divisionOf(device: DeviceFact, instances: PollAnswers['instances']): Division | Failure {
  const unread = (detail: string): Failure => ({ reason: 'processes_unreadable', detail });
  if (instances === null) return unread('its MIG instances were not asked for');
  if (!instances.ok) return { reason: instances.reason, detail: `MIG instances: ${instances.detail}` };
  const { devices, processes, problems } = instances.output;
  const seen = devices.find(({ uuid }) => uuid === device.uuid);
  if (seen?.migEnabled !== true) return unread('its MIG instances are not in the report');
  const hidden = problems.find((problem) => problem.device === device.uuid && isAboutProcesses(problem));
  if (hidden) return unread(hidden.message);
  const own = processes.filter((process) => process.device === device.uuid);
  const nameless = own.find(({ pid }) => isUnknown(pid));
  if (nameless && isUnknown(nameless.pid)) return unread(`a process without a pid: ${nameless.pid.unknown}`);
  const partition = partitionOf(device, seen.migInstances);
  return 'reason' in partition ? partition : { partition, processes: own };
}

interface Contexts {
  readonly byDevice: ReadonlyMap<string, readonly ParsedProcess[]>;
  /** Devices with a row that cannot be read, and why. */
  readonly broken: ReadonlyMap<string, string>;
  /** A row that names no device: any of them may lack a process. */
  readonly lost: string | null;
}

function contextsOf(output: ComputeAppsOutput, place: Place): Contexts {
  const byDevice = new Map<string, ParsedProcess[]>();
  const broken = new Map<string, string>();
  let lost: string | null = null;
  for (const { device, message } of output.problems) {
    if (device === null || !/^(?:GPU|MIG)-/.test(device)) continue;
    const uuid = place.named(device);
    if (uuid === null) lost = `a row that cannot be read: ${message}`;
    else broken.set(uuid, `a row that cannot be read: ${message}`);
  }
  for (const process of output.processes) {
    const uuid = place.device(process.device, process.busId ?? unknown('none'));
    const named = isUnknown(process.device) ? null : process.device;
    const elsewhere = process.busId !== null && uuid !== null && place.named(process.busId) !== uuid;
    if (uuid === null && named !== null && named.startsWith('GPU-')) {
      // A new GPU's, unless the bus id says that it is one of ours.
      const at = process.busId === null ? null : place.named(process.busId);
      if (at !== null) broken.set(at, `a process of ${named}, which is not the device at ${process.busId}`);
      continue;
    }
    if (uuid === null) lost = `a process on an unknown device: ${named ?? 'none named'}`;
    else if (elsewhere) broken.set(uuid, `a process at bus id ${process.busId}, which is another device's`);
    else if (isUnknown(process.pid)) broken.set(uuid, `a process without a pid: ${process.pid.unknown}`);
    else byDevice.set(uuid, [...(byDevice.get(uuid) ?? []), process]);
  }
  return { byDevice, broken, lost };
}

function unreadable(uuid: string, apps: PollAnswers['apps'], contexts: Contexts | null): Failure | null {
  if (!apps.ok || !contexts) return { reason: 'processes_unreadable', detail: apps.ok ? '' : apps.detail };
  const detail = contexts.broken.get(uuid) ?? contexts.lost;
  return detail === null ? null : { reason: 'processes_unreadable', detail };
}

/** pmon's rows by device and pid. A pid that comes twice on one device says nothing about its share. */
function sharesOf(
  output: PmonOutput,
  indexes: ReadonlyMap<number, string>,
  problems: ReadingProblem[],
): ReadonlyMap<string, ReadonlyMap<number, ParsedProcess>> {
  const shares = new Map<string, Map<number, ParsedProcess>>();
  const complain = (device: string | null, message: string): number =>
    problems.push({ source: 'nvidia-smi pmon', device, message });
  for (const row of output.processes) {
    const uuid = isUnknown(row.device) ? undefined : indexes.get(Number(row.device));
    if (uuid === undefined || isUnknown(row.pid)) continue;
    const device = shares.get(uuid) ?? new Map<number, ParsedProcess>();
    shares.set(uuid, device);
    const absurd = typeof row.smPercent === 'number' && (row.smPercent < 0 || row.smPercent > MAX_SM_PERCENT);
    if (absurd) complain(uuid, `pid ${row.pid} with an SM share out of range`);
    if (device.has(row.pid)) complain(uuid, `pid ${row.pid} comes twice`);
    const doubtful = absurd || device.has(row.pid);
    device.set(row.pid, doubtful ? { ...row, smPercent: unknown('doubtful') } : row);
  }
  return shares;
}

const known = <T>(value: Value<T>): T | null => (isUnknown(value) ? null : value);

/**
 * One per pid, and under MIG per GPU instance that it is in: a context list and pmon complete each other, since pmon alone
 * has graphics clients and types, and a context list names no instances.
 */
function merge(
  contexts: readonly ParsedProcess[],
  shares: ReadonlyMap<number, ParsedProcess> | null,
): DeviceProcess[] {
  const rows = [...contexts, ...(shares?.values() ?? [])];
  const placed = Map.groupBy(
    rows.filter((row) => !isUnknown(row.gpuInstance)),
    (row) => row.pid,
  );
  const processes = new Map<string, DeviceProcess>();
  for (const row of rows) {
    const pid = known(row.pid);
    if (pid === null) continue;
    const own = known(row.gpuInstance);
    const places = new Set(
      (own === null ? (placed.get(pid) ?? [row]) : [row]).map((one) => known(one.gpuInstance)),
    );
    for (const gpuInstance of places) {
      const key = `${pid} ${gpuInstance}`;
      const before = processes.get(key);
      // What a row without an instance says of memory may be another instance's.
      const memory = own === null && places.size > 1 ? null : known(row.memoryBytes);
      processes.set(key, {
        pid,
        type: known(row.type) ?? before?.type ?? UNTOLD_TYPE,
        smPercent: known(row.smPercent) ?? before?.smPercent ?? null,
        // Compute instances of one GPU instance share their memory and print it once each: the largest, not the sum.
        memoryBytes:
          memory === null ? (before?.memoryBytes ?? null) : Math.max(memory, before?.memoryBytes ?? 0),
        gpuInstance,
        computeInstance: known(row.computeInstance) ?? before?.computeInstance ?? null,
      });
    }
  }
  return [...processes.values()].sort(
    (a, b) => a.pid - b.pid || (a.gpuInstance ?? -1) - (b.gpuInstance ?? -1),
  );
}
