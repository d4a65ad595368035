// Gathers what one node-hour knows of a finding, for the rules to look at.
import type { Entry, ObservedProcess, ObservedSpan, ProcessId } from '../cell.ts';
import type { DecodedHour, ObservedConnection } from '../decode.ts';
import type { FindingKind, FindingPart } from '../finding.ts';
import type { Interval } from '../interval.ts';
import type { Holding, Job } from '../job.ts';
import { lineageOf } from '../process.ts';
import type { Judge, NodeFacts } from '../verdict.ts';
import { signalsOf } from './registry.ts';
import type { Family, LoadStretch, Signal, SignalFacts } from './signal.ts';

/** Beyond these many, processes of one finding are not looked at one by one. */
const OWN_MAX = 64;
const FAMILY_MAX = 256;
const LINEAGE_MAX = 64;

/** What an hour is made of, and what was found in it. */
export interface SignalHour {
  readonly node: NodeFacts;
  readonly judge: Judge;
  readonly decoded: DecodedHour;
  readonly hour: Interval;
  readonly holdings: readonly Holding[];
  readonly cells: Iterable<{ readonly device: string; readonly entries: readonly Entry[] }>;
  readonly findings: readonly FindingPart[];
  /** Seen beside the ledger. */
  readonly observations: readonly {
    readonly id: string;
    readonly kind: FindingKind;
    readonly process: ProcessId | null;
    readonly reason: string;
    readonly firstMs: number;
    readonly lastMs: number;
  }[];
}

/** The signals of each finding of an hour; findings without any are left out. */
export function signalsOfHour(hour: SignalHour): Map<string, Signal[]> {
  const found = new Map<string, Signal[]>();
  if (hour.findings.length + hour.observations.length === 0) return found;
  const gather = createGatherer(hour);
  const add = (id: string, facts: SignalFacts): void => {
    const signals = signalsOf(facts);
    if (signals.length > 0) found.set(id, signals);
  };
  for (const part of hour.findings) add(part.id, gather(subjectOf(part)));
  for (const one of hour.observations) {
    const { id, kind, process, reason, firstMs: fromMs, lastMs: toMs } = one;
    if (process === null) continue;
    const nothing = { activeMs: 0, provisionalActiveMs: 0, devices: [] };
    const seen = { fromMs, toMs };
    add(id, gather({ ...nothing, kind, seen, reasons: [reason], processes: [process], root: process }));
  }
  return found;
}

interface Subject
  extends Pick<SignalFacts, 'kind' | 'reasons' | 'activeMs' | 'provisionalActiveMs' | 'seen'> {
  readonly processes: readonly ProcessId[];
  readonly root: ProcessId | null;
  readonly devices: readonly string[];
}

function subjectOf({ kind, rows, root }: FindingPart): Subject {
  const sum = (value: (row: FindingPart['rows'][number]) => number): number =>
    rows.reduce((total, row) => total + value(row), 0);
  return {
    kind,
    root,
    reasons: [...new Set(rows.map((row) => row.reason))],
    activeMs: sum((row) => row.activeMs),
    provisionalActiveMs: sum((row) => row.provisionalActiveMs),
    seen: {
      fromMs: Math.min(...rows.map((row) => row.fromMs)),
      toMs: Math.max(...rows.map((row) => row.toMs)),
    },
    processes: [...new Set(rows.flatMap((row) => row.process ?? []))].slice(0, OWN_MAX),
    devices: [...new Set(rows.map((row) => row.device))],
  };
}

