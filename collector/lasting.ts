/** Facts about what lasts: told when new, when something else is to be said of it, and once in every further hour. */
import { HOUR_MS } from '../api/contract/batch.ts';

interface Kept<F> {
  fact: F & { firstMs: number; lastMs: number };
  toldHour: number | null;
  round: number;
}

/** What is said of a thing, without its times. */
export class Lasting<F extends object> {
  readonly #kept = new Map<string, Kept<F>>();
  #round = 0;

  has(key: string): boolean {
    return this.#kept.has(key);
  }

  get size(): number {
    return this.#kept.size;
  }

  /** It was seen now. `sinceMs`: it is known to have begun then. */
  see(key: string, said: F, atMs: number, sinceMs = atMs): void {
    const known = this.#kept.get(key);
    const firstMs = known?.fact.firstMs ?? sinceMs;
    const fact = { ...said, firstMs, lastMs: Math.max(firstMs, known?.fact.lastMs ?? 0, atMs) };
    const same = known !== undefined && saysTheSame(known.fact, fact);
    this.#kept.set(key, { fact, toldHour: same ? known.toldHour : null, round: this.#round });
  }

  /** A look at everything is over: what it did not see has ended. */
  endRound(): void {
    for (const [key, { round }] of this.#kept) if (round !== this.#round) this.#kept.delete(key);
    this.#round += 1;
  }

  /** What is to be told now. */
  due(atMs: number): (F & { firstMs: number; lastMs: number })[] {
    const hour = Math.floor(atMs / HOUR_MS);
    return [...this.#kept.values()].flatMap((kept) => {
      // An hour that was told of but in which it was not seen again has nothing new.
      if (kept.toldHour === hour || (kept.toldHour !== null && hourOf(kept.fact) !== hour)) return [];
      kept.toldHour = hour;
      return [{ ...kept.fact }];
    });
  }
}

const hourOf = (fact: { lastMs: number }): number => Math.floor(fact.lastMs / HOUR_MS);

function saysTheSame(a: object, b: object): boolean {
  const text = (fact: object): string => JSON.stringify({ ...fact, firstMs: 0, lastMs: 0 });
  return text(a) === text(b);
}
