import type { IntegrityKind } from '../../contract/batch.ts';
import { FULL, type SignalRule } from './signal.ts';

const CHANGED: readonly IntegrityKind[] = ['tool_changed', 'preload_set'];

export const changedTools: SignalRule = {
  id: 'changed_tools',
  title: 'What the GPUs are read with was changed on its node',
  source:
    'Elastic on SANSAR, which puts a wrapper in the place of libnvidia-ml; wallaby does so by LD_PRELOAD.',
  attack: { before: ['T1562.001', 'T1014'], after: ['T1685'] },
  weight: 8,
  test({ integrity }) {
    const fact = integrity.find(({ kind }) => CHANGED.includes(kind));
    return fact === undefined
      ? null
      : { detail: `Its node reports ${fact.kind} in the same hour.`, strength: FULL };
  },
};
