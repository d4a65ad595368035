/** Canned nodes, devices, sources, jobs and a statement. */

import type { Conflict } from '../../api/contract/conflicts.ts';
import type { Statement } from '../../api/contract/finance.ts';
import type { DeviceOut, NodeOut } from '../../api/contract/fleet.ts';
import type { JobDetail, JobRow } from '../../api/contract/jobs.ts';
import type { SourceOut } from '../../api/contract/sources.ts';
import { at, BOOT, complete, HOUR_MS, JOB, NOW_MS, sums } from './facts.ts';

const NAMES = Array.from({ length: 12 }, (_, i) => `gpu-${i < 8 ? 'a' : 'b'}-0${(i % 8) + 1}`);
const modelOf = (name: string) =>
  name.startsWith('gpu-a') ? 'NVIDIA H100 80GB HBM3' : 'NVIDIA A100-SXM4-40GB';

function nowOf(node: string, index: number): DeviceOut['now'] {
  if (node === 'gpu-b-04') return 'unobserved';
  if (node === 'gpu-b-03') return 'pending';
  if (node === 'gpu-a-07' && (index === 4 || index === 5)) return 'unaccounted';
  return (
    (['used', 'used', 'used', 'held', 'used', 'idle', 'used', 'idle'] as const)[
      (index + node.length + Number(node.slice(-1))) % 8
    ] ?? 'idle'
  );
}

export const DEVICES: readonly DeviceOut[] = NAMES.flatMap((node, n) =>
  Array.from({ length: 8 }, (_, index) => ({
    uuid: `GPU-00000000-${n.toString(16).padStart(4, '0')}-4a4a-8b8b-0000000000a${index}`,
    node,
    index,
    minor: index,
    busId: `00000000:${(index + 16).toString(16).toUpperCase()}:00.0`,
    model: modelOf(node),
    memoryBytes: 80 * 2 ** 30,
    migEnabled: false,
    capacityFrom: at(7 * 24 * HOUR_MS),
    capacityTo: null,
    now: nowOf(node, index),
  })),
);

export const NODES: readonly NodeOut[] = NAMES.map((name) => ({
  name,
  cluster: 'demo',
  group: name.startsWith('gpu-a') ? 'training' : 'batch',
  mode: name === 'gpu-b-02' ? 'shadow' : 'live',
  enrolled: name !== 'gpu-b-04',
  agent:
    name === 'gpu-b-04'
      ? null
      : {
          version: '0.1.0',
          driverVersion: '550.54.15',
          bootId: BOOT,
          stream: '0d9be5c2f3a14a1c',
          seq: 20_161,
          pollIntervalMs: 5_000,
          lastHeard: at(name === 'gpu-b-03' ? 11 * 60_000 : 8_000),
          completeTo: at(name === 'gpu-b-03' ? 11 * 60_000 : 30_000),
          silent: name === 'gpu-b-03',
        },
  devices: 8,
  devicesNow: DEVICES.filter((device) => device.node === name),
  models: [modelOf(name)],
  last24h:
    name === 'gpu-b-04'
      ? sums(192 * HOUR_MS, { unobserved: 1000 })
      : sums(192 * HOUR_MS, {
          used: 610,
          held: 140,
          settled: name === 'gpu-a-07' ? 9 : 0,
          unobserved: name === 'gpu-b-03' ? 120 : 2,
        }),
  problems:
    name === 'gpu-b-03'
      ? [
          {
            at: at(12 * 60_000),
            source: 'nvidia-smi',
            message: 'nvidia-smi did not answer within 10 s; killed',
          },
          {
            at: at(14 * 60_000),
            source: 'nvidia-smi',
            message: 'Unable to determine the device handle for GPU 0000:13:00.0: GPU is lost',
          },
        ]
      : [],
}));

