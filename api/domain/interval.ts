import { at } from './at.ts';

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

/**
 * Fills what is still free of `whole`: inserts `make(free)` into `taken` for every stretch that nothing covers.
 * `taken` is and stays ascending and disjoint.
 */
export function fill<T extends Interval>(taken: T[], whole: Interval, make: (free: Interval) => T): void {
  let index = firstEndingAfter(taken, whole.fromMs);
  let atMs = whole.fromMs;
  while (atMs < whole.toMs) {
    const next = taken[index];
    const endMs = next === undefined ? whole.toMs : Math.min(whole.toMs, next.fromMs);
    if (endMs > atMs) {
      taken.splice(index, 0, make({ fromMs: atMs, toMs: endMs }));
      index += 1;
    }
    if (next === undefined) return;
    atMs = next.toMs;
    index += 1;
  }
}

function firstEndingAfter(taken: readonly Interval[], ms: number): number {
  let low = 0;
  let high = taken.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(taken, middle).toMs <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Something that holds for a time; `key` tells kinds apart. */
export interface Keyed<K> extends Interval {
  readonly key: K;
}

/** The time in which a kind holds in one of the two only. Each kind's own intervals are disjoint. */
export function changedTime<K>(before: readonly Keyed<K>[], after: readonly Keyed<K>[]): Keyed<K>[] {
  const changed: Keyed<K>[] = [];
  const was = Map.groupBy(before, (one) => one.key);
  const is = Map.groupBy(after, (one) => one.key);
  for (const key of new Set([...was.keys(), ...is.keys()])) {
    const [old, now] = [was.get(key) ?? [], is.get(key) ?? []];
    const edges = [...old, ...now].flatMap((one) => [one.fromMs, one.toMs]).sort((a, b) => a - b);
    for (const [index, toMs] of edges.entries()) {
      const fromMs = edges[index - 1] ?? toMs;
      const covers = (one: Interval): boolean => one.fromMs <= fromMs && toMs <= one.toMs;
      if (fromMs < toMs && old.some(covers) !== now.some(covers)) changed.push({ key, fromMs, toMs });
    }
  }
  return changed;
}
