/**
 * The document of `nvidia-smi -q -x` in the schema of the driver (v11 from 460, v12 from 525, v13 from 580 on), without the
 * long tables of clocks.
 */
import { accountedRows } from './accounting.ts';
import type { SimDevice } from './model.ts';
import { driverBranch, processMemory, processName } from './nvidia-smi-fields.ts';
import type { DeviceState, NodeState } from './snapshot.ts';

/** Where elements were renamed, and the schema with them. */
const SCHEMAS = [
  { from: 580, version: 13 },
  { from: 525, version: 12 },
  { from: 0, version: 11 },
];
const POWER_RENAMED = 535;
const POWER_SPLIT = 570;
const RECOVERY_FROM = 565;
const CAPABILITIES_FROM = 525;
const DISPLAY_DEPRECATED = 580;

export function renderXml(state: NodeState): string {
  const { node } = state;
  const branch = driverBranch(node.driverVersion);
  const version = SCHEMAS.find(({ from }) => branch >= from)?.version;
  const shown = state.devices.filter(({ fault }) => fault !== 'lost' && fault !== 'gone');
  const attached = state.devices.filter(({ fault }) => fault !== 'gone').length;
  return `<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v${version}.dtd">
<nvidia_smi_log>
	<timestamp>${xmlTimestamp(state.atMs)}</timestamp>
	<driver_version>${node.driverVersion}</driver_version>
	<cuda_version>${node.cudaVersion}</cuda_version>
	<attached_gpus>${attached}</attached_gpus>
${shown.map((device) => renderDevice(device, state)).join('\n')}
</nvidia_smi_log>
`;
}

