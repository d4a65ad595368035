// The batches of one node and hour, as the absolute, disjoint spans and gaps of each device.
import type {
  AccountedFact,
  BatchBody,
  ClockStep,
  ConnectionFact,
  DialFact,
  ProcessPersonal,
  Tenancy,
} from '../contract/batch.ts';
import { at } from './at.ts';
import {
  type ObservedGap,
  type ObservedProcess,
  type ObservedSpan,
  type ObservedTenant,
  type Partition,
  type PollPace,
  type ProcessId,
  processId,
} from './cell.ts';
import { cutSpan, inTenantOrder } from './cutter.ts';
import { type ObservedGrant, podGrantsOf } from './grants.ts';
import type { ObservedHolder, ObservedIntegrity } from './integrity.ts';
import { fill, type Interval, intersect } from './interval.ts';
import { mergeProcess } from './process.ts';

/** A connection fact whose process is known across boots. */
export interface ObservedConnection extends Omit<ConnectionFact, 'process'> {
  readonly process: ProcessId;
}

/** A count of connections tried, whose process is known across boots. */
export interface ObservedDial extends Readonly<Omit<DialFact, 'process'>> {
  readonly process: ProcessId;
}

/** What the driver's accounting says of an ended process, known across boots. */
export interface ObservedAccounted extends Readonly<Omit<AccountedFact, 'process'>> {
  readonly process: ProcessId;
}

/** The most memory that a process held on a device, in a stretch of one report. */
interface ObservedMemory {
  readonly device: string;
  readonly process: ProcessId;
  readonly lengthMs: number;
  readonly bytes: number;
}

export interface DecodedHour {
  /** Per device: ascending, disjoint, inside the hour. */
  readonly spansByDevice: ReadonlyMap<string, readonly ObservedSpan[]>;
  /** Per device that this hour names: ascending, disjoint, and disjoint from its spans. See `gapsOf`. */
  readonly gapsByDevice: ReadonlyMap<string, readonly ObservedGap[]>;
  /** Gaps of the whole node, for devices that this hour does not name at all. */
  readonly nodeGaps: readonly ObservedGap[];
  readonly processes: ReadonlyMap<ProcessId, ObservedProcess>;
  readonly connections: readonly ObservedConnection[];
  readonly dials: readonly ObservedDial[];
  readonly holders: readonly ObservedHolder[];
  readonly integrity: readonly ObservedIntegrity[];
  readonly accounted: readonly ObservedAccounted[];
  /** What the kubelet gave to pods. */
  readonly grants: readonly ObservedGrant[];
  /** Only what was found asks for it. */
  readonly memory: () => readonly ObservedMemory[];
  readonly clockSteps: readonly ClockStep[];
  /** How often its batches were read, by their beginnings; neighbours of one pace are one. */
  readonly paces: readonly PollPace[];
}

export const spansOf = (decoded: DecodedHour, device: string): readonly ObservedSpan[] =>
  decoded.spansByDevice.get(device) ?? [];

/** The gaps of a device, also of one that failed before this hour named it. */
export const gapsOf = (decoded: DecodedHour, device: string): readonly ObservedGap[] =>
  decoded.gapsByDevice.get(device) ?? decoded.nodeGaps;

/**
 * Decodes a node-hour. The answer does not depend on the order of the batches, nor on a batch that comes twice: they
 * are taken by (fromMs, stream, seq), once each. Where two streams cover the same time, the first in that order wins and
 * the later is clipped. A measured span beats a gap.
 */
export function decodeNodeHour(
  hour: Interval,
  reported: readonly BatchBody[],
  personal: ReadonlyMap<string, ProcessPersonal>,
): DecodedHour {
  const batches = inOrder(reported);
  const spansByDevice = placeSpans(batches, hour);
  const named = new Set(spansByDevice.keys());
  for (const batch of batches) {
    for (const device of batch.inventory ?? []) named.add(device.uuid);
    for (const gap of batch.gaps) if (gap.device !== null) named.add(gap.device);
  }
  const gapsByDevice = new Map<string, readonly ObservedGap[]>();
  const withGaps = batches.filter((batch) => batch.gaps.length > 0);
  for (const device of [...named].sort())
    gapsByDevice.set(device, placeGaps(withGaps, hour, device, spansByDevice.get(device) ?? []));
  return {
    spansByDevice,
    gapsByDevice,
    nodeGaps: placeGaps(withGaps, hour, null, []),
    processes: mergeProcesses(batches, personal),
    connections: batches.flatMap(({ connections, bootId }) =>
      connections.map((fact) => ({ ...within(fact, hour), process: processId(bootId, fact.process) })),
    ),
    dials: batches.flatMap(({ dials, bootId }) =>
      dials.map((fact) => ({ ...fact, process: processId(bootId, fact.process) })),
    ),
    holders: batches.flatMap(({ holders, bootId }) =>
      holders.map((fact) => ({ ...within(fact, hour), process: processId(bootId, fact.process) })),
    ),
    integrity: batches.flatMap(({ integrity, bootId }) =>
      integrity.map((fact) => ({
        ...within(fact, hour),
        process: fact.process === null ? null : processId(bootId, fact.process),
      })),
    ),
    accounted: batches.flatMap(({ accounted, bootId }) =>
      accounted.map((fact) => ({ ...fact, process: processId(bootId, fact.process) })),
    ),
    grants: podGrantsOf(batches),
    memory: () => batches.flatMap(memoryIn),
    clockSteps: batches.flatMap(({ clockSteps }) => clockSteps),
    paces: pacesOf(batches),
  };
}

