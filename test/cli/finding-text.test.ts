/** `gpuledger findings show` tells what the page tells, in its order, and nothing of it acts on a terminal. */
import { expect, test } from 'vitest';
import { findingLines, wrap } from '../../api/cli/finding-text.ts';
import { FindingDetail } from '../../api/contract/findings.ts';

const EVIL = '\u001b]0;owned\u0007\u202e/tmp/m\niner';
const AT = '2026-10-05T08:00:00.000Z';
const JOB = {
  id: 'j_1',
  source: 'slurm',
  externalId: '8101',
  name: 'train',
  account: 'physics',
  user: 'alice',
};
const process = (id: string, parentId: string | null, role: 'source' | 'ancestor') => ({
  ...{ id, parentId, role, bootId: 'b', pid: Number(id), startTicks: 1, startedAt: AT, exitedAt: null },
  ...{ user: EVIL, uid: 1000, comm: EVIL, commandLine: `${EVIL} --go`, commandLineCut: false },
  ...{ argumentsDigest: null, sessionId: null, ownNamespaces: null },
  executable: { path: EVIL, device: '8:1', inode: '1', deleted: true, fileSystem: 'memfd' },
  ...{
    cgroup: '',
    boundary: null,
    claims: [],
    unreadable: [],
    activeMs: 1,
    residentMs: 0,
    devices: ['GPU-1'],
  },
});
const finding = FindingDetail.parse({
  ...{ id: 'f_0123456789abcdef', kind: 'compute', severity: 'critical', strength: 'proof', state: 'settled' },
  ...{ running: true, mode: 'live', cluster: 'c', node: 'n1', reason: 'foreign_in_job', evidence: 'cgroup' },
  devices: [{ uuid: 'GPU-1', index: 3, model: 'A' }],
  reasons: ['foreign_in_job'],
  source: { process: '7', pid: 7, comm: EVIL, executable: EVIL, user: EVIL },
  insideJob: JOB,
  ...{
    activeMs: 3_600_000,
    residentMs: 0,
    leastMs: 3_600_000,
    mostMs: 3_615_000,
    provisionalMs: 0,
    value: { amount: '2.50', currency: 'EUR' },
  },
  ...{ firstSeen: AT, lastSeen: AT, recordedAt: AT, resolvedAt: null },
  processes: [process('1', null, 'ancestor'), process('7', '1', 'source')],
  timelines: [
    {
      ...{ device: 'GPU-1', index: 3, from: AT, stepMs: 60_000 },
      series: [
        { label: 'This finding', kind: 'source', ms: [0, 30_000, 60_000, 0] },
        { label: 'Idle', kind: 'idle', ms: [60_000, 30_000, 0, 0] },
        { label: 'Not measured', kind: 'unobserved', ms: [0, 0, 0, 60_000] },
      ],
    },
  ],
  score: 38,
  signals: [
    {
      ...{
        id: 'own_executable',
        title: 'A program that no declared job runs',
        detail: `${EVIL} is run by no job.`,
      },
      ...{ strength: 50, weight: 10, source: 'Allow-listing.' },
      attack: { before: ['T1562.001'], after: ['T1685'] },
    },
  ],
  series: {
    ...{ id: 's_1', nodes: ['n1', 'n2'], firstSeen: AT, lastSeen: AT, activeMs: 7_200_000, value: null },
    ...{ why: ['the same OS account'], rhythm: 'On 4 days it executed between 22:00 and 06:00 UTC only.' },
    findings: ['f_0123456789abcdef', 'f_2'].map((id) => ({
      ...{ id, node: 'n2', severity: 'warn', reason: 'no_job', executable: EVIL, activeMs: 3_600_000 },
      ...{ firstSeen: AT, lastSeen: AT, why: [] },
    })),
  },
  dials: [{ attempts: 812, failed: 511, mostAMinute: 96, ofHost: false, from: AT, to: AT }],
  connections: [
    {
      ...{ process: '7', pid: 7, comm: EVIL, kind: 'established', peerClass: 'external', localPort: 1 },
      ...{ peers: 9, examples: ['198.51.100.7:22', '812 connections were tried'], first: AT, last: AT },
    },
  ],
  story: {
    observed: [`It ran ${EVIL}.`],
    notObserved: [],
    candidates: Array.from({ length: 7 }, (_, at) => ({ job: JOB, why: `reason ${at}` })),
    innocentCauses: ['A helper was not declared.'],
    wouldChange: [],
  },
  cost: {
    value: { amount: '2.50', currency: 'EUR' },
    occupiedMs: 3_600_000,
    charged: [{ account: 'physics', job: JOB, ms: 3_600_000, amount: { amount: '2.50', currency: 'EUR' } }],
  },
  history: [{ at: AT, text: 'awaiting record' }],
});

test('every part is there, in the order of the page', () => {
  const text = findingLines(finding)
    .map((line) => line.trim())
    .join(' ');
  const order = [
    ...[
      'No declaration covers',
      'inside job slurm/8101 of account physics',
      '1.00 GPU-hours, value 2.50 EUR',
    ],
    ...[
      "each device's time",
      '| ▄█·|',
      'Processes',
      '→ 7',
      'file deleted',
      'runs from memory (memfd)',
      'Connections',
      '198.51.100.7:22',
    ],
    ...[
      'Signals',
      'no declared job runs (5).',
      'ATT&CK T1562.001, since v19 T1685. Known from: Allow-listing.',
    ],
    ...['One story', 'Seen on 2 nodes', '2.00 GPU-hours in all', 'between 22:00 and 06:00 UTC', 'f_2 n2'],
    ...['What was observed', 'What was not observed', 'Why each candidate', 'reason 4', 'and 2 more'],
    ...[
      'Innocent causes',
      'What would change the verdict',
      'Already charged',
      'added to no statement',
      'History',
    ],
  ];
  let at = -1;
  for (const part of order) {
    const next = text.indexOf(part, at + 1);
    expect([part, next > at]).toEqual([part, true]);
    at = next;
  }
});

test('text of a workload is visible and inert everywhere', () => {
  const lines = findingLines(finding);
  expect(lines.join('')).not.toMatch(/[\u0000-\u001f\u007f\u202e]/);
  expect(lines.join('\n')).toContain('\\x1b]0;owned\\x07\\u{202e}/tmp/m\\x0ainer');
});

test('sentences are broken between words, and long words stay whole', () => {
  expect(wrap('one two', '- ', '  ')).toEqual(['- one two']);
  const wrapped = wrap(`${'word '.repeat(40)}${'x'.repeat(100)} end`, '- ', '  ');
  expect(wrapped.slice(0, -2).every((line) => line.length <= 78)).toBe(true);
  expect(wrapped).toContain(`  ${'x'.repeat(100)}`);
  expect(wrap('', '- ', '  ')).toEqual(['- ']);
});
