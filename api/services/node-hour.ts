/**
 * One node-hour, from its facts to everything that is derived from it. Pure: the attribution stores what comes out, and
 * `verify` compares it with what was stored.
 */
import { type BatchBody, HOUR_MS, type ProcessPersonal } from '../contract/batch.ts';
import { apportion } from '../domain/apportion.ts';
import { createAttributor } from '../domain/attribute.ts';
import { bindNode, type FirstSeen, firstSeenIn, placesByCount } from '../domain/bind.ts';
import { boundsOf } from '../domain/bounds.ts';
import { MARKED_REASON } from '../domain/bucket.ts';
import type { Entry, ObservedGap, ObservedProcess, ProcessId, SourceWatermark } from '../domain/cell.ts';
import { type Conflict, conflictsOf } from '../domain/conflict.ts';
import {
  type DecodedHour,
  decodeNodeHour,
  gapsOf,
  type ObservedConnection,
  type ObservedDial,
  spansOf,
} from '../domain/decode.ts';
import { endWithJobs } from '../domain/departure.ts';
import { isJobBoundary, ownersOf } from '../domain/evidence.ts';
import { type FindingPart, type FindingRow, groupFindings, mergeRows, reasonOf } from '../domain/finding.ts';
import { withGrants } from '../domain/grants.ts';
import { type IntegrityFinding, integrityFindings } from '../domain/integrity.ts';
import { type Interval, intersect } from '../domain/interval.ts';
import type { Holding, Job } from '../domain/job.ts';
import { type NetworkFinding, networkFindings } from '../domain/network.ts';
import type { Policy } from '../domain/policy.ts';
import { tenantsOf } from '../domain/runs.ts';
import { signalsOfHour } from '../domain/signals/facts.ts';
import type { Signal } from '../domain/signals/signal.ts';
import { sumEntries } from '../domain/sums.ts';
import { createJudge, type Judge, type NodeFacts } from '../domain/verdict.ts';
import type { SourceState } from '../store/jobs.ts';
import type { CellWrite, FindingPartWrite, HourFacts, JobsWanted } from '../store/ledger.ts';

/** Declarations through these need nobody's word but the declarer's; they are there even when never used. */
export const SELF_DECLARING_SOURCES = ['api', 'run'] as const;

export interface HourOfNode {
  readonly cluster: string;
  readonly nodeName: string;
  readonly hourMs: number;
}

export function decodeHour(
  { hourMs }: HourOfNode,
  batches: readonly BatchBody[],
  personal: ReadonlyMap<string, ProcessPersonal>,
): DecodedHour {
  return decodeNodeHour({ fromMs: hourMs, toMs: hourMs + HOUR_MS }, batches, personal);
}

/** Processes that the hour names and does not describe: tenants, parents, owners of connections, holders. */
export function missingProcesses(decoded: DecodedHour): Set<ProcessId> {
  const missing = new Set<ProcessId>();
  const want = (id: ProcessId | null): void => {
    if (id !== null && !decoded.processes.has(id)) missing.add(id);
  };
  for (const process of decoded.processes.values()) want(process.parentId);
  for (const spans of decoded.spansByDevice.values()) for (const id of tenantsOf(spans)) want(id);
  for (const facts of [decoded.connections, decoded.dials, decoded.holders, decoded.integrity])
    for (const { process } of facts) want(process);
  return missing;
}

export function jobsWanted(
  { cluster, nodeName, hourMs }: HourOfNode,
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
  policy: Policy,
): JobsWanted {
  let named = knownNames.get(processes);
  if (named === undefined) {
    named = namesIn(processes);
    knownNames.set(processes, named);
  }
  const ids = policy.exemptions.map((exemption) => exemption.job);
  return { cluster, node: nodeName, fromMs: hourMs, toMs: hourMs + HOUR_MS, ...named, ids };
}

type Names = Pick<JobsWanted, 'boundaries' | 'claims' | 'processes'>;

const knownNames = new WeakMap<ReadonlyMap<ProcessId, ObservedProcess>, Names>();

function namesIn(observed: ReadonlyMap<ProcessId, ObservedProcess>): Names {
  const boundaries = new Set<string>();
  const claims = new Set<string>();
  const pids = new Map<string, { bootId: string; pid: number }>();
  for (const process of observed.values()) {
    for (const owner of ownersOf(process)) boundaries.add(owner.boundary);
    for (const claim of process.claims) claims.add(claim.value);
    pids.set(`${process.bootId} ${process.pid}`, { bootId: process.bootId, pid: process.pid });
  }
  return { boundaries: [...boundaries], claims: [...claims], processes: [...pids.values()] };
}

