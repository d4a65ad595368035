/** Plays one scenario and scores it, beside the naive baselines. */
import { type BaselineName, type BaselineScore, scoreBaselines } from './baselines.ts';
import { build } from './build.ts';
import type { Ceiling } from './format.ts';
import { missesOf } from './goals.ts';
import { loadScenario } from './load.ts';
import { play } from './play.ts';
import { type Score, score } from './score.ts';

export interface Scored {
  readonly file: string;
  readonly title: string;
  readonly score: Score;
  /** The best of its whole time. */
  readonly ceiling: Ceiling;
  readonly baselines: Readonly<Record<BaselineName, BaselineScore>>;
}

/** What one worker answers. */
export interface Benched extends Scored {
  readonly misses: readonly string[];
  readonly lengthMs: number;
  readonly tookMs: number;
  /** Of agent, service and simulator together: what the agent alone costs lies below. */
  readonly cpuMs: number;
  readonly maxRssBytes: number;
}

export async function bench(file: string): Promise<Benched> {
  const built = build(loadScenario(file));
  const startedMs = performance.now();
  const before = process.cpuUsage();
  const played = await play(built);
  const tookMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(before);
  const cost = {
    cpuMs: Math.round((user + system) / 1000),
    maxRssBytes: process.resourceUsage().maxRSS * 1024,
  };
  try {
    const { scenario } = built;
    const { ceiling } = scenario.expect;
    const scored: Scored = {
      ...{ file, title: scenario.title, score: await score(built, played) },
      ceiling: typeof ceiling === 'string' ? ceiling : (ceiling[0]?.is ?? 'proof'),
      baselines: scoreBaselines(built),
    };
    return {
      ...scored,
      misses: missesOf(scored),
      lengthMs: scenario.length,
      tookMs: Math.round(tookMs),
      ...cost,
    };
  } finally {
    await played.close();
  }
}
