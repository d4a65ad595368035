/** What the product promises of every scenario: the one place where the numbers stand. */
import type { Scored } from './diversion-score.ts';

export const GOALS = {
  recall: 0.99,
  precision: 0.99,
  /** Of capacity, where nothing is to be found. */
  benignUnaccounted: 0.001,
} as const;

/** What of the goals a scenario misses, in words; none: all are met. */
export function missesOf({ score, ceiling }: Scored): string[] {
  const misses: string[] = [];
  const must = (met: boolean, words: string): void => {
    if (!met) misses.push(words);
  };
  must(score.conserved, 'the books do not balance');
  must(score.recall >= GOALS.recall || ceiling === 'suspicion', `recall ${percent(score.recall)}`);
  if (!score.benign)
    must(
      score.precision >= GOALS.precision || score.divertedMs === 0,
      `precision ${percent(score.precision)}`,
    );
  must(score.amountGood, `amount off by ${percent(score.amountError ?? 1)}`);
  must(score.onsetGood, `onset off by ${seconds(score.onsetErrorMs)}`);
  must(score.visibleGood, `visible after ${seconds(score.visibleAfterMs)}`);
  must(
    score.wronglyUsedMs === 0,
    `${seconds(score.wronglyUsedMs)} charged to a job that did not compute them`,
  );
  must(score.accusedMs === 0, `${seconds(score.accusedMs)} said of processes that did nothing wrong`);
  const unaccounted = score.unaccountedMs / Math.max(1, score.capacityMs);
  must(!score.benign || unaccounted <= GOALS.benignUnaccounted, `${percent(unaccounted)} unaccounted`);
  for (const alarm of score.falseAlarms) misses.push(`false alarm: ${alarm}`);
  for (const item of score.missing) misses.push(`not there: ${item}`);
  return misses;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const seconds = (ms: number | null): string => (ms === null ? 'never' : `${(ms / 1000).toFixed(1)} s`);
