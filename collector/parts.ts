/**
 * The interval between two readings in parts: cut where processes come and go, as far as that is known, and where those
 * began that only the driver's accounting tells of. Pure.
 */
import { BATCH_LIMITS } from '../api/contract/batch.ts';
import { byOccupant, type Occupancy, occupancyWhere } from './occupancy.ts';
import type { Occupant } from './pieces.ts';

/** Stretch of time, both ends in integer milliseconds. */
export interface Stretched {
  readonly fromMs: number;
  readonly toMs: number;
}

/** `occupancy`: who was there; its percent is what was at work. */
export interface Part extends Stretched {
  readonly occupancy: Occupancy;
}

/**
 * A process that ended within the interval, by the driver's accounting, and had the device open for `openMs` of it: from
 * its beginning, `stayed`, or where no reading saw it up to its end.
 */
export interface EndedTenant {
  readonly stayed: boolean;
  readonly process: string;
  readonly type: string;
  readonly openMs: number;
  /** Of one that stayed: it was open for that long at the least. */
  readonly sure?: boolean;
  readonly busyPercent: number | null;
  readonly memoryBytes: number | null;
}

/** When a process started, on the line of time that intervals lie on; null where that is not known. */
export type StartOf = (process: string) => number | null;
/** When it ended, likewise. */
export type EndOf = StartOf;

/** So many ended processes of one device and interval are placed, the busiest and longest. */
const MAX_PLACED = 16;

type Placed = EndedTenant & Stretched;

/** What two readings say of the time between them. */
export interface Between {
  /** Who had its beginning, as the earlier reading says. */
  readonly earlier: Occupancy;
  /** Who has its end. */
  readonly later: Occupancy;
  /** All have left, and the device still shows their work: who did it; else null. */
  readonly trailing: Occupancy | null;
  readonly startOf: StartOf;
  readonly endOf: EndOf;
  readonly ended: readonly EndedTenant[];
}

/**
 * Whoever comes or goes within the interval has a part of it: from its start, where that is known; up to its end, where
 * that was noticed or accounting tells; else half of it, which is wrong by half of it at most and on the average not at all. A part whose
 * processes are those of one of the two readings has that reading's numbers, the later one's where they are those of both.
 */
export function partsOf(interval: Stretched, between: Between): Part[] {
  if (interval.toMs <= interval.fromMs) return [];
  const { earlier, trailing, ended } = between;
  const later = trailing ?? between.later;
  const changes = changesWithin(interval, between);
  const placed = placedIn(interval, later, ended);
  if (changes === null && placed.length === 0) return [{ ...interval, occupancy: later }];
  const edges = placed.flatMap(({ fromMs, toMs }) => [fromMs, toMs]);
  const cuts = [...(changes === null ? [] : [...changes.values()]), ...edges].sort((a, b) => a - b);
  const parts: Part[] = [];
  let fromMs = interval.fromMs;
  for (const toMs of [...new Set(cuts), interval.toMs]) {
    if (toMs <= fromMs || toMs > interval.toMs) continue;
    const begun = (one: Placed): boolean => one.fromMs <= fromMs && one.toMs >= toMs;
    const seen = changes === null ? later : thereAt(fromMs, changes, earlier, later);
    parts.push({ fromMs, toMs, occupancy: withEnded(seen, placed.filter(begun)) });
    fromMs = toMs;
  }
  return parts;
}

/** When each process that only one of the readings shows came or went; null where they show the same ones. */
function changesWithin(
  { fromMs, toMs }: Stretched,
  { earlier, later, trailing, startOf, endOf, ended }: Between,
): ReadonlyMap<string, number> | null {
  if (earlier.occupants === later.occupants) return null;
  const halfMs = Math.round((fromMs + toMs) / 2);
  const changes = new Map<string, number>();
  for (const { process } of later.occupants) {
    if (isThere(earlier, process)) continue;
    const startMs = startOf(process);
    // At least one millisecond is its own.
    const known = startMs !== null && startMs > fromMs;
    changes.set(process, known ? Math.max(fromMs, Math.min(Math.round(startMs), toMs - 1)) : halfMs);
  }
  for (const { process } of earlier.occupants) {
    if (isThere(later, process)) continue;
    const row = ended.find((one) => one.stayed && one.process === process);
    const endMs = endOf(process);
    const known = endMs !== null && endMs > fromMs && endMs < toMs;
    const goneMs = trailing === null ? (known ? Math.round(endMs) : halfMs) : fromMs;
    // Nothing is open for longer than its process lives; when that ended is known to half of a second only.
    const latestMs = known && trailing === null && row?.sure !== true ? goneMs : toMs;
    changes.set(process, row === undefined ? goneMs : Math.min(latestMs, fromMs + row.openMs));
  }
  return changes.size === 0 ? null : changes;
}