export const SOURCES: readonly SourceOut[] = [
  {
    source: 'slurm',
    sourceInstance: 'main',
    selfDeclared: false,
    completeTo: at(11 * 60_000),
    lagMs: 11 * 60_000,
    lagging: true,
    jobs: 812,
    lastHeard: at(11 * 60_000),
    health: {
      ...{ state: 'failing', since: at(11 * 60_000), lastSuccess: at(11 * 60_000), reportedAt: at(15_000) },
      silent: false,
      problems: [
        {
          at: at(15_000),
          subject: 'squeue',
          message: 'squeue failed (exit code 1): slurm_load_jobs error: Unable to contact slurm controller',
        },
      ],
      problemCount: 1,
    },
    suspect: { since: at(11 * 60_000), nodes: 14, findings: 31, activeMs: 2 * HOUR_MS },
  },
  {
    source: 'kubernetes',
    sourceInstance: 'prod',
    selfDeclared: false,
    completeTo: at(20_000),
    lagMs: 20_000,
    lagging: false,
    jobs: 97,
    lastHeard: at(20_000),
    health: {
      ...{ state: 'following', since: at(90 * 60_000), lastSuccess: at(20_000), reportedAt: at(10_000) },
      ...{ silent: false, problems: [], problemCount: 0 },
    },
    suspect: null,
  },
  {
    source: 'api',
    sourceInstance: 'default',
    selfDeclared: true,
    completeTo: at(60_000),
    lagMs: 60_000,
    lagging: false,
    jobs: 4,
    lastHeard: null,
    health: null,
    suspect: null,
  },
];

const USE = {
  allocatedMs: 448 * HOUR_MS,
  usedMs: 412 * HOUR_MS,
  heldMs: 34 * HOUR_MS,
  unaccountedInsideMs: Math.round(1.74 * HOUR_MS),
  unobservedInsideMs: 15 * 60_000,
};

const ROME_JOB: JobRow = {
  ...JOB,
  cluster: 'demo',
  sourceInstance: 'main',
  incarnation: 0,
  uid: 20417,
  start: at(56 * HOUR_MS),
  end: null,
  allocations: [
    {
      ...{ node: 'gpu-a-07', devices: null, indices: null, pending: [], count: null },
      ...{ start: at(56 * HOUR_MS), end: null, share: 1 },
    },
  ],
  boundaries: ['slurm:8101'],
  executables: ['/usr/bin/python3*', '/opt/roll/**'],
  image: null,
  entrypoint: [],
  commandPattern: null,
  peers: [],
  processesPerDevice: 1,
  root: null,
  within: null,
  attributes: { partition: 'gpu', qos: 'normal' },
  marks: ['late'],
  version: 2,
  firstRecordedAt: at(56 * HOUR_MS),
  recordedAt: at(40 * 60_000),
  recordedBy: 'slurm-feed',
  selfDeclared: false,
  use: USE,
};

export const JOBS: readonly JobRow[] = [
  ROME_JOB,
  ...['agents-lab', 'vision', 'speech', 'protein', 'weather', 'infra'].flatMap((account, i) =>
    [0, 1, 2].map((k) => ({
      ...ROME_JOB,
      id: `j_00000000000000${i}${k}`,
      source: k === 1 ? 'kubernetes' : 'slurm',
      externalId: k === 1 ? `9b2f7a1c-03d1-4c1e-8f77-00000000${i}0${k}1` : String(8000 + i * 10 + k),
      name: ['train', 'eval', 'finetune'][k] ?? '',
      account,
      user: ['mlin', 'ana', 'tso'][k] ?? null,
      start: at((i * 9 + k * 5 + 3) * HOUR_MS),
      end: k === 0 ? null : at((i * 9 + k * 2) * HOUR_MS),
      version: 1,
      use: {
        allocatedMs: (i + 2) * 19 * HOUR_MS,
        usedMs: (i + 2) * (17 - k * 5) * HOUR_MS,
        heldMs: (i + 2) * (2 + k * 5) * HOUR_MS,
        unaccountedInsideMs: 0,
        unobservedInsideMs: 0,
      },
    })),
  ),
];