/** The kernel boundaries of a process, a job's kind first, then the newest. */
export function boundariesOf(process: ObservedProcess): string[] {
  const owners = ownersOf(process);
  const first = owners.find(isJobBoundary);
  const names = owners.map((owner) => owner.boundary);
  return [...new Set(first === undefined ? names : [first.boundary, ...names])];
}

/**
 * How far each source is complete. Self-declared ones are by themselves, a little behind `nowMs`; one that has jobs but
 * never said how far it is cannot be waited for.
 */
export function watermarksOf(
  sources: readonly SourceState[],
  policy: Policy,
  nowMs: number,
): SourceWatermark[] {
  const ownMs = nowMs - policy.selfDeclarationWaitMs;
  const marks: SourceWatermark[] = [];
  const add = (source: string, sourceInstance: string, completeToMs: number) =>
    marks.push({ source, sourceInstance, completeToMs });
  for (const one of sources) {
    if (one.selfDeclared) add(one.source, one.sourceInstance, ownMs);
    else if (one.completeToMs !== null) add(one.source, one.sourceInstance, one.completeToMs);
  }
  for (const source of SELF_DECLARING_SOURCES)
    if (!marks.some((mark) => mark.source === source && mark.sourceInstance === 'default'))
      add(source, 'default', ownMs);
  return marks;
}

export interface NodeHourInputs extends HourOfNode {
  readonly decoded: DecodedHour;
  /** Those of the hour and the ancestors that earlier hours told of. */
  readonly processes: ReadonlyMap<ProcessId, ObservedProcess>;
  readonly facts: Pick<HourFacts, 'devices' | 'reportsFromMs' | 'policy'> &
    Partial<Pick<HourFacts, 'conditions'>>;
  readonly bookedToMs: number;
  readonly sources: readonly SourceWatermark[];
  readonly jobs: readonly Job[];
  /** As the other hours of the node show. */
  readonly firstSeenElsewhere: FirstSeen;
}

export interface NodeHourResult {
  readonly cells: readonly CellWrite[];
  /** Where jobs claim more of its devices than there is. */
  readonly conflicts: readonly Conflict[];
  readonly connections: readonly ObservedConnection[];
  readonly dials: readonly ObservedDial[];
  /** Where counted jobs ran in this hour. */
  readonly firstSeen: FirstSeen;
  readonly findings: readonly FindingPart[];
  /** The rows of each finding, divided by holder. */
  readonly partsOf: ReadonlyMap<string, readonly FindingPartWrite[]>;
  /** What was seen beside the ledger. */
  readonly observations: readonly (NetworkFinding | IntegrityFinding)[];
  /** What ranks them, by finding. */
  readonly signals: ReadonlyMap<string, readonly Signal[]>;
}

export interface PlacedHour {
  readonly node: NodeFacts;
  readonly judge: Judge;
  readonly holdings: readonly Holding[];
  /** Where counted jobs ran in this hour. */
  readonly firstSeen: FirstSeen;
}

/** Who holds which device of the node, and who judges its processes. */
export function placeNodeHour(inputs: NodeHourInputs): PlacedHour {
  const { cluster, nodeName, decoded, processes, facts, sources } = inputs;
  const { policy } = facts;
  const hour = { fromMs: inputs.hourMs, toMs: inputs.hourMs + HOUR_MS };
  const granted = withGrants(nodeName, inputs.jobs, decoded.grants, hour);
  const jobs = new Map(granted.jobs.map((job) => [job.id, job]));
  const { conditions = [] } = facts;
  const node: NodeFacts = { cluster, node: nodeName, processes, jobs, sources, policy, conditions };
  const judge = createJudge(node);
  const counted = inputs.jobs.filter((job) => placesByCount(job, nodeName));
  const firstSeen =
    counted.length === 0
      ? new Map()
      : countedOnly(firstSeenIn(judge, decoded.spansByDevice, policy), counted);
  // Where the kubelet was heard, its word is remembered for the hours in which it was not.
  for (const [job, devices] of countedOnly(granted.seen, counted)) firstSeen.set(job, devices);
  const uuids = facts.devices.map((device) => device.device);
  const seen = earliest(inputs.firstSeenElsewhere, firstSeen);
  return { node, judge, firstSeen, holdings: bindNode(nodeName, granted.jobs, seen, uuids, policy) };
}

