/**
 * The confusion matrix of a scenario: for whom time was really computed, and where the ledger put it. In a device's hour
 * everyone is first given what is theirs; what is left of both sides is a mistake.
 */
import type { BookCell } from './books.ts';
import type { TrueTotals } from './truth.ts';

/** Instead of a job's name. */
const DIVERTED = '(diverted)';
const OVERHEAD = '(the site)';
const NOBODY = '(nobody)';
const UNACCOUNTED = '(no matching declaration)';
const UNMEASURED = '(not measured)';

/** Charging somebody's seconds to another's job is so much worse than not to account for them. */
const CHARGED_WRONGLY_WEIGHT = 3;

/** `truth`: a job's name, or one of the above; `ledger` likewise. */
export interface Confused {
  readonly truth: string;
  readonly ledger: string;
  readonly ms: number;
}

/** Rows whose two sides agree first, each part the largest first; parts of less than a millisecond are left out. */
export function confusionOf(truth: TrueTotals, books: ReadonlyMap<string, BookCell>): Confused[] {
  const sums = new Map<string, Confused>();
  const count = (one: Confused): void => {
    const key = `${one.truth}\n${one.ledger}`;
    sums.set(key, { ...one, ms: one.ms + (sums.get(key)?.ms ?? 0) });
  };
  for (const key of new Set([...truth.cells.keys(), ...books.keys()])) {
    const real = new Map<string, number>(truth.cells.get(key)?.declared);
    real.set(DIVERTED, truth.cells.get(key)?.diverted ?? 0);
    real.set(OVERHEAD, truth.cells.get(key)?.overhead ?? 0);
    match(real, saidOf(books.get(key)), books.get(key)?.unobserved ?? 0, count);
  }
  return [...sums.values()].filter(({ ms }) => ms >= 1).sort((a, b) => order(a) - order(b) || b.ms - a.ms);
}

/** Who computed, by the ledger; a mark says of the time of a job that it is not what was declared. */
function saidOf(cell: BookCell | undefined): Map<string, number> {
  const said = new Map<string, number>(cell?.used);
  said.set(OVERHEAD, cell?.exempt ?? 0);
  said.set(DIVERTED, (cell?.claimed ?? 0) + (cell?.untold ?? 0));
  for (const [job, ms] of cell?.marked ?? []) said.set(markOf(job), ms);
  return said;
}

const MARK = ' (marked)';
const markOf = (job: string): string => `${job}${MARK}`;

/** A mark takes nothing from a job that it names, and says of diverted time what is to be said. */
const agree = (truth: string, ledger: string): boolean =>
  truth === ledger ||
  (ledger.endsWith(MARK) && (truth === DIVERTED || ledger === markOf(truth))) ||
  (truth === DIVERTED && ledger === UNACCOUNTED);
const order = ({ truth, ledger }: Confused): number => (agree(truth, ledger) ? 0 : 1);

function match(
  real: Map<string, number>,
  said: Map<string, number>,
  unobservedMs: number,
  count: (one: Confused) => void,
): void {
  const take = (truth: string, ledger: string): void => {
    const ms = Math.min(real.get(truth) ?? 0, said.get(ledger) ?? 0);
    if (ms <= 0) return;
    real.set(truth, (real.get(truth) ?? 0) - ms);
    said.set(ledger, (said.get(ledger) ?? 0) - ms);
    count({ truth, ledger: ledger === DIVERTED ? UNACCOUNTED : ledger, ms });
  };
  const bySize = (side: Map<string, number>): string[] =>
    [...side.keys()].sort((a, b) => (side.get(b) ?? 0) - (side.get(a) ?? 0));
  for (const truth of bySize(real))
    for (const ledger of bySize(said)) if (agree(truth, ledger)) take(truth, ledger);
  said.set(UNMEASURED, unobservedMs);
  for (const truth of bySize(real)) take(truth, UNMEASURED);
  said.delete(UNMEASURED);
  for (const truth of bySize(real)) for (const ledger of bySize(said)) take(truth, ledger);
  for (const [truth, ms] of real) if (ms > 0) count({ truth, ledger: NOBODY, ms });
  for (const [ledger, ms] of said)
    if (ms > 0) count({ truth: NOBODY, ledger: ledger === DIVERTED ? UNACCOUNTED : ledger, ms });
}

/** Mistakes in GPU-milliseconds, weighted: 0 where nobody's time is anywhere else than it belongs, or was not measured. */
export function weightedMistakes(matrix: readonly Confused[]): number {
  return matrix.reduce((sum, { truth, ledger, ms }) => {
    if (agree(truth, ledger) || ledger === UNMEASURED) return sum;
    const charged = truth !== NOBODY && !NOT_JOBS.includes(ledger);
    return sum + ms * (charged ? CHARGED_WRONGLY_WEIGHT : 1);
  }, 0);
}
const NOT_JOBS: readonly string[] = [NOBODY, UNACCOUNTED, OVERHEAD];
