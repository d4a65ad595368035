import { FULL, type LoadStretch, type SignalRule } from './signal.ts';

/** In percent of the device: below, in a small test of consumer cards, were miners; ordinary work was at 4.7 and more. */
const STEADY_DEVIATION = 3.1;
const BUSY_PERCENT = 50;
/** A shorter time says nothing. */
const LEAST_MS = 900_000;

export const steadyLoad: SignalRule = {
  id: 'steady_load',
  title: 'Very steady load for a long time',
  source:
    'Tanana, "Behavior-Based Detection of GPU Cryptojacking", arXiv 2408.14554: one in five was a false ' +
    'positive. Training and stress tests look the same.',
  attack: { before: ['T1496.001'], after: [] },
  weight: 3,
  test({ load }) {
    for (const stretches of load) {
      const { deviation, mean, lengthMs } = spreadOf(stretches);
      if (lengthMs < LEAST_MS || mean < BUSY_PERCENT || deviation >= STEADY_DEVIATION) continue;
      const minutes = Math.floor(lengthMs / 60_000);
      return {
        detail: `${mean.toFixed(0)} % of a device for ${minutes} min, give or take ${deviation.toFixed(1)} points.`,
        strength: FULL,
      };
    }
    return null;
  },
};

/** Of the time in which its processes were there from edge to edge: percentages weighted by length. */
function spreadOf(stretches: readonly LoadStretch[]): { deviation: number; mean: number; lengthMs: number } {
  let lengthMs = 0;
  let sum = 0;
  let squares = 0;
  // The first and the last one hold its coming and going.
  for (const { fromMs, toMs, ownMs } of stretches.filter((one) => one.own).slice(1, -1)) {
    if (ownMs === null) continue;
    const length = toMs - fromMs;
    const percent = (ownMs / length) * 100;
    lengthMs += length;
    sum += percent * length;
    squares += percent * percent * length;
  }
  if (lengthMs === 0) return { deviation: 0, mean: 0, lengthMs };
  const mean = sum / lengthMs;
  return { deviation: Math.sqrt(Math.max(0, squares / lengthMs - mean * mean)), mean, lengthMs };
}
