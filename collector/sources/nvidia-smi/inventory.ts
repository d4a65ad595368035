/** Devices as the inventory describes them, from a report (`-q -x`) and, for MIG, the list (`-L`). Pure. */
import { BATCH_LIMITS, type DeviceFact, type InstanceFact } from '../../../api/contract/batch.ts';
import { isUnknown, type ReadingProblem, type Value } from '../../reading.ts';
import type { ListOutput } from './list.ts';
import { type MigInstance, type ParsedDevice, quote, unknown } from './parsed.ts';
import { slicesOfDevice, slicesOfProfile } from './partition.ts';
import type { XmlOutput } from './xml.ts';

/** Larger numbers name nothing: the contract has no room for them. */
const MAX_NUMBER = 65_535;
/** The contract wants a name. */
export const NO_BUS_ID = 'unknown';
const known = <T>(value: Value<T>): T | null => (isUnknown(value) ? null : value);
const numbered = (value: Value<number>): number | null =>
  isUnknown(value) || value > MAX_NUMBER ? null : value;

/** `list` null: it was not asked for, or gave nothing. */
export function factsOf(
  output: Pick<XmlOutput, 'devices'>,
  list: ListOutput | null,
  problems: ReadingProblem[],
): DeviceFact[] {
  const facts = new Map<string, DeviceFact>();
  const complain = (device: string, message: string): number =>
    problems.push({ source: 'nvidia-smi -q -x', device, message });
  for (const [position, device] of output.devices.entries()) {
    // A device without a UUID has no key; the parser has reported it.
    if (typeof device.uuid !== 'string') continue;
    const { uuid } = device;
    if (facts.has(uuid)) {
      complain(uuid, 'described twice; the first counts');
      continue;
    }
    const migEnabled = device.migEnabled === true;
    const listed = list?.devices.find((one) => one.uuid === uuid)?.migInstances ?? [];
    const instances = migEnabled ? instancesOf(device.migInstances, listed) : [];
    if (migEnabled && instances.length < device.migInstances.length)
      complain(uuid, 'MIG instances without numbers, or too many of them');
    if (instances.some(({ slices }) => slices === null))
      complain(uuid, 'nvidia-smi -L does not say how large its MIG instances are');
    const model = typeof device.model === 'string' ? quote(device.model) : 'unknown';
    facts.set(uuid, {
      uuid,
      index: typeof device.index === 'number' ? device.index : position,
      minor: numbered(device.minor),
      busId: known(device.busId) ?? NO_BUS_ID,
      model,
      memoryBytes: known(device.memoryTotalBytes),
      powerLimitMilliwatts: known(device.powerLimitMilliwatts),
      migEnabled,
      slices: migEnabled ? slicesOfDevice(model, instances) : null,
      instances,
    });
  }
  return [...facts.values()];
}

/** The report has the numbers of the instances, the list their UUIDs and profiles; both count them alike. */
function instancesOf(reported: readonly MigInstance[], listed: readonly MigInstance[]): InstanceFact[] {
  const byIndex = new Map(listed.map((instance) => [known(instance.index), instance]));
  const instances: InstanceFact[] = [];
  for (const instance of reported) {
    const other = byIndex.get(known(instance.index) ?? -1);
    const gpuInstance = numbered(instance.gpuInstance);
    const computeInstance = numbered(instance.computeInstance);
    if (gpuInstance === null || computeInstance === null || instances.length >= BATCH_LIMITS.instances)
      continue;
    const profile = known(instance.profile) ?? (other ? known(other.profile) : null);
    instances.push({
      uuid: known(instance.uuid) ?? (other ? known(other.uuid) : null),
      gpuInstance,
      computeInstance,
      profile: profile === null ? null : quote(profile),
      slices: profile === null ? null : slicesOfProfile(profile),
    });
  }
  return instances;
}

/** On only where every device says so; one that does not say leaves it unknown. */
export function modeOf(devices: readonly ParsedDevice[]): Value<boolean> {
  const unclear = devices.map((device) => device.accountingEnabled).find(isUnknown);
  if (devices.length === 0) return unknown('no devices');
  return unclear ?? devices.every((device) => device.accountingEnabled === true);
}
