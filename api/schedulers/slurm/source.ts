/** A Slurm cluster as a source of declarations. */
import type { Source } from '../source.ts';
import { followSlurm } from './follow.ts';
import { createMemory } from './following.ts';
import { createPrograms } from './programs.ts';
import { SlurmSettings } from './settings.ts';

export { SlurmSettings };

export function createSlurmSource(settings: SlurmSettings): Source {
  const memory = createMemory();
  return {
    source: 'slurm',
    instance: settings.cluster,
    async follow(sinceMs, sink, signal) {
      const slurm = createPrograms(settings, (program) =>
        sink.problem({
          subject: program,
          message: 'writes no JSON: it is asked for text, which has neither names nor the indices of devices',
        }),
      );
      try {
        await followSlurm({ slurm, settings, memory, sink, signal, nowMs: Date.now }, sinceMs);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    },
    check: async () => [],
  };
}