function createGatherer(hour: SignalHour): (subject: Subject) => SignalFacts {
  const { node, judge, decoded, holdings } = hour;
  const known = (ids: Iterable<ProcessId>): ObservedProcess[] =>
    [...ids].flatMap((id) => node.processes.get(id) ?? []);
  const sockets = Map.groupBy(decoded.connections, (one) => one.process);
  // Of all others, however many there are, these alone have something to show.
  const telling = known(
    new Set([...sockets.keys(), ...decoded.integrity.flatMap(({ process }) => process ?? [])]),
  );
  const byPlace = Map.groupBy(telling, (process) => placeOf(process, judge));
  const onDevices = new Set<ProcessId>();
  for (const spans of decoded.spansByDevice.values())
    for (const { tenants } of spans) for (const { process } of tenants) onDevices.add(process);
  const declared = known(declaredIn(hour.cells));
  let byProcess: MemoryByProcess | null = null;
  const memory = (): MemoryByProcess => {
    byProcess ??= Map.groupBy(
      decoded.memory().map((one, at) => ({ ...one, at })),
      ({ process }) => process,
    );
    return byProcess;
  };
  const familyOf = (processes: readonly ObservedProcess[]): Family => ({
    processes,
    connections: processes.flatMap(({ id }): readonly ObservedConnection[] => sockets.get(id) ?? []),
  });

  return ({ processes, root, devices, ...same }) => {
    const own = known(processes);
    const tops = new Set([...own, ...known(root === null ? [] : [root])]);
    const below = telling.filter((process) => isBelow(process, tops, node.processes)).slice(0, FAMILY_MAX);
    const family = new Set([...tops, ...below]);
    const around = new Set(own.map((process) => placeOf(process, judge)));
    const beside = [...around]
      .flatMap((place) => byPlace.get(place) ?? [])
      .filter((process) => !family.has(process) && !onDevices.has(process.id))
      .slice(0, FAMILY_MAX);
    const lineage = new Set(own.flatMap((process) => [...lineageOf(process, node.processes)]));
    const held = holdings.filter((holding) => devices.includes(holding.device));
    const ids = new Set(processes);
    return {
      ...same,
      hour: hour.hour,
      own,
      lineage: [...lineage].slice(0, LINEAGE_MAX),
      family: familyOf([...family]),
      beside: familyOf(beside),
      load: devices.map((device) => loadOf(decoded.spansByDevice.get(device) ?? [], ids)),
      memory: memoryOf(memory(), devices, ids),
      integrity: decoded.integrity,
      clockSteps: decoded.clockSteps,
      jobs: jobsOf(own, held, node, judge),
      releases: held.map((holding) => holding.toMs),
      declared,
      policy: node.policy,
    };
  };
}

/** What belongs together where no lineage says so. */
function placeOf(process: ObservedProcess, judge: Judge): string {
  const owner = judge.tiesOf(process.id).owner;
  return `${process.uid} ${owner?.boundary ?? process.cgroup}`;
}

function declaredIn(cells: SignalHour['cells']): Set<ProcessId> {
  const ids = new Set<ProcessId>();
  for (const { entries } of cells)
    for (const { bucket, process } of entries) if (bucket === 'used' && process !== null) ids.add(process);
  return ids;
}

function isBelow(
  process: ObservedProcess,
  tops: ReadonlySet<ObservedProcess>,
  processes: NodeFacts['processes'],
): boolean {
  for (const ancestor of lineageOf(process, processes)) if (tops.has(ancestor)) return true;
  return false;
}

function jobsOf(
  own: readonly ObservedProcess[],
  held: readonly Holding[],
  node: NodeFacts,
  judge: Judge,
): Job[] {
  const ids = new Set(held.map((holding) => holding.job));
  for (const { id } of own)
    for (const tie of judge.tiesOf(id).ties)
      if (tie.evidence !== 'claim') for (const job of tie.jobs) ids.add(job.id);
  return [...ids].flatMap((id) => node.jobs.get(id) ?? []);
}

/** Stretches as agents report them: at most a window long, ended by every change of the set of processes. */
function loadOf(spans: readonly ObservedSpan[], own: ReadonlySet<ProcessId>): LoadStretch[] {
  return spans.map(({ fromMs, toMs, tenants, activeMs: allMs, conflictMs }) => {
    const mine = tenants.filter(({ process }) => own.has(process));
    const nameless = own.size === 0 && tenants.length === 0;
    const ownMs = mine.reduce<number | null>(
      (sum, { activeMs }) => (sum === null || activeMs === null ? null : sum + activeMs),
      nameless ? allMs : 0,
    );
    return { fromMs, toMs, own: nameless || mine.length > 0, ownMs, conflictMs };
  });
}

type Memory = ReturnType<DecodedHour['memory']>[number];
/** With their places in what was reported. */
type MemoryByProcess = ReadonlyMap<ProcessId, readonly (Memory & { readonly at: number })[]>;

/** By process and device, in the order in which they were reported. */
function memoryOf(
  memory: MemoryByProcess,
  devices: readonly string[],
  ids: ReadonlySet<ProcessId>,
): SignalFacts['memory'] {
  const mine = [...ids]
    .flatMap((id) => memory.get(id) ?? [])
    .filter(({ device }) => devices.includes(device))
    .sort((a, b) => a.at - b.at);
  return [...Map.groupBy(mine, ({ process, device }) => `${process} ${device}`).values()];
}
