// Whose the rows of the driver's accounting are: of somebody seen, of somebody who lives, or of nobody who can be named.
import { describe, expect, test } from 'vitest';
import { ACCOUNTED_TYPE } from '../../api/contract/batch.ts';
import { type Accounted, AccountingBook } from '../../collector/accounting.ts';
import type { EndedProcess } from '../../collector/reading.ts';

const GPU = 'GPU-a';
const OTHER = 'GPU-b';
const POLL_MS = 5000;
const MINUTE_MS = 60_000;

class World {
  wallMs = 1_790_000_000_000;
  monotonicMs = 0;
  /** Since when a pid has been a process that lives. */
  readonly living = new Map<number, number>();
  readonly ended: string[] = [];
  startedMs: number | null = null;
  readonly #book = new AccountingBook({
    keyOfLiving: (pid, sinceMs) => ((this.living.get(pid) ?? Infinity) < sinceMs ? `${pid}/9` : null),
    keyOfEnded: (pid, atMs, why) => {
      this.ended.push(why);
      return `${pid}/?${atMs}`;
    },
  });

  poll(listed: Record<string, number[]>, ended: readonly EndedProcess[] = [], afterMs = POLL_MS): Accounted {
    this.wallMs += afterMs;
    this.monotonicMs += Math.abs(afterMs);
    const devices = Object.entries(listed).map(([uuid, pids]) => ({
      ...{ ok: true as const, uuid, utilisationPercent: 0, memoryUsedBytes: 0, powerMilliwatts: 0 },
      ...{ powerLimitMilliwatts: 0, partition: [] },
      processes: pids.map((pid) => ({
        ...{ pid, type: 'C', smPercent: null, memoryBytes: null, gpuInstance: null, computeInstance: null },
      })),
    }));
    const keys = new Map(
      Object.values(listed).flatMap((pids) => pids.map((pid) => [pid, `${pid}/1`] as const)),
    );
    const { wallMs, monotonicMs } = this;
    return this.#book.take({ wallMs, monotonicMs, devices, ended, problems: [] }, keys, () => this.startedMs);
  }
}

const row = (pid: number, device = GPU, openMs = 1000): EndedProcess => ({
  ...{ device, pid, openMs, busyPercent: 50, maxMemoryBytes: null },
});
const keysOf = ({ facts }: Accounted): string[] => facts.map(({ process }) => process);
const placedOf = ({ ended }: Accounted, device = GPU): string[] =>
  (ended.get(device) ?? []).map(({ process, type }) => `${process} ${type}`);

