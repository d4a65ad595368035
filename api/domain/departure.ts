// When a process left that was gone at the next reading: with its job, where that ended in between.
import type { ObservedProcess, ObservedSpan, ProcessId } from './cell.ts';
import { createSpanCutter } from './cutter.ts';
import { anyEnded } from './runs.ts';

/**
 * An agent that finds a process gone gives it half of the time since it saw it last. Half an interval between two
 * readings is at most this: they are at most a minute apart, and three times as late.
 */
const MAX_HALF_MS = 90_000;

/** When a process could no longer be there by right: ends of its jobs. */
export type EndsOf = (process: ProcessId) => readonly number[];

/**
 * The spans of a device, where a process that left within one interval left no later than its job ended in it. Nobody
 * saw it after that, so its time there would be a guess held against it. What it executed there by that guess is gone.
 */
export function endWithJobs(
  spans: readonly ObservedSpan[],
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
  endsOf: EndsOf,
): readonly ObservedSpan[] {
  if (!anyEnded(spans, processes)) return spans;
  const leftMs = new Map<ProcessId, number>();
  for (const [id, { lastMs, goneMs }] of lastEnds(spans, processes)) {
    if (goneMs <= lastMs || goneMs - lastMs > MAX_HALF_MS) continue;
    const seenMs = lastMs - (goneMs - lastMs);
    const ends = endsOf(id).filter((endMs) => endMs >= seenMs && endMs < lastMs);
    if (ends.length > 0) leftMs.set(id, Math.min(...ends));
  }
  if (leftMs.size === 0) return spans;
  return spans.flatMap((span) => {
    const ends = span.tenants.map((tenant) => leftMs.get(tenant.process) ?? span.toMs);
    return ends.some((endMs) => endMs < span.toMs) ? withoutLeft(span, ends, leftMs) : [span];
  });
}

/** The end of the last span of each process that is known to have ended, and when it was found gone. */
function lastEnds(
  spans: readonly ObservedSpan[],
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
): Map<ProcessId, { readonly lastMs: number; readonly goneMs: number }> {
  const ends = new Map<ProcessId, { lastMs: number; goneMs: number }>();
  for (const { tenants, toMs } of spans)
    for (const { process } of tenants) {
      const goneMs = processes.get(process)?.exitedMs ?? null;
      if (goneMs !== null) ends.set(process, { lastMs: toMs, goneMs });
    }
  return ends;
}

function withoutLeft(
  span: ObservedSpan,
  ends: readonly number[],
  leftMs: ReadonlyMap<ProcessId, number>,
): ObservedSpan[] {
  const cuts = [...new Set(ends)].filter((ms) => ms > span.fromMs && ms < span.toMs).sort((a, b) => a - b);
  const take = createSpanCutter();
  let fromMs = span.fromMs;
  return [...cuts, span.toMs].map((toMs) => {
    const interval = { fromMs, toMs };
    fromMs = toMs;
    const { activeMs, conflictMs, partition, tenants } = take(span, interval);
    const there = tenants.filter(({ process }) => (leftMs.get(process) ?? toMs) >= toMs);
    const goneMs = tenants.reduce((sum, one) => sum + (there.includes(one) ? 0 : (one.activeMs ?? 0)), 0);
    return {
      ...{ ...interval, conflictMs, partition, tenants: there },
      activeMs: activeMs === null ? null : activeMs - goneMs,
      method: there.length === 0 ? ('none' as const) : span.method,
    };
  });
}
