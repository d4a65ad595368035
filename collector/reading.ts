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
  /** Set with `devices` null. */
  readonly failure: { readonly reason: GapReason; readonly detail: string } | null;
  readonly problems: readonly ReadingProblem[];
}

export interface DeviceProcess {
  readonly pid: number;
  /** C, G, C+G, M+C, …; "?" where unknown. */
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
      readonly processes: readonly DeviceProcess[];
    }
  | { readonly ok: false; readonly uuid: string; readonly reason: GapReason; readonly detail: string };

/** One poll: exactly one `DeviceReading` for every device of the inventory, with the clocks at its end. */
export interface Reading {
  readonly wallMs: number;
  readonly monotonicMs: number;
  readonly devices: readonly DeviceReading[];
  readonly problems: readonly ReadingProblem[];
}