describe('a row of the accounting', () => {
  test('of a process that a reading saw there is its own, once', () => {
    const world = new World();
    world.poll({ [GPU]: [5] });
    const gone = world.poll({ [GPU]: [] }, [row(5)]);
    expect(keysOf(gone)).toEqual(['5/1']);
    expect(placedOf(gone)).toEqual(['5/1 C']);
    const again = world.poll({ [GPU]: [] }, [row(5)]);
    expect(keysOf(again)).toEqual([`5/?${world.wallMs}`]);
    expect(placedOf(again)).toEqual([`5/?${world.wallMs} ${ACCOUNTED_TYPE}`]);
  });

  test('gives a process that left what is left of its open time, at the least', () => {
    const world = new World();
    world.poll({ [GPU]: [] });
    // It began two seconds before the reading that saw it.
    world.startedMs = world.wallMs + POLL_MS - 2000;
    world.poll({ [GPU]: [5] });
    const { ended } = world.poll({ [GPU]: [] }, [row(5, GPU, 3500)]);
    expect(ended.get(GPU)).toMatchObject([{ process: '5/1', type: 'C', stayed: true, openMs: 1500 }]);
    // The start is not known: it can have been there since the reading before. So the row tells at most that it was short.
    world.startedMs = null;
    const openOf = (accounted: Accounted) => (accounted.ended.get(GPU) ?? []).map((one) => one.openMs);
    world.poll({ [GPU]: [6] });
    expect(openOf(world.poll({ [GPU]: [] }, [row(6, GPU, POLL_MS)]))).toEqual([]);
    world.poll({ [GPU]: [9] });
    expect(openOf(world.poll({ [GPU]: [] }, [row(9, GPU, 1700)]))).toEqual([1700]);
    // It was seen for longer than its row says: that tells nothing.
    for (const listed of [[10], [10]]) world.poll({ [GPU]: listed });
    expect(openOf(world.poll({ [GPU]: [] }, [row(10, GPU, POLL_MS - 1)]))).toEqual([]);
    // The time of one that was away for a while counts from its first sight.
    for (const listed of [[8], [], [8]]) world.poll({ [GPU]: listed });
    expect(openOf(world.poll({ [GPU]: [] }, [row(8, GPU, 2 * POLL_MS + 1000)]))).toEqual([1000]);
    world.poll({ [GPU]: [7] });
    world.poll({ [GPU]: [] });
    // The interval in which it left is over.
    expect(world.poll({ [GPU]: [] }, [row(7, GPU, 9000)]).ended.size).toBe(0);
  });

  test('of longer than since a reading that did not list the process refutes that reading, and gives by its start', () => {
    const given = (bornMs: number | null, openMs: number) => {
      const world = new World();
      world.startedMs = bornMs === null ? null : world.wallMs + bornMs;
      // A sensor lies in the first of them: the process was there.
      for (const listed of [[], [5]]) world.poll({ [GPU]: listed });
      return world.poll({ [GPU]: [] }, [row(5, GPU, openMs)]).ended.get(GPU) ?? [];
    };
    // It came 8 s before the last reading that saw it, and had the device open for 12 s: until 4 s after that at least.
    expect(given(2000, 12_000)).toMatchObject([{ openMs: 4000, sure: true }]);
    expect(given(-60_000, 12_000)).toEqual([]);
    expect(given(null, 12_000)).toEqual([]);
  });

  test('of a process that is still listed is its own each time: it closed one context of several', () => {
    const world = new World();
    for (let i = 0; i < 3; i += 1) expect(keysOf(world.poll({ [GPU]: [5] }, [row(5)]))).toEqual(['5/1']);
    expect(world.ended).toEqual([]);
  });

  test('on another device than it was seen on is not known to be its own', () => {
    const world = new World();
    world.poll({ [GPU]: [5], [OTHER]: [] });
    expect(placedOf(world.poll({ [GPU]: [5], [OTHER]: [] }, [row(5, OTHER)]), OTHER)).toHaveLength(1);
  });

  test('that comes long after its process was last seen is another one', () => {
    const world = new World();
    world.poll({ [GPU]: [5] });
    world.poll({ [GPU]: [] }, [], 14 * MINUTE_MS);
    expect(keysOf(world.poll({ [GPU]: [] }, [row(5)]))).toEqual(['5/1']);
    world.poll({ [GPU]: [6] });
    world.poll({ [GPU]: [] }, [], 16 * MINUTE_MS);
    expect(keysOf(world.poll({ [GPU]: [] }, [row(6)]))).toEqual([`6/?${world.wallMs}`]);
  });

  test('of a pid that lives is that process only if it had the pid before the interval', () => {
    const world = new World();
    world.poll({ [GPU]: [] });
    world.living.set(7, world.wallMs - 1);
    world.living.set(8, world.wallMs + 1);
    const told = world.poll({ [GPU]: [] }, [row(7), row(8)]);
    expect(placedOf(told)).toEqual(['7/9 ?', `8/?${world.wallMs} ${ACCOUNTED_TYPE}`]);
  });

  test('of one process on two devices is one process', () => {
    const world = new World();
    world.poll({ [GPU]: [], [OTHER]: [] });
    const told = world.poll({ [GPU]: [], [OTHER]: [] }, [row(5), row(5, OTHER)]);
    expect(new Set(keysOf(told)).size).toBe(1);
    expect(world.ended).toHaveLength(1);
    expect(placedOf(told, GPU)).toEqual(placedOf(told, OTHER));
  });

  test('says when it was open for longer than readings should have missed', () => {
    const world = new World();
    world.poll({ [GPU]: [] });
    world.poll({ [GPU]: [] }, [row(5, GPU, POLL_MS), row(6, GPU, POLL_MS + 1)]);
    expect(world.ended).toEqual([
      expect.stringContaining('it began and ended between two readings'),
      expect.stringContaining('no reading listed it, though it had a device open for 5001 ms'),
    ]);
  });

  test('lies between the reading before that measured something and this one, whatever the clock does', () => {
    const world = new World();
    world.poll({ [GPU]: [] });
    const beforeMs = world.wallMs;
    world.poll({});
    const [fact] = world.poll({ [GPU]: [] }, [row(5)]).facts;
    expect(fact).toMatchObject({ afterMs: beforeMs, seenMs: beforeMs + 2 * POLL_MS });
    const [back] = world.poll({ [GPU]: [] }, [row(6)], -MINUTE_MS).facts;
    expect(back?.afterMs).toBe(back?.seenMs);
  });

  test('beyond what one reading may hold is counted as lost', () => {
    const world = new World();
    world.poll({ [GPU]: [] });
    const told = world.poll(
      { [GPU]: [] },
      Array.from({ length: 600 }, (_, i) => row(i + 1)),
    );
    expect(told.facts).toHaveLength(512);
    expect(told.lost).toBe(88);
  });

  test('finds its process among thousands that came and went, but for the longest gone', () => {
    const world = new World();
    for (let i = 0; i < 40; i += 1)
      world.poll({ [GPU]: Array.from({ length: 100 }, (_, j) => 1 + i * 100 + j) });
    expect(keysOf(world.poll({ [GPU]: [] }, [row(3950), row(1)]))).toEqual(['3950/1', `1/?${world.wallMs}`]);
  });
});
