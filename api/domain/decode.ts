// The batches of one node and hour, as the absolute, disjoint spans and gaps of each device.
import type {
  AgentProblem,
  BatchBody,
  ClockStep,
  ConnectionFact,
  DeviceFact,
  ProcessPersonal,
  Tenancy,
} from '../contract/batch.ts';
import { apportion, partBetween } from './apportion.ts';
import {
  type NodeHour,
  type ObservedGap,
  type ObservedProcess,
  type ObservedSpan,
  type ProcessId,
  processId,
} from './cell.ts';
import type { ObservedHolder, ObservedIntegrity } from './integrity.ts';
import { fill, type Interval, intersect } from './interval.ts';
import { mergeProcess } from './process.ts';

/** A connection fact whose process is known across boots. */
export interface ObservedConnection extends Omit<ConnectionFact, 'process'> {
  readonly process: ProcessId;
}

export interface DecodedHour {
  readonly cluster: string;
  readonly node: string;
  readonly hour: Interval;
  /** The newest fact of every device that an inventory of this hour names, by UUID. */
  readonly devices: readonly DeviceFact[];
  /** Per device: ascending, disjoint, inside the hour. */
  readonly spansByDevice: ReadonlyMap<string, readonly ObservedSpan[]>;
  /** Per device that this hour names: ascending, disjoint, and disjoint from its spans. See `gapsOf`. */
  readonly gapsByDevice: ReadonlyMap<string, readonly ObservedGap[]>;
  /** Gaps of the whole node, for devices that this hour does not name at all. */
  readonly nodeGaps: readonly ObservedGap[];
  readonly processes: ReadonlyMap<ProcessId, ObservedProcess>;
  readonly connections: readonly ObservedConnection[];
  readonly holders: readonly ObservedHolder[];
  readonly integrity: readonly ObservedIntegrity[];
  readonly clockSteps: readonly ClockStep[];
  readonly problems: readonly AgentProblem[];
  /** The latest moment that a batch covers; the start of the hour when there is none. */
  readonly completeToMs: number;
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
export function decodeNodeHour(hour: NodeHour, personal: ReadonlyMap<string, ProcessPersonal>): DecodedHour {
  const batches = inOrder(hour.batches);
  const spansByDevice = placeSpans(batches, hour.hour);
  const devices = newestDevices(batches);
  const named = new Set([...devices.map((device) => device.uuid), ...spansByDevice.keys()]);
  for (const batch of batches) for (const gap of batch.gaps) if (gap.device !== null) named.add(gap.device);
  const gapsByDevice = new Map<string, readonly ObservedGap[]>();
  for (const device of [...named].sort())
    gapsByDevice.set(device, placeGaps(batches, hour.hour, device, spansByDevice.get(device) ?? []));
  return {
    cluster: hour.cluster,
    node: hour.node,
    hour: hour.hour,
    devices,
    spansByDevice,
    gapsByDevice,
    nodeGaps: placeGaps(batches, hour.hour, null, []),
    processes: mergeProcesses(batches, personal),
    connections: batches.flatMap(({ connections, bootId }) =>
      connections.map((fact) => ({ ...within(fact, hour.hour), process: processId(bootId, fact.process) })),
    ),
    holders: batches.flatMap(({ holders, bootId }) =>
      holders.map((fact) => ({ ...within(fact, hour.hour), process: processId(bootId, fact.process) })),
    ),
    integrity: batches.flatMap(({ integrity, bootId }) =>
      integrity.map((fact) => ({
        ...within(fact, hour.hour),
        process: fact.process === null ? null : processId(bootId, fact.process),
      })),
    ),
    clockSteps: batches.flatMap((batch) => batch.clockSteps),
    problems: batches.flatMap((batch) => batch.problems),
    completeToMs: batches.reduce(
      (latest, batch) => Math.max(latest, Math.min(batch.toMs, hour.hour.toMs)),
      hour.hour.fromMs,
    ),
  };
}

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

function newestDevices(batches: readonly BatchBody[]): DeviceFact[] {
  const devices = new Map<string, DeviceFact>();
  for (const batch of batches) for (const device of batch.inventory ?? []) devices.set(device.uuid, device);
  return [...devices.values()].sort((a, b) => compareText(a.uuid, b.uuid));
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
      };
      const earlier = processes.get(id);
      processes.set(id, earlier === undefined ? observed : mergeProcess(earlier, observed));
    }
  }
  return processes;
}

function placeSpans(batches: readonly BatchBody[], hour: Interval): Map<string, ObservedSpan[]> {
  const placed = new Map<string, ObservedSpan[]>();
  for (const batch of batches) {
    const tenancies = [...batch.tenancies].sort(
      (a, b) => a.startMs - b.startMs || compareText(a.device, b.device),
    );
    for (const tenancy of tenancies) {
      const spans = placed.get(tenancy.device) ?? [];
      placed.set(tenancy.device, spans);
      for (const span of decodeTenancy(tenancy, batch.bootId)) {
        const inside = intersect(span, hour);
        if (inside !== null) fill(spans, inside, (free) => cutSpan(span, free));
      }
    }
  }
  return placed;
}

function* decodeTenancy(tenancy: Tenancy, bootId: string): Generator<ObservedSpan> {
  const rows = tenancy.tenants
    .map((tenant, row) => ({ process: processId(bootId, tenant.process), type: tenant.type, row }))
    .sort((a, b) => compareText(a.process, b.process) || a.row - b.row);
  let fromMs = tenancy.startMs;
  for (const [column, lengthMs] of tenancy.lengthMs.entries()) {
    const toMs = fromMs + lengthMs;
    const activeMs = tenancy.activeMs === null ? null : (tenancy.activeMs[column] ?? 0);
    const tenants: { process: ProcessId; type: string; activeMs: number | null }[] = [];
    for (const { process, type, row } of rows) {
      const share = activeMs === null ? null : (tenancy.shareMs[row]?.[column] ?? 0);
      const last = tenants.at(-1);
      // One process listed twice (as C and as G) is one tenant.
      if (last?.process === process) last.activeMs = share === null ? null : (last.activeMs ?? 0) + share;
      else tenants.push({ process, type, activeMs: share });
    }
    if (lengthMs > 0) yield { fromMs, toMs, activeMs, method: tenancy.method, tenants };
    fromMs = toMs;
  }
}

/** The part of a span inside `part`: active time in proportion to length, and the tenants' parts sum to it. */
function cutSpan(span: ObservedSpan, part: Interval): ObservedSpan {
  if (part.fromMs === span.fromMs && part.toMs === span.toMs) return span;
  if (span.activeMs === null) return { ...span, ...part };
  const lengthMs = span.toMs - span.fromMs;
  const activeMs = partBetween(span.activeMs, lengthMs, part.fromMs - span.fromMs, part.toMs - span.fromMs);
  const shares = apportion(
    activeMs,
    span.tenants.map((tenant) => tenant.activeMs ?? 0),
  );
  return {
    ...span,
    ...part,
    activeMs,
    tenants: span.tenants.map((tenant, index) => ({ ...tenant, activeMs: shares[index] ?? 0 })),
  };
}

/** The gaps of `device` (null: of the whole node only). A gap of the device itself beats one of the node. */
function placeGaps(
  batches: readonly BatchBody[],
  hour: Interval,
  device: string | null,
  spans: readonly ObservedSpan[],
): ObservedGap[] {
  const placed: ObservedGap[] = [];
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
