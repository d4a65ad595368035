import { programOf } from './programs.ts';
import { FULL, type SignalRule } from './signal.ts';

const SOON_MS = 120_000;

export const afterJobEnd: SignalRule = {
  id: 'after_job_end',
  title: 'Began as soon as a job gave its device back',
  source: 'Those who wait for idle devices begin where a job ends; a queue of its own does the same.',
  attack: { before: [], after: [] },
  weight: 3,
  test({ own, releases }) {
    const found = own.find(
      ({ startedMs }) =>
        startedMs !== null && releases.some((endMs) => endMs <= startedMs && startedMs < endMs + SOON_MS),
    );
    return found === undefined
      ? null
      : {
          detail: `${programOf(found)} (${found.pid}) began within two minutes of a job's end there.`,
          strength: FULL,
        };
  },
};
