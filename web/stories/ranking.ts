/** Canned signals, and the other findings that one is one story with. */
import type { Finding, FindingDetail } from '../../api/contract/findings.ts';
import { at, HOUR_MS } from './facts.ts';

export const SIGNALS: FindingDetail['signals'] = [
  {
    id: 'undeclared',
    title: 'Executed with no declaration that covers it',
    detail: 'Executing time without a declaration: foreign_in_job.',
    strength: 100,
    weight: 30,
    source: 'The ledger itself: no disguise of a program changes that nobody declared it.',
    attack: { before: ['T1496', 'T1496.001'], after: [] },
  },
  {
    id: 'reverse_tunnel',
    title: 'Told to forward a port of the other side',
    detail: 'ssh (5133) asks for a remote forward and holds a connection to the outside.',
    strength: 70,
    weight: 12,
    source: 'Elastic and Datadog rules for ssh -R; here in every spelling of it, and under any program name.',
    attack: { before: ['T1572'], after: [] },
  },
  {
    id: 'temporary_path',
    title: 'Executable in memory or where everybody may write',
    detail: 'Process 5120 runs /dev/shm/.cache/kworker.',
    strength: 100,
    weight: 8,
    source: 'Falco "Execution from /dev/shm", Elastic rules on executables under temporary folders.',
    attack: { before: [], after: [] },
  },
  {
    id: 'changed_tools',
    title: 'What the GPUs are read with was changed on its node',
    detail: 'Its node reports tool_changed in the same hour.',
    strength: 100,
    weight: 8,
    source:
      'Elastic on SANSAR, which puts a wrapper in the place of libnvidia-ml; wallaby does so by LD_PRELOAD.',
    attack: { before: ['T1562.001', 'T1014'], after: ['T1685'] },
  },
];

/** With a finding of another node, two days before. */
export const seriesOf = (finding: Finding): FindingDetail['series'] => ({
  id: 's_00000000000000aa',
  findings: [
    {
      id: 'f_00000000000000b1',
      node: 'gpu-a-03',
      severity: 'critical',
      reason: 'foreign_in_job',
      executable: '/dev/shm/.cache/ksoftirqd',
      activeMs: Math.round(11.2 * HOUR_MS),
      firstSeen: at(60 * HOUR_MS),
      lastSeen: at(49 * HOUR_MS),
      why: ['the same file (ksoftirqd, inode 90211)'],
    },
    {
      id: 'f_00000000000000aa',
      node: 'gpu-a-07',
      severity: 'critical',
      reason: 'foreign_in_job',
      executable: '/dev/shm/.cache/kworker',
      activeMs: finding.activeMs,
      firstSeen: finding.firstSeen,
      lastSeen: finding.lastSeen,
      why: [],
    },
  ],
  nodes: ['gpu-a-03', 'gpu-a-07'],
  firstSeen: at(60 * HOUR_MS),
  lastSeen: finding.lastSeen,
  activeMs: Math.round(12.94 * HOUR_MS),
  value: { amount: '35.59', currency: 'EUR' },
  why: ['the same OS account', 'the same way there, below bash, below python3.11'],
  rhythm: null,
});
