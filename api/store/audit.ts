/** What `verify` needs of a store: everything derived as it is stored, and what the facts were when it was derived. */

import type { ToolFact } from '../contract/batch.ts';
import type { Sums } from '../contract/ledger.ts';
import type { FirstSeen } from '../domain/bind.ts';
import type { Entry, ObservedProcess, ProcessId } from '../domain/cell.ts';
import type { Conflict } from '../domain/conflict.ts';
import type { Interval } from '../domain/interval.ts';
import type { MinorSighting } from '../domain/minors.ts';
import type { Signal } from '../domain/signals/signal.ts';
import type { NodeHourKey } from './batches.ts';
import type { SourceState } from './jobs.ts';
import type { FindingPartWrite, Sighting } from './ledger.ts';

export interface StoredCell {
  readonly device: string;
  readonly interval: Interval;
  readonly bookedToMs: number;
  readonly capacityMs: number;
  readonly rulesVersion: number;
  readonly policyVersion: number;
  readonly factsSeq: number;
  readonly computedAtMs: number;
  readonly settlesAtMs: number | null;
  readonly entries: readonly Entry[];
  readonly holders: readonly StoredHolder[];
}

/** The sums of an hour by holder, and who is charged for them. `job` null: held by nobody. */
interface StoredHolder {
  readonly job: string | null;
  readonly account: string;
  readonly user: string;
  readonly assumed: boolean;
  readonly sums: Sums;
  readonly activeMs: number;
}

export interface StoredHour {
  /** It waits to be attributed again: what is stored is not the last word. */
  readonly pending: boolean;
  readonly cells: readonly StoredCell[];
  readonly parts: readonly (FindingPartWrite & { readonly finding: string })[];
  readonly signals: readonly (Signal & { readonly finding: string })[];
  /** Observations beside the ledger: when a finding was seen. */
  readonly seen: readonly (Sighting & { readonly finding: string; readonly process: ProcessId | null })[];
  /** Where counted jobs ran in this hour. */
  readonly firstSeen: FirstSeen;
  /** The first inventory of the hour that showed each device. */
  readonly sightings: ReadonlyMap<string, number>;
  /** What a sealed hour says of itself; null: not sealed. */
  readonly seal: { readonly count: number; readonly headHash: string } | null;
}

export interface StreamRow {
  readonly stream: number;
  readonly name: string;
  readonly headNumber: number;
  readonly headHash: string;
}

interface JournalEntry {
  readonly number: number;
  readonly action: string;
  readonly subject: string;
  readonly detail: string;
  readonly previousHash: string;
  readonly hash: string;
  /** What the hash should be. */
  readonly expectedHash: string;
}

export interface AuditStore {
  /** Holds one state of the database until `end`: everything that is read between sees the same. */
  begin(): Promise<void>;
  end(): Promise<void>;
  listNodes(): Promise<{ node: number; cluster: string; nodeName: string }[]>;
  /** Every hour of which there are batches, sealed or not, or cells, or in which a device had booked capacity. */
  listHours(node: number): Promise<number[]>;
  listStreams(node: number): Promise<StreamRow[]>;
  readStored(key: NodeHourKey): Promise<StoredHour>;
  /** The sources of a node's cluster as they were known after fact `seq`. */
  readSources(node: number, seq: number): Promise<SourceState[]>;
  /** Of these digests, those whose text retention has erased, and those whose text is not what was digested. */
  checkPersonal(
    digests: Iterable<string>,
  ): Promise<{ readonly erased: readonly string[]; readonly changed: readonly string[] }>;
  /** Of these processes, as an hour shows them, those that the index has otherwise. */
  checkProcesses(
    key: NodeHourKey,
    processes: Iterable<ObservedProcess>,
    boundariesOf: (process: ObservedProcess) => readonly string[],
  ): Promise<ProcessId[]>;
  /** Where the conflicts of an hour that are stored are not these, in words. */
  checkConflicts(key: NodeHourKey, conflicts: readonly Conflict[]): Promise<string[]>;
  /** Which device had which number on a node, by which boot, and since when. */
  listMinors(node: number): Promise<MinorSighting[]>;
  /** For every process of the index, the hours that its row is from: its description's, and its parent's. */
  listProcessHours(node: number): Promise<{ readonly id: ProcessId; readonly hours: readonly number[] }[]>;
  /** Versions of policies that ever held. */
  listPolicies(): Promise<number[]>;
  listFindings(): Promise<string[]>;
  /** The files through which the node's GPUs are read, as they are shown; null: none were ever listed. */
  readTools(node: number): Promise<readonly ToolFact[] | null>;
  readJournal(afterNumber: number, limit: number): Promise<JournalEntry[]>;
  /** What is not what it is derived from, in words: days of hours, findings of parts, capacity; and what is of no cell. */
  checkSums(): Promise<string[]>;
}
