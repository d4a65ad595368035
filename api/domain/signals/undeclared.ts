import { FULL, type SignalRule } from './signal.ts';

/** Where a job is near in time, polling and late records explain a little of it. */
const NEAR_A_JOB = ['before_start', 'after_end'];
/** Nobody is named. */
const NAMELESS = ['no_process', 'telemetry_conflict'];
const NEAR = 40;
const UNNAMED = 60;
const AWAITING = 30;

export const undeclared: SignalRule = {
  id: 'undeclared',
  title: 'Executed with no declaration that covers it',
  source: 'The ledger itself: no disguise of a program changes that nobody declared it.',
  attack: { before: ['T1496', 'T1496.001'], after: [] },
  weight: 30,
  test({ kind, reasons, activeMs, provisionalActiveMs }) {
    if (kind !== 'compute' || activeMs === 0) return null;
    const all = (some: readonly string[]): boolean => reasons.every((reason) => some.includes(reason));
    const detail = `Executing time without a declaration: ${reasons.join(', ')}.`;
    if (activeMs === provisionalActiveMs) return { detail, strength: AWAITING };
    if (all(NEAR_A_JOB)) return { detail, strength: NEAR };
    return { detail, strength: all([...NEAR_A_JOB, ...NAMELESS]) ? UNNAMED : FULL };
  },
};