export const CONFLICTS: readonly Conflict[] = [
  {
    ...{ id: 'c_0123456789abcdef', node: 'gpu-a-07', moreClaims: 0, running: true },
    devices: [0, 1].map((index) => ({ device: `GPU-${index}`, index })),
    claims: JOBS.slice(0, 2),
    ...{ from: at(5 * HOUR_MS), to: at(0), contestedMs: 10 * HOUR_MS },
  },
];

export function jobDetail(job: JobRow): JobDetail {
  const { use: _, ...version } = job;
  return {
    ...job,
    overlaps: [],
    charged: [
      { from: job.start, to: null, account: job.account, project: 'agents', costCentre: null, mapped: true },
    ],
    versions: [version, { ...version, version: 1, recordedAt: at(56 * HOUR_MS), executables: [] }],
    usedInOthersMs: 0,
    inside: [
      {
        executable: '/usr/bin/python3.11',
        bucket: 'used',
        reason: null,
        suspicious: false,
        processes: 9,
        activeMs: 410 * HOUR_MS,
        finding: null,
      },
      {
        executable: '/dev/shm/.cache/kworker',
        bucket: 'unaccounted',
        reason: 'foreign_in_job',
        suspicious: false,
        processes: 1,
        activeMs: Math.round(1.74 * HOUR_MS),
        finding: 'f_00000000000000aa',
      },
      {
        executable: '/opt/roll/bin/vllm-worker',
        bucket: 'used',
        reason: null,
        suspicious: true,
        processes: 4,
        activeMs: 2 * HOUR_MS,
        finding: null,
      },
    ],
    devices: DEVICES.filter((device) => device.node === 'gpu-a-07').map((device) => ({
      node: device.node,
      device: device.uuid,
      index: device.index,
      assumed: device.index === 7,
      sums: sums(56 * HOUR_MS, { used: 850, held: 110, settled: device.index === 4 ? 16 : 0 }),
    })),
  };
}

export function statement(period: string): Statement {
  const accounts = ['agents-lab', 'infra', 'protein', 'speech', 'vision', 'weather'].map((account, i) => {
    const lines = ['NVIDIA A100-SXM4-40GB', 'NVIDIA H100 80GB HBM3'].slice(i % 2).map((model, m) => {
      const allocatedMs = (180 + i * 37 + m * 411) * HOUR_MS;
      const gpuHours = (allocatedMs / HOUR_MS).toFixed(9);
      return {
        account,
        model,
        sums: {
          ...sums(allocatedMs, { used: 780, held: 190, settled: i === 0 ? 8 : 0, unobserved: 4 }),
          allocatedMs,
        },
        ...{ project: null, costCentre: null },
        gpuHours,
        ratePerGpuHour: model.includes('H100') ? '2.75' : '1.40',
        amount: (
          (BigInt(Math.round(allocatedMs / HOUR_MS)) * (model.includes('H100') ? 275n : 140n)) /
          100n
        ).toString(),
      };
    });
    const allocatedMs = lines.reduce((total, line) => total + line.sums.allocatedMs, 0);
    return {
      account,
      allocatedMs,
      gpuHours: (allocatedMs / HOUR_MS).toFixed(9),
      total: `${lines.reduce((total, line) => total + BigInt(line.amount), 0n)}.00`,
      lines,
    };
  });
  const accountsMs = accounts.reduce((total, account) => total + account.allocatedMs, 0);
  const unheldMs = 4_312 * HOUR_MS + 1;
  return {
    period,
    from: `${period}-01T00:00:00.000Z`,
    to: new Date(NOW_MS).toISOString(),
    cluster: 'demo',
    currency: 'EUR',
    status: 'open',
    complete: complete(false),
    accounts,
    unheld: sums(unheldMs, { settled: 7, unobserved: 44 }),
    total: {
      sums: sums(accountsMs + unheldMs, { used: 500 }),
      chargedMs: accountsMs,
      amount: `${accounts.reduce((total, account) => total + BigInt(account.total.split('.')[0] ?? '0'), 0n)}.00`,
    },
    check: { capacityMs: accountsMs + unheldMs, accountsMs, unheldMs, differenceMs: 0, balanced: true },
  };
}
