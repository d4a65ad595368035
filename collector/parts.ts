/**
 * The interval between two readings in parts: cut where processes start that the later reading shows, and where those
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
  readonly busyPercent: number | null;
  readonly memoryBytes: number | null;
}

/** When a process started, on the line of time that intervals lie on; null where that is not known. */
export type StartOf = (process: string) => number | null;

/**
 * So many ended processes of one device and interval are placed, the busiest and longest; nearly all of them lie at its
 * end, so that what further ones had is mostly inside the time of these.
 */
const MAX_PLACED = 16;

type Placed = EndedTenant & Stretched;

const NO_STARTS: ReadonlyMap<string, number> = new Map();

/** `there`: who has the end of the interval, with the percent of all of it. `last`: who had its beginning. */
export function partsOf(
  interval: Stretched,
  last: Occupancy,
  there: Occupancy,
  startOf: StartOf,
  ended: readonly EndedTenant[],
): Part[] {
  if (interval.toMs <= interval.fromMs) return [];
  const starts = startsWithin(interval, last, there, startOf);
  const placed = placedIn(interval, there, ended);
  if (starts.size === 0 && placed.length === 0) return [{ ...interval, occupancy: there }];
  const edges = placed.flatMap(({ fromMs, toMs }) => [fromMs, toMs]);
  const cuts = [...starts.values(), ...edges].sort((a, b) => a - b);
  const parts: Part[] = [];
  let fromMs = interval.fromMs;
  for (const toMs of [...new Set(cuts), interval.toMs]) {
    if (toMs <= fromMs) continue;
    const begun = (one: Placed): boolean => one.fromMs <= fromMs && one.toMs >= toMs;
    const seen = starts.size === 0 ? there : begunBy(fromMs, starts, there);
    parts.push({ fromMs, toMs, occupancy: withEnded(seen, placed.filter(begun)) });
    fromMs = toMs;
  }
  return parts;
}

/** Processes that are new in `now` and are known to have started within the interval, and where; at least 1 ms is theirs. */
function startsWithin(
  interval: Stretched,
  last: Occupancy,
  now: Occupancy,
  startOf: StartOf,
): ReadonlyMap<string, number> {
  if (last.occupants === now.occupants) return NO_STARTS;
  const starts = new Map<string, number>();
  for (const { process } of now.occupants) {
    if (last.occupants.some((occupant) => occupant.process === process)) continue;
    const startMs = startOf(process);
    if (startMs !== null && startMs > interval.fromMs && interval.toMs - interval.fromMs > 1)
      starts.set(process, Math.min(Math.round(startMs), interval.toMs - 1));
  }
  return starts;
}

function begunBy(atMs: number, starts: ReadonlyMap<string, number>, there: Occupancy): Occupancy {
  const present = occupancyWhere(there, (process) => (starts.get(process) ?? 0) <= atMs);
  // Before its process started, nothing can have worked there.
  const nobodyYet = present.occupants.length === 0 && there.percent !== null;
  return nobodyYet ? { ...present, percent: 0 } : present;
}

/** When an unseen one ended is not known, only that it did. What was open for longer has all of the interval. */
function placedIn({ fromMs, toMs }: Stretched, there: Occupancy, ended: readonly EndedTenant[]): Placed[] {
  if (ended.length === 0) return [];
  const room = Math.min(MAX_PLACED, BATCH_LIMITS.tenantsPerTenancy - there.occupants.length);
  return ended
    .filter((one) => one.openMs > 0 && (one.stayed || !isThere(there, one)))
    .sort((a, b) => (b.busyPercent ?? 0) - (a.busyPercent ?? 0) || b.openMs - a.openMs)
    .slice(0, Math.max(0, room))
    .map((one) => ({
      ...one,
      fromMs: one.stayed ? fromMs : Math.max(fromMs, toMs - one.openMs),
      toMs: one.stayed ? Math.min(toMs, fromMs + one.openMs) : toMs,
    }));
}

const isThere = ({ occupants }: Occupancy, { process }: EndedTenant): boolean =>
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
  const others = ended.filter((one) => !isThere(seen, one));
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
