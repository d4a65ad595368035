/** What the attribution needs of a store: what to do next, the facts of a node-hour, and one write of its results. */

import type { IntegrityFact, ProcessPersonal } from '../contract/batch.ts';
import type { Sums } from '../contract/ledger.ts';
import type { FirstSeen } from '../domain/bind.ts';
import type { Bounds } from '../domain/bounds.ts';
import type { Evidence } from '../domain/bucket.ts';
import type { Entry, ObservedProcess, ProcessId } from '../domain/cell.ts';
import type { ConditionSpan } from '../domain/condition.ts';
import type { Conflict } from '../domain/conflict.ts';
import type { ObservedConnection, ObservedDial } from '../domain/decode.ts';
import type { FindingKind, FindingRow, Severity, Strength } from '../domain/finding.ts';
import type { Interval } from '../domain/interval.ts';
import type { Job } from '../domain/job.ts';
import type { Policy } from '../domain/policy.ts';
import type { Signal } from '../domain/signals/signal.ts';
import type { KnownBatches, NodeHourKey, StoredBatch } from './batches.ts';
import type { SourceState } from './jobs.ts';

export interface DirtyHour extends NodeHourKey {
  readonly cluster: string;
  readonly nodeName: string;
  readonly urgent: boolean;
  readonly failures: number;
}

/** What the store knows of a node-hour beside its batches and jobs. `seq`: the last fact that it saw. */
export interface HourFacts {
  readonly seq: number;
  /** Null: nothing of this node is booked. */
  readonly bookedToMs: number | null;
  readonly devices: readonly { readonly device: string; readonly capacity: readonly Interval[] }[];
  /** The start of what the node's agent ever reported; null: it was never heard. */
  readonly reportsFromMs: number | null;
  readonly sources: readonly SourceState[];
  readonly policy: Policy;
  /** What schedulers say of the node in the hour. */
  readonly conditions: readonly ConditionSpan[];
  /** Keys of the node that were first used in this hour and that nobody accepted. */
  readonly keyChanges: readonly IntegrityFact[];
}

/** Everything by which a job could matter on a node in a time. */
export interface JobsWanted extends Interval {
  readonly cluster: string;
  readonly node: string;
  readonly boundaries: readonly string[];
  readonly processes: readonly { readonly bootId: string; readonly pid: number }[];
  readonly claims: readonly string[];
  /** Named by the policy. */
  readonly ids: readonly string[];
}

export interface CellWrite {
  readonly device: string;
  readonly interval: Interval;
  readonly bookedToMs: number;
  readonly capacityMs: number;
  readonly settlesAtMs: number | null;
  readonly entries: readonly Entry[];
  /** Sums of the entries by holder; null: held by nobody. */
  readonly holders: readonly {
    readonly job: Job | null;
    readonly assumed: boolean;
    readonly sums: Sums;
    readonly activeMs: number;
  }[];
}

/** A row of a finding, and whom its time was allocated to. */
export interface FindingPartWrite extends FindingRow, Bounds {
  readonly holder: string | null;
}

