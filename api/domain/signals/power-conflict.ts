import { FULL, type SignalRule } from './signal.ts';

const LEAST_MS = 60_000;

export const powerConflict: SignalRule = {
  id: 'power_conflict',
  title: 'Working power while no use was reported',
  source: 'Power against utilisation: falsified readings (SANSAR) leave the power.',
  attack: { before: ['T1562'], after: ['T1685'] },
  weight: 6,
  test({ load }) {
    const sums = load.map((stretches) =>
      stretches.reduce((sum, one) => sum + (one.own ? one.conflictMs : 0), 0),
    );
    const most = Math.max(0, ...sums);
    if (most < LEAST_MS) return null;
    return {
      detail: `A device drew working power for ${Math.floor(most / 1000)} s and reported none.`,
      strength: FULL,
    };
  },
};
