/**
 * From readings to spans: pure. The interval (t0, t1] between two good readings of a device takes t1's utilisation; a
 * failed reading voids both intervals beside it; a late one is a gap; nothing is extrapolated over a gap. No
 * device-millisecond is given out twice, whatever the clocks do:
 *
 * - Wall clock set forward: the interval keeps its true length, and what the clock jumped over is a gap `clock_step`.
 * - Set back by up to an hour: that stretch of wall time passes a second time; it has been reported, so nothing more is
 *   placed there until the wall clock has caught up.
 * - Set back further, or forward by more than a day: the old time was wrong. A new segment begins at the wall clock's
 *   time, without a gap; what earlier segments covered is left out of it.
 */
import { type ClockStep, type Gap, HOUR_MS, type Tenancy } from '../api/contract/batch.ts';
import { createClockLine, type Placement } from './clock-line.ts';
import { type Failure, isFailure, occupancyOf } from './occupancy.ts';
import type { EndedTenant, EndOf, StartOf, Stretched } from './parts.ts';
import { lastCut, sameOccupants } from './pieces.ts';
import type { Reading } from './reading.ts';
import { Track } from './track.ts';

/** A reading that comes later than this many poll intervals says nothing about the time before it. */
const LATE_POLLS = 3;
export const BACKWARD_SEGMENT_MS = HOUR_MS;
const FORWARD_SEGMENT_MS = 24 * HOUR_MS;
/** Earlier segments that are remembered. */
const MAX_SEGMENTS = 16;

export interface SpanOptions {
  readonly pollIntervalMs: number;
  readonly windowMs: number;
  /** Time before this has been reported by an earlier run: nothing is placed there. */
  readonly notBeforeMs?: number;
}

/** Everything of every device in [fromMs, toMs), as spans or gaps. It never crosses an hour. */
export interface Taken {
  readonly fromMs: number;
  readonly toMs: number;
  readonly tenancies: Tenancy[];
  readonly gaps: Gap[];
  readonly clockSteps: ClockStep[];
}

/**
 * `changed`: the set of processes of a device is not that of its last good reading. `news`: that, or a device is no longer
 * measured, or begins to draw working power without utilisation. `atMs`: where the reading lies.
 */
interface Added {
  readonly changed: boolean;
  readonly news: boolean;
  readonly atMs: number;
}

export type EndedTenants = ReadonlyMap<string, readonly EndedTenant[]>;

export interface SpanBuilder {
  /**
   * Takes the next reading. `keys`: process key by pid. `startedMs`: when a process started by the wall clock, where it
   * is known; `endedMs`: when it ended. `ended`: by device, who ended since the reading before and has time that readings
   * do not show, each once.
   */
  add(
    reading: Reading,
    keys: ReadonlyMap<number, string>,
    startedMs?: StartOf,
    ended?: EndedTenants,
    endedMs?: EndOf,
  ): Added;
  /** What is complete but not taken; `closed`: no more will come to it. null before the first reading. */
  pending(): (Stretched & { readonly closed: boolean }) | null;
  /** Takes what is complete up to a moment at or before `untilMs`, at most to the end of its hour; null: nothing is. */
  take(untilMs: number): Taken | null;
}

const CLOCK_STEPPED: Failure = { reason: 'clock_step', detail: 'the wall clock was set' };
const MISSING: Failure = { reason: 'device_missing', detail: 'not in the reading' };
const NEW: Failure = { reason: 'device_missing', detail: 'not in the readings before' };
const unknownMoment = (): null => null;
const NOBODY: readonly EndedTenant[] = [];
const NONE_ENDED: EndedTenants = new Map();

interface Read {
  readonly reading: Reading;
  readonly keys: ReadonlyMap<number, string>;
  readonly startedMs: StartOf;
  readonly ended: EndedTenants;
  readonly endedMs: EndOf;
}

