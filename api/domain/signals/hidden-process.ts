import type { IntegrityKind } from '../../contract/batch.ts';
import { FULL, type SignalRule } from './signal.ts';

const HIDING: readonly IntegrityKind[] = ['process_hidden', 'process_covered', 'member_hidden'];

export const hiddenProcess: SignalRule = {
  id: 'hidden_process',
  title: 'Hidden from the process table',
  source: 'Datadog mount_proc_hide; Elastic on SANSAR, a mining kit that hides its processes.',
  attack: { before: ['T1564', 'T1014'], after: [] },
  weight: 10,
  test({ integrity, family, own }) {
    const ids = new Set<string>([...own, ...family.processes].map(({ id }) => id));
    const fact = integrity.find(
      ({ kind, process }) => HIDING.includes(kind) && process !== null && ids.has(process),
    );
    return fact === undefined ? null : { detail: `Its node reports ${fact.kind} of it.`, strength: FULL };
  },
};
