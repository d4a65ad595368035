/** What a job's states mean for its devices. */

const PENDING: readonly string[] = [
  'PENDING',
  'PD',
  'RESV_DEL_HOLD',
  'REQUEUE_FED',
  'REQUEUE_HOLD',
  'SPECIAL_EXIT',
];
/**
 * The devices are the job's. SUSPENDED: its memory stays on them, and Slurm gives them to nobody else. COMPLETING: its
 * processes are being ended, and the epilog runs.
 */
const HOLDING: readonly string[] = [
  'RUNNING',
  'SUSPENDED',
  'COMPLETING',
  'CONFIGURING',
  'POWER_UP_NODE',
  'RESIZING',
  'SIGNALING',
  'STAGE_OUT',
  'STOPPED',
];
const ENDED: readonly string[] = [
  'BOOT_FAIL',
  'CANCELLED',
  'COMPLETED',
  'DEADLINE',
  'FAILED',
  'LAUNCH_FAILED',
  'NODE_FAIL',
  'OUT_OF_MEMORY',
  'PREEMPTED',
  'RECONFIG_FAIL',
  'REQUEUED',
  'REVOKED',
  'TIMEOUT',
];

type Phase = 'waiting' | 'holding' | 'ended' | 'unknown';

/** Several can hold at once: `["CANCELLED", "COMPLETING"]` still holds. 'unknown': a state of a later release, or none. */
export function phaseOf(states: readonly string[]): Phase {
  const has = (known: readonly string[]): boolean => states.some((state) => known.includes(state));
  // A job that waits may carry how its run before ended.
  if (has(['COMPLETING'])) return 'holding';
  if (has(PENDING)) return 'waiting';
  if (has(ENDED) && !has(['RUNNING', 'RESIZING'])) return 'ended';
  if (has(HOLDING)) return 'holding';
  return has(ENDED) ? 'ended' : 'unknown';
}