/** `Fri Aug 14 10:15:46 2026` */
function xmlTimestamp(atMs: number): string {
  const [weekday, day, month, year, time] = new Date(atMs).toUTCString().replace(',', '').split(' ');
  return `${weekday} ${month} ${day} ${time} ${year}`;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function renderDevice(state: DeviceState, node: NodeState): string {
  const { device } = state;
  const branch = driverBranch(node.node.driverVersion);
  const mode = device.instances === undefined ? 'Disabled' : 'Enabled';
  const accounting = node.node.accounting?.on === true && device.instances === undefined;
  const sensor = (text: string): string => state.says?.replace(/^\[(.*)\]$/, '$1') ?? text;
  const from = (first: number, element: string): string => (branch < first ? '' : `\n\t\t${element}`);
  const recovery = state.fault === 'requires_reset' ? 'Reset' : 'None';
  const display = branch < DISPLAY_DEPRECATED ? 'Disabled' : 'Requested functionality has been deprecated';
  const measured = (text: string): string => (device.instances === undefined ? sensor(text) : 'N/A');
  const memory = (text: string): string => (device.unifiedMemory === true ? 'N/A' : text);
  return `	<gpu id="${device.busId}">
		<product_name>${device.model.name}</product_name>
		<product_brand>NVIDIA</product_brand>
		<product_architecture>${device.model.architecture}</product_architecture>
		<display_mode>${display}</display_mode>${from(DISPLAY_DEPRECATED, '<display_attached>No</display_attached>')}
		<display_active>Disabled</display_active>
		<persistence_mode>Enabled</persistence_mode>${from(CAPABILITIES_FROM, '<addressing_mode>None</addressing_mode>')}
		<mig_mode>
			<current_mig>${mode}</current_mig>
			<pending_mig>${mode}</pending_mig>
		</mig_mode>
		<mig_devices>${renderInstances(device)}
		</mig_devices>
		<accounting_mode>${accounting ? 'Enabled' : 'Disabled'}</accounting_mode>
		<accounting_mode_buffer_size>4000</accounting_mode_buffer_size>
		<driver_model>
			<current_dm>N/A</current_dm>
			<pending_dm>N/A</pending_dm>
		</driver_model>
		<serial>${device.serial}</serial>
		<uuid>${device.uuid}</uuid>
		<minor_number>${device.minor}</minor_number>
		<vbios_version>96.00.A5.00.03</vbios_version>
		<multigpu_board>No</multigpu_board>
		<gpu_virtualization_mode>
			<virtualization_mode>${device.virtual === true ? 'VGPU' : 'None'}</virtualization_mode>
			<host_vgpu_mode>N/A</host_vgpu_mode>
		</gpu_virtualization_mode>${from(RECOVERY_FROM, `<gpu_recovery_action>${recovery}</gpu_recovery_action>`)}
		<pci>
			<pci_bus>${device.busId.slice(9, 11)}</pci_bus>
			<pci_device>${device.busId.slice(12, 14)}</pci_device>
			<pci_domain>${device.busId.slice(4, 8)}</pci_domain>
			<pci_device_id>${device.model.deviceId}</pci_device_id>
			<pci_bus_id>${device.busId}</pci_bus_id>
		</pci>
		<fan_speed>N/A</fan_speed>
		<performance_state>P0</performance_state>
		<fb_memory_usage>
			<total>${memory(`${device.model.memoryMiB} MiB`)}</total>
			<reserved>${memory('614 MiB')}</reserved>
			<used>${memory(`${state.memoryUsedMiB} MiB`)}</used>
			<free>${memory(`${Math.max(0, device.model.memoryMiB - 614 - state.memoryUsedMiB)} MiB`)}</free>
		</fb_memory_usage>
		<compute_mode>Default</compute_mode>
		<utilization>
			<gpu_util>${measured(`${state.utilisationPercent} %`)}</gpu_util>
			<memory_util>${measured(`${Math.floor(state.utilisationPercent / 3)} %`)}</memory_util>
			<encoder_util>${measured('0 %')}</encoder_util>
			<decoder_util>${measured('0 %')}</decoder_util>${
        branch < POWER_RENAMED
          ? ''
          : `
			<jpeg_util>${measured('0 %')}</jpeg_util>
			<ofa_util>${measured('0 %')}</ofa_util>`
      }
		</utilization>
		<ecc_mode>
			<current_ecc>Enabled</current_ecc>
			<pending_ecc>Enabled</pending_ecc>
		</ecc_mode>
		<temperature>
			<gpu_temp>${sensor(`${31 + Math.floor(state.utilisationPercent / 3)} C`)}</gpu_temp>
		</temperature>
${renderPower(state, branch, sensor)}
		<processes>${renderProcesses(state, node)}
		</processes>
		<accounted_processes>${renderAccounted(device, node)}
		</accounted_processes>${from(CAPABILITIES_FROM, '<capabilities>\n\t\t\t<egm>disabled</egm>\n\t\t</capabilities>')}
	</gpu>
`;
}

function renderPower(state: DeviceState, branch: number, sensor: (text: string) => string): string {
  const group = branch < POWER_RENAMED ? 'power_readings' : 'gpu_power_readings';
  const watts = sensor(`${state.powerWatts.toFixed(2)} W`);
  const limit = `${state.device.model.limitWatts.toFixed(2)} W`;
  const draws = branch < POWER_SPLIT ? ['power_draw'] : ['average_power_draw', 'instant_power_draw'];
  const limits =
    branch < POWER_RENAMED
      ? ['power_limit', 'default_power_limit', 'enforced_power_limit']
      : ['current_power_limit', 'requested_power_limit', 'default_power_limit'];
  const lines = [
    '<power_state>P0</power_state>',
    ...(branch < POWER_RENAMED ? ['<power_management>Supported</power_management>'] : []),
    ...draws.map((name) => `<${name}>${watts}</${name}>`),
    ...limits.map((name) => `<${name}>${limit}</${name}>`),
    '<min_power_limit>200.00 W</min_power_limit>',
    `<max_power_limit>${limit}</max_power_limit>`,
  ];
  return `		<${group}>${lines.map((line) => `\n\t\t\t${line}`).join('')}\n\t\t</${group}>`;
}

/** The document has no UUIDs of instances; only `-L` does. */
function renderInstances(device: SimDevice): string {
  if (device.instances === undefined) return '\n\t\t\tNone';
  return device.instances
    .map(
      ({ gpuInstance, computeInstance, memoryMiB }, at) => `
			<mig_device>
				<index>${at}</index>
				<gpu_instance_id>${gpuInstance}</gpu_instance_id>
				<compute_instance_id>${computeInstance}</compute_instance_id>
				<device_attributes>
					<shared>
						<multiprocessor_count>16</multiprocessor_count>
						<copy_engine_count>1</copy_engine_count>
					</shared>
				</device_attributes>
				<fb_memory_usage>
					<total>${memoryMiB} MiB</total>
					<reserved>0 MiB</reserved>
					<used>9 MiB</used>
					<free>${memoryMiB - 9} MiB</free>
				</fb_memory_usage>
			</mig_device>`,
    )
    .join('');
}

function renderProcesses(state: DeviceState, node: NodeState): string {
  return state.tenants
    .map((tenant) => {
      const { process, use } = tenant;
      const row = { node, state, tenant };
      const memory = processMemory(row);
      return `
			<process_info>
				<gpu_instance_id>${use.gpuInstance ?? 'N/A'}</gpu_instance_id>
				<compute_instance_id>${use.computeInstance ?? 'N/A'}</compute_instance_id>
				<pid>${process.pid}</pid>
				<type>${use.type}</type>
				<process_name>${escaped(processName(row))}</process_name>
				<used_memory>${/^\d+$/.test(memory) ? `${memory} MiB` : 'N/A'}</used_memory>
			</process_info>`;
    })
    .join('');
}

function renderAccounted(device: SimDevice, state: NodeState): string {
  const at = state.node.devices.indexOf(device);
  return accountedRows(state.node, state.atMs)
    .filter((row) => row.device === at)
    .map(
      (row) => `
			<accounted_process_info>
				<pid>${row.pid}</pid>
				<gpu_util>${row.busyPercent} %</gpu_util>
				<memory_util>${row.memoryPercent} %</memory_util>
				<max_memory_usage>${row.maxMemoryMiB} MiB</max_memory_usage>
				<time>${row.timeMs} ms</time>
				<is_running>${row.timeMs === 0 ? 1 : 0}</is_running>
			</accounted_process_info>`,
    )
    .join('');
}
