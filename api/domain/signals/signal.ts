// What a signal is: a small rule that looks at a finding and says why it deserves to be looked at first.

import type { ClockStep } from '../../contract/batch.ts';
import type { ObservedProcess } from '../cell.ts';
import type { ObservedConnection } from '../decode.ts';
import type { FindingKind } from '../finding.ts';
import type { ObservedIntegrity } from '../integrity.ts';
import type { Interval } from '../interval.ts';
import type { Job } from '../job.ts';
import type { Policy } from '../policy.ts';

/** How a device of the finding went, one row a stretch in which it was measured; ascending. */
export interface LoadStretch extends Interval {
  /** Whether a process of the finding was on it; of one without a process, whether none was. */
  readonly own: boolean;
  /** Executing time of the finding's processes; null: the device does not tell. */
  readonly ownMs: number | null;
  /** Working power was drawn while it reported no use. */
  readonly conflictMs: number;
}

/** What the process table and the sockets of a finding look like from one place to another. */
export interface Family {
  readonly processes: readonly ObservedProcess[];
  readonly connections: readonly ObservedConnection[];
}

/** What one node-hour knows of a finding. */
export interface SignalFacts {
  readonly kind: FindingKind;
  /** Why its time is unaccounted, or what was seen. */
  readonly reasons: readonly string[];
  /** Of its time: executing, and of that what awaits a record. */
  readonly activeMs: number;
  readonly provisionalActiveMs: number;
  /** When within the hour it was seen. */
  readonly seen: Interval;
  readonly hour: Interval;
  /** The processes that its time is of, or that it is about; empty where only a device or the node is known. */
  readonly own: readonly ObservedProcess[];
  /** These, what stands below their source, and what it all descends from, nearest first. */
  readonly lineage: readonly ObservedProcess[];
  /** The source, and what below it has connections or is said to be hidden. */
  readonly family: Family;
  /** What else is in the same kernel boundary or session, uses no device, and has connections. */
  readonly beside: Family;
  /** By device. */
  readonly load: readonly (readonly LoadStretch[])[];
  /** The most memory that a process of the finding held on a device, one row a report; by device and process. */
  readonly memory: readonly (readonly { readonly bytes: number; readonly lengthMs: number }[])[];
  readonly integrity: readonly ObservedIntegrity[];
  readonly clockSteps: readonly ClockStep[];
  /** Jobs that the finding's processes sit inside, and those that held its devices in this hour. */
  readonly jobs: readonly Job[];
  /** When a job's hold on one of its devices ended. */
  readonly releases: readonly number[];
  /** Processes whose use of this node is declared. */
  readonly declared: readonly ObservedProcess[];
  readonly policy: Policy;
}

/** Says what of a finding's facts carries the signal; `strength` is of 100. No text that retention may erase. */
interface Sighted {
  readonly detail: string;
  readonly strength: number;
}

export interface SignalRule {
  readonly id: string;
  readonly title: string;
  /** Where the knowledge comes from. */
  readonly source: string;
  /** MITRE ATT&CK techniques, as numbered before and after v19; `after` only where its number is known to us. */
  readonly attack: { readonly before: readonly string[]; readonly after: readonly string[] };
  /** What it adds to a score of 100 at full strength. */
  readonly weight: number;
  test(facts: SignalFacts): Sighted | null;
}

/** A signal of a finding. */
export interface Signal extends Sighted {
  readonly id: string;
}

export const FULL = 100;
