/**
 * What pages, reports and metrics ask of a store. Every question is answered from one snapshot; the answers are rows,
 * which `api/services/queries/` turns into what the contract says. Times are milliseconds UTC, `null` is "not known".
 */

import type { HostFact, ToolFact } from '../contract/batch.ts';
import type { JobMark } from '../contract/jobs.ts';
import type { LEDGER_GROUPS, Sums } from '../contract/ledger.ts';
import type { Booking } from '../contract/mapping.ts';
import type { Role } from '../contract/primitives.ts';
import type { NodeCondition } from '../domain/condition.ts';
import type { Allocation } from '../domain/job.ts';
import type { Mapping } from '../domain/mapping.ts';
import type { MeantDevices } from '../domain/minors.ts';
import type { ConflictRow, ConflictsQuestion } from './conflict-questions.ts';
import type {
  FindingFacts,
  FindingRow,
  FindingsQuestion,
  SeriesFacts,
  SeriesQuestion,
  TraitsRow,
} from './finding-questions.ts';
import type { SourceHealth } from './jobs.ts';

export type LedgerGroup = (typeof LEDGER_GROUPS)[number];

/** Which accounts' rows may be seen; null: all. */
export interface Scope {
  readonly accounts: readonly string[] | null;
}
export const scopeOf = (caller: { role: Role; accounts: readonly string[] | null }): Scope => ({
  accounts: caller.role === 'owner' ? (caller.accounts ?? []) : null,
});

/** How far a node's time is booked, and what is known of its agent. */
export interface NodeProgress {
  readonly name: string;
  readonly enrolled: boolean;
  readonly lastHeardMs: number | null;
  /** The end of what the agent has reported, and of what was booked as silence. */
  readonly completeToMs: number | null;
  readonly silentToMs: number | null;
  /** The booked end of the first of its hours that still waits to be computed to its end; null: none waits. */
  readonly waitingFromMs: number | null;
}

/** Use without a job, on nodes of a source's jobs, that began after its record had stopped. */
export interface SuspectRow {
  readonly nodes: number;
  readonly findings: number;
  readonly activeMs: number;
}

export interface SourceRow {
  /** Internal number. */
  readonly number: number;
  readonly source: string;
  readonly sourceInstance: string;
  readonly selfDeclared: boolean;
  readonly completeToMs: number | null;
  readonly lastHeardMs: number;
  readonly jobs: number;
  /** `sinceMs`, `reportedAtMs`: by the service's clock. */
  readonly health: (SourceHealth & { readonly sinceMs: number; readonly reportedAtMs: number }) | null;
}

/** What completeness is made of. */
export interface ProgressFacts {
  readonly nodes: readonly NodeProgress[];
  readonly sources: readonly SourceRow[];
  readonly pendingCells: number;
  /** The start of the first time whose verdict awaits a record; null: none does. */
  readonly provisionalFromMs: number | null;
}

export interface LedgerQuestion {
  /** Both full UTC hours. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly groups: readonly LedgerGroup[];
  readonly maxRows: number;
}
export interface LedgerFactsRow extends Sums {
  /** One value for each group: names and ids; hours and days as milliseconds; null account, user, job: nobody. */
  readonly group: readonly (string | number | null)[];
}
interface LedgerFacts {
  readonly progress: ProgressFacts;
  /** One more than `maxRows` where there would be more. */
  readonly rows: readonly LedgerFactsRow[];
}

export interface JobsQuestion extends Scope {
  readonly fromMs: number | null;
  readonly toMs: number | null;
  readonly account: string | null;
  readonly user: string | null;
  readonly source: string | null;
  readonly running: boolean | null;
  readonly search: string | null;
  readonly nowMs: number;
  readonly after: { readonly startMs: number; readonly job: number } | null;
  readonly limit: number;
}

