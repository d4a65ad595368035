/** Which jobs a placement on a node depends on, and when a change of them moves it. */
import { HOUR_MS } from '../../contract/batch.ts';
import { bindNode, type FirstSeen, OPEN_END_MS, placesByCount } from '../../domain/bind.ts';
import { changedTime, type Interval, intersect, type Keyed } from '../../domain/interval.ts';
import type { Job } from '../../domain/job.ts';
import type { Policy } from '../../domain/policy.ts';
import type { Sqlite } from './connection.ts';
import { hourOf } from './dirty.ts';
import type { Ids } from './ids.ts';
import type { JobRows } from './job-rows.ts';
import type { Minors } from './minors.ts';

/** Jobs further from a time than this no longer count for what is placed in it. */
const DAY_MS = 24 * HOUR_MS;
const REACH_MS = 7 * DAY_MS;

interface AllocationRow {
  readonly job: number;
  readonly from_ms: number;
  readonly until_ms: number;
  readonly counted: number;
}

interface CapacityRow {
  readonly uuid: string;
  readonly from_ms: number;
  readonly to_ms: number | null;
}

/** How a state before the present one differed from it. */
interface Edit {
  readonly jobs?: (now: readonly Job[]) => readonly Job[];
  readonly firstSeen?: (now: FirstSeen) => FirstSeen;
}

export interface Placement {
  /**
   * Jobs by whose allocations the holdings of a node in a time are placed: those in it, and through "n of the node" those
   * beside them.
   */
  jobsAround(node: number, time: Interval): number[];
  /** The function that tells the same while nothing is declared. */
  createJobsAround(): (node: number, time: Interval) => number[];
  /** Where the named jobs, placed by count, ran first; `exceptHourMs`: as all other hours show. */
  firstSeen(node: number, jobs: Iterable<string>, exceptHourMs: number | null): FirstSeen;
  /** The hours of a node whose holdings are others than before `edit`, which touched jobs in these times. */
  movedTime(node: number, touched: readonly Interval[], edit: Edit): Interval[];
}

export interface PlacementParts {
  readonly ids: Ids;
  readonly jobs: JobRows;
  readonly minors: Minors;
  readonly policyAt: (atMs: number) => Policy;
}

