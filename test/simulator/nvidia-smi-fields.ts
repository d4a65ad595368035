/** The fields of nvidia-smi's three CSV queries: names, header units and values. */
import type { AccountedRow } from './model.ts';
import { latest } from './model.ts';
import type { DeviceState, DeviceTenant, NodeState } from './snapshot.ts';

/** `names[0]` is what the header says; the others are accepted in a request. */
export interface Field<Row> {
  readonly names: readonly string[];
  readonly unit: string;
  /** A bare number gets the unit; anything else (`[N/A]`, text) stands as it is. */
  readonly value: (row: Row) => string;
  /** Drivers before this one refuse the field. */
  readonly since?: number;
}

export interface GpuRow {
  readonly node: NodeState;
  readonly state: DeviceState;
}
export interface AppRow extends GpuRow {
  readonly tenant: DeviceTenant;
}
export interface EndedRow extends GpuRow {
  readonly ended: AccountedRow;
}

/** The first number of a driver's version, by which formats differ. */
export const driverBranch = (version: string): number => Number.parseInt(version, 10);

const NOT_AVAILABLE = '[N/A]';

/** `2026/07/03 22:11:09.763`, the node's local time; simulated nodes live in UTC. */
const csvTimestamp = (atMs: number): string =>
  new Date(atMs).toISOString().slice(0, 23).replaceAll('-', '/').replace('T', ' ');

/** A sensor of a device that needs a reset, or has none, says so instead. */
const sensor =
  (value: (row: GpuRow) => string) =>
  (row: GpuRow): string =>
    row.state.says ?? value(row);

const field = <Row>(names: string, unit: string, value: (row: Row) => string): Field<Row> => ({
  names: names.split(' '),
  unit,
  value,
});
const gpu = (names: string, unit: string, value: (row: GpuRow) => string): Field<GpuRow> =>
  field(names, unit, value);
const fixed = (names: string, text: string): Field<GpuRow> => field(names, '', () => text);
const since = (driver: number, entry: Field<GpuRow>): Field<GpuRow> => ({ ...entry, since: driver });
/** Not measured while the device is divided. */
const undivided =
  (value: (row: GpuRow) => string) =>
  (row: GpuRow): string =>
    row.state.device.instances === undefined ? value(row) : NOT_AVAILABLE;
/** Of a device with memory of its own. */
const ownMemory =
  (value: (row: GpuRow) => string) =>
  (row: GpuRow): string =>
    row.state.device.unifiedMemory === true ? NOT_AVAILABLE : value(row);
const migMode = (row: GpuRow): string => (row.state.device.instances === undefined ? 'Disabled' : 'Enabled');
const accountingMode = (row: GpuRow): string =>
  row.node.node.accounting?.on === true && row.state.device.instances === undefined ? 'Enabled' : 'Disabled';

const model = (row: GpuRow): DeviceState['device']['model'] => row.state.device.model;
const watts = sensor((row) => row.state.powerWatts.toFixed(2));
const busPart = (row: GpuRow, from: number, to: number): string => row.state.device.busId.slice(from, to);

/** What every query may ask of the device. */
const IDENTITY: readonly Field<GpuRow>[] = [
  gpu('timestamp', '', (row) => csvTimestamp(row.node.atMs)),
  gpu('name gpu_name', '', (row) => model(row).name),
  gpu('serial gpu_serial', '', (row) => row.state.device.serial),
  gpu('uuid gpu_uuid', '', (row) => row.state.device.uuid),
  gpu('pci.bus_id gpu_bus_id', '', (row) => row.state.device.busId),
];