export interface JobVersionRow {
  /** Internal number. */
  readonly job: number;
  readonly id: string;
  readonly cluster: string;
  readonly source: string;
  readonly sourceInstance: string;
  readonly externalId: string;
  readonly incarnation: number;
  readonly selfDeclared: boolean;
  readonly name: string;
  readonly account: string;
  readonly user: string | null;
  readonly uid: number | null;
  readonly startMs: number;
  readonly endMs: number | null;
  readonly root: {
    readonly node: string;
    readonly bootId: string;
    readonly pid: number;
    readonly startTicks: number;
  } | null;
  readonly version: number;
  readonly firstRecordedAtMs: number;
  readonly recordedAtMs: number;
  readonly recordedBy: string;
  readonly boundaries: readonly string[];
  readonly executables: readonly string[];
  readonly image: string | null;
  readonly entrypoint: readonly string[];
  readonly commandPattern: string | null;
  readonly peers: readonly string[];
  readonly processesPerDevice: number | null;
  readonly within: { readonly source: string; readonly externalId: string } | null;
  readonly attributes: Readonly<Record<string, string>>;
  readonly marks: readonly JobMark[];
  readonly allocations: readonly (Allocation & { readonly meant: MeantDevices | null })[];
}
export interface JobUseRow {
  readonly allocatedMs: number;
  readonly usedMs: number;
  readonly heldMs: number;
  readonly unaccountedInsideMs: number;
  readonly unobservedInsideMs: number;
}
/** The newest version of a job. `use` null: it has held nothing yet. */
export interface JobRow extends JobVersionRow {
  readonly use: JobUseRow | null;
}
export interface JobInsideRow {
  readonly executable: string;
  readonly bucket: 'used' | 'unaccounted';
  readonly reason: string | null;
  readonly suspicious: boolean;
  readonly processes: number;
  readonly activeMs: number;
  readonly finding: string | null;
}
export interface JobDeviceRow extends Sums {
  readonly node: string;
  readonly device: string;
  readonly index: number | null;
  /** A process of the job was seen on it. */
  readonly bound: boolean;
}
export interface JobFacts {
  readonly row: JobRow;
  readonly versions: readonly JobVersionRow[];
  /** Newest versions of other jobs that state the same nodes for a part of the same time; not all of very many. */
  readonly beside: readonly JobVersionRow[];
  /** Every version of the mapping. */
  readonly mappings: readonly Mapping[];
  readonly inside: readonly JobInsideRow[];
  /** Executing of its processes that is counted at another job: the holder, inside of which it runs. */
  readonly usedInOthersMs: number;
  readonly devices: readonly JobDeviceRow[];
}

export interface NodesQuestion {
  /** The one node of this name; null: any. */
  readonly name: string | null;
  readonly search: string | null;
  /** Name of the last node of the page before. */
  readonly after: string | null;
  readonly limit: number;
  /** Where `last24h` begins: a full UTC hour. */
  readonly sinceMs: number;
}
export interface NodeRow {
  /** Internal number. */
  readonly number: number;
  readonly name: string;
  readonly cluster: string;
  readonly group: string;
  readonly mode: 'observe' | 'shadow' | 'live';
  readonly enrolled: boolean;
  readonly stream: string | null;
  readonly seq: number | null;
  readonly version: string | null;
  readonly driverVersion: string | null;
  readonly bootId: string | null;
  readonly pollIntervalMs: number | null;
  readonly lastHeardMs: number | null;
  readonly completeToMs: number | null;
  readonly silentToMs: number | null;
  readonly devices: number;
  /** Those of open capacity, by index. */
  readonly devicesNow: readonly Pick<DeviceRow, 'uuid' | 'index' | 'now'>[];
  readonly models: readonly string[];
  readonly last24h: Sums | null;
  readonly problems: readonly { readonly atMs: number; readonly source: string; readonly message: string }[];
}

/** The files through which a node's GPUs are read. */
export interface NodeFilesRow {
  readonly node: string;
  /** When they were listed; else the newest. */
  readonly driverVersion: string | null;
  readonly listedMs: number | null;
  /** Null: nobody has listed them. */
  readonly tools: readonly ToolFact[] | null;
}

/** What a scheduler says of a node: its newest word. */
export interface ConditionRow {
  readonly source: string;
  readonly sourceInstance: string;
  readonly condition: NodeCondition;
  readonly fromMs: number;
  readonly toMs: number | null;
  readonly reason: string;
}

/** Time of a node for which a scheduler gives a reason. */
export interface ReasonRow {
  readonly bucket: 'idle' | 'unobserved';
  readonly condition: NodeCondition;
  readonly ms: number;
}

interface NodeDetailFacts {
  readonly row: NodeRow;
  readonly files: Pick<NodeFilesRow, 'listedMs' | 'tools'> | null;
  readonly conditions: readonly ConditionRow[];
  /** Since `sinceMs`. */
  readonly reasons: readonly ReasonRow[];
  /** Null: nobody described it. */
  readonly host: HostFact | null;
}

export interface DevicesQuestion {
  readonly node: string | null;
  readonly model: string | null;
  readonly after: { readonly node: string; readonly index: number; readonly uuid: string } | null;
  readonly limit: number;
}
export interface DeviceRow {
  readonly uuid: string;
  readonly node: string;
  readonly index: number | null;
  readonly minor: number | null;
  readonly busId: string | null;
  readonly model: string;
  readonly memoryBytes: number | null;
  readonly migEnabled: boolean;
  readonly capacityFromMs: number | null;
  readonly capacityToMs: number | null;
  /** Largest bucket of the newest booked minute; null: nothing is booked yet. */
  readonly now: 'used' | 'held' | 'unaccounted' | 'idle' | 'unobserved' | null;
}

export interface RateCardRow {
  readonly version: number;
  readonly effectiveFromMs: number;
  readonly currency: string;
  readonly recordedAtMs: number;
  readonly recordedBy: string;
  readonly rates: readonly { readonly model: string; readonly micros: string }[];
}

