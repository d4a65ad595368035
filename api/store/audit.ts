/** What `verify` needs of a store: everything derived as it is stored, and what the facts were when it was derived. */

import type { Sums } from '../contract/ledger.ts';
import type { Entry } from '../domain/cell.ts';
import type { Interval } from '../domain/interval.ts';
import type { NodeHourKey } from './batches.ts';
import type { SourceState } from './jobs.ts';
import type { FindingPartWrite } from './ledger.ts';

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
  /** `job` null: held by nobody. */
  readonly holders: readonly {
    readonly job: string | null;
    readonly sums: Sums;
    readonly activeMs: number;
  }[];
}

export interface StoredHour {
  /** It waits to be attributed again: what is stored is not the last word. */
  readonly pending: boolean;
  readonly cells: readonly StoredCell[];
  readonly parts: readonly (FindingPartWrite & { readonly finding: string })[];
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
  /** Every hour of which there are batches, sealed or not, or cells. */
  listHours(node: number): Promise<number[]>;
  listStreams(node: number): Promise<StreamRow[]>;
  readStored(key: NodeHourKey): Promise<StoredHour>;
  /** The sources of a node's cluster as they were known after fact `seq`. */
  readSources(node: number, seq: number): Promise<SourceState[]>;
  /** Of these digests, those whose text retention has erased, and those whose text is not what was digested. */
  checkPersonal(
    digests: Iterable<string>,
  ): Promise<{ readonly erased: number; readonly changed: readonly string[] }>;
  readJournal(afterNumber: number, limit: number): Promise<JournalEntry[]>;
  /** Sums that are not what they are the sum of, in words: days of hours, findings of parts. */
  checkSums(): Promise<string[]>;
}
