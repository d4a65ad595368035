/** Readings of one GPU for tests of what the agent looks at beside them. */
import type { DeviceFact } from '../../api/contract/batch.ts';
import type { DeviceReading, Reading } from '../../collector/reading.ts';

export const UUID = 'GPU-00000000-0000-4000-8000-0000000000d0';

export const GPU: DeviceFact = {
  ...{ uuid: UUID, index: 0, minor: 0, busId: '00000000:01:00.0', model: 'NVIDIA T' },
  ...{ memoryBytes: null, powerLimitMilliwatts: null, migEnabled: false, slices: null, instances: [] },
};

/** A reading at `atMs` (of both clocks) in which the driver names these pids. */
export function readingOf(atMs: number, pids: readonly number[], percent = 50): Reading {
  const device: DeviceReading = {
    ...{ ok: true, uuid: UUID, utilisationPercent: percent, partition: [] },
    ...{ memoryUsedBytes: 0, powerMilliwatts: 30_000, powerLimitMilliwatts: 700_000 },
    processes: pids.map((pid) => ({
      ...{ pid, type: 'C', smPercent: null, memoryBytes: null },
      ...{ gpuInstance: null, computeInstance: null },
    })),
  };
  return { wallMs: atMs, monotonicMs: atMs, devices: [device], ended: [], problems: [] };
}