/** Throws `ConservationError` when a cell's books do not balance. `placed` is what `placeNodeHour` gives for them. */
export function computeNodeHour(inputs: NodeHourInputs, placed = placeNodeHour(inputs)): NodeHourResult {
  const { hourMs, decoded, facts } = inputs;
  const { node, judge, holdings, firstSeen } = placed;
  const attributeCell = createAttributor(node, judge);
  const interval = { fromMs: hourMs, toMs: hourMs + HOUR_MS };
  const notEnrolled = beforeEnrolment(interval, facts.reportsFromMs);
  const cells: CellWrite[] = [];
  const claimed: Parameters<typeof conflictsOf>[0][number][] = [];
  for (const { device, capacity } of facts.devices) {
    const held = holdings.filter((holding) => holding.device === device);
    // A device that is retired within the hour is booked when it went, however far its node is.
    const endMs = Math.max(...capacity.map((stretch) => stretch.toMs));
    const bookedToMs = Math.min(inputs.bookedToMs, interval.toMs, endMs);
    const gaps = [...notEnrolled, ...gapsOf(decoded, device)];
    const spans = endWithJobs(spansOf(decoded, device), node.processes, (id) => endsOf(judge, id, held));
    const cell = { device, interval, capacity, bookedToMs, spans, gaps, holdings: held };
    const { entries, settlesAtMs } = attributeCell(cell);
    const capacityMs = entries.reduce((sum, entry) => sum + entry.ms, 0);
    if (capacityMs === 0) continue;
    claimed.push(cell);
    const holders = byHolder(entries, held, node.jobs, interval);
    cells.push({ device, interval, bookedToMs, capacityMs, settlesAtMs, entries, holders });
  }
  const findings = groupFindings(node, judge, cells);
  const observations = [
    ...networkFindings(node, judge, decoded.connections, onDevices(decoded)),
    ...integrityOf(node, judge, decoded),
  ];
  const seen = { node, judge, decoded, holdings, cells, findings, observations };
  return {
    cells,
    conflicts: conflictsOf(claimed, node.jobs),
    connections: decoded.connections,
    dials: decoded.dials,
    firstSeen,
    findings,
    partsOf: withBounds(divideByHolder(findings, cells, node), inputs),
    observations,
    signals: signalsOfHour({ ...seen, hour: interval }),
  };
}

/** When a process's jobs ended; of one that nothing but the device could tie to a job, those that held the device. */
function endsOf(judge: Judge, id: ProcessId, holdings: readonly Holding[]): number[] {
  const jobs = judge.tiesOf(id).ties.flatMap((tie) => tie.jobs);
  return jobs.length === 0 ? holdings.map((one) => one.toMs) : jobs.flatMap(({ endMs }) => endMs ?? []);
}

/** The integrity findings of a decoded hour. */
export function integrityOf(node: NodeFacts, judge: Judge, decoded: DecodedHour): IntegrityFinding[] {
  if (decoded.integrity.length === 0) return [];
  return integrityFindings(node, judge, decoded.integrity, onDevices(decoded));
}

/** The processes that used a device in the hour. */
function onDevices({ spansByDevice }: DecodedHour): Set<ProcessId> {
  const processes = new Set<ProcessId>();
  for (const spans of spansByDevice.values()) for (const id of tenantsOf(spans)) processes.add(id);
  return processes;
}

function countedOnly(seen: FirstSeen, counted: readonly Job[]): Map<string, ReadonlyMap<string, number>> {
  const ids = new Set(counted.map((job) => job.id));
  return new Map([...seen].filter(([job]) => ids.has(job)));
}

function earliest(a: FirstSeen, b: FirstSeen): FirstSeen {
  const merged = new Map<string, Map<string, number>>();
  for (const seen of [a, b])
    for (const [job, byDevice] of seen) {
      const known = merged.get(job) ?? new Map<string, number>();
      merged.set(job, known);
      for (const [device, atMs] of byDevice) known.set(device, Math.min(known.get(device) ?? atMs, atMs));
    }
  return merged;
}

/** Time before the first report of a node's agent is not "silent": nobody was there yet. */
function beforeEnrolment(hour: Interval, reportsFromMs: number | null): ObservedGap[] {
  const before = intersect(hour, { fromMs: 0, toMs: reportsFromMs ?? hour.toMs });
  return before === null ? [] : [{ ...before, reason: 'not_enrolled' }];
}

function byHolder(
  entries: readonly Entry[],
  holdings: readonly Holding[],
  jobs: ReadonlyMap<string, Job>,
  interval: Interval,
): CellWrite['holders'] {
  return [...Map.groupBy(entries, (entry) => entry.holder)].map(([holder, own]) => {
    const job = holder === null ? null : (jobs.get(holder) ?? null);
    const assumed = holdings.some(
      (one) => one.job === holder && one.assumed && one.fromMs < interval.toMs && one.toMs > interval.fromMs,
    );
    let activeMs = 0;
    for (const entry of own) if (entry.activity === 'active') activeMs += entry.ms;
    return { job, assumed, sums: sumEntries(own), activeMs };
  });
}

