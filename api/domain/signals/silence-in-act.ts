import { FULL, type SignalFacts, type SignalRule } from './signal.ts';

/** An agent that restarts is away for less. */
const LEAST_MS = 60_000;

export const silenceInAct: SignalRule = {
  id: 'silence_in_act',
  title: 'Nothing was reported, with the same process before and after',
  source: 'An agent that is stopped while something runs; upgrades and failing tools do the same.',
  attack: { before: ['T1562', 'T1562.001'], after: ['T1685'] },
  weight: 6,
  test(facts) {
    const longest = Math.max(0, ...facts.load.map((stretches) => silenceIn(stretches, facts)));
    if (longest < LEAST_MS) return null;
    return { detail: `${Math.floor(longest / 1000)} s without a reading.`, strength: FULL };
  },
};

/** The longest hole that a process of the finding spans on one device. */
function silenceIn(stretches: SignalFacts['load'][number], { hour, own }: SignalFacts): number {
  let longest = 0;
  let before = own.some(({ firstSeenMs }) => firstSeenMs < hour.fromMs)
    ? { own: true, toMs: hour.fromMs }
    : null;
  for (const stretch of stretches) {
    if (before?.own && stretch.own) longest = Math.max(longest, stretch.fromMs - before.toMs);
    before = stretch;
  }
  return longest;
}
