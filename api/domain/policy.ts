import type { EVIDENCE } from './bucket.ts';
import type { Interval } from './interval.ts';

/** Jobs of this source stand for exemptions: only the policy writes them. */
export const POLICY_SOURCE = 'policy';

/** Which use an exemption covers: every member that is not empty must match, one of each list is enough. */
export interface ExemptionMatch {
  /** Paths of executables, as jobs declare them. Anybody can copy a file or lie about a path: never enough alone. */
  readonly executables: readonly string[];
  /** Kernel boundaries such as `systemd:/system.slice/slurmd.service`; `*` stands for any characters but `/`. */
  readonly boundaries: readonly string[];
  readonly uids: readonly number[];
  /** The driver's letters, such as "G" or "C+G". */
  readonly types: readonly string[];
  readonly nodes: readonly string[];
  /** Only at these times. */
  readonly windows: readonly Interval[];
  /** Only at these times of each UTC day, in ms since midnight; an end before its start lies in the next day. */
  readonly daily: readonly Interval[];
}

/** A standing declaration of the site: use that no job has to cover. */
export interface Exemption extends Interval {
  readonly id: string;
  /** The id of the job that stands for it in the ledger. */
  readonly job: string;
  readonly owner: string;
  readonly account: string;
  readonly reason: string;
  readonly match: ExemptionMatch;
}

/** Where a program may go outside without its looking like a tunnel. Every member that is not empty must match. */
export interface ApprovedTunnel {
  /** Networks such as `198.51.100.0/28`; at least one. */
  readonly peers: readonly string[];
  readonly executables: readonly string[];
  readonly uids: readonly number[];
  readonly reason: string;
}

/** A site's rules for verdicts. Versioned: a cell stores the version that made it. */
export interface Policy {
  readonly version: number;
  /** The weakest evidence that makes use declared. */
  readonly weakestEvidence: Exclude<(typeof EVIDENCE)[number], 'policy'>;
  /** After a job's end a verdict waits this long before it is final; the time itself is not excused. */
  readonly endGraceMs: number;
  /** A self-declaration counts from this long before it was recorded. */
  readonly selfDeclarationLeadMs: number;
  /** Until this long after a moment, a self-declaration may still cover it. */
  readonly selfDeclarationWaitMs: number;
  /** Base names that are shells or launchers: never the baseline of a job that declares no executables. */
  readonly launchers: readonly string[];
  /** The first one that matches counts. */
  readonly exemptions: readonly Exemption[];
  /** Networks that are the site's own, beside what its agents take for internal. */
  readonly internalRanges: readonly string[];
  readonly approvedTunnels: readonly ApprovedTunnel[];
}

export const DEFAULT_POLICY: Policy = {
  version: 1,
  weakestEvidence: 'binding',
  endGraceMs: 30_000,
  selfDeclarationLeadMs: 60_000,
  selfDeclarationWaitMs: 60_000,
  exemptions: [],
  internalRanges: [],
  approvedTunnels: [],
  launchers: [
    'sh',
    'bash',
    'dash',
    'zsh',
    'ksh',
    'fish',
    'csh',
    'tcsh',
    'busybox',
    'env',
    'nice',
    'nohup',
    'timeout',
    'time',
    'setsid',
    'stdbuf',
    'sudo',
    'su',
    'tini',
    'dumb-init',
    'catatonit',
    'docker-init',
    'srun',
    'mpirun',
    'mpiexec',
    'orted',
    'prted',
    'slurmstepd',
    'slurmstepd-wlm',
    'conda',
    'mamba',
    'numactl',
    'taskset',
    'nsys',
    'nsys-launcher',
    'ncu',
    'nvidia-cuda-mps-control',
    'nvidia-cuda-mps-server',
    'torchrun',
    'accelerate',
    'deepspeed',
    'poetry',
    'pdm',
    'hatch',
    'xargs',
    'apptainer',
    'singularity',
    'starter',
    'starter-suid',
    'runc',
    'crun',
    'conmon',
    'containerd-shim-runc-v2',
    'make',
    'sshd',
    'sshd-session',
    'login',
    'tmux',
    'screen',
    'script',
    'systemd-run',
    'bwrap',
    'unshare',
    'nsenter',
    'chrt',
    'ionice',
    'strace',
    'gdb',
    'uv',
    'pixi',
    'micromamba',
  ],
};