export const GPU_FIELDS: readonly Field<GpuRow>[] = [
  ...IDENTITY,
  gpu('driver_version', '', (row) => row.node.node.driverVersion),
  since(
    595,
    gpu('kmd_version', '', (row) => row.node.node.driverVersion),
  ),
  gpu('count', '', (row) => String(row.node.devices.filter(({ fault }) => fault !== 'gone').length)),
  gpu('index', '', (row) => String(row.state.device.index)),
  gpu('pci.domain', '', (row) => `0x${busPart(row, 4, 8)}`),
  gpu('pci.bus', '', (row) => `0x${busPart(row, 9, 11)}`),
  gpu('pci.device', '', (row) => `0x${busPart(row, 12, 14)}`),
  gpu('pci.device_id', '', (row) => `0x${model(row).deviceId}`),
  fixed('display_mode', '[Requested functionality has been deprecated]'),
  fixed('display_attached', 'No'),
  fixed('display_active', 'Disabled'),
  fixed('persistence_mode', 'Enabled'),
  fixed('addressing_mode', 'None'),
  gpu('accounting.mode', '', accountingMode),
  fixed('accounting.buffer_size', '4000'),
  fixed('driver_model.current', NOT_AVAILABLE),
  fixed('vbios_version', '96.00.A5.00.03'),
  since(
    565,
    gpu('gpu_recovery_action', '', (row) => (row.state.fault === 'requires_reset' ? 'Reset' : 'None')),
  ),
  gpu('fan.speed', '%', () => NOT_AVAILABLE),
  fixed('pstate', 'P0'),
  since(535, fixed('clocks_event_reasons.active', '0x0000000000000000')),
  fixed('clocks_throttle_reasons.active', '0x0000000000000000'),
  gpu(
    'memory.total',
    'MiB',
    ownMemory((row) => String(model(row).memoryMiB)),
  ),
  since(
    510,
    gpu(
      'memory.reserved',
      'MiB',
      ownMemory(() => '614'),
    ),
  ),
  gpu(
    'memory.used',
    'MiB',
    ownMemory((row) => String(row.state.memoryUsedMiB)),
  ),
  gpu(
    'memory.free',
    'MiB',
    ownMemory((row) => String(Math.max(0, model(row).memoryMiB - 614 - row.state.memoryUsedMiB))),
  ),
  fixed('compute_mode', 'Default'),
  fixed('compute_cap', '9.0'),
  gpu('utilization.gpu', '%', sensor(undivided((row) => String(row.state.utilisationPercent)))),
  gpu(
    'utilization.memory',
    '%',
    sensor(undivided((row) => String(Math.floor(row.state.utilisationPercent / 3)))),
  ),
  gpu(
    'utilization.encoder',
    '%',
    undivided(() => '0'),
  ),
  gpu(
    'utilization.decoder',
    '%',
    undivided(() => '0'),
  ),
  fixed('ecc.mode.current', 'Enabled'),
  fixed('ecc.errors.uncorrected.volatile.total', '0'),
  gpu('mig.mode.current', '', migMode),
  gpu('mig.mode.pending', '', migMode),
  gpu(
    'temperature.gpu',
    '',
    sensor((row) => String(31 + Math.floor(row.state.utilisationPercent / 3))),
  ),
  gpu('power.draw', 'W', watts),
  since(525, gpu('power.draw.average', 'W', watts)),
  since(525, gpu('power.draw.instant', 'W', watts)),
  gpu('power.limit', 'W', (row) => model(row).limitWatts.toFixed(2)),
  gpu('enforced.power.limit', 'W', (row) => model(row).limitWatts.toFixed(2)),
  gpu('clocks.current.sm clocks.sm', 'MHz', (row) => (row.state.utilisationPercent > 0 ? '1980' : '345')),
  gpu('clocks.current.memory clocks.mem', 'MHz', () => '2619'),
  gpu('hostname', '', (row) => row.node.node.name),
];

/** Named as the process was started: the first argument when it is a path, else the executable. */
export const processName = ({ node, state, tenant }: AppRow): string => {
  const image = latest(tenant.process.images, node.atMs);
  if (state.device.virtual === true) return '';
  if (image.shownAs !== undefined) return image.shownAs;
  const first = image.argv[0] ?? '';
  return (first.includes('/') || first.includes(':') ? first : image.exePath).replaceAll(',', '?');
};

/** MiB, or that it is not known. */
export const processMemory = (row: AppRow): string =>
  row.state.device.virtual === true ? NOT_AVAILABLE : String(row.tenant.use.memoryMiB);

export const APP_FIELDS: readonly Field<AppRow>[] = [
  field('timestamp', '', (row) => csvTimestamp(row.node.atMs)),
  field('gpu_name', '', (row) => model(row).name),
  field('gpu_bus_id', '', (row) => row.state.device.busId),
  field('gpu_serial', '', (row) => row.state.device.serial),
  field('gpu_uuid', '', (row) => row.state.device.uuid),
  field('pid', '', (row) => String(row.tenant.process.pid)),
  field('process_name name', '', processName),
  field('used_gpu_memory used_memory', 'MiB', processMemory),
];

export const ACCOUNTED_FIELDS: readonly Field<EndedRow>[] = [
  field('timestamp', '', (row) => csvTimestamp(row.node.atMs)),
  field('gpu_name', '', (row) => model(row).name),
  field('gpu_bus_id', '', (row) => row.state.device.busId),
  field('gpu_serial', '', (row) => row.state.device.serial),
  field('gpu_uuid', '', (row) => row.state.device.uuid),
  field('vgpu_instance', '', () => NOT_AVAILABLE),
  field('pid', '', (row) => String(row.ended.pid)),
  field('gpu_utilization gpu_util', '%', (row) => String(row.ended.busyPercent)),
  field('mem_utilization mem_util', '%', (row) => String(row.ended.memoryPercent)),
  field('max_memory_usage', 'MiB', (row) => String(row.ended.maxMemoryMiB)),
  field('time', 'ms', (row) => String(row.ended.timeMs)),
];

/** The fields that a driver knows. */
export const fieldsOf = <Row>(fields: readonly Field<Row>[], driverVersion: string): readonly Field<Row>[] =>
  fields.filter(({ since: first }) => first === undefined || first <= driverBranch(driverVersion));

const NUMBER = /^-?\d+(\.\d+)?$/;
export const withUnit = (value: string, unit: string): string =>
  unit !== '' && NUMBER.test(value) ? `${value} ${unit}` : value;

export const headerOf = (names: readonly string[], unit: string): string =>
  unit === '' ? (names[0] ?? '') : `${names[0]} [${unit}]`;