export interface FindingState {
  readonly kind: FindingKind;
  readonly severity: Severity;
  readonly strength: Strength;
  readonly state: 'provisional' | 'settled';
  readonly root: ProcessId | null;
  /** Where only a device is known. */
  readonly device: string | null;
  readonly reason: string;
  readonly evidence: string | null;
  readonly job: string | null;
  readonly activeMs: number;
  readonly residentMs: number;
  readonly provisionalMs: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** When something was seen beside the ledger, what, and the job that it was inside. */
export interface Sighting extends Interval {
  readonly reason: string;
  readonly severity: Severity;
  readonly job: string | null;
  readonly evidence: Evidence | null;
}

/** What one node-hour gives to a finding. */
export interface FindingGift {
  readonly id: string;
  readonly parts: readonly FindingPartWrite[];
  /** What was seen beside the ledger has no GPU time, only when it was seen. */
  readonly seen: (Sighting & { readonly process: ProcessId | null }) | null;
  /** What this node-hour knows that ranks it. */
  readonly signals: readonly Signal[];
}

/** A finding as a whole, after what some node-hours gave to it was replaced. */
export interface FindingWrite {
  readonly id: string;
  /** null: nothing is left of it. */
  readonly state: FindingState | null;
  /** What to add to its history. */
  readonly history: readonly string[];
}

export interface NodeHourWrite extends NodeHourKey {
  readonly factsSeq: number;
  readonly nowMs: number;
  readonly rulesVersion: number;
  readonly policyVersion: number;
  readonly cells: readonly CellWrite[];
  readonly conflicts: readonly Conflict[];
  /** What its agents reported beside the cells; null: it is stored already, as it is now. */
  readonly reported: {
    readonly processes: Iterable<ObservedProcess>;
    readonly connections: readonly ObservedConnection[];
    readonly dials: readonly ObservedDial[];
  } | null;
  /** Boundaries of each process, its main one first. */
  boundariesOf(process: ObservedProcess): readonly string[];
  /** Whether what its agents reported tells who a process is. */
  describes(process: ProcessId): boolean;
  readonly firstSeen: FirstSeen;
}

/** What some hours of one node give to findings, and these as a whole. */
export interface FindingsWrite {
  readonly node: number;
  readonly factsSeq: number;
  readonly nowMs: number;
  readonly hours: readonly { readonly hourMs: number; readonly gifts: readonly FindingGift[] }[];
  readonly findings: readonly FindingWrite[];
}

/** A finding as the store has it, with the rows of all node-hours but those that are replaced. */
export interface KnownFinding {
  readonly state: FindingState;
  readonly resolved: boolean;
  readonly otherRows: readonly FindingRow[];
  /** Whose time the node-hours gave to it until now. */
  readonly processesHere: readonly ProcessId[];
  /** Of what is seen beside the ledger: when the other node-hours saw it; the first one's job, the gravest one's severity. */
  readonly otherSeen: Sighting | null;
}

/** Reads of one state of the store. */
export interface LedgerReader {
  /** The last fact of this state. */
  readonly seq: number;
  readFacts(key: NodeHourKey): HourFacts;
  /** Every batch of a node-hour, sealed or not, by `fromMs`, then `seq`. */
  readHour(key: NodeHourKey): StoredBatch[];
  /** Batches of a node-hour beside those that are known; null when the hour must be read anew. */
  readHourSince(key: NodeHourKey, known: KnownBatches): StoredBatch[] | null;
  readPersonal(digests: Iterable<string>): Map<string, ProcessPersonal>;
  /** Known processes of the node by id, and all their known ancestors. */
  readProcesses(node: number, ids: Iterable<ProcessId>): ObservedProcess[];
  /** Examples of the peers of connections, by digest; without what retention has erased. */
  readPeers(digests: Iterable<string>): Map<string, string[]>;
  readJobs(wanted: JobsWanted): Job[];
  /** Where counted ones of the jobs ran first, as all other hours of the node show. */
  readFirstSeen(key: NodeHourKey, jobs: Iterable<string>): FirstSeen;
  /** The findings named, and those that the node-hours gave to before. */
  readFindings(node: number, hours: readonly number[], ids: Iterable<string>): Map<string, KnownFinding>;
}

/** Reads see what was written before them. */
export interface LedgerWriter extends LedgerReader {
  /** Replaces everything derived from a node-hour but what it gives to findings. */
  writeHour(write: NodeHourWrite): void;
  writeFindings(write: FindingsWrite): void;
}

export interface LedgerStore {
  /**
   * Node-hours to do now: urgent ones first (newest first), then the others, oldest first. What only went on with what was
   * there is left out until it has waited `quietMs`.
   */
  listDirty(nowMs: number, quietMs: number, limit: number): Promise<DirtyHour[]>;
  /** How many wait, and how many of those failed and wait for their next try. */
  countDirty(nowMs: number): Promise<{ readonly due: number; readonly failed: number }>;
  /** Marks the cells that self-declared sources can no longer change, now that they are complete to `completeToMs`. */
  markSettled(completeToMs: number, waitMs: number, nowMs: number): Promise<number>;
  /** Reads on one snapshot. */
  read<T>(work: (reader: LedgerReader) => T): Promise<T>;
  /** Reads and writes in one durable transaction: all or nothing. */
  write<T>(work: (writer: LedgerWriter) => T): Promise<T>;
  /** Puts a node-hour off after a failure. */
  postpone(key: NodeHourKey, failure: string, retryAtMs: number): Promise<void>;
  /** The earliest end of what is booked and computed, over all nodes with capacity; null before the first. */
  readCompleteToMs(): Promise<number | null>;
}
