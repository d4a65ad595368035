/** Building blocks of the canned answers: a fixed present, sums that balance, jobs and processes. */
import type { ProcessView } from '../../api/contract/findings.ts';
import type { JobRef } from '../../api/contract/jobs.ts';
import type { Sums } from '../../api/contract/ledger.ts';
import type { Completeness } from '../../api/contract/primitives.ts';

export const HOUR_MS = 3_600_000;
export const NOW_MS = Math.floor(Date.now() / 60_000) * 60_000;
export const at = (msAgo: number): string => new Date(NOW_MS - msAgo).toISOString();
export const BOOT = '4c1d7c0e-8b51-4a53-9a52-0d0c5f6a7e11';

/** Sums whose buckets fill `capacityMs`: each part is a share in thousandths, idle takes the rest. */
export function sums(
  capacityMs: number,
  parts: { used?: number; held?: number; settled?: number; awaiting?: number; unobserved?: number },
): Sums {
  const share = (milli: number | undefined) => Math.floor((capacityMs * (milli ?? 0)) / 1000);
  const [usedMs, heldMs, unobservedMs] = [share(parts.used), share(parts.held), share(parts.unobserved)];
  const unaccountedProvisionalMs = share(parts.awaiting);
  const unaccountedMs = share(parts.settled) + unaccountedProvisionalMs;
  return {
    capacityMs,
    usedMs,
    heldMs,
    unaccountedMs,
    idleMs: capacityMs - usedMs - heldMs - unaccountedMs - unobservedMs,
    unobservedMs,
    allocatedMs: usedMs + heldMs + Math.floor(unaccountedMs / 2),
    unaccountedActiveMs: Math.floor(unaccountedMs * 0.9),
    unaccountedProvisionalMs,
    unaccountedInsideMs: Math.floor(unaccountedMs / 2),
    unobservedInsideMs: Math.floor(unobservedMs / 3),
  };
}

export function complete(lagging: boolean): Completeness {
  return {
    completeTo: at(lagging ? 11 * 60_000 : 30_000),
    settledTo: at(lagging ? 11 * 60_000 : 90_000),
    laggingNodes: lagging ? ['gpu-b-03', 'gpu-b-04'] : [],
    laggingSources: lagging ? ['slurm/main'] : [],
    pendingCells: lagging ? 14 : 0,
  };
}

export const JOB: JobRef = {
  id: 'j_0123456789abcdef',
  source: 'slurm',
  externalId: '8101',
  name: 'roll-rlhf-72b',
  account: 'agents-lab',
  user: 'mlin',
};

/** Text as a hostile workload would write it: markup, direction overrides, and no end. */
export const HOSTILE = `/tmp/<img src=x onerror=alert(1)>\u202egnp.exe ${'very-long-'.repeat(18)}`;

export function process(pid: number, parentPid: number | null, more: Partial<ProcessView>): ProcessView {
  return {
    id: `${BOOT}/${pid}/${pid * 10}`,
    bootId: BOOT,
    pid,
    startTicks: pid * 10,
    startedAt: at(3 * HOUR_MS - pid),
    exitedAt: null,
    parentId: parentPid === null ? null : `${BOOT}/${parentPid}/${parentPid * 10}`,
    user: 'mlin',
    uid: 20417,
    comm: 'python3',
    executable: {
      path: '/usr/bin/python3.11',
      device: '259:2',
      inode: '1312771',
      deleted: false,
      fileSystem: 'ext4',
    },
    commandLine: 'python3 -m roll.pipeline --config rlvr.yaml',
    commandLineCut: false,
    argumentsDigest: '9b1d'.repeat(16),
    sessionId: pid,
    ownNamespaces: [],
    cgroup: '0::/system.slice/slurmstepd.scope/job_8101/step_0/user/task_0',
    boundary: 'slurm:8101',
    claims: [{ name: 'SLURM_JOB_ID', value: '8101' }],
    unreadable: [],
    role: 'ancestor',
    activeMs: 0,
    residentMs: 0,
    devices: [],
    ...more,
  };
}
