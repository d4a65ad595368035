/** Gathers the problems of one answer: what is wrong with a thousand rows in the same way is said once. */
import type { SourceProblem } from '../source.ts';

/** So many kinds of problem are told of one answer. */
const MAX_KINDS = 50;

export interface ProblemBook {
  note(problem: SourceProblem): void;
  /** Says them, and begins anew. */
  tell(say: (problem: SourceProblem) => void): void;
}

export function createProblemBook(): ProblemBook {
  const kinds = new Map<string, { first: SourceProblem; count: number }>();
  return {
    note(problem) {
      const kind = kinds.get(problem.message);
      if (kind !== undefined) kind.count += 1;
      else if (kinds.size < MAX_KINDS) kinds.set(problem.message, { first: problem, count: 1 });
    },
    tell(say) {
      for (const { first, count } of kinds.values())
        say(
          count === 1
            ? first
            : { ...first, message: `${first.message} (and ${count - 1} more in the same answer)` },
        );
      kinds.clear();
    },
  };
}
