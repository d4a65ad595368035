import { FULL, type SignalRule } from './signal.ts';

/** What time services correct at once when a node starts is smaller. */
const LEAST_STEP_MS = 5_000;
const AROUND_MS = 120_000;

export const clockStep: SignalRule = {
  id: 'clock_step',
  title: 'The clock was set in its time',
  source:
    'Lengths come from the monotonic clock, so a step moves nothing; that somebody set it stays to be seen.',
  attack: { before: ['T1562'], after: ['T1685'] },
  weight: 5,
  test({ clockSteps, seen }) {
    const step = clockSteps.find(
      ({ atMs, stepMs }) =>
        Math.abs(stepMs) >= LEAST_STEP_MS && atMs >= seen.fromMs - AROUND_MS && atMs <= seen.toMs + AROUND_MS,
    );
    if (step === undefined) return null;
    const seconds = Math.round(Math.abs(step.stepMs) / 1000);
    return {
      detail: `The node's clock was set ${seconds} s ${step.stepMs > 0 ? 'ahead' : 'back'}.`,
      strength: FULL,
    };
  },
};
