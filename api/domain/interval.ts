/** A stretch of time in integer milliseconds UTC: `fromMs` belongs to it, `toMs` does not. */
export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
}

export const lengthMs = (interval: Interval): number => Math.max(0, interval.toMs - interval.fromMs);

/** The part that both share, or null when they share nothing. */
export function intersect(a: Interval, b: Interval): Interval | null {
  const fromMs = Math.max(a.fromMs, b.fromMs);
  const toMs = Math.min(a.toMs, b.toMs);
  return fromMs < toMs ? { fromMs, toMs } : null;
}