function pacesOf(batches: readonly BatchBody[]): PollPace[] {
  const paces: { fromMs: number; toMs: number; pollMs: number }[] = [];
  for (const { fromMs, toMs, pollIntervalMs: pollMs } of batches) {
    const last = paces.at(-1);
    if (last?.pollMs === pollMs) last.toMs = Math.max(last.toMs, toMs);
    else paces.push({ fromMs, toMs, pollMs });
  }
  return paces;
}

const memoryIn = ({ tenancies, bootId }: BatchBody): ObservedMemory[] =>
  tenancies.flatMap(({ device, tenants, lengthMs: lengths }) => {
    const lengthMs = lengths.reduce((sum, ms) => sum + ms, 0);
    return tenants.flatMap(({ process, memoryBytes: bytes }) =>
      bytes === null ? [] : [{ device, process: processId(bootId, process), lengthMs, bytes }],
    );
  });

/** Nothing is seen after the hour that reports it: a time to come would keep a finding running for ever. */
function within<T extends { firstMs: number; lastMs: number }>(fact: T, hour: Interval): T {
  const lastMs = Math.min(fact.lastMs, hour.toMs);
  return { ...fact, firstMs: Math.min(fact.firstMs, lastMs), lastMs };
}

function inOrder(batches: readonly BatchBody[]): BatchBody[] {
  const once = new Map<string, BatchBody>();
  for (const batch of batches) once.set(`${batch.seq} ${batch.stream}`, batch);
  return [...once.values()].sort(
    (a, b) => a.fromMs - b.fromMs || compareText(a.stream, b.stream) || a.seq - b.seq,
  );
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** What each partitioned device counts, as the newest inventory of the hour that says it. */
function slicesOf(batches: readonly BatchBody[]): Map<string, number> {
  const slices = new Map<string, number>();
  for (const batch of batches)
    for (const device of batch.inventory ?? [])
      if (device.slices !== null) slices.set(device.uuid, device.slices);
  return slices;
}

function mergeProcesses(
  batches: readonly BatchBody[],
  personal: ReadonlyMap<string, ProcessPersonal>,
): Map<ProcessId, ObservedProcess> {
  const processes = new Map<ProcessId, ObservedProcess>();
  for (const batch of batches) {
    for (const fact of batch.processes) {
      const id = processId(batch.bootId, fact.key);
      const text = fact.personal === null ? undefined : personal.get(fact.personal);
      const observed: ObservedProcess = {
        ...fact,
        id,
        bootId: batch.bootId,
        parentId: fact.parent === null ? null : processId(batch.bootId, fact.parent),
        user: text?.user ?? null,
        commandLine: text?.commandLine ?? null,
        ...(fact.executedMs === undefined || fact.executable === null
          ? {}
          : { executions: [{ fromMs: fact.executedMs, executable: fact.executable }] }),
      };
      const earlier = processes.get(id);
      processes.set(id, earlier === undefined ? observed : mergeProcess(earlier, observed));
    }
  }
  return processes;
}

function placeSpans(batches: readonly BatchBody[], hour: Interval): Map<string, ObservedSpan[]> {
  const placed = new Map<string, ObservedSpan[]>();
  const slices = slicesOf(batches);
  const listedIn = createLister();
  for (const batch of batches) {
    for (const tenancy of inTimeOrder(batch.tenancies)) {
      let spans = placed.get(tenancy.device);
      if (spans === undefined) {
        spans = [];
        placed.set(tenancy.device, spans);
      }
      const partition = partitionOf(tenancy, slices.get(tenancy.device) ?? null);
      decodeTenancy(tenancy, listedIn(tenancy, batch.bootId), partition, hour, spans);
    }
  }
  return placed;
}

const byTime = (a: Tenancy, b: Tenancy): number => a.startMs - b.startMs || compareText(a.device, b.device);

/** As agents send them nearly always. */
function inTimeOrder(tenancies: readonly Tenancy[]): readonly Tenancy[] {
  for (let index = 1; index < tenancies.length; index += 1)
    if (byTime(at(tenancies, index - 1), at(tenancies, index)) > 0) return tenancies.toSorted(byTime);
  return tenancies;
}

/** One process on one instance of a device; more than one row where the driver lists it twice (as C and as G). */
interface Listed extends Omit<ObservedTenant, 'activeMs'> {
  readonly rows: readonly number[];
}

function decodeTenancy(
  tenancy: Tenancy,
  listed: readonly Listed[],
  partition: Partition | null,
  hour: Interval,
  placed: ObservedSpan[],
): void {
  const { activeMs: allActiveMs, shareMs, conflictMs, method, lengthMs } = tenancy;
  let fromMs = tenancy.startMs;
  for (let column = 0; column < lengthMs.length; column += 1) {
    const toMs = fromMs + at(lengthMs, column);
    const activeMs = allActiveMs === null ? null : at(allActiveMs, column);
    const tenants: ObservedTenant[] = [];
    for (const { rows, process, type, gpuInstance } of listed) {
      let ms: number | null = null;
      if (activeMs !== null) {
        ms = 0;
        for (const row of rows) ms += at(at(shareMs, row), column);
      }
      tenants.push({ process, type, gpuInstance, activeMs: ms });
    }
    const span = { fromMs, toMs, activeMs, conflictMs: conflictMs[column] ?? 0, method, tenants, partition };
    place(span, hour, placed);
    fromMs = toMs;
  }
}

function place(span: ObservedSpan, hour: Interval, placed: ObservedSpan[]): void {
  const inside = intersect(span, hour);
  if (inside === null) return;
  // Nearly always it follows those that are placed.
  const isWhole = inside.fromMs === span.fromMs && inside.toMs === span.toMs;
  if (isWhole && (placed.at(-1)?.toMs ?? span.fromMs) <= span.fromMs) placed.push(span);
  else fill(placed, inside, (free) => cutSpan(span, free));
}

/** The function that gives who a tenancy lists; from one to the next of a device that is nearly always the same. */
function createLister(): (tenancy: Tenancy, bootId: string) => readonly Listed[] {
  const last = new Map<string, { tenants: Tenancy['tenants']; bootId: string; listed: readonly Listed[] }>();
  return (tenancy, bootId) => {
    const { device, tenants } = tenancy;
    const before = last.get(device);
    if (before?.bootId === bootId && listsTheSame(before.tenants, tenants)) return before.listed;
    const listed = listedOf(tenancy, bootId);
    last.set(device, { tenants, bootId, listed });
    return listed;
  };
}

const listsTheSame = (before: Tenancy['tenants'], tenants: Tenancy['tenants']): boolean =>
  before.length === tenants.length &&
  tenants.every(({ process, type, gpuInstance }, row) => {
    const other = at(before, row);
    return other.process === process && other.type === type && other.gpuInstance === gpuInstance;
  });

/** In the order of process ids, then of instances. */
function listedOf({ tenants }: Tenancy, bootId: string): Listed[] {
  const listed = new Map<string, Listed>();
  for (const [row, { process, type, gpuInstance }] of tenants.entries()) {
    const key = `${process} ${gpuInstance ?? ''}`;
    const other = listed.get(key);
    const letters = other === undefined ? type : joinTypes(other.type, type);
    const rows = [...(other?.rows ?? []), row];
    listed.set(key, { process: processId(bootId, process), type: letters, gpuInstance, rows });
  }
  return [...listed.values()].sort(inTenantOrder);
}

const joinTypes = (a: string, b: string): string =>
  [...new Set([...a.split('+'), ...b.split('+')])].sort(byRank).join('+');

/** The order in which the driver writes its letters. */
const LETTERS = ['M', 'C', 'G'];
const byRank = (a: string, b: string): number => LETTERS.indexOf(a) - LETTERS.indexOf(b) || compareText(a, b);

function partitionOf({ partition }: Tenancy, slices: number | null): Partition | null {
  if (partition.length === 0 || slices === null) return null;
  const sum = partition.reduce((total, one) => total + one.slices, 0);
  const instances = partition.toSorted((a, b) => a.gpuInstance - b.gpuInstance);
  return { slices: Math.max(slices, sum), instances };
}

/** The gaps of `device` (null: of the whole node only). A gap of the device itself beats one of the node. */
function placeGaps(
  batches: readonly BatchBody[],
  hour: Interval,
  device: string | null,
  spans: readonly ObservedSpan[],
): ObservedGap[] {
  const placed: ObservedGap[] = [];
  if (batches.length === 0) return placed;
  const taken: Interval[] = [...spans];
  for (const specific of [true, false]) {
    for (const batch of batches) {
      const gaps = batch.gaps
        .filter((gap) => (specific ? gap.device !== null && gap.device === device : gap.device === null))
        .sort((a, b) => a.fromMs - b.fromMs || a.toMs - b.toMs || compareText(a.reason, b.reason));
      for (const gap of gaps) {
        const inside = intersect(gap, hour);
        if (inside === null) continue;
        fill(taken, inside, (free) => {
          placed.push({ ...free, reason: gap.reason });
          return free;
        });
      }
    }
  }
  return placed.sort((a, b) => a.fromMs - b.fromMs);
}
