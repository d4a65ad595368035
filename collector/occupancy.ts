/** Puts one device of a reading into the form that spans are made from: a sorted set of processes, or why there is none. */
import { BATCH_LIMITS, type GapReason } from '../api/contract/batch.ts';
import { type Occupant, type Partition, sameOccupants } from './pieces.ts';
import { type DeviceProcess, type DeviceReading, isUnknown, UNTOLD_TYPE } from './reading.ts';
import { drawsWorkingPower } from './working-power.ts';

/** What one good reading says about one device. The arrays of occupants run in parallel, ascending by process key. */
export interface Occupancy {
  /** 0–100; null where the device does not tell. */
  readonly percent: number | null;
  readonly occupants: readonly Occupant[];
  readonly smPercent: readonly (number | null)[];
  readonly memoryBytes: readonly (number | null)[];
  readonly partition: Partition;
  /** It claims to do nothing or next to nothing, and draws what it would draw at work. */
  readonly strained: boolean;
}

export interface Failure {
  readonly reason: GapReason;
  readonly detail: string;
}

/**
 * Up to this, work is next to nothing: whoever falsifies utilisation need not claim exactly 0. Honest work of so little
 * time draws little more than a board at rest.
 */
const NEXT_TO_NOTHING_PERCENT = 5;
const EMPTY: readonly never[] = [];

interface Row extends Occupant {
  readonly smPercent: number | null;
  readonly memoryBytes: number | null;
}

const larger = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.max(a, b);

/** In the order in which occupants stand. */
export const byOccupant = (a: Occupant, b: Occupant): number =>
  a.process === b.process ? (a.gpuInstance ?? -1) - (b.gpuInstance ?? -1) : a.process < b.process ? -1 : 1;

function rowsOf(
  processes: readonly DeviceProcess[],
  keys: ReadonlyMap<number, string>,
  before: readonly Occupant[],
): Row[] {
  const rows = new Map<string, Row>();
  for (const { pid, type: told, smPercent, memoryBytes, gpuInstance } of processes) {
    const process = keys.get(pid) ?? `${pid}/?0`;
    const type = told === UNTOLD_TYPE ? typeIn(before, process, gpuInstance) : told;
    const place = gpuInstance === null ? process : `${process} ${gpuInstance}`;
    const other = rows.get(place);
    if (other === undefined) rows.set(place, { process, type, smPercent, memoryBytes, gpuInstance });
    // One process can have several contexts in one place (compute instances, or compute and graphics): one tenant.
    else
      rows.set(place, {
        ...other,
        smPercent: larger(other.smPercent, smPercent),
        memoryBytes: larger(other.memoryBytes, memoryBytes),
      });
  }
  const all = [...rows.values()];
  if (all.length > BATCH_LIMITS.tenantsPerTenancy) {
    all.sort((a, b) => (b.smPercent ?? 0) - (a.smPercent ?? 0) || byOccupant(a, b));
    all.length = BATCH_LIMITS.tenantsPerTenancy;
  }
  return all.length < 2 ? all : all.sort(byOccupant);
}

/** Only some answers tell types: what a process was here when it was last told, it is while that answer fails. */
const typeIn = (before: readonly Occupant[], process: string, gpuInstance: number | null): string =>
  before.find((one) => one.process === process && one.gpuInstance === gpuInstance)?.type ?? UNTOLD_TYPE;

/** `before`, of the last good reading, lets an unchanged set share its array, and tells types that are not told now. */
export function occupancyOf(
  reading: DeviceReading,
  keys: ReadonlyMap<number, string>,
  before: Occupancy | null,
): Occupancy | Failure {
  if (!reading.ok) return { reason: reading.reason, detail: reading.detail };
  const value = reading.utilisationPercent;
  const percent = isUnknown(value) ? null : Math.round(value);
  if (percent !== null && !(percent >= 0 && percent <= 100))
    return { reason: 'value_unknown', detail: `utilisation of ${percent} %` };
  const { partition } = reading;
  // What is left of those who left is theirs, and no contradiction.
  const trails = percent !== 0 && reading.processes.length === 0 && (before?.occupants.length ?? 0) > 0;
  const strained =
    percent !== null &&
    percent <= (trails ? 0 : NEXT_TO_NOTHING_PERCENT) &&
    drawsWorkingPower(reading.powerMilliwatts, reading.powerLimitMilliwatts);
  if (reading.processes.length === 0)
    return { percent, occupants: EMPTY, smPercent: EMPTY, memoryBytes: EMPTY, partition, strained };
  const rows = rowsOf(reading.processes, keys, before?.occupants ?? EMPTY);
  const same = before !== null && sameOccupants(before.occupants, rows);
  return {
    percent,
    occupants: same
      ? before.occupants
      : rows.map(({ process, type, gpuInstance }) => ({ process, type, gpuInstance })),
    smPercent: rows.map((row) => row.smPercent),
    memoryBytes: rows.map((row) => row.memoryBytes),
    partition,
    strained,
  };
}

export const isFailure = (value: Occupancy | Failure): value is Failure => 'reason' in value;

/** The part of an occupancy whose processes pass `keep`. */
export function occupancyWhere(occupancy: Occupancy, keep: (process: string) => boolean): Occupancy {
  const kept = occupancy.occupants.flatMap((occupant, i) => (keep(occupant.process) ? [i] : []));
  return {
    ...occupancy,
    occupants: kept.flatMap((i) => occupancy.occupants[i] ?? []),
    smPercent: kept.map((i) => occupancy.smPercent[i] ?? null),
    memoryBytes: kept.map((i) => occupancy.memoryBytes[i] ?? null),
  };
}
