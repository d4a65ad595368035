// Cuts measured spans into the pieces of a cell without gaining or losing a millisecond.
import { apportion, partBetween } from './apportion.ts';
import type { ObservedSpan, ProcessId } from './cell.ts';
import type { Interval } from './interval.ts';

/** Active time of a piece of a span, per tenant in the order of process ids. */
export interface PieceActivity {
  readonly activeMs: number | null;
  readonly tenants: readonly { readonly process: ProcessId; readonly activeMs: number }[];
}

/**
 * Cuts spans into consecutive pieces: active time in proportion to length, and every tenant's parts sum to what it had.
 * Pieces of one span are asked for in ascending order; what is skipped is cut off and dropped.
 */
export function createSpanCutter(): (span: ObservedSpan, piece: Interval) => PieceActivity {
  let current: ObservedSpan | null = null;
  let order: ObservedSpan['tenants'] = [];
  let left: number[] = [];
  let doneToMs = 0;
  const advance = (span: ObservedSpan, activeMs: number, toMs: number): number[] => {
    const length = span.toMs - span.fromMs;
    const ms = partBetween(activeMs, length, doneToMs - span.fromMs, toMs - span.fromMs);
    doneToMs = toMs;
    if (left.length === 0) return [ms];
    const parts = apportion(ms, left);
    left = left.map((have, index) => have - (parts[index] ?? 0));
    return parts;
  };
  return (span, piece) => {
    if (span !== current) {
      current = span;
      doneToMs = span.fromMs;
      order =
        span.tenants.length < 2
          ? span.tenants
          : [...span.tenants].sort((a, b) => (a.process < b.process ? -1 : 1));
      left = order.map((tenant) => tenant.activeMs ?? 0);
    }
    const { activeMs } = span;
    if (activeMs === null)
      return { activeMs, tenants: order.map(({ process }) => ({ process, activeMs: 0 })) };
    if (piece.fromMs > doneToMs) advance(span, activeMs, piece.fromMs);
    const whole = piece.fromMs === span.fromMs && piece.toMs === span.toMs;
    const parts = whole ? left : advance(span, activeMs, piece.toMs);
    const pieceActiveMs = whole ? activeMs : parts.reduce((sum, part) => sum + part, 0);
    return {
      activeMs: pieceActiveMs,
      tenants: order.map(({ process }, index) => ({ process, activeMs: parts[index] ?? 0 })),
    };
  };
}
