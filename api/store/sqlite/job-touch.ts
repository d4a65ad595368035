/** Which node-hours a declaration touches. */
import { HOUR_MS } from '../../contract/batch.ts';
import { canonicalJson } from '../../contract/canonical.ts';
import { OPEN_END_MS } from '../../domain/bind.ts';
import type { Interval } from '../../domain/interval.ts';
import type { Job } from '../../domain/job.ts';
import { MAX_ANCESTORS } from '../../domain/process.ts';
import type { Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';
import type { Ids } from './ids.ts';
import type { Placement } from './placement.ts';

/** A verdict on time near a job's end waits for the grace, so cells after it may change too. */
const END_EDGE_MS = 600_000;

/**
 * Marks what version `after` of a job touches, and what `before` (null: it is new) touched: the hours of its allocations;
 * where devices are placed by count, those in which that moves any job; and the hours in which a process ran that its
 * boundaries, its root or its id name. Where only the end moved, hours before both ends stay as they are.
 */
export type TouchJob = (before: Job | null, after: Job, seq: number, nowMs: number, urgent: boolean) => void;

export function createJobTouch(sqlite: Sqlite, ids: Ids, dirty: DirtyMarks, placement: Placement): TouchJob {
  const hoursOfProcesses = createProcessHours(sqlite, ids);

  return (before, after, seq, nowMs, urgent) => {
    const sinceMs = changedSinceMs(before, after);
    if (sinceMs === null) return;
    const touched = new Map<number, Interval[]>();
    for (const job of before === null ? [after] : [before, after]) {
      for (const allocation of job.allocations) {
        const node = ids.findNode(job.cluster, allocation.node)?.node;
        if (node === undefined) continue;
        const fromMs = Math.max(allocation.fromMs, job.startMs);
        const toMs = Math.min(allocation.toMs ?? OPEN_END_MS, job.endMs ?? OPEN_END_MS);
        const edgeMs = Math.min(OPEN_END_MS, toMs + END_EDGE_MS);
        dirty.markRange(node, Math.max(fromMs, sinceMs), edgeMs, seq, nowMs, urgent);
        touched.set(node, [...(touched.get(node) ?? []), { fromMs, toMs }]);
      }
      for (const [node, hours] of hoursOfProcesses(job))
        for (const hourMs of hours)
          if (hourMs + HOUR_MS > sinceMs) dirty.mark(node, hourMs, urgent, seq, nowMs);
    }
    const jobs = (now: readonly Job[]): readonly Job[] => [
      ...now.filter((job) => job.id !== after.id),
      ...(before === null ? [] : [before]),
    ];
    for (const [node, spans] of touched)
      for (const { fromMs, toMs } of placement.movedTime(node, spans, { jobs }))
        dirty.markRange(node, fromMs, toMs, seq, nowMs);
  };
}

/** From when on two versions may be judged differently; null where only words differ. */
function changedSinceMs(before: Job | null, after: Job): number | null {
  if (before === null || substanceOf(before) !== substanceOf(after)) return 0;
  if (before.endMs === after.endMs) return null;
  return Math.min(before.endMs ?? OPEN_END_MS, after.endMs ?? OPEN_END_MS);
}

/** Everything that a verdict or a sum can depend on, but the end. */
function substanceOf(job: Job): string {
  const { endMs, name, version, recordedAtMs, recordedBy, earlier, marks = [], ...substance } = job;
  return canonicalJson({ ...substance, isForOther: marks.includes('other_user') });
}

/** The hours, by node, in which a process ran that a job's boundaries, root or id name. */
function createProcessHours(sqlite: Sqlite, ids: Ids): (job: Job) => Map<number, Set<number>> {
  const { database } = sqlite;
  const byBoundary = database.prepare<[string, string], { node: number; hour_ms: number }>(
    `SELECT DISTINCT p.node, h.hour_ms FROM process_boundaries b JOIN processes p ON p.process = b.process
     JOIN nodes n ON n.node = p.node JOIN clusters c ON c.cluster = n.cluster
     JOIN process_hours h ON h.process = p.process WHERE b.boundary = ? AND c.name = ?`,
  );
  const byClaim = database.prepare<[string, string, string], { node: number; hour_ms: number }>(
    `SELECT DISTINCT p.node, h.hour_ms FROM process_claims a JOIN processes p ON p.process = a.process
     JOIN nodes n ON n.node = p.node JOIN clusters c ON c.cluster = n.cluster
     JOIN process_hours h ON h.process = p.process WHERE a.value IN (?, ?) AND c.name = ?`,
  );
  const byRoot = database.prepare<[{ node: number; bootId: string; key: string }], { hour_ms: number }>(
    `WITH RECURSIVE tree (process, key, depth) AS (
       SELECT process, key, 0 FROM processes WHERE node = :node AND boot_id = :bootId AND key = :key
       UNION
       SELECT p.process, p.key, t.depth + 1 FROM tree t
       JOIN processes p ON p.node = :node AND p.boot_id = :bootId AND p.parent_key = t.key WHERE t.depth < ${MAX_ANCESTORS}
     )
     SELECT DISTINCT h.hour_ms FROM tree t JOIN process_hours h ON h.process = t.process`,
  );

  return (job) => {
    const found = new Map<number, Set<number>>();
    const add = (node: number, hourMs: number) => {
      const hours = found.get(node) ?? new Set<number>();
      found.set(node, hours.add(hourMs));
    };
    for (const boundary of job.boundaries)
      for (const row of byBoundary.all(boundary, job.cluster)) add(row.node, row.hour_ms);
    for (const row of byClaim.all(job.externalId, job.id, job.cluster)) add(row.node, row.hour_ms);
    const root = job.declares.root;
    const node = root === null ? undefined : ids.findNode(job.cluster, root.node)?.node;
    if (root !== null && node !== undefined)
      for (const row of byRoot.all({ node, bootId: root.bootId, key: `${root.pid}/${root.startTicks}` }))
        add(node, row.hour_ms);
    return found;
  };
}
