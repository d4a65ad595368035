/** The five places of the ledger. Every device-millisecond is in exactly one. */
export const BUCKETS = ['used', 'held', 'unaccounted', 'idle', 'unobserved'] as const;
export type Bucket = (typeof BUCKETS)[number];

/** Why use is unaccounted, in the order in which the reasons are tried; the last one is no such reason. */
export const REASONS = [
  'unverified_claim',
  'unknown_job',
  'wrong_user',
  'before_start',
  'after_end',
  'outside_allocation',
  'foreign_in_job',
  'no_job',
  'no_process',
  'telemetry_conflict',
  'unlike_declared',
] as const;
/** Of findings alone: a job's use that is marked. Its time is `used`, and none of it is the finding's. */
export const MARKED_REASON = 'unlike_declared';
export type Reason = (typeof REASONS)[number];

/**
 * What ties a process to a job, strongest first. `claim` is what the process says of itself. `policy` is no tie to a job:
 * an exemption of the site stands in the place of one, where nothing else covers the use.
 */
export const EVIDENCE = ['cgroup', 'lineage', 'binding', 'claim', 'policy'] as const;
export type Evidence = (typeof EVIDENCE)[number];
