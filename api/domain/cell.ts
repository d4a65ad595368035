import type { ExecutableFact, GapReason, ProcessFact, SplitMethod } from '../contract/batch.ts';
import type { Bucket, Evidence, Reason } from './bucket.ts';
import type { NodeCondition } from './condition.ts';
import type { Interval } from './interval.ts';
import type { Holding, Job } from './job.ts';
import type { Policy } from './policy.ts';

/** Version of the attribution rules. A cell stores it; raise it when a verdict can change. */
export const RULES_VERSION = 6;

/** A process within its node: boot id, pid and start. Also the key of maps. */
export type ProcessId = string & { readonly __process: unique symbol };
export const processId = (bootId: string, key: string): ProcessId => `${bootId}/${key}` as ProcessId;

/** A process fact that knows its boot, with the personal text that retention has not erased. */
export interface ObservedProcess extends ProcessFact {
  readonly id: ProcessId;
  readonly bootId: string;
  readonly parentId: ProcessId | null;
  readonly user: string | null;
  readonly commandLine: string | null;
  /** The execs that were noticed, ascending; absent: none. */
  readonly executions?: readonly Execution[];
}

/** From then on a process runs this. */
export interface Execution {
  readonly fromMs: number;
  readonly executable: ExecutableFact;
}

/** One process on one device, or on one MIG instance of it. */
export interface ObservedTenant {
  readonly process: ProcessId;
  /** The driver's letters for it, such as "C", "C+G" or "M+C"; or `ACCOUNTED_TYPE`. */
  readonly type: string;
  /** null: the device is not partitioned, or nobody says. */
  readonly gpuInstance: number | null;
  /** null where the span's is. */
  readonly activeMs: number | null;
}

/** How a device was divided (MIG). */
export interface Partition {
  /** What the whole device counts; at least what its instances have. */
  readonly slices: number;
  /** Ascending by instance. */
  readonly instances: readonly { readonly gpuInstance: number; readonly slices: number }[];
}

/** A span of a tenancy, decoded and placed. */
export interface ObservedSpan extends Interval {
  /** null: the device does not tell. */
  readonly activeMs: number | null;
  /** Of what is not active: working power was drawn. 0 where `activeMs` is null. */
  readonly conflictMs: number;
  readonly method: SplitMethod;
  /** `activeMs` of all tenants sums to the span's. A process is there once, under MIG once an instance. */
  readonly tenants: readonly ObservedTenant[];
  /** null: not partitioned, or into what is not known. */
  readonly partition: Partition | null;
}

export interface ObservedGap extends Interval {
  readonly reason: GapReason | 'agent_silent' | 'not_enrolled';
}

/** A stretch of time in which the node was read once in `pollMs`. */
export interface PollPace extends Interval {
  readonly pollMs: number;
}

/** How far a source of declarations is known to be complete. */
export interface SourceWatermark {
  readonly source: string;
  readonly sourceInstance: string;
  readonly completeToMs: number;
}

/** Everything that the verdict on one device and hour depends on. */
export interface CellFacts {
  readonly cluster: string;
  readonly node: string;
  readonly device: string;
  /** One UTC hour, or the part of it inside one billing period. */
  readonly interval: Interval;
  /** When within the interval the device belonged to the fleet. */
  readonly capacity: readonly Interval[];
  /** Nothing is booked from here on: the agent has not reported and is not yet silent. */
  readonly bookedToMs: number;
  /** Ascending and disjoint; what neither spans nor gaps cover is unobserved as `agent_silent`. */
  readonly spans: readonly ObservedSpan[];
  readonly gaps: readonly ObservedGap[];
  readonly processes: ReadonlyMap<ProcessId, ObservedProcess>;
  /** Every job that could matter on this node, by id. */
  readonly jobs: ReadonlyMap<string, Job>;
  /** Holdings of this device. */
  readonly holdings: readonly Holding[];
  readonly sources: readonly SourceWatermark[];
  readonly policy: Policy;
}

/**
 * One row of a cell. `ms` of all rows sums to the booked capacity. `holder` is the job that the time was allocated to;
 * `job` is the job that used it or that an undeclared process sits inside. `process` is null where none is named.
 */
export interface Entry extends Interval {
  readonly bucket: Bucket;
  /** `unaccounted`: why. Null otherwise. */
  readonly reason: Reason | null;
  /** `unobserved`: why. Null otherwise. */
  readonly cause: ObservedGap['reason'] | null;
  /** `idle` and `unobserved`: what the scheduler says of the node at the time; absent: nothing. */
  readonly condition?: NodeCondition;
  readonly activity: 'active' | 'resident' | 'none' | 'unknown';
  readonly holder: string | null;
  readonly job: string | null;
  readonly process: ProcessId | null;
  readonly evidence: Evidence | null;
  /** The record that could still cover this time may not have come yet. */
  readonly provisional: boolean;
  /** Used, but by an executable that is not the job's baseline: a suspicion, not a verdict. */
  readonly suspicious: boolean;
  readonly ms: number;
}

export interface CellResult {
  readonly entries: readonly Entry[];
  /** When a verdict of this cell may change by the passing of time alone; null when it is settled. */
  readonly settlesAtMs: number | null;
}
