/** What the services need of a store for declarations: jobs with every version, sources, prices, and the journal. */
import type { SOURCE_STATES } from '../contract/sources.ts';
import type { NodeCondition } from '../domain/condition.ts';
import type { Job } from '../domain/job.ts';
import type { MeantDevices } from '../domain/minors.ts';

export interface JobKey {
  readonly cluster: string;
  readonly source: string;
  readonly sourceInstance: string;
  readonly externalId: string;
  readonly incarnation: number;
}

/** One version of a job, and who recorded it. */
export interface JobRecord {
  readonly job: Job;
  readonly recordedBy: string;
}

/** Something that a person or a scheduler did, for the journal. */
export interface JournalWrite {
  readonly atMs: number;
  readonly actor: string;
  readonly role: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: string;
}

export interface JobWrite {
  /** The version to add. */
  readonly job: Job;
  readonly recordedBy: string;
  /** The version that it was decided on; 0 for a new job. */
  readonly expectedVersion: number;
  /** Attribute before everything else. */
  readonly urgent: boolean;
  readonly journal: JournalWrite;
}

/** How a source fares, as its runner says it. */
export interface SourceHealth {
  readonly state: (typeof SOURCE_STATES)[number];
  readonly lastSuccessMs: number | null;
  readonly problems: readonly SourceProblem[];
  readonly problemCount: number;
}

interface SourceProblem {
  readonly atMs: number;
  readonly subject: string | null;
  readonly message: string;
}

export interface ConditionWrite {
  readonly node: string;
  readonly condition: NodeCondition;
  readonly fromMs: number;
  /** Null: still so. */
  readonly toMs: number | null;
  readonly reason: string;
}

export interface SourceKey {
  readonly cluster: string;
  readonly source: string;
  readonly sourceInstance: string;
}

export interface SourceState extends SourceKey {
  readonly selfDeclared: boolean;
  readonly completeToMs: number | null;
  readonly lastHeardMs: number;
}

export interface JobStore {
  /** The newest version. */
  find(id: string): Promise<JobRecord | null>;
  /** The newest versions of those that are known, by id. */
  findAll(ids: readonly string[]): Promise<Map<string, JobRecord>>;
  /** Of each allocation by minor numbers, the devices that they mean; null: not by numbers, or of a node not known. */
  devicesOf(job: Job): Promise<(MeantDevices | null)[]>;
  /**
   * Adds versions, all or none, and marks what each touches for attribution: the node-hours of its old and new allocations, and those
   * in which processes of its boundaries, its root or its name ran. Throws `StoreConflict` on another newest version.
   */
  apply(writes: readonly JobWrite[]): Promise<void>;
  /** Sets how far a source is complete, and marks cells that this settles. Returns the state before; null: new. */
  moveWatermark(
    key: SourceKey,
    selfDeclared: boolean,
    completeToMs: number,
    nowMs: number,
    journal: JournalWrite,
  ): Promise<SourceState | null>;
  /** How a source fares. One that was not known becomes known. */
  putHealth(key: SourceKey, health: SourceHealth, nowMs: number, journal: JournalWrite): Promise<void>;
  /** Keeps what is new or corrected, and marks the hours that it touches. Returns how many of them are. */
  putConditions(
    key: SourceKey,
    conditions: readonly ConditionWrite[],
    nowMs: number,
    journal: JournalWrite,
  ): Promise<number>;
}
