/** Everything that pages, reports and metrics read, in the words of the contract. */
import type { z } from 'zod';
import type { Clock } from '../../clock.ts';
import type { ConflictList, ConflictsQuery } from '../../contract/conflicts.ts';
import type { RateCards, Statement } from '../../contract/finance.ts';
import type { FindingDetail, FindingList, FindingsQuery } from '../../contract/findings.ts';
import type { DeviceList, DevicesQuery, NodeList, NodesQuery } from '../../contract/fleet.ts';
import type { FleetIntegrity, NodeDetail } from '../../contract/integrity.ts';
import type { JobDetail, JobList, JobsQuery } from '../../contract/jobs.ts';
import type { LedgerAnswer, LedgerQuery } from '../../contract/ledger.ts';
import type { Overview, OverviewQuery } from '../../contract/overview.ts';
import type { SourceList, SourceOut } from '../../contract/sources.ts';
import type { Caller } from '../../domain/caller.ts';
import type { Questions } from '../../store/questions.ts';
import { askConflicts } from './conflicts.ts';
import { askRates, askStatement } from './finance.ts';
import { askFinding } from './finding.ts';
import { askFindings } from './findings.ts';
import { askDevices, askNode, askNodes } from './fleet.ts';
import type { HourReader } from './hours.ts';
import { askIntegrity } from './integrity.ts';
import { askJob, askJobs } from './jobs.ts';
import { askLedger } from './ledger.ts';
import { askMetrics, type MetricsAnswer } from './metrics.ts';
import { askOverview } from './overview.ts';
import { askSource, askSources } from './sources.ts';

/** Each answer comes from one snapshot. All throw `ServiceError`: `invalid` and `not_found`. */
export interface Queries {
  /** Throws when the database does not answer. */
  ready(): Promise<void>;
  overview(query: z.output<typeof OverviewQuery>): Promise<Overview>;
  ledger(query: z.output<typeof LedgerQuery>): Promise<LedgerAnswer>;
  /** Owners see findings inside their accounts' jobs only; here and below others' are as if they were not there. */
  findings(caller: Caller, query: z.output<typeof FindingsQuery>): Promise<FindingList>;
  finding(caller: Caller, id: string): Promise<FindingDetail>;
  jobs(caller: Caller, query: z.output<typeof JobsQuery>): Promise<JobList>;
  job(caller: Caller, id: string): Promise<JobDetail>;
  conflicts(caller: Caller, query: z.output<typeof ConflictsQuery>): Promise<ConflictList>;
  nodes(query: z.output<typeof NodesQuery>): Promise<NodeList>;
  node(name: string): Promise<NodeDetail>;
  integrity(): Promise<FleetIntegrity>;
  devices(query: z.output<typeof DevicesQuery>): Promise<DeviceList>;
  rates(): Promise<RateCards>;
  /** `period` is a month such as "2026-10". */
  statement(period: string): Promise<Statement>;
  sources(): Promise<SourceList>;
  source(name: Pick<SourceOut, 'source' | 'sourceInstance'>): Promise<SourceOut>;
  metrics(): Promise<MetricsAnswer>;
}

export function createQueries(
  questions: Questions,
  hours: HourReader,
  clock: Clock,
  cluster: string,
): Queries {
  return {
    ready: () => questions.ready(),
    overview: (query) => askOverview(questions, cluster, query, clock.nowMs()),
    ledger: (query) => askLedger(questions, query, clock.nowMs()),
    findings: (caller, query) => askFindings(questions, caller, query),
    finding: (caller, id) => askFinding(questions, hours, caller, id),
    jobs: (caller, query) => askJobs(questions, caller, query, clock.nowMs()),
    job: (caller, id) => askJob(questions, caller, id, clock.nowMs()),
    conflicts: (caller, query) => askConflicts(questions, caller, query, clock.nowMs()),
    nodes: (query) => askNodes(questions, query, clock.nowMs()),
    node: (name) => askNode(questions, name, clock.nowMs()),
    integrity: () => askIntegrity(questions),
    devices: (query) => askDevices(questions, query),
    rates: () => askRates(questions),
    statement: (period) => askStatement(questions, cluster, period, clock.nowMs()),
    source: (name) => askSource(questions, name, clock.nowMs()),
    sources: () => askSources(questions, clock.nowMs()),
    metrics: () => askMetrics(questions, clock.nowMs()),
  };
}
