/** One device's time as the span builder keeps it: what was read last, what is undecided, what is ready to be taken. */
import { BATCH_LIMITS, type Gap, type Tenancy } from '../api/contract/batch.ts';
import { type Failure, isFailure, type Occupancy, occupancyWhere } from './occupancy.ts';
import { gapOf, isBlank, joinPieces, nextCut, type Piece, type Stretch } from './pieces.ts';
import { splitActive } from './shares.ts';

interface Held {
  readonly fromMs: number;
  readonly toMs: number;
  readonly occupancy: Occupancy;
}

/** The stretch of time since the reading before, already clipped to what is not covered yet. */
export interface Stretched {
  readonly fromMs: number;
  readonly toMs: number;
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
  /** Work without a process has been seen by two readings in a row, and goes on. */
  #confirmed = false;
  /** Hundredths of a millisecond of activity that did not make a whole one yet. */
  #carry = 0;

  constructor(device: string, windowMs: number) {
    this.device = device;
    this.#windowMs = windowMs;
  }

  get lastGood(): Occupancy | null {
    return this.#lastGood;
  }

  /** Everything before this is decided; null: everything up to the newest reading is. */
  get undecidedFromMs(): number | null {
    return this.#held?.fromMs ?? null;
  }

  /** Takes a good reading. `late`: the interval before it is too long to be judged by it. */
  good(
    interval: Stretched,
    now: Occupancy,
    late: Failure | null,
    startOf: (process: string) => number | null,
  ): void {
    const last = this.#last;
    const confirms = now.occupants.length === 0 && (now.percent ?? 0) > 0;
    this.#decide(confirms, late ?? (now.percent === null ? UNCONFIRMED : null));
    if (last !== null) {
      if (late !== null) this.#void(interval, late);
      else if (isFailure(last)) this.#void(interval, last);
      else this.#book(interval, last, now, startOf);
    }
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
      this.#emit(held, held.occupancy, confirmed ? held.occupancy.percent : 0);
    }
  }

  #book(
    interval: Stretched,
    last: Occupancy,
    now: Occupancy,
    startOf: (process: string) => number | null,
  ): void {
    if (now.occupants.length === 0 && now.percent !== null && now.percent > 0) {
      if (last.occupants.length > 0) {
        this.#confirmed = false;
        // Trailing: utilisation lags, and those who left in this interval did that work.
        this.#emit(interval, { ...last, percent: now.percent }, now.percent);
      } else if (this.#confirmed) this.#emit(interval, now, now.percent);
      else if (interval.toMs > interval.fromMs) this.#held = { ...interval, occupancy: now };
      return;
    }
    this.#confirmed = false;
    const starts = startsWithin(interval, last, now, startOf);
    let fromMs = interval.fromMs;
    for (const cut of new Set([...starts.values()].sort((a, b) => a - b))) {
      const present = occupancyWhere(now, (process) => (starts.get(process) ?? 0) <= fromMs);
      // Before its process started, nothing can have worked there.
      const nobodyYet = present.occupants.length === 0 && now.percent !== null;
      this.#emit({ fromMs, toMs: cut }, present, nobodyYet ? 0 : now.percent);
      fromMs = cut;
    }
    this.#emit({ fromMs, toMs: interval.toMs }, now, now.percent);
  }

  #emit(
    { fromMs, toMs }: Stretched,
    { occupants, smPercent, memoryBytes }: Occupancy,
    percent: number | null,
  ): void {
    let at = fromMs;
    while (at < toMs) {
      const end = Math.min(toMs, nextCut(at, this.#windowMs));
      const stretch = { fromMs: at, toMs: end, occupants, memoryBytes };
      if (percent === null) this.#stretches.push({ ...stretch, activeMs: null, shares: [], method: null });
      else {
        let activeMs = 0;
        if (percent > 0) {
          const hundredths = percent * (end - at) + this.#carry;
          activeMs = Math.floor(hundredths / 100);
          this.#carry = hundredths - activeMs * 100;
        }
        this.#stretches.push({ ...stretch, activeMs, ...splitActive(activeMs, smPercent) });
      }
      at = end;
    }
  }
}

const UNCONFIRMED: Failure = {
  reason: 'value_unknown',
  detail: 'work without a process could not be confirmed: the next reading has no utilisation',
};

/** Processes that are new in `now` and are known to have started within the interval, and where; at least 1 ms is theirs. */
function startsWithin(
  interval: Stretched,
  last: Occupancy,
  now: Occupancy,
  startOf: (process: string) => number | null,
): Map<string, number> {
  const starts = new Map<string, number>();
  if (last.occupants === now.occupants) return starts;
  for (const { process } of now.occupants) {
    if (last.occupants.some((occupant) => occupant.process === process)) continue;
    const startMs = startOf(process);
    if (startMs !== null && startMs > interval.fromMs && interval.toMs - interval.fromMs > 1)
      starts.set(process, Math.min(Math.round(startMs), interval.toMs - 1));
  }
  return starts;
}
