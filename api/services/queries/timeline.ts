/** The time lines of a finding: what each step of each device went to, from the spans that agents sent. */
import type { z } from 'zod';
import { ACCOUNTED_TYPE } from '../../contract/batch.ts';
import type { FindingDetail, TimelineSeries } from '../../contract/findings.ts';
import { contextParts } from '../../domain/booking.ts';
import type { ObservedGap, ObservedSpan, ProcessId } from '../../domain/cell.ts';
import type { Holding } from '../../domain/job.ts';
import { toTime } from './completeness.ts';

export const TIMELINE_MAX_MS = 24 * 3_600_000;
const POINTS_MAX = 300;
/** Readable lengths of a step: half a minute to ten. */
const STEPS_MS = [30_000, 60_000, 120_000, 300_000, 600_000] as const;

type Kind = z.infer<typeof TimelineSeries>['kind'];
const KINDS = [
  'source',
  'used',
  'otherUnaccounted',
  'otherAwaiting',
  'held',
  'idle',
  'unobserved',
] as const satisfies Kind[];
const LABELS: Readonly<Record<Kind, string>> = {
  source: 'This finding',
  used: 'Used by declared jobs',
  otherUnaccounted: 'Other use with no matching declaration',
  otherAwaiting: 'Other use that awaits a record',
  held: 'Reserved, not active',
  idle: 'Idle',
  unobserved: 'Not measured',
};

/** What a device showed in the time of the line; all lists ascending. */
export interface DeviceRecord {
  readonly uuid: string;
  readonly index: number | null;
  readonly spans: readonly ObservedSpan[];
  readonly gaps: readonly ObservedGap[];
  readonly holdings: readonly Holding[];
}

/** The finding's processes, and those whose use is declared. Any other process is other unaccounted use. */
export interface Roles {
  readonly source: ReadonlySet<ProcessId>;
  readonly declared: ReadonlySet<ProcessId>;
  /** Whether a record may still come for what a process that is neither did at `atMs` on a device. */
  awaits(process: ProcessId, atMs: number, device: string): boolean;
}

/** The shortest readable step with which a stretch fits into 300 points. */
function stepFor(lengthMs: number): number {
  return STEPS_MS.find((step) => lengthMs / step <= POINTS_MAX) ?? STEPS_MS[STEPS_MS.length - 1] ?? 600_000;
}

function kindOf(process: ProcessId, atMs: number, device: string, roles: Roles): Kind {
  if (roles.source.has(process)) return 'source';
  if (roles.declared.has(process)) return 'used';
  return roles.awaits(process, atMs, device) ? 'otherAwaiting' : 'otherUnaccounted';
}

function heldWithin(holdings: readonly Holding[], fromMs: number, toMs: number): boolean {
  return holdings.some((holding) => holding.fromMs < toMs && holding.toMs > fromMs);
}

/**
 * Spreads a span's milliseconds over the steps that it touches; what it leaves of its length is held or idle. Time that
 * no process can be named for is the finding's where it has none either; what only accounting lists is nobody's in what a
 * job holds.
 */
function addSpan(add: Add, span: ObservedSpan, device: DeviceRecord, roles: Roles): void {
  const { fromMs, toMs, tenants } = span;
  const lengthMs = toMs - fromMs;
  const still = heldWithin(device.holdings, fromMs, toMs) ? 'held' : 'idle';
  const nameless = roles.source.size === 0 ? 'source' : 'otherUnaccounted';
  const kinds = tenants.map(({ process, type }) => {
    if (type !== ACCOUNTED_TYPE) return kindOf(process, fromMs, device.uuid, roles);
    return still === 'held' ? 'held' : nameless;
  });
  const parts =
    span.activeMs === null ? contextParts(lengthMs, span) : tenants.map(({ activeMs }) => activeMs ?? 0);
  const unnamedMs = tenants.length === 0 ? (span.activeMs ?? 0) : 0;
  for (const [index, kind] of kinds.entries()) add(kind, fromMs, toMs, parts[index] ?? 0);
  add(nameless, fromMs, toMs, unnamedMs);
  const [only] = kinds;
  const contradicted = only === undefined || only === 'held' || kinds.length > 1 ? nameless : only;
  add(kinds.includes('used') ? still : contradicted, fromMs, toMs, span.conflictMs);
  const activeMs = parts.reduce((sum, ms) => sum + ms, unnamedMs);
  add(still, fromMs, toMs, lengthMs - activeMs - span.conflictMs);
}

type Add = (kind: Kind, fromMs: number, toMs: number, ms: number) => void;

export function timelineOf(
  device: DeviceRecord,
  roles: Roles,
  fromMs: number,
  toMs: number,
): FindingDetail['timelines'][number] {
  const stepMs = stepFor(toMs - fromMs);
  const startMs = Math.floor(fromMs / stepMs) * stepMs;
  const points = Math.min(POINTS_MAX + 1, Math.ceil((toMs - startMs) / stepMs));
  const columns = new Map<Kind, number[]>(KINDS.map((kind) => [kind, new Array<number>(points).fill(0)]));
  const add: Add = (kind, spanFromMs, spanToMs, ms) => {
    if (ms <= 0) return;
    const column = columns.get(kind);
    const first = Math.max(0, Math.floor((spanFromMs - startMs) / stepMs));
    const last = Math.min(points - 1, Math.floor((spanToMs - 1 - startMs) / stepMs));
    for (let point = first; column !== undefined && point <= last; point += 1) {
      const stepFromMs = Math.max(spanFromMs, startMs + point * stepMs);
      const stepToMs = Math.min(spanToMs, startMs + (point + 1) * stepMs);
      column[point] = (column[point] ?? 0) + (ms * (stepToMs - stepFromMs)) / (spanToMs - spanFromMs);
    }
  };
  for (const span of device.spans) addSpan(add, span, device, roles);
  for (const gap of device.gaps) add('unobserved', gap.fromMs, gap.toMs, gap.toMs - gap.fromMs);
  return {
    device: device.uuid,
    index: device.index,
    from: toTime(startMs),
    stepMs,
    series: KINDS.map((kind) => ({
      label: LABELS[kind],
      kind,
      ms: (columns.get(kind) ?? []).map(Math.round),
    })).filter((series) => series.kind === 'source' || series.ms.some((ms) => ms > 0)),
  };
}
