/** The document of `nvidia-smi -q -x` (nvsmi_device v12 below driver 580, v13 from there on), without the long tables of clocks. */
import { latest } from './model.ts';
import type { DeviceState, NodeState } from './snapshot.ts';

const V13_FROM_DRIVER = 580;

export function renderXml(state: NodeState): string {
  const { node } = state;
  const version = Number.parseInt(node.driverVersion, 10) >= V13_FROM_DRIVER ? 13 : 12;
  const shown = state.devices.filter((device) => device.fault !== 'lost');
  return `<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v${version}.dtd">
<nvidia_smi_log>
	<timestamp>${xmlTimestamp(state.atMs)}</timestamp>
	<driver_version>${node.driverVersion}</driver_version>
	<cuda_version>${node.cudaVersion}</cuda_version>
	<attached_gpus>${node.devices.length}</attached_gpus>
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
  const sensor = (text: string): string => (state.fault === 'requires_reset' ? 'GPU requires reset' : text);
  const watts = sensor(`${state.powerWatts.toFixed(2)} W`);
  const limit = `${device.model.limitWatts.toFixed(2)} W`;
  return `	<gpu id="${device.busId}">
		<product_name>${device.model.name}</product_name>
		<product_brand>NVIDIA</product_brand>
		<product_architecture>${device.model.architecture}</product_architecture>
		<display_mode>Requested functionality has been deprecated</display_mode>
		<display_attached>No</display_attached>
		<display_active>Disabled</display_active>
		<persistence_mode>Enabled</persistence_mode>
		<addressing_mode>None</addressing_mode>
		<mig_mode>
			<current_mig>Disabled</current_mig>
			<pending_mig>Disabled</pending_mig>
		</mig_mode>
		<mig_devices>
			None
		</mig_devices>
		<accounting_mode>Disabled</accounting_mode>
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
			<virtualization_mode>None</virtualization_mode>
			<host_vgpu_mode>N/A</host_vgpu_mode>
		</gpu_virtualization_mode>
		<gpu_recovery_action>${state.fault === 'requires_reset' ? 'Reset' : 'None'}</gpu_recovery_action>
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
			<total>${device.model.memoryMiB} MiB</total>
			<reserved>614 MiB</reserved>
			<used>${state.memoryUsedMiB} MiB</used>
			<free>${Math.max(0, device.model.memoryMiB - 614 - state.memoryUsedMiB)} MiB</free>
		</fb_memory_usage>
		<compute_mode>Default</compute_mode>
		<utilization>
			<gpu_util>${sensor(`${state.utilisationPercent} %`)}</gpu_util>
			<memory_util>${sensor(`${Math.floor(state.utilisationPercent / 3)} %`)}</memory_util>
			<encoder_util>0 %</encoder_util>
			<decoder_util>0 %</decoder_util>
			<jpeg_util>0 %</jpeg_util>
			<ofa_util>0 %</ofa_util>
		</utilization>
		<ecc_mode>
			<current_ecc>Enabled</current_ecc>
			<pending_ecc>Enabled</pending_ecc>
		</ecc_mode>
		<temperature>
			<gpu_temp>${sensor(`${31 + Math.floor(state.utilisationPercent / 3)} C`)}</gpu_temp>
		</temperature>
		<gpu_power_readings>
			<power_state>P0</power_state>
			<average_power_draw>${watts}</average_power_draw>
			<instant_power_draw>${watts}</instant_power_draw>
			<current_power_limit>${limit}</current_power_limit>
			<requested_power_limit>${limit}</requested_power_limit>
			<default_power_limit>${limit}</default_power_limit>
			<min_power_limit>200.00 W</min_power_limit>
			<max_power_limit>${limit}</max_power_limit>
		</gpu_power_readings>
		<processes>${renderProcesses(state, node)}
		</processes>
		<accounted_processes>
		</accounted_processes>
		<capabilities>
			<egm>disabled</egm>
		</capabilities>
	</gpu>
`;
}

function renderProcesses(state: DeviceState, node: NodeState): string {
  return state.tenants
    .map(({ process, use }) => {
      return `
			<process_info>
				<gpu_instance_id>N/A</gpu_instance_id>
				<compute_instance_id>N/A</compute_instance_id>
				<pid>${process.pid}</pid>
				<type>${use.type}</type>
				<process_name>${escaped(latest(process.images, node.atMs).exePath)}</process_name>
				<used_memory>${use.memoryMiB} MiB</used_memory>
			</process_info>`;
    })
    .join('');
}
