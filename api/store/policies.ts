/** What the services need of a store for the site's policy. */
import type { Job } from '../domain/job.ts';
import type { Policy } from '../domain/policy.ts';
import type { NodeHourKey } from './batches.ts';
import type { JournalWrite } from './jobs.ts';

export interface PolicyRecord {
  readonly policy: Policy;
  readonly fromMs: number;
  /** It was meant to change verdicts of the past. */
  readonly reachesPast: boolean;
  readonly recordedAtMs: number;
  readonly recordedBy: string;
}

export interface PolicyWrite extends PolicyRecord {
  /** The jobs that stand for its exemptions, where they are new or changed, and the version that each follows. */
  readonly jobs: readonly { readonly job: Job; readonly expectedVersion: number }[];
  readonly journal: JournalWrite;
}

export interface UnaccountedHour extends NodeHourKey {
  readonly cluster: string;
  readonly nodeName: string;
}

export interface PolicyStore {
  /** Ascending by version; without the built-in one. */
  list(): Promise<PolicyRecord[]>;
  /**
   * Adds a version and marks every booked hour from its begin on. Throws `StoreConflict` where another one has its number
   * by now, or one of its jobs has another newest version.
   */
  apply(write: PolicyWrite): Promise<void>;
  /** Node-hours with unaccounted time, the newest first, and how many there are. */
  listUnaccounted(fromMs: number, limit: number): Promise<{ hours: UnaccountedHour[]; count: number }>;
}
