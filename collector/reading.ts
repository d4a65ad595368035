import type { DeviceFact, GapReason } from '../api/contract/batch.ts';

/** A value that a tool did not give, and why. Never a zero, never the last good one. */
export interface Unknown {
  readonly unknown: string;
}
export type Value<T> = T | Unknown;
export const isUnknown = (value: unknown): value is Unknown =>
  typeof value === 'object' && value !== null && 'unknown' in value;

/** A problem with a reading: which tool, which device (UUID) if one, in words. */
export interface ReadingProblem {
  readonly source: string;
  readonly device: string | null;
  readonly message: string;
}

/** The devices of the node, from `nvidia-smi -q -x`. `devices` null: no inventory could be read. */
export interface Inventory {
  readonly devices: readonly DeviceFact[] | null;
  readonly driverVersion: string | null;
  readonly accountingMode: Value<boolean>;
  /** What the call took, and how long its answer was; null where it gave none. */
  readonly cost: { readonly durationMs: number; readonly bytes: number } | null;
  /** Set with `devices` null. */
  readonly failure: { readonly reason: GapReason; readonly detail: string } | null;
  readonly problems: readonly ReadingProblem[];
}

/** What nvidia-smi writes where it does not tell the type of a process. */
export const UNTOLD_TYPE = '?';

export interface DeviceProcess {
  readonly pid: number;
  /** C, G, C+G, M+C, …, or `UNTOLD_TYPE`. */
  readonly type: string;
  /** pmon's SM column; null is "no sample", 0 is a measured zero. */
  readonly smPercent: number | null;
  readonly memoryBytes: number | null;
  readonly gpuInstance: number | null;
  readonly computeInstance: number | null;
}

/** What one poll says about one device: data, or why there is none. */
export type DeviceReading =
  | {
      readonly ok: true;
      readonly uuid: string;
      /** 0–100; unknown under MIG, which is not a failure. */
      readonly utilisationPercent: Value<number>;
      readonly memoryUsedBytes: Value<number>;
      readonly powerMilliwatts: Value<number>;
      /** What the device may draw at most, as it is enforced now. */
      readonly powerLimitMilliwatts: Value<number>;
      /** MIG: the GPU instances that the device is divided into, each once, ascending; empty where it is not divided. */
      readonly partition: readonly { readonly gpuInstance: number; readonly slices: number }[];
      readonly processes: readonly DeviceProcess[];
    }
  | { readonly ok: false; readonly uuid: string; readonly reason: GapReason; readonly detail: string };

/**
 * A process that the driver's accounting lists as ended since the reading before. A pid only: the driver keeps neither
 * a name nor a start. `busyPercent` is a sampled average over `openMs`; of short processes it is often 0.
 */
export interface EndedProcess {
  readonly device: string;
  readonly pid: number;
  /** How long it had a context on the device. */
  readonly openMs: number;
  readonly busyPercent: number | null;
  readonly maxMemoryBytes: number | null;
}

/** One poll: exactly one `DeviceReading` for every device of the inventory, with the clocks at its end. */
export interface Reading {
  readonly wallMs: number;
  readonly monotonicMs: number;
  readonly devices: readonly DeviceReading[];
  /** Empty too where accounting mode is off, or was not on all the time since the reading before. */
  readonly ended: readonly EndedProcess[];
  readonly problems: readonly ReadingProblem[];
}
