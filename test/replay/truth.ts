/**
 * What really happened, from the scenario's model alone: this shares no code with the product. Second by second, what a
 * process executes on a device counts for a job, as diverted, or as the site's own.
 */
import type { SimNode, SimProcess } from '../simulator/model.ts';
import { createNodeView } from '../simulator/snapshot.ts';
import type { Built, TruthSpan } from './build.ts';
import type { Ceiling, Truth } from './format.ts';

const STEP_MS = 1000;
const PERCENT_MS = STEP_MS / 100;

/** Of one device and hour, in milliseconds of executing. */
interface TrueCell {
  readonly node: string;
  readonly device: string;
  readonly hourMs: number;
  /** By the job's name in the scenario. */
  readonly declared: Map<string, number>;
  diverted: number;
  /** Of `diverted`: where nobody could have seen it. */
  divertedUnseen: number;
  overhead: number;
}

export interface TrueTotals {
  readonly cells: ReadonlyMap<string, TrueCell>;
  readonly divertedMs: number;
  /** Time in which something diverted executed, whatever its share. */
  readonly occupiedMs: number;
  /** When the first diverted work began; null: there is none. */
  readonly onsetMs: number | null;
  /** Devices that diverted work touched. */
  readonly touched: number;
  /** Executing for each job, by its name. */
  readonly byJob: ReadonlyMap<string, number>;
}

const HOUR_MS = 3_600_000;
export const cellKey = (device: string, hourMs: number): string => `${device} ${hourMs}`;

export function truthOf(built: Built): TrueTotals {
  const cells = new Map<string, TrueCell>();
  const byJob = new Map<string, number>();
  const touched = new Set<string>();
  let divertedMs = 0;
  let occupiedMs = 0;
  let onsetMs: number | null = null;
  for (const { node, fromMs, toMs } of [...built.boots.values()].flat()) {
    const view = createNodeView(withoutLies(node));
    for (let atMs = secondsFrom(built.startMs, fromMs); atMs < Math.min(built.endMs, toMs); atMs += STEP_MS) {
      for (const { device, tenants } of view.at(atMs).devices) {
        const hourMs = Math.floor(atMs / HOUR_MS) * HOUR_MS;
        const key = cellKey(device.uuid, hourMs);
        const cell = cells.get(key) ?? newCell(node.name, device.uuid, hourMs);
        cells.set(key, cell);
        let occupied = false;
        for (const { process, use, smPercent } of tenants) {
          const ms = smPercent * PERCENT_MS;
          const { is, job } = truthAt(built.truths.get(process), atMs);
          if (ms === 0) continue;
          if (is === 'overhead') cell.overhead += ms;
          else if (is === 'declared') {
            cell.declared.set(job ?? '', (cell.declared.get(job ?? '') ?? 0) + ms);
            byJob.set(job ?? '', (byJob.get(job ?? '') ?? 0) + ms);
          } else {
            occupied = true;
            cell.diverted += ms;
            divertedMs += ms;
            touched.add(device.uuid);
            const since = firstMs(process, use.fromMs, built.truths.get(process), atMs);
            // Node after node: another one may have been earlier.
            onsetMs = Math.min(onsetMs ?? Number.POSITIVE_INFINITY, Math.max(built.startMs, since));
            if (ceilingAt(built, atMs) === 'unobserved') cell.divertedUnseen += ms;
          }
        }
        if (occupied) occupiedMs += STEP_MS;
      }
    }
  }
  return { cells, divertedMs, occupiedMs, onsetMs, touched: touched.size, byJob };
}

/** The first of the scenario's seconds that is not before `fromMs`. */
const secondsFrom = (startMs: number, fromMs: number): number =>
  startMs + Math.ceil(Math.max(0, fromMs - startMs) / STEP_MS) * STEP_MS;

const newCell = (node: string, device: string, hourMs: number): TrueCell => ({
  ...{ node, device, hourMs, diverted: 0, divertedUnseen: 0, overhead: 0 },
  declared: new Map(),
});

/** Sensors and faults change what is seen, never what is. */
const withoutLies = (node: SimNode): SimNode => ({
  ...node,
  devices: node.devices.map((device) => ({ ...device, lies: [], faults: [] })),
});

const NOBODY: { is: Truth; job: string | null } = { is: 'declared', job: null };

export function truthAt(
  spans: readonly TruthSpan[] | undefined,
  atMs: number,
): { is: Truth; job: string | null } {
  return spans?.findLast((span) => span.fromMs <= atMs) ?? spans?.[0] ?? NOBODY;
}

/** Steps are seconds; the work began when the process did, or when its truth changed. */
function firstMs(
  process: SimProcess,
  useMs: number,
  spans: readonly TruthSpan[] | undefined,
  atMs: number,
): number {
  const began = Math.max(
    process.startMs,
    useMs,
    ...(spans ?? []).filter((span) => span.fromMs <= atMs).map((span) => span.fromMs),
  );
  return Math.max(began, atMs - STEP_MS);
}

function ceilingAt({ scenario, startMs }: Built, atMs: number): Ceiling {
  const { ceiling } = scenario.expect;
  if (typeof ceiling === 'string') return ceiling;
  const since = atMs - startMs;
  const found = ceiling.findLast(({ from = 0, to }) => from <= since && (to === undefined || since < to));
  return found?.is ?? 'proof';
}
