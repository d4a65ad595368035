// Cuts measured spans into pieces without gaining or losing a millisecond.
import { apportion, partBetween } from './apportion.ts';
import { at } from './at.ts';
import type { ObservedSpan, ObservedTenant } from './cell.ts';
import type { Interval } from './interval.ts';

/** What a piece of a span has of it; tenants in the order of process ids. */
export type PieceActivity = Pick<ObservedSpan, 'activeMs' | 'conflictMs' | 'partition' | 'tenants'>;

/**
 * Cuts spans into consecutive pieces: active time in proportion to length, contradicted time in proportion to what is not
 * active (so that both together always fit), and every tenant's parts sum to what it had. Pieces of one span are asked
 * for in ascending order; what is skipped is cut off and dropped.
 */
export function createSpanCutter(): (span: ObservedSpan, piece: Interval) => PieceActivity {
  let current: ObservedSpan | null = null;
  let order: readonly ObservedTenant[] = [];
  let left: number[] = [];
  let doneToMs = 0;
  /** Of the time up to `doneToMs`: not active. */
  let stillMs = 0;
  const advance = (span: ObservedSpan, activeMs: number, toMs: number) => {
    const length = span.toMs - span.fromMs;
    const ms = partBetween(activeMs, length, doneToMs - span.fromMs, toMs - span.fromMs);
    const stillToMs = stillMs + (toMs - doneToMs) - ms;
    const conflictMs =
      span.conflictMs === 0 ? 0 : partBetween(span.conflictMs, length - activeMs, stillMs, stillToMs);
    doneToMs = toMs;
    stillMs = stillToMs;
    const parts = left.length === 0 ? [] : apportion(ms, left);
    if (left.length > 0) left = left.map((have, index) => have - at(parts, index));
    return { activeMs: ms, conflictMs, parts };
  };
  return (span, piece) => {
    if (span !== current) {
      current = span;
      doneToMs = span.fromMs;
      stillMs = 0;
      order = span.tenants.length < 2 ? span.tenants : span.tenants.toSorted(inTenantOrder);
      left = [];
    }
    const { activeMs, conflictMs, partition } = span;
    const whole = piece.fromMs === span.fromMs && piece.toMs === span.toMs;
    if (activeMs === null || whole) return { activeMs, conflictMs, partition, tenants: order };
    if (doneToMs === span.fromMs) left = order.map(executedMs);
    if (piece.fromMs > doneToMs) advance(span, activeMs, piece.fromMs);
    const { parts, ...sums } = advance(span, activeMs, piece.toMs);
    return {
      ...sums,
      partition,
      tenants: order.map((tenant, index) => ({ ...tenant, activeMs: at(parts, index) })),
    };
  };
}

/** What a tenant executed on a device that tells its activity; throws where that is not told. */
export function executedMs({ process, activeMs }: ObservedTenant): number {
  if (activeMs === null)
    throw new RangeError(`a device tells its activity, and not what ${process} executed`);
  return activeMs;
}

type Place = Pick<ObservedTenant, 'process' | 'gpuInstance'>;

/** By process ids, then by instances. */
export const inTenantOrder = (a: Place, b: Place): number =>
  a.process === b.process ? (a.gpuInstance ?? -1) - (b.gpuInstance ?? -1) : a.process < b.process ? -1 : 1;

/** The part of a span inside `part`, as a cutter gives it. */
export function cutSpan(span: ObservedSpan, part: Interval): ObservedSpan {
  if (part.fromMs === span.fromMs && part.toMs === span.toMs) return span;
  if (span.activeMs === null) return { ...span, ...part };
  return { ...span, ...part, ...createSpanCutter()(span, part) };
}
