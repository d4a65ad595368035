/** One run: a scenario played by the real agents and the real service, and everything that is not as it must be. */
import { build } from '../replay/build.ts';
import { Scenario } from '../replay/format.ts';
import { play, type Told } from '../replay/play.ts';
import { type Failure, judge } from './judge.ts';
import { retell } from './retell.ts';
import type { Document } from './site.ts';

export interface Run {
  readonly failures: readonly Failure[];
  readonly polls: number;
  readonly tookMs: number;
}

/** `order` seeds the other order in which the service's facts are told again. Never throws for what a scenario causes. */
export async function simulate(document: Document, order: number): Promise<Run> {
  const startedMs = performance.now();
  const took = (): number => Math.round(performance.now() - startedMs);
  const told: Told[] = [];
  const built = build(Scenario.parse(document));
  try {
    const played = await play(built, (one) => void told.push(one));
    try {
      const failures = [...(await judge(built, played)), ...(await retell(built, played, told, order))];
      return { failures, polls: played.polls, tookMs: took() };
    } finally {
      await played.close();
    }
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { failures: [{ rule: 'played', text }], polls: 0, tookMs: took() };
  }
}