/** Who was there from `atMs` on, up to the next change, and how much was at work. */
function thereAt(
  atMs: number,
  changes: ReadonlyMap<string, number>,
  earlier: Occupancy,
  later: Occupancy,
): Occupancy {
  const changed = (process: string): boolean => (changes.get(process) ?? Number.POSITIVE_INFINITY) <= atMs;
  const stays = (process: string): boolean => !changes.has(process);
  const come = later.occupants.some(({ process }) => changed(process));
  const allCome = later.occupants.every(({ process }) => stays(process) || changed(process));
  const gone = earlier.occupants.some(({ process }) => changed(process));
  const allGone = earlier.occupants.every(({ process }) => stays(process) || changed(process));
  if (!come && !gone) return earlier;
  if (allCome && allGone) return later;
  if (allGone) return partOf(later, (process) => stays(process) || changed(process));
  const left = partOf(earlier, (process) => !changed(process));
  return come ? together(left, partOf(later, changed)) : left;
}

/** By how much each takes part in the work of an occupancy. */
function weightsOf({ smPercent }: Occupancy): readonly number[] {
  const measured = smPercent.some((value) => (value ?? 0) > 0);
  return measured ? smPercent.map((value) => value ?? 0) : smPercent.map(() => 1);
}

const sumOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Some of its processes, with their part of the work. */
function partOf(occupancy: Occupancy, keep: (process: string) => boolean): Occupancy {
  const kept = occupancyWhere(occupancy, keep);
  if (kept.occupants.length === occupancy.occupants.length || occupancy.percent === null) return kept;
  const weights = weightsOf(occupancy);
  const own = sumOf(weights.filter((_, i) => keep(occupancy.occupants[i]?.process ?? '')));
  return { ...kept, percent: Math.round((occupancy.percent * own) / Math.max(1, sumOf(weights))) };
}

/** Those of two readings side by side: at most what a device has. */
function together(a: Occupancy, b: Occupancy): Occupancy {
  const rows = [a, b]
    .flatMap((one) => {
      const weights = weightsOf(one);
      const perWeight = (one.percent ?? 0) / Math.max(1, sumOf(weights));
      return one.occupants.map((occupant, i) => ({
        occupant,
        smPercent: Math.round((weights[i] ?? 0) * perWeight),
        memoryBytes: one.memoryBytes[i] ?? null,
      }));
    })
    .sort((x, y) => byOccupant(x.occupant, y.occupant))
    .slice(0, BATCH_LIMITS.tenantsPerTenancy);
  return {
    ...b,
    percent: a.percent === null || b.percent === null ? null : Math.min(100, a.percent + b.percent),
    occupants: rows.map((row) => row.occupant),
    smPercent: rows.map((row) => row.smPercent),
    memoryBytes: rows.map((row) => row.memoryBytes),
  };
}

/**
 * When an unseen one ended is not known, only that it did. They are put one before the other, from the end of the interval
 * back, as short programs follow each other; what does not fit there any more lies beside the others at the end. What was
 * open for longer has all of the interval.
 */
function placedIn({ fromMs, toMs }: Stretched, there: Occupancy, ended: readonly EndedTenant[]): Placed[] {
  if (ended.length === 0) return [];
  const room = Math.min(MAX_PLACED, BATCH_LIMITS.tenantsPerTenancy - there.occupants.length);
  let freeMs = toMs;
  return ended
    .filter((one) => one.openMs > 0 && !one.stayed && !isThere(there, one.process))
    .sort((a, b) => (b.busyPercent ?? 0) - (a.busyPercent ?? 0) || b.openMs - a.openMs)
    .slice(0, Math.max(0, room))
    .map((one) => {
      const fits = one.openMs <= freeMs - fromMs;
      const endMs = fits ? freeMs : toMs;
      if (fits) freeMs -= one.openMs;
      return { ...one, fromMs: Math.max(fromMs, endMs - one.openMs), toMs: endMs };
    });
}

const isThere = ({ occupants }: Occupancy, process: string): boolean =>
  occupants.some((one) => one.process === process);

/**
 * The device worked as much as the reading or the busiest of them says. They take part by how busy they were, so one that
 * was not has nothing of it while another is there.
 */
function withEnded(seen: Occupancy, ended: readonly EndedTenant[]): Occupancy {
  if (ended.length === 0) return seen;
  const { percent } = seen;
  const measured = seen.smPercent.some((value) => (value ?? 0) > 0);
  // Where nothing tells the seen ones apart they have the reading's work in equal parts.
  const each = Math.max(1, Math.floor((percent ?? 0) / Math.max(1, seen.occupants.length)));
  // Who is there already works more, and no second time.
  const others = ended.filter((one) => !isThere(seen, one.process));
  const rows = [
    ...seen.occupants.map((occupant, i) => ({
      occupant,
      smPercent: measured ? (seen.smPercent[i] ?? 0) : each,
      memoryBytes: seen.memoryBytes[i] ?? null,
    })),
    ...others.map(({ process, type, busyPercent, memoryBytes }) => ({
      occupant: { process, type, gpuInstance: null } satisfies Occupant,
      smPercent: busyPercent ?? 0,
      memoryBytes,
    })),
  ].sort((a, b) => byOccupant(a.occupant, b.occupant));
  return {
    ...seen,
    percent:
      percent === null ? null : ended.reduce((most, one) => Math.max(most, one.busyPercent ?? 0), percent),
    occupants: rows.map((row) => row.occupant),
    smPercent: rows.map((row) => row.smPercent),
    memoryBytes: rows.map((row) => row.memoryBytes),
  };
}
