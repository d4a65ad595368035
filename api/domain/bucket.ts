/** The five places of the ledger. Every device-millisecond is in exactly one. */
export const BUCKETS = ['used', 'held', 'unaccounted', 'idle', 'unobserved'] as const;
export type Bucket = (typeof BUCKETS)[number];

/** Why use is unaccounted, in the order in which the reasons are tried. */
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
] as const;
export type Reason = (typeof REASONS)[number];

/**
 * What ties a process to a job, strongest first. `claim` is what the process says of itself. `policy` is no tie to a job:
 * an exemption of the site stands in the place of one, where nothing else covers the use.
 */
export const EVIDENCE = ['cgroup', 'lineage', 'binding', 'claim', 'policy'] as const;
export type Evidence = (typeof EVIDENCE)[number];
