/** One device's time as the span builder keeps it: what was read last, what is undecided, what is ready to be taken. */
import { BATCH_LIMITS, type Gap, type Tenancy } from '../api/contract/batch.ts';
import { type Failure, isFailure, type Occupancy } from './occupancy.ts';
import { type EndedTenant, type EndOf, type Part, partsOf, type StartOf, type Stretched } from './parts.ts';
import {
  gapOf,
  isBlank,
  joinPieces,
  nextCut,
  type Partition,
  type Piece,
  type Stretch,
  samePartition,
} from './pieces.ts';
import { splitActive } from './shares.ts';

/** What waits for another reading: work that nobody shows, or power that no utilisation explains. */
interface Held extends Stretched {
  readonly parts: readonly Part[];
}

export class Track {
  readonly device: string;
  readonly #windowMs: number;
  #stretches: Stretch[] = [];
  /** The last reading: good, failed, or (null) none yet. */
  #last: Occupancy | Failure | null = null;
  /** The last good set, also across failures: to tell whether it changed. */
  #lastGood: Occupancy | null = null;
  #held: Held | null = null;
  /** Something doubtful has been seen by two readings in a row, and goes on. */
  #confirmed = false;
  /** The last reading has seen it, and there was no time that it could be booked for. */
  #seenOnce = false;
  /** Hundredths of a millisecond of activity that did not make a whole one yet. */
  #carry = 0;

  constructor(device: string, windowMs: number) {
    this.device = device;
    this.#windowMs = windowMs;
  }

  get last(): Occupancy | Failure | null {
    return this.#last;
  }

  get lastGood(): Occupancy | null {
    return this.#lastGood;
  }

  /** Everything before this is decided; null: everything up to the newest reading is. */
  get undecidedFromMs(): number | null {
    return this.#held?.fromMs ?? null;
  }

  /**
   * Takes a good reading. `interval`: the time since the reading before, clipped to what is not covered yet. `late`: it is
   * too long to be judged by this reading. `ended`: who came and went in it, by the driver's accounting.
   */
  good(
    interval: Stretched,
    now: Occupancy,
    late: Failure | null,
    startOf: StartOf,
    endOf: EndOf,
    ended: readonly EndedTenant[],
  ): void {
    const last = this.#last;
    let unclear: Failure | null = null;
    if (last !== null) {
      unclear = late ?? (isFailure(last) ? last : divided(last, now));
      if (!isFailure(last))
        this.#decide(isDoubtful(last, now), unclear ?? (now.percent === null ? UNCONFIRMED : null));
      if (unclear !== null) this.#void(interval, unclear);
      else if (!isFailure(last)) this.#book(interval, last, now, startOf, endOf, ended);
    }
    this.#seenOnce = (last === null || unclear !== null) && (now.strained || worksAlone(now));
    this.#last = now;
    this.#lastGood = now;
  }