export function createPlacement(sqlite: Sqlite, { ids, jobs, minors, policyAt }: PlacementParts): Placement {
  const { database } = sqlite;
  const allocations = database.prepare<[string, string, number, number], AllocationRow>(
    `SELECT a.job, a.from_ms, a.until_ms, a.device_count IS NOT NULL AS counted FROM job_allocations a
     JOIN jobs j ON j.job = a.job
     JOIN sources s ON s.source = j.source JOIN clusters c ON c.cluster = s.cluster
     WHERE (j.version = a.version OR s.self_declared = 1) AND c.name = ? AND a.node = ? AND a.until_ms > ? AND a.from_ms < ?`,
  );
  const capacity = database.prepare<[number], CapacityRow>(
    `SELECT d.uuid, c.from_ms, c.to_ms FROM capacity c JOIN devices d ON d.device = c.device
     WHERE c.node = ? ORDER BY d.uuid, c.from_ms`,
  );
  const sightings = database.prepare<[number, number, number], { device: number; atMs: number }>(
    `SELECT device, min(first_seen_ms) AS atMs FROM bindings
     WHERE node = ? AND job = ? AND hour_ms <> ? GROUP BY device`,
  );

  type Read = (cluster: string, node: string, time: Interval) => readonly AllocationRow[];
  const readRows: Read = (cluster, node, { fromMs, toMs }) => allocations.all(cluster, node, fromMs, toMs);
  const jobsBy =
    (read: Read) =>
    (node: number, { fromMs, toMs }: Interval): number[] => {
      const { cluster, node: name } = ids.nodeName(node);
      const reach = { fromMs: fromMs - REACH_MS, toMs: Math.min(OPEN_END_MS, toMs + REACH_MS) };
      for (let wide: Interval = { fromMs, toMs }; ; ) {
        const rows = read(cluster, name, wide);
        const counted = rows.filter((row) => row.counted === 1);
        const hull = {
          fromMs: Math.max(reach.fromMs, Math.min(wide.fromMs, ...counted.map((row) => row.from_ms))),
          toMs: Math.min(reach.toMs, Math.max(wide.toMs, ...counted.map((row) => row.until_ms))),
        };
        if (hull.fromMs === wide.fromMs && hull.toMs === wide.toMs)
          return [...new Set(rows.map((row) => row.job))];
        wide = hull;
      }
    };

  const placement: Placement = {
    jobsAround: jobsBy(readRows),
    createJobsAround: () => jobsBy(keepRows(readRows)),
    firstSeen(node, wanted, exceptHourMs) {
      const seen = new Map<string, ReadonlyMap<string, number>>();
      for (const id of wanted) {
        const rows = sightings.all(node, ids.job(id), exceptHourMs ?? -1);
        if (rows.length > 0) seen.set(id, new Map(rows.map((row) => [ids.deviceUuid(row.device), row.atMs])));
      }
      return seen;
    },
    movedTime(node, touched, edit) {
      const spans = touched.filter((one) => one.fromMs < one.toMs);
      if (spans.length === 0) return [];
      const hull = {
        fromMs: Math.min(...spans.map((one) => one.fromMs)),
        toMs: Math.max(...spans.map((one) => one.toMs)),
      };
      const { node: name } = ids.nodeName(node);
      const declared = placement.jobsAround(node, hull).map((row) => jobs.read(row).job);
      const now = minors.resolve(node, name, declared);
      const was = minors.resolve(node, name, edit.jobs?.(declared) ?? declared);
      if (![...now, ...was].some((job) => placesByCount(job, name))) return [];
      const every = new Set([...now, ...was].map((job) => job.id));
      const seenNow = placement.firstSeen(node, every, null);
      const seenBefore = edit.firstSeen?.(seenNow) ?? seenNow;
      const moved: Interval[] = [];
      for (const { uuids, ...segment } of deviceSets(capacity.all(node))) {
        const policy = policyAt(segment.fromMs);
        const held = (of: readonly Job[], seen: FirstSeen): Keyed<string>[] =>
          bindNode(name, of, seen, uuids, policy).flatMap((holding) => {
            const inside = intersect(holding, segment);
            const { job, device, shareMilli, assumed } = holding;
            return inside === null
              ? []
              : [{ key: JSON.stringify([job, device, shareMilli, assumed]), ...inside }];
          });
        moved.push(...changedTime(held(was, seenBefore), held(now, seenNow)));
      }
      return moved;
    },
  };
  return placement;
}

/** Reads of one node's allocations, the widest time that was asked for kept. */
function keepRows(
  read: (cluster: string, node: string, time: Interval) => readonly AllocationRow[],
): (cluster: string, node: string, time: Interval) => readonly AllocationRow[] {
  const kept = new Map<string, Interval & { readonly rows: readonly AllocationRow[] }>();
  return (cluster, node, time) => {
    const key = `${cluster} ${node}`;
    let known = kept.get(key);
    if (known === undefined || time.fromMs < known.fromMs || time.toMs > known.toMs) {
      // The next hour will be asked for next.
      const wide = { fromMs: time.fromMs - DAY_MS, toMs: Math.min(OPEN_END_MS, time.toMs + DAY_MS) };
      known = { ...wide, rows: read(cluster, node, wide) };
      kept.set(key, known);
    }
    return known.rows.filter((row) => row.until_ms > time.fromMs && row.from_ms < time.toMs);
  };
}

/** The devices of a node over time, hour by hour: what was there for a part of an hour counts for all of it. */
function deviceSets(rows: readonly CapacityRow[]): (Interval & { uuids: string[] })[] {
  const whole = rows.map((row) => ({
    uuid: row.uuid,
    fromMs: hourOf(row.from_ms),
    toMs: row.to_ms === null ? OPEN_END_MS : hourOf(row.to_ms + HOUR_MS - 1),
  }));
  const edges = [...new Set(whole.flatMap((one) => [one.fromMs, one.toMs]))].sort((a, b) => a - b);
  return edges.slice(1).map((toMs, index) => {
    const fromMs = edges[index] ?? toMs;
    const here = whole.filter((one) => one.fromMs <= fromMs && toMs <= one.toMs);
    return { fromMs, toMs, uuids: here.map((one) => one.uuid) };
  });
}
