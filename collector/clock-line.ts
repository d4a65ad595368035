/**
 * Where readings lie in time. Lengths come from the monotonic clock and places from the wall clock: positions lie on
 * the line `wall = anchorWall + (monotonic - anchorMonotonic)`, rounded, so that lengths add up exactly. When the two
 * clocks part by more than `CLOCK_STEP_MS` the wall clock was set, and the line is anchored anew.
 */

/** Clocks may differ by this much before it counts as a step. */
const CLOCK_STEP_MS = 1000;

export interface Placement {
  /** Where the interval since the reading before begins; equals `toMs` at the first reading. */
  readonly fromMs: number;
  /** Where it ends, on the line that held until now. */
  readonly toMs: number;
  /** Where the next interval begins: `toMs`, or the wall clock's time after a step. */
  readonly nextMs: number;
  /** How far the wall clock was set: positive forward, 0 for no step. */
  readonly stepMs: number;
  /** By the monotonic clock, fractions included. */
  readonly elapsedMs: number;
}

export interface ClockLine {
  place(wallMs: number, monotonicMs: number): Placement;
}

export function createClockLine(): ClockLine {
  let anchorWallMs = 0;
  let anchorMonotonicMs = 0;
  let lastMonotonicMs: number | null = null;
  let lastMs = 0;
  return {
    place(wallMs, monotonicMs) {
      if (lastMonotonicMs === null) {
        anchorWallMs = wallMs;
        anchorMonotonicMs = monotonicMs;
        lastMonotonicMs = monotonicMs;
        lastMs = Math.round(wallMs);
        return { fromMs: lastMs, toMs: lastMs, nextMs: lastMs, stepMs: 0, elapsedMs: 0 };
      }
      const monotonic = Math.max(lastMonotonicMs, monotonicMs);
      const onLine = anchorWallMs + (monotonic - anchorMonotonicMs);
      const fromMs = lastMs;
      const toMs = Math.round(onLine);
      const elapsedMs = monotonic - lastMonotonicMs;
      const stepped = Math.abs(wallMs - onLine) > CLOCK_STEP_MS;
      if (stepped) {
        anchorWallMs = wallMs;
        anchorMonotonicMs = monotonic;
      }
      lastMonotonicMs = monotonic;
      lastMs = stepped ? Math.round(wallMs) : toMs;
      return { fromMs, toMs, nextMs: lastMs, stepMs: stepped ? lastMs - toMs : 0, elapsedMs };
    },
  };
}
