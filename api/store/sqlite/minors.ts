/** Which device had which minor number on a node when, and the jobs that are declared by such numbers. */
import type { Allocation, Job } from '../../domain/job.ts';
import {
  devicesMeant,
  type MeantDevices,
  type MinorSighting,
  type MinorStretch,
  minorStretches,
  withDevices,
} from '../../domain/minors.ts';
import type { Sqlite } from './connection.ts';
import type { DirtyMarks } from './dirty.ts';

export interface Minors {
  /** What an inventory says, and the hours marked in which jobs that were declared by number hold other devices by it. */
  take(
    node: number,
    bootId: string,
    numbers: readonly { readonly minor: number; readonly device: number }[],
    atMs: number,
    seq: number,
    nowMs: number,
  ): void;
  /** The jobs with devices for their numbers on a node. */
  resolve(node: number, name: string, jobs: readonly Job[]): Job[];
  meant(node: number, allocation: Allocation): MeantDevices;
}

export function createMinors(sqlite: Sqlite, dirty: DirtyMarks): Minors {
  const { database } = sqlite;
  const insert = database.prepare(
    `INSERT INTO device_minors (node, boot_id, minor, device, first_ms) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (node, boot_id, minor, device) DO UPDATE SET first_ms = excluded.first_ms
     WHERE excluded.first_ms < first_ms`,
  );
  const read = createMinorReader(sqlite);
  const selectEra = database.prepare<[{ node: number; bootId: string }], { fromMs: number; earlier: number }>(
    `SELECT coalesce(min(first_ms) FILTER (WHERE boot_id = :bootId), 0) AS fromMs,
       min(first_ms) < min(first_ms) FILTER (WHERE boot_id = :bootId) AS earlier
     FROM device_minors WHERE node = :node`,
  );
  const selectOpened = database
    .prepare<[number], number | null>('SELECT min(from_ms) FROM capacity WHERE node = ?')
    .pluck();
  const selectByIndex = database.prepare<[number, number], { from_ms: number; until_ms: number }>(
    `SELECT DISTINCT a.from_ms, a.until_ms FROM nodes n JOIN clusters c ON c.cluster = n.cluster
     JOIN job_allocations a ON a.node = n.name JOIN jobs j ON j.job = a.job
     JOIN sources s ON s.source = j.source AND s.cluster = c.cluster
     WHERE n.node = ? AND a.indices IS NOT NULL AND a.until_ms > ?`,
  );

  return {
    take(node, bootId, numbers, atMs, seq, nowMs) {
      const before = numbers.length === 0 ? [] : read(node);
      let changed = false;
      for (const { minor, device } of numbers)
        changed = insert.run(node, bootId, minor, device, atMs).changes > 0 || changed;
      if (!changed) return;
      // The numbers of the node's first boot count for all time before it, in which it had any device.
      const { fromMs, earlier } = selectEra.get({ node, bootId }) ?? { fromMs: 0, earlier: 0 };
      const opened = selectOpened.get(node) ?? fromMs;
      const sinceMs = earlier === 1 && before.length > 0 ? fromMs : Math.min(opened, fromMs);
      for (const held of selectByIndex.all(node, sinceMs))
        dirty.markRange(node, Math.max(held.from_ms, sinceMs), held.until_ms, seq, nowMs);
    },
    meant: (node, allocation) => devicesMeant(allocation, minorStretches(read(node))),
    resolve(node, name, jobs) {
      let stretches: MinorStretch[] | null = null;
      const byIndex = (job: Job): boolean =>
        [job, ...(job.earlier ?? [])].some(({ allocations }) =>
          allocations.some((one) => one.indices !== undefined && one.node === name),
        );
      return jobs.map((job) => {
        if (!byIndex(job)) return job;
        stretches ??= minorStretches(read(node));
        return withDevices(job, name, stretches);
      });
    },
  };
}

/** The function that gives what the inventories of a node said. */
export function createMinorReader({ database }: Sqlite): (node: number) => MinorSighting[] {
  const select = database.prepare<[number], MinorSighting>(
    `SELECT m.boot_id AS bootId, m.minor, d.uuid AS device, m.first_ms AS firstMs
     FROM device_minors m JOIN devices d ON d.device = m.device WHERE m.node = ?`,
  );
  return (node) => select.all(node);
}
