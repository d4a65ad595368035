/** `nvidia-smi --query-gpu=… --format=csv`: one row a device, columns by header. */
import { readCsv } from './csv.ts';
import { createProblems, type ParsedDevice, type Problem, UNKNOWN_DEVICE, unknown } from './parsed.ts';
import { busId, bytes, enabled, firstKnown, milliwatts, name, percent, uuid, whole } from './values.ts';

export interface QueryGpuOutput {
  /** In the order of the rows; looped output repeats a device once a tick. */
  readonly devices: readonly ParsedDevice[];
  readonly driverVersion: string | null;
  readonly hasHeader: boolean;
  readonly problems: readonly Problem[];
}

const KNOWN: ReadonlySet<string> = new Set([
  'timestamp',
  'driver_version',
  'kmd_version',
  'count',
  'name',
  'gpu_name',
  'serial',
  'uuid',
  'gpu_uuid',
  'pci.bus_id',
  'gpu_bus_id',
  'index',
  'pstate',
  'utilization.gpu',
  'utilization.memory',
  'memory.total',
  'memory.used',
  'memory.free',
  'temperature.gpu',
  'power.draw',
  'power.draw.instant',
  'power.draw.average',
  'power.limit',
  'enforced.power.limit',
  'mig.mode.current',
  'accounting.mode',
  'persistence_mode',
  'compute_mode',
  'compute_cap',
]);

/** Never throws. */
export function parseQueryGpu(text: string): QueryGpuOutput {
  const problems = createProblems();
  const csv = readCsv(text, KNOWN, new Set(), problems);
  let driverVersion: string | null = null;
  const devices = csv.rows.map((row): ParsedDevice => {
    const version = firstKnown(name(row.cell('driver_version')), name(row.cell('kmd_version')));
    if (typeof version === 'string') driverVersion ??= version;
    const power = (field: string) => milliwatts(row.cell(field), row.unit(field));
    return {
      ...UNKNOWN_DEVICE,
      uuid: uuid(row.cell('uuid', 'gpu_uuid')),
      index: whole(row.cell('index')),
      busId: busId(row.cell('pci.bus_id', 'gpu_bus_id')),
      model: name(row.cell('name', 'gpu_name')),
      utilisationPercent: percent(row.cell('utilization.gpu')),
      memoryUtilisationPercent: percent(row.cell('utilization.memory')),
      memoryUsedBytes: bytes(row.cell('memory.used'), row.unit('memory.used')),
      memoryTotalBytes: bytes(row.cell('memory.total'), row.unit('memory.total')),
      powerMilliwatts: firstKnown(
        power('power.draw'),
        power('power.draw.instant'),
        power('power.draw.average'),
      ),
      powerLimitMilliwatts: firstKnown(power('enforced.power.limit'), power('power.limit')),
      migEnabled: enabled(row.cell('mig.mode.current')),
      accountingEnabled: enabled(row.cell('accounting.mode')),
    };
  });
  const nameless = csv.nameless.map((cells): ParsedDevice => {
    const none = unknown('no header line');
    const known = (value: unknown): value is string => typeof value === 'string';
    const uuids = cells.map((cell) => uuid(cell)).filter(known);
    const busIds = cells.map((cell) => busId(cell)).filter(known);
    return {
      uuid: (uuids.length === 1 ? uuids[0] : undefined) ?? none,
      index: none,
      minor: none,
      busId: (busIds.length === 1 ? busIds[0] : undefined) ?? none,
      model: none,
      utilisationPercent: none,
      memoryUtilisationPercent: none,
      memoryUsedBytes: none,
      memoryTotalBytes: none,
      powerMilliwatts: none,
      powerLimitMilliwatts: none,
      migEnabled: none,
      migInstances: [],
      accountingEnabled: none,
    };
  });
  return {
    devices: [...devices, ...nameless],
    driverVersion,
    hasHeader: csv.hasHeader,
    problems: problems.list(),
  };
}
