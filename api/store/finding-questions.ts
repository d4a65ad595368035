/** What the store answers about findings: rows, which `api/services/queries/` turns into what the contract says. */

/** Active or allocated time at one rate. */
export interface PricedMs {
  readonly ms: number;
  /** Millionths of the currency unit for a GPU-hour; null where no rate is set. */
  readonly rateMicros: string | null;
  readonly currency: string | null;
}

export interface JobRefRow {
  readonly id: string;
  readonly source: string;
  readonly externalId: string;
  readonly name: string;
  readonly account: string;
  readonly user: string | null;
}

export interface FindingRow {
  /** Internal number: the tie-breaker of every order. */
  readonly finding: number;
  readonly id: string;
  readonly kind: 'compute' | 'network' | 'integrity' | 'agent';
  readonly severity: 'notice' | 'warn' | 'critical';
  readonly strength: 'proof' | 'suspicion' | 'unobserved';
  readonly state: 'provisional' | 'settled';
  readonly running: boolean;
  readonly mode: 'observe' | 'shadow' | 'live';
  readonly cluster: string;
  readonly node: string;
  /** Internal number of the node, as the batch store takes it. */
  readonly nodeNumber: number;
  readonly reason: string;
  readonly evidence: string | null;
  readonly source: {
    readonly process: string | null;
    readonly pid: number | null;
    readonly comm: string | null;
    readonly executable: string | null;
    readonly user: string | null;
  };
  readonly insideJob: JobRefRow | null;
  readonly activeMs: number;
  readonly residentMs: number;
  /** Between which amounts the executing lies. */
  readonly leastMs: number;
  readonly mostMs: number;
  readonly provisionalMs: number;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  readonly recordedAtMs: number;
  /** Null: it stands. */
  readonly resolvedAtMs: number | null;
  readonly reasons: readonly string[];
  readonly devices: readonly {
    readonly uuid: string;
    readonly index: number | null;
    readonly model: string | null;
  }[];
  readonly priced: readonly PricedMs[];
  /** The greatest strength of each of its signals. */
  readonly signals: readonly { readonly id: string; readonly strength: number }[];
  /** What the list was ordered by: text, number. */
  readonly sortKey: number;
}

export interface FindingsQuestion {
  /** Which accounts' jobs a finding must sit inside; null: any or none. */
  readonly accounts: readonly string[] | null;
  readonly fromMs: number | null;
  readonly toMs: number | null;
  readonly kind: string | null;
  readonly reason: string | null;
  readonly state: string | null;
  readonly running: boolean | null;
  readonly mode: string | null;
  readonly node: string | null;
  readonly search: string | null;
  readonly sort: 'lastSeen' | 'firstSeen' | 'activeMs' | 'residentMs' | 'value' | 'severity' | 'rank';
  readonly descending: boolean;
  readonly after: { readonly sortKey: number; readonly finding: number } | null;
  readonly limit: number;
}

export interface ProcessRow {
  readonly id: string;
  readonly bootId: string;
  readonly pid: number;
  readonly startTicks: number | null;
  readonly startedMs: number | null;
  readonly exitedMs: number | null;
  readonly parentId: string | null;
  readonly user: string | null;
  readonly uid: number | null;
  readonly comm: string;
  readonly executablePath: string | null;
  readonly executableDevice: string | null;
  readonly executableInode: string | null;
  readonly executableDeleted: boolean;
  readonly executableFileSystem: string | null;
  readonly sessionId: number | null;
  /** Kinds of namespaces that it does not share with the first process of its machine; null: not known. */
  readonly ownNamespaces: readonly ('pid' | 'net' | 'mnt' | 'user')[] | null;
  readonly commandLine: string | null;
  readonly commandLineCut: boolean;
  readonly argumentsDigest: string | null;
  readonly cgroup: string;
  readonly boundary: string | null;
  readonly role: 'source' | 'ancestor' | 'sibling' | 'declared';
  readonly claims: readonly { readonly name: string; readonly value: string }[];
  readonly unreadable: readonly string[];
  /** What it did on each device, over all hours. */
  readonly time: readonly {
    readonly device: string;
    readonly activeMs: number;
    readonly residentMs: number;
  }[];
}

export interface ConnectionRow {
  readonly process: string;
  readonly pid: number | null;
  readonly comm: string | null;
  readonly kind: 'established' | 'attempt' | 'listening';
  readonly peerClass: 'loopback' | 'internal' | 'external';
  readonly localPort: number;
  readonly peers: number;
  /** `address:port`, one a line; null where retention erased them. */
  readonly examples: string | null;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** What a network namespace of the finding's own processes tried, while the finding was seen. */
export interface DialRow {
  readonly attempts: number;
  readonly failed: number;
  readonly mostAMinute: number;
  /** 1: the namespace is that of the whole machine; null: not known. */
  readonly ofHost: number | null;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Time of a finding on devices that a job held, at one rate. */
export interface ChargedRow extends JobRefRow, PricedMs {}

export interface FindingHistoryRow {
  readonly atMs: number;
  readonly text: string;
}

/** A signal as the node-hour tells it that sees it most strongly, the newest of these. */
export interface SignalRow {
  readonly id: string;
  readonly strength: number;
  readonly detail: string;
}

/** What one finding may be known again by; see `SeriesTraits`. */
export interface TraitsRow {
  readonly finding: number;
  readonly id: string;
  readonly node: string;
  readonly uid: number | null;
  readonly comm: string;
  readonly executablePath: string | null;
  readonly executableDevice: string | null;
  readonly executableInode: string | null;
  readonly argumentsDigest: string | null;
  readonly commandLine: string | null;
  /** Names of the programs above its source, the nearest first. */
  readonly ancestors: readonly string[];
}

/** The finding of this id, and those of a cluster that were seen in a time, the newest first. */
export interface SeriesQuestion {
  readonly id: string;
  readonly accounts: readonly string[] | null;
  readonly cluster: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly limit: number;
}

/** Findings by number, and the UTC hours in which they executed. */
export interface SeriesFacts {
  readonly rows: readonly FindingRow[];
  readonly activeHours: readonly number[];
}

export interface FindingFacts {
  readonly row: FindingRow;
  readonly signals: readonly SignalRow[];
  readonly processes: readonly ProcessRow[];
  readonly connections: readonly ConnectionRow[];
  readonly dials: readonly DialRow[];
  readonly charged: readonly ChargedRow[];
  readonly history: readonly FindingHistoryRow[];
}