class Builder implements SpanBuilder {
  readonly #options: SpanOptions;
  readonly #line = createClockLine();
  readonly #tracks = new Map<string, Track>();
  /** [from, to) of this segment: taken up to `#takenMs`, covered up to `#coveredMs`; null before the first reading. */
  #segmentMs: number | null = null;
  #takenMs = 0;
  #coveredMs = 0;
  /** Places of readings after `#takenMs`, ascending: every device is cut there. */
  #cuts: number[] = [];
  #steps: ClockStep[] = [];
  #segments: Stretched[] = [];
  /** What was left of earlier segments. */
  #finished: Taken[] = [];

  constructor(options: SpanOptions) {
    this.#options = options;
  }

  add(
    reading: Reading,
    keys: ReadonlyMap<number, string>,
    startedMs: StartOf = unknownMoment,
    ended: EndedTenants = NONE_ENDED,
    endedMs: EndOf = unknownMoment,
  ): Added {
    const placement = this.#line.place(reading.wallMs, reading.monotonicMs);
    if (this.#segmentMs === null) this.#begin(Math.max(placement.nextMs, this.#options.notBeforeMs ?? 0));
    const interval = this.#uncovered(Math.max(placement.fromMs, this.#coveredMs), placement.toMs);
    this.#coveredMs = Math.max(this.#coveredMs, placement.toMs);
    const told = this.#read({ reading, keys, startedMs, ended, endedMs }, interval, placement);
    this.#cut(interval.toMs);
    this.#cut(this.#coveredMs);
    if (placement.stepMs !== 0) this.#step(placement);
    return { ...told, atMs: this.#coveredMs };
  }

  pending(): (Stretched & { readonly closed: boolean }) | null {
    const finished = this.#finished[0];
    if (finished !== undefined) return { fromMs: finished.fromMs, toMs: finished.toMs, closed: true };
    if (this.#segmentMs === null) return null;
    return { fromMs: this.#takenMs, toMs: this.#decidedMs(), closed: false };
  }

  take(untilMs: number): Taken | null {
    return this.#finished.shift() ?? this.#takeOpen(untilMs);
  }

  #takeOpen(untilMs: number): Taken | null {
    if (this.#segmentMs === null) return null;
    const fromMs = this.#takenMs;
    const hourEndMs = (Math.floor(fromMs / HOUR_MS) + 1) * HOUR_MS;
    const limitMs = Math.min(untilMs, this.#decidedMs(), hourEndMs);
    const reached = this.#cuts.findLast((cut) => cut <= limitMs) ?? fromMs;
    const toMs = Math.max(reached, lastCut(limitMs, this.#options.windowMs));
    if (toMs <= fromMs) return null;
    const taken: Taken = {
      fromMs,
      toMs,
      tenancies: [],
      gaps: [],
      clockSteps: this.#steps.filter((step) => step.atMs <= toMs),
    };
    for (const track of this.#tracks.values()) {
      const { tenancies, gaps } = track.take(toMs);
      taken.tenancies.push(...tenancies);
      taken.gaps.push(...gaps);
    }
    this.#takenMs = toMs;
    this.#cuts = this.#cuts.filter((cut) => cut > toMs);
    this.#steps = this.#steps.filter((step) => step.atMs > toMs);
    return taken;
  }

  #begin(atMs: number): void {
    this.#segmentMs = atMs;
    this.#takenMs = atMs;
    this.#coveredMs = atMs;
    this.#cuts = [];
  }

  /** What earlier segments leave of an interval, on its nearer side. */
  #uncovered(fromMs: number, toMs: number): Stretched {
    let interval = { fromMs, toMs };
    for (const segment of this.#segments) {
      if (segment.toMs <= interval.fromMs || segment.fromMs >= interval.toMs) continue;
      interval =
        segment.fromMs > interval.fromMs
          ? { fromMs: interval.fromMs, toMs: segment.fromMs }
          : { fromMs: Math.min(segment.toMs, interval.toMs), toMs: interval.toMs };
    }
    return interval;
  }

  #newSegment(atMs: number): void {
    for (let taken = this.#takeOpen(Infinity); taken !== null; taken = this.#takeOpen(Infinity))
      this.#finished.push(taken);
    if (this.#segmentMs !== null) this.#segments.push({ fromMs: this.#segmentMs, toMs: this.#coveredMs });
    if (this.#segments.length > MAX_SEGMENTS) this.#segments.shift();
    this.#begin(atMs);
  }

  #cut(atMs: number): void {
    if (atMs > (this.#cuts.at(-1) ?? this.#takenMs)) this.#cuts.push(atMs);
  }

  #decidedMs(): number {
    let decidedMs = this.#coveredMs;
    for (const track of this.#tracks.values())
      decidedMs = Math.min(decidedMs, track.undecidedFromMs ?? decidedMs);
    return decidedMs;
  }

  #read(
    { reading, keys, startedMs, ended, endedMs }: Read,
    interval: Stretched,
    placement: Placement,
  ): Omit<Added, 'atMs'> {
    const late = this.#late(placement);
    // A start or end is placed by its distance from the reading; across a step that distance means nothing.
    const placed =
      (known: StartOf): StartOf =>
      (process) => {
        const wallMs = placement.stepMs === 0 ? known(process) : null;
        return wallMs === null ? null : placement.toMs - (reading.wallMs - wallMs);
      };
    const startOf = placed(startedMs);
    const endOf = placed(endedMs);
    const seen = new Set<string>();
    let changed = false;
    let news = false;
    for (const device of reading.devices) {
      seen.add(device.uuid);
      const track = this.#track(device.uuid, interval.toMs);
      const now = occupancyOf(device, keys, track.lastGood);
      const { last } = track;
      const wasGood = last !== null && !isFailure(last);
      if (isFailure(now)) {
        news ||= wasGood;
        track.failed(interval, now);
        continue;
      }
      if (!sameOccupants(track.lastGood?.occupants ?? [], now.occupants)) changed = true;
      news ||= now.strained && !(wasGood && last.strained);
      track.good(interval, now, late, startOf, endOf, ended.get(device.uuid) ?? NOBODY);
    }
    for (const track of this.#tracks.values()) if (!seen.has(track.device)) track.failed(interval, MISSING);
    return { changed, news: news || changed };
  }

  #late({ elapsedMs }: Placement): Failure | null {
    const limitMs = LATE_POLLS * this.#options.pollIntervalMs;
    return elapsedMs > limitMs
      ? { reason: 'poll_late', detail: `${Math.round(elapsedMs)} ms between two readings` }
      : null;
  }

  #track(uuid: string, atMs: number): Track {
    let track = this.#tracks.get(uuid);
    if (track === undefined) {
      track = new Track(uuid, this.#options.windowMs);
      // What is reported next begins before it was there.
      track.blank({ fromMs: this.#takenMs, toMs: atMs }, NEW);
      this.#tracks.set(uuid, track);
    }
    return track;
  }

  #step({ toMs, nextMs, stepMs }: Placement): void {
    this.#steps.push({ atMs: Math.max(toMs, this.#takenMs), stepMs });
    for (const track of this.#tracks.values()) track.settle(CLOCK_STEPPED);
    if (-stepMs > BACKWARD_SEGMENT_MS || stepMs > FORWARD_SEGMENT_MS) this.#newSegment(nextMs);
    else if (nextMs > this.#coveredMs) {
      const jumped = this.#uncovered(this.#coveredMs, nextMs);
      for (const track of this.#tracks.values()) track.blank(jumped, CLOCK_STEPPED);
      this.#coveredMs = nextMs;
      this.#cut(nextMs);
    }
  }
}

export const createSpanBuilder = (options: SpanOptions): SpanBuilder => new Builder(options);