/** What the holders of one account had of one model in one UTC day at one rate. */
export interface ChargeRow extends Sums {
  /** To whom it is charged; null: held by nobody. */
  readonly account: string | null;
  readonly project: string | null;
  readonly costCentre: string | null;
  readonly model: string;
  /** Hours of the lines (job × device × UTC day), each rounded to nine decimals, summed, in billionths. */
  readonly nanoHours: number;
  readonly rateMicros: string | null;
  readonly currency: string | null;
}
/** What the jobs of one booking had of one model in one UTC day at one rate, and where another mapping would book it. */
export interface MoveRow extends Pick<ChargeRow, 'allocatedMs' | 'nanoHours' | 'rateMicros' | 'currency'> {
  readonly from: Booking;
  readonly to: Booking;
}
interface StatementQuestionFacts {
  readonly progress: ProgressFacts;
  readonly charges: readonly ChargeRow[];
  readonly capacityMs: number;
}

/** Unaccounted executing time at one rate. */
export interface UnaccountedFacts {
  readonly settledMs: number;
  readonly provisionalMs: number;
  readonly rateMicros: string | null;
  readonly currency: string | null;
}

interface OverviewQuestion {
  readonly fromMs: number;
  readonly toMs: number;
  readonly series: 'hour' | 'day';
  readonly todayMs: number;
  readonly monthMs: number;
  readonly nowMs: number;
  /** Findings recorded since then are new. */
  readonly newSinceMs: number;
  readonly worst: number;
}
export interface OverviewFacts {
  readonly progress: ProgressFacts;
  readonly devices: number;
  /** Of the rate card that holds now; null: none does. */
  readonly currency: string | null;
  readonly series: readonly LedgerFactsRow[];
  /** Of the asked range, of today, of this month. */
  readonly range: readonly UnaccountedFacts[];
  readonly today: readonly UnaccountedFacts[];
  readonly month: readonly UnaccountedFacts[];
  readonly counts: { readonly stillRunning: number; readonly awaiting: number; readonly newSince: number };
  /** Of claims, that go on now. */
  readonly conflicts: number;
  readonly worst: readonly FindingRow[];
}

export interface FindingCountRow {
  readonly state: 'provisional' | 'settled';
  readonly severity: string;
  readonly mode: string;
  readonly running: boolean;
  readonly count: number;
  readonly activeMs: number;
}
interface MetricsFacts {
  readonly progress: ProgressFacts;
  readonly month: readonly LedgerFactsRow[];
  readonly findings: readonly FindingCountRow[];
  readonly dirtyNodeHours: number;
  /** Jobs that claim now what others claim too. */
  readonly conflictingClaims: number;
}

export interface Questions {
  /** Throws when the database does not answer. */
  ready(): Promise<void>;
  progress(): Promise<ProgressFacts>;
  suspects(asked: readonly { readonly number: number; readonly sinceMs: number }[]): Promise<SuspectRow[]>;
  /** About how many device-hours the question would read; 0 where daily sums answer it. */
  ledgerHours(asked: Pick<LedgerQuestion, 'fromMs' | 'toMs' | 'groups'>): Promise<number>;
  ledger(asked: LedgerQuestion): Promise<LedgerFacts>;
  overview(asked: OverviewQuestion): Promise<OverviewFacts>;
  findings(asked: FindingsQuestion): Promise<FindingRow[]>;
  finding(id: string, scope: Scope): Promise<FindingFacts | null>;
  findingTraits(asked: SeriesQuestion): Promise<TraitsRow[]>;
  series(findings: readonly number[]): Promise<SeriesFacts>;
  jobs(asked: JobsQuestion): Promise<JobRow[]>;
  job(id: string, scope: Scope): Promise<JobFacts | null>;
  conflicts(asked: ConflictsQuestion): Promise<ConflictRow[]>;
  nodes(asked: NodesQuestion): Promise<NodeRow[]>;
  /** `sinceMs` as in `NodesQuestion`. */
  node(name: string, sinceMs: number): Promise<NodeDetailFacts | null>;
  devices(asked: DevicesQuestion): Promise<DeviceRow[]>;
  /** Of all nodes with GPUs whose agent was heard, by name. */
  nodeFiles(): Promise<NodeFilesRow[]>;
  rateCards(): Promise<RateCardRow[]>;
  /** Everything between two full UTC hours. */
  statement(fromMs: number, toMs: number): Promise<StatementQuestionFacts>;
  /** Of full UTC days: what jobs held, where it is booked, and where `trial` would book it. */
  moves(fromMs: number, toMs: number, trial: Mapping): Promise<MoveRow[]>;
  mappings(): Promise<readonly Mapping[]>;
  metrics(monthMs: number, nowMs: number): Promise<MetricsFacts>;
  close(): Promise<void>;
}
