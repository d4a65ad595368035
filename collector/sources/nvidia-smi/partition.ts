/** How MIG divides a device, in compute slices. */
import { BATCH_LIMITS, type DeviceFact, type InstanceFact } from '../../../api/contract/batch.ts';
import type { Failure } from './call.ts';
import type { MigInstance } from './parsed.ts';

/** Models that are divided into fewer slices than seven, by NVIDIA's table of the GPUs that MIG supports. */
const FEWER_SLICES: readonly (readonly [RegExp, number])[] = [
  [/\bA30\b/, 4],
  [/\bRTX PRO 6000\b/, 4],
  [/\bRTX PRO (?:5000|4500)\b/, 2],
  [/\bThor\b/, 2],
];
const USUAL_SLICES = 7;

const PROFILE = /^(?:MIG )?(?:\d{1,2}c\.)?(\d{1,2})g\./;
/** Of the GPU instance: "3g.40gb" and its part "1c.3g.40gb" have 3. Null where the name is no profile. */
export function slicesOfProfile(profile: string): number | null {
  const slices = Number(PROFILE.exec(profile)?.[1] ?? 0);
  return slices > 0 && slices <= BATCH_LIMITS.instances ? slices : null;
}

/** The slices that a device of this model is counted in; never fewer than its instances take. */
export function slicesOfDevice(model: string, instances: readonly InstanceFact[]): number {
  const usual = FEWER_SLICES.find(([name]) => name.test(model))?.[1] ?? USUAL_SLICES;
  const taken = new Map(instances.map(({ gpuInstance, slices }) => [gpuInstance, slices ?? 0]));
  const sum = [...taken.values()].reduce((a, b) => a + b, 0);
  return Math.min(Math.max(usual, sum), BATCH_LIMITS.instances);
}

const numbered = (id: unknown): number => (typeof id === 'number' ? id : -1);
const idsOf = (instances: readonly Pick<MigInstance, 'gpuInstance' | 'computeInstance'>[]): string =>
  instances
    .map(({ gpuInstance, computeInstance }) => `${numbered(gpuInstance)}/${numbered(computeInstance)}`)
    .sort()
    .join(' ');

type Partition = { gpuInstance: number; slices: number }[];

/** The partition that a report shows, where it is the one that the inventory knows; else why it says nothing. */
export function partitionOf(device: DeviceFact, seen: readonly MigInstance[]): Partition | Failure {
  if (idsOf(seen) !== idsOf(device.instances))
    return { reason: 'value_unknown', detail: 'its MIG instances are others than in the inventory' };
  const slices = new Map<number, number>();
  for (const instance of device.instances) {
    if (instance.slices === null)
      return {
        reason: 'value_unknown',
        detail: `how large MIG instance ${instance.gpuInstance} is, is not known`,
      };
    slices.set(instance.gpuInstance, instance.slices);
  }
  return [...slices]
    .map(([gpuInstance, count]) => ({ gpuInstance, slices: count }))
    .sort((a, b) => a.gpuInstance - b.gpuInstance);
}
