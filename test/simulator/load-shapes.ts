/** Shapes of load that GPU work takes: steps with evaluations between, gaps while data loads, people who think, days and nights. */
import type { Load, Phase } from './model.ts';
import type { Random } from './random.ts';

const MINUTE_MS = 60_000;
const phase = (minutes: number, smPercent: number): Phase => ({ lengthMs: minutes * MINUTE_MS, smPercent });

export type Shape = 'training' | 'small' | 'evaluation' | 'interactive' | 'serving' | 'flat' | 'stalled';

/** `startMs` matters to `serving`, which follows the hours of the day. */
export function buildLoad(random: Random, shape: Shape, startMs: number): Load {
  const seed = random.integer(1, 2 ** 30);
  const load = (jitterPercent: number, phases: readonly Phase[]): Load => ({ phases, jitterPercent, seed });
  switch (shape) {
    case 'training':
      return load(9, [
        phase(3, 0),
        phase(random.integer(40, 70), random.integer(84, 93)),
        phase(random.integer(4, 8), random.integer(40, 60)),
        phase(2, 0),
        phase(random.integer(40, 70), random.integer(84, 93)),
      ]);
    case 'small':
      return load(14, [
        phase(random.integer(2, 6), 0),
        phase(random.integer(15, 40), random.integer(45, 80)),
        phase(random.integer(2, 5), 12),
      ]);
    case 'evaluation':
      return load(12, [phase(3, 0), phase(14, random.integer(55, 78)), phase(2, 0)]);
    case 'interactive':
      return load(18, [
        phase(random.integer(8, 25), 0),
        phase(random.integer(2, 6), random.integer(30, 60)),
        phase(random.integer(30, 55), 0),
        phase(random.integer(3, 9), random.integer(45, 80)),
      ]);
    case 'serving':
      return load(11, servingDay(startMs));
    case 'flat':
      return load(1, [phase(60, 98)]);
    case 'stalled':
      return load(0, [phase(60, 0)]);
  }
}

/** Percent by UTC hour of the day. */
const SERVING = [
  14, 11, 9, 8, 8, 10, 18, 30, 46, 58, 66, 70, 68, 71, 74, 72, 66, 58, 50, 44, 38, 32, 25, 19,
] as const;
function servingDay(startMs: number): Phase[] {
  const hour = new Date(startMs).getUTCHours();
  return SERVING.map((_, index) => phase(60, SERVING[(hour + index) % SERVING.length] ?? 0));
}
