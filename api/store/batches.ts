/** What the services need of a store to take batches in, read them back by node-hour, and seal finished hours. */
import type {
  AgentProblem,
  BatchBody,
  DeviceFact,
  HostFact,
  PersonalRecord,
  ToolFact,
} from '../contract/batch.ts';
import type { BatchSignature } from '../contract/signature.ts';

export interface StreamKey {
  readonly cluster: string;
  readonly node: string;
  readonly stream: string;
}

/** How far a stream and its node have come. A stream or node that was never heard has number 0 and nulls. */
export interface Standing {
  readonly headNumber: number;
  readonly headHash: string;
  readonly completeToMs: number | null;
  readonly silentToMs: number | null;
  readonly tenantsDigest: string | null;
}

export interface BatchWrite {
  readonly number: number;
  readonly hash: string;
  readonly hourMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Canonical JSON. */
  readonly body: string;
  readonly bootId: string;
  readonly inventory: readonly DeviceFact[] | null;
  readonly driverVersion: string | null;
  readonly tools: readonly ToolFact[] | null;
  readonly host: HostFact | null;
  readonly personal: readonly PersonalRecord[];
  readonly signature: BatchSignature | null;
  readonly problems: readonly AgentProblem[];
}

interface DirtyMark {
  readonly hourMs: number;
  readonly urgent: boolean;
  /** It may wait a little for more of the same. */
  readonly quiet: boolean;
}

/** Everything that one post changes. `expectedHead` is the head that it was decided on. */
export interface PostWrite extends StreamKey {
  readonly recordedAtMs: number;
  /** The name of the token that it came with. */
  readonly recordedBy: string;
  readonly expectedHead: number;
  readonly batches: readonly BatchWrite[];
  readonly quarantined: readonly { number: number; hash: string; why: string; body: string }[];
  readonly problems: readonly AgentProblem[];
  /** Null where no batch was stored. */
  readonly agent: {
    readonly agentVersion: string;
    readonly driverVersion: string | null;
    readonly bootId: string;
    readonly pollIntervalMs: number;
    readonly completeToMs: number;
    readonly tenantsDigest: string | null;
  } | null;
  /** Hours to attribute again, ascending starts. */
  readonly dirtyHours: readonly DirtyMark[];
}

/** A batch as it is kept. */
export interface StoredBatch {
  /** Internal number of the stream: tells streams of a node apart. */
  readonly stream: number;
  readonly number: number;
  readonly seq: number;
  readonly recordedAtMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly hash: string;
  readonly body: string;
  /** The body as it is sealed, but for `previousHash`, and only to be read; null: it is kept as text. */
  readonly decoded: BatchBody | null;
  /** The hash is not kept: it was computed of the body, so that only what follows from it can prove the body. */
  readonly hashed: boolean;
  /** Null: it came unsigned, or it is sealed and a later one of its stream in the same hour speaks for it. */
  readonly signature: BatchSignature | null;
}

export interface NodeHourKey {
  /** Internal number of the node. */
  readonly node: number;
  readonly hourMs: number;
}

/** The batches of a node-hour that somebody has: how many, and the newest. */
export interface KnownBatches {
  readonly seq: number;
  readonly count: number;
}

export interface BatchStore {
  /** One standing for each key, in order, from one snapshot. */
  readStandings(keys: readonly StreamKey[]): Promise<Standing[]>;
  /** The hash under which a number of a stream was stored; null where it was not. */
  readHash(key: StreamKey, number: number): Promise<string | null>;
  /**
   * Stores posts durably in one transaction: all or nothing. Throws `StoreConflict` when a stream's head is not the
   * expected one.
   */
  apply(posts: readonly PostWrite[]): Promise<void>;
  /** Every batch of a node-hour, sealed or not, by `fromMs`, then `seq`. */
  readHour(key: NodeHourKey): Promise<StoredBatch[]>;
  /** Hours before `beforeMs` with unsealed batches, whose node has reported beyond them; oldest first. */
  listSealable(beforeMs: number, limit: number): Promise<NodeHourKey[]>;
  /** Moves an hour's batches into one record. Returns how many batches it holds. */
  seal(key: NodeHourKey, atMs: number): Promise<number>;
}

/** The state was not the one that a write set was made for: read again and decide again. */
export class StoreConflict extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StoreConflict';
  }
}
