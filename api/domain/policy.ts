import type { Evidence } from './bucket.ts';

/** A site's rules for verdicts. Versioned: a cell stores the version that made it. */
export interface Policy {
  readonly version: number;
  /** The weakest evidence that makes use declared. */
  readonly weakestEvidence: Evidence;
  /** After a job's end a verdict waits this long before it is final; the time itself is not excused. */
  readonly endGraceMs: number;
  /** A self-declaration counts from this long before it was recorded. */
  readonly selfDeclarationLeadMs: number;
  /** Until this long after a moment, a self-declaration may still cover it. */
  readonly selfDeclarationWaitMs: number;
  /** Base names that are shells or launchers: never the baseline of a job that declares no executables. */
  readonly launchers: readonly string[];
}

export const DEFAULT_POLICY: Policy = {
  version: 1,
  weakestEvidence: 'binding',
  endGraceMs: 30_000,
  selfDeclarationLeadMs: 60_000,
  selfDeclarationWaitMs: 60_000,
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
    'ncu',
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
