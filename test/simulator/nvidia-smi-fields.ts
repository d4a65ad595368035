/** The fields of nvidia-smi's three CSV queries: names, header units and values. */
import { latest } from './model.ts';
import type { DeviceState, DeviceTenant, NodeState } from './snapshot.ts';

/** `names[0]` is what the header says; the others are accepted in a request. */
export interface Field<Row> {
  readonly names: readonly string[];
  readonly unit: string;
  /** A bare number gets the unit; anything else (`[N/A]`, text) stands as it is. */
  readonly value: (row: Row) => string;
}

export interface GpuRow {
  readonly node: NodeState;
  readonly state: DeviceState;
}
export interface AppRow extends GpuRow {
  readonly tenant: DeviceTenant;
}

const NOT_AVAILABLE = '[N/A]';
const NEEDS_RESET = '[GPU requires reset]';

/** `2026/07/03 22:11:09.763`, the node's local time; simulated nodes live in UTC. */
const csvTimestamp = (atMs: number): string =>
  new Date(atMs).toISOString().slice(0, 23).replaceAll('-', '/').replace('T', ' ');

/** A sensor of a device that needs a reset says so instead. */
const sensor =
  (value: (row: GpuRow) => string) =>
  (row: GpuRow): string =>
    row.state.fault === 'requires_reset' ? NEEDS_RESET : value(row);

const field = <Row>(names: string, unit: string, value: (row: Row) => string): Field<Row> => ({
  names: names.split(' '),
  unit,
  value,
});
const gpu = (names: string, unit: string, value: (row: GpuRow) => string): Field<GpuRow> =>
  field(names, unit, value);
const fixed = (names: string, text: string): Field<GpuRow> => field(names, '', () => text);

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
  gpu('count', '', (row) => String(row.node.node.devices.length)),
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
  fixed('accounting.mode', 'Disabled'),
  fixed('accounting.buffer_size', '4000'),
  fixed('driver_model.current', NOT_AVAILABLE),
  fixed('vbios_version', '96.00.A5.00.03'),
  gpu('gpu_recovery_action', '', (row) => (row.state.fault === 'requires_reset' ? 'Reset' : 'None')),
  gpu('fan.speed', '%', () => NOT_AVAILABLE),
  fixed('pstate', 'P0'),
  fixed('clocks_event_reasons.active', '0x0000000000000000'),
  gpu('memory.total', 'MiB', (row) => String(model(row).memoryMiB)),
  gpu('memory.reserved', 'MiB', () => '614'),
  gpu('memory.used', 'MiB', (row) => String(row.state.memoryUsedMiB)),
  gpu('memory.free', 'MiB', (row) =>
    String(Math.max(0, model(row).memoryMiB - 614 - row.state.memoryUsedMiB)),
  ),
  fixed('compute_mode', 'Default'),
  fixed('compute_cap', '9.0'),
  gpu(
    'utilization.gpu',
    '%',
    sensor((row) => String(row.state.utilisationPercent)),
  ),
  gpu(
    'utilization.memory',
    '%',
    sensor((row) => String(Math.floor(row.state.utilisationPercent / 3))),
  ),
  gpu('utilization.encoder', '%', () => '0'),
  gpu('utilization.decoder', '%', () => '0'),
  fixed('ecc.mode.current', 'Enabled'),
  fixed('ecc.errors.uncorrected.volatile.total', '0'),
  fixed('mig.mode.current', 'Disabled'),
  fixed('mig.mode.pending', 'Disabled'),
  gpu(
    'temperature.gpu',
    '',
    sensor((row) => String(31 + Math.floor(row.state.utilisationPercent / 3))),
  ),
  gpu('power.draw', 'W', watts),
  gpu('power.draw.average', 'W', watts),
  gpu('power.draw.instant', 'W', watts),
  gpu('power.limit', 'W', (row) => model(row).limitWatts.toFixed(2)),
  gpu('enforced.power.limit', 'W', (row) => model(row).limitWatts.toFixed(2)),
  gpu('clocks.current.sm clocks.sm', 'MHz', (row) => (row.state.utilisationPercent > 0 ? '1980' : '345')),
  gpu('clocks.current.memory clocks.mem', 'MHz', () => '2619'),
  gpu('hostname', '', (row) => row.node.node.name),
];

/** Named as the process was started: the first argument when it is a path, else the executable. */
const processName = (row: AppRow): string => {
  const image = latest(row.tenant.process.images, row.node.atMs);
  const first = image.argv[0] ?? '';
  return (first.includes('/') || first.includes(':') ? first : image.exePath).replaceAll(',', '?');
};

export const APP_FIELDS: readonly Field<AppRow>[] = [
  field('timestamp', '', (row) => csvTimestamp(row.node.atMs)),
  field('gpu_name', '', (row) => model(row).name),
  field('gpu_bus_id', '', (row) => row.state.device.busId),
  field('gpu_serial', '', (row) => row.state.device.serial),
  field('gpu_uuid', '', (row) => row.state.device.uuid),
  field('pid', '', (row) => String(row.tenant.process.pid)),
  field('process_name name', '', processName),
  field('used_gpu_memory used_memory', 'MiB', (row) => String(row.tenant.use.memoryMiB)),
];

/** Accounting mode is off on simulated nodes, so these never have rows. */
export const ACCOUNTED_FIELDS: readonly Field<GpuRow>[] = [
  field('timestamp', '', () => ''),
  field('gpu_name', '', () => ''),
  field('gpu_bus_id', '', () => ''),
  field('gpu_serial', '', () => ''),
  field('gpu_uuid', '', () => ''),
  field('vgpu_instance', '', () => ''),
  field('pid', '', () => ''),
  field('gpu_utilization gpu_util', '%', () => ''),
  field('mem_utilization mem_util', '%', () => ''),
  field('max_memory_usage', 'MiB', () => ''),
  field('time', 'ms', () => ''),
];

const NUMBER = /^-?\d+(\.\d+)?$/;
export const withUnit = (value: string, unit: string): string =>
  unit !== '' && NUMBER.test(value) ? `${value} ${unit}` : value;

export const headerOf = (names: readonly string[], unit: string): string =>
  unit === '' ? (names[0] ?? '') : `${names[0]} [${unit}]`;
