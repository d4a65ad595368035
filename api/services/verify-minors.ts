/** Compares which device had which minor number when, as it is stored, with what the inventories of a node say. */
import { type BatchBody, HOUR_MS } from '../contract/batch.ts';
import type { MinorSighting } from '../domain/minors.ts';

interface MinorDifference {
  /** When, and which device. */
  readonly where: string;
  readonly what: string;
}

/** Over all hours of one node; what it remembers is a row for each device of each boot. */
export interface MinorCheck {
  add(bodies: readonly BatchBody[]): void;
  /** An hour whose batches cannot be read: what only it may have said is not held against the rows. */
  addUnread(hourMs: number): void;
  /** The differences; `stored` in any order. */
  finish(stored: readonly MinorSighting[]): MinorDifference[];
}

export function createMinorCheck(): MinorCheck {
  const said = new Map<string, MinorSighting>();
  const unread = new Set<number>();
  const maySay = (atMs: number, thanMs = Number.POSITIVE_INFINITY): boolean =>
    atMs < thanMs && unread.has(atMs - (atMs % HOUR_MS));

  return {
    add(bodies) {
      for (const { bootId, inventory, fromMs } of bodies)
        for (const { uuid, minor } of inventory ?? []) {
          if (minor === null) continue;
          const one = { bootId, minor, device: uuid, firstMs: fromMs };
          const key = keyOf(one);
          if (fromMs < (said.get(key)?.firstMs ?? Number.POSITIVE_INFINITY)) said.set(key, one);
        }
    },
    addUnread: (hourMs) => void unread.add(hourMs),
    finish(stored) {
      const differences: MinorDifference[] = [];
      const missing = new Map(said);
      for (const row of stored) {
        const key = keyOf(row);
        const due = missing.get(key);
        missing.delete(key);
        if (due?.firstMs === row.firstMs || maySay(row.firstMs, due?.firstMs)) continue;
        const what =
          due === undefined
            ? 'no inventory says so'
            : `stored since ${timeText(row.firstMs)}, the inventories say another time`;
        differences.push(differenceOf(due ?? row, what));
      }
      for (const due of missing.values()) differences.push(differenceOf(due, 'is missing'));
      return differences;
    },
  };
}

const keyOf = ({ bootId, minor, device }: MinorSighting): string => JSON.stringify([bootId, minor, device]);

const differenceOf = ({ bootId, minor, device, firstMs }: MinorSighting, what: string): MinorDifference => ({
  where: `${timeText(firstMs)}, ${device}`,
  what: `minor number ${minor} in boot ${bootId}: ${what}`,
});

const MAX_DATE_MS = 8_640_000_000_000_000;

/** A stored moment may be anything. */
const timeText = (ms: number): string =>
  Math.abs(ms) <= MAX_DATE_MS ? new Date(ms).toISOString() : `${ms} ms`;
