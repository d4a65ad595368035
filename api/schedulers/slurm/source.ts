/** A Slurm cluster as a source of declarations. */
import type { Source, SourceCheck, SourceProblem } from '../source.ts';
import type { Slurm } from './answers.ts';
import { checkSlurm } from './check.ts';
import { followSlurm } from './follow.ts';
import { createMemory } from './following.ts';
import { createPrograms } from './programs.ts';
import { createRest } from './rest.ts';
import { SlurmSettings } from './settings.ts';

export { SlurmSettings };

/** `nowMs`: the clock by which it says how far it is complete. */
export function createSlurmSource(settings: SlurmSettings, nowMs: () => number = Date.now): Source {
  const memory = createMemory();
  return {
    source: 'slurm',
    instance: settings.cluster,
    async follow(sinceMs, sink, signal) {
      const slurm = waysOf(settings, (problem) => sink.problem(problem));
      try {
        await followSlurm({ slurm, settings, memory, sink, signal, nowMs }, sinceMs);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
    check: async (signal): Promise<readonly SourceCheck[]> => {
      const problems: SourceProblem[] = [];
      const slurm = waysOf(settings, (problem) => void problems.push(problem));
      return checkSlurm({ slurm, settings, signal, problems, nowMs });
    },
  };
}

function waysOf(settings: SlurmSettings, problem: (problem: SourceProblem) => void): Slurm {
  if (settings.rest !== undefined) return createRest(settings, settings.rest);
  return createPrograms(settings, (program) =>
    problem({
      subject: program,
      message: 'writes no JSON: it is asked for text, which has neither names nor the indices of devices',
    }),
  );
}