type RowKeyed = Pick<FindingRow, 'process' | 'reason' | 'job' | 'evidence'>;
const rowKey = (device: string, row: RowKeyed): string =>
  [device, row.process ?? '', row.reason, row.job ?? '', row.evidence ?? ''].join(' ');

/** A row by holder, before it is known between which amounts it lies. */
interface HeldRow extends Omit<FindingPartWrite, 'leastMs' | 'mostMs'> {
  /** Executing for a job, with a mark. */
  readonly markedMs: number;
}

/** A finding's rows say nothing of who held the device; what was charged to whom needs it. */
function divideByHolder(
  findings: readonly FindingPart[],
  cells: readonly CellWrite[],
  node: NodeFacts,
): Map<string, HeldRow[]> {
  const idOf = new Map<string, string>();
  for (const { id, rows } of findings) for (const row of rows) idOf.set(rowKey(row.device, row), id);
  const parts = new Map<string, Map<string, HeldRow>>();
  for (const { device, entries } of cells) {
    for (const entry of entries) {
      const { holder, process, job, evidence, fromMs, toMs } = entry;
      const reason = reasonOf(entry, node);
      if (reason === null) continue;
      const ms = reason === MARKED_REASON ? 0 : entry.ms;
      const key = rowKey(device, { process, reason, job, evidence });
      const id = idOf.get(key);
      if (id === undefined) throw new Error('an entry that is to be told of belongs to no finding');
      const own = parts.get(id) ?? new Map<string, HeldRow>();
      parts.set(id, own);
      const active = entry.activity === 'active' ? ms : 0;
      const before = own.get(`${key} ${holder ?? ''}`);
      own.set(`${key} ${holder ?? ''}`, {
        ...{ device, process, job, reason, evidence, holder },
        activeMs: (before?.activeMs ?? 0) + active,
        markedMs: (before?.markedMs ?? 0) + entry.ms - ms,
        residentMs: (before?.residentMs ?? 0) + (ms - active),
        provisionalActiveMs: (before?.provisionalActiveMs ?? 0) + (entry.provisional ? active : 0),
        provisionalResidentMs: (before?.provisionalResidentMs ?? 0) + (entry.provisional ? ms - active : 0),
        fromMs: Math.min(before?.fromMs ?? fromMs, fromMs),
        toMs: Math.max(before?.toMs ?? toMs, toMs),
      });
    }
  }
  return new Map([...parts].map(([id, own]) => [id, [...own.values()]]));
}

/** Says between which amounts each part lies; of a row of several holders each has its part of that. */
function withBounds(
  parts: ReadonlyMap<string, readonly HeldRow[]>,
  inputs: NodeHourInputs,
): Map<string, FindingPartWrite[]> {
  return new Map(
    [...parts].map(([id, own]) => [
      id,
      [...Map.groupBy(own, (part) => part.device)].flatMap(([device, held]) =>
        boundedOn(device, held, inputs),
      ),
    ]),
  );
}

function boundedOn(
  device: string,
  parts: readonly HeldRow[],
  { hourMs, decoded, processes }: NodeHourInputs,
): FindingPartWrite[] {
  const held = [...Map.groupBy(parts, (part) => rowKey(device, part)).values()];
  const rows = held.flatMap((own) => {
    const row = mergeRows(own.map(({ holder: _holder, markedMs: _marked, ...part }) => part))[0];
    const life = row?.process ? (processes.get(row.process) ?? null) : null;
    return row === undefined ? [] : [{ ...row, life }];
  });
  const bounds = boundsOf(rows, {
    hour: { fromMs: hourMs, toMs: hourMs + HOUR_MS },
    spans: spansOf(decoded, device),
    paces: decoded.paces,
    accounted: decoded.accounted.some((one) => one.device === device),
  });
  return held.flatMap((own, at) => {
    const weights = own.map((part) => part.activeMs + part.residentMs);
    const least = apportion(bounds[at]?.leastMs ?? 0, weights);
    const most = apportion(bounds[at]?.mostMs ?? 0, weights);
    return own.map(({ markedMs, ...part }, index) => ({
      ...{ ...part, leastMs: least[index] ?? 0 },
      // Of what is marked it may be all of it that nobody meant.
      mostMs: part.reason === MARKED_REASON ? markedMs : (most[index] ?? 0),
    }));
  });
}