  /** Takes a failed reading: it voids the interval before it and the one after it. */
  failed(interval: Stretched, failure: Failure): void {
    this.#decide(false, failure);
    if (this.#last !== null) this.#void(interval, failure);
    this.#last = failure;
  }

  blank({ fromMs, toMs }: Stretched, { reason, detail }: Failure): void {
    if (toMs <= fromMs) return;
    const before = this.#stretches.at(-1);
    if (before !== undefined && isBlank(before) && before.toMs === fromMs && before.reason === reason)
      this.#stretches[this.#stretches.length - 1] = { ...before, toMs };
    else this.#stretches.push({ fromMs, toMs, reason, detail: detail.slice(0, BATCH_LIMITS.detailChars) });
  }

  /** Decides now what waits for another reading: it becomes a gap. */
  settle(failure: Failure): void {
    this.#decide(false, failure);
    this.#confirmed = false;
    this.#seenOnce = false;
  }

  /** Removes and returns everything before `toMs`, which must be a cut of this device. */
  take(toMs: number): { tenancies: Tenancy[]; gaps: Gap[] } {
    const pieces: Piece[] = [];
    const gaps: Gap[] = [];
    const rest: Stretch[] = [];
    for (const stretch of this.#stretches) {
      if (stretch.fromMs >= toMs) rest.push(stretch);
      else if (!isBlank(stretch)) pieces.push(stretch);
      else {
        gaps.push(gapOf(this.device, { ...stretch, toMs: Math.min(stretch.toMs, toMs) }));
        if (stretch.toMs > toMs) rest.push({ ...stretch, fromMs: toMs });
      }
    }
    this.#stretches = rest;
    return { tenancies: joinPieces(this.device, pieces, this.#windowMs), gaps };
  }

  #void(interval: Stretched, failure: Failure): void {
    this.#confirmed = false;
    this.blank(interval, failure);
  }

  /** Decides the stretch that waited for a second reading: work without a process, a leftover, or not known. */
  #decide(confirmed: boolean, failure: Failure | null): void {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    if (failure !== null) this.blank(held, failure);
    else {
      this.#confirmed = confirmed;
      for (const part of held.parts) {
        const nobody = part.occupancy.occupants.length === 0;
        this.#emit(part, nobody && !confirmed ? 0 : part.occupancy.percent, confirmed);
      }
    }
  }

  #book(
    interval: Stretched,
    last: Occupancy,
    now: Occupancy,
    startOf: StartOf,
    endOf: EndOf,
    ended: readonly EndedTenant[],
  ): void {
    const doubtful = isDoubtful(last, now);
    // Utilisation lags, and those who left in this interval did that work.
    const trailing = !doubtful && worksAlone(now) ? { ...last, percent: now.percent } : null;
    // Work without a process counts only once it is confirmed.
    const earlier = worksAlone(last) && !this.#confirmed ? { ...last, percent: 0 } : last;
    const parts = partsOf(interval, { earlier, later: now, trailing, startOf, endOf, ended });
    if (!doubtful) this.#confirmed = false;
    else if (!this.#confirmed && !this.#seenOnce) {
      if (parts.length > 0) this.#held = { ...interval, parts };
      return;
    }
    this.#confirmed = doubtful;
    for (const part of parts) this.#emit(part, part.occupancy.percent, doubtful);
  }

  /** `confirmed`: what nobody explains has been seen by two readings in a row. */
  #emit({ fromMs, toMs, occupancy }: Part, percent: number | null, confirmed: boolean): void {
    const { occupants, smPercent, memoryBytes, partition } = occupancy;
    const conflict = confirmed && occupancy.strained;
    let at = fromMs;
    while (at < toMs) {
      const end = Math.min(toMs, nextCut(at, this.#windowMs));
      const stretch = { fromMs: at, toMs: end, occupants, memoryBytes, partition };
      if (percent === null)
        this.#stretches.push({ ...stretch, activeMs: null, shares: [], method: null, conflictMs: 0 });
      else {
        let activeMs = 0;
        if (percent > 0) {
          const hundredths = percent * (end - at) + this.#carry;
          activeMs = Math.floor(hundredths / 100);
          this.#carry = hundredths - activeMs * 100;
        }
        const conflictMs = conflict ? end - at - activeMs : 0;
        this.#stretches.push({ ...stretch, activeMs, ...splitActive(activeMs, smPercent), conflictMs });
      }
      at = end;
    }
  }
}

const UNCONFIRMED: Failure = {
  reason: 'value_unknown',
  detail: 'work that nothing explains could not be confirmed: the next reading has no utilisation',
};

/** It works, and no process shows. */
const worksAlone = ({ occupants, percent }: Occupancy): boolean =>
  occupants.length === 0 && percent !== null && percent > 0;

/** What nothing explains: work where no process shows nor just left, or power without utilisation. */
const isDoubtful = (last: Occupancy, now: Occupancy): boolean =>
  now.strained || (worksAlone(now) && last.occupants.length === 0);

/** What was on which instance in the meantime, nobody can tell. */
function divided(last: Occupancy, now: Occupancy): Failure | null {
  if (samePartition(last.partition, now.partition)) return null;
  const detail = `MIG instances changed from ${shown(last.partition)} to ${shown(now.partition)}`;
  return { reason: 'value_unknown', detail };
}

const shown = (partition: Partition): string =>
  partition.length === 0
    ? 'none'
    : partition.map(({ gpuInstance, slices }) => `${gpuInstance} (${slices} slices)`).join(', ');
