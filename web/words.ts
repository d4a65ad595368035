/** The words that pages use for what the ledger calls things. Neutral: they say what was recorded, never who is to blame. */

/** One place on the stacked charts. `awaiting` is unaccounted time whose record may still come. */
export const SERIES = ['unaccounted', 'awaiting', 'used', 'held', 'idle', 'unobserved'] as const;
export type SeriesKey = (typeof SERIES)[number];

export const SERIES_LABELS: Readonly<Record<SeriesKey, string>> = {
  unaccounted: 'No matching declaration',
  awaiting: 'Awaiting record',
  used: 'Used',
  held: 'Reserved, not active',
  idle: 'Idle',
  unobserved: 'Not measured',
};

export const SERIES_MEANINGS: Readonly<Record<SeriesKey, string>> = {
  unaccounted: 'Used by something that no declaration covers; settled',
  awaiting: 'No declaration covers it yet; a source may still record one',
  used: 'Executing for a declared job',
  held: 'Allocated to a job and observed, but not executing',
  idle: 'Observed, allocated to nobody, nothing on it',
  unobserved: 'No trustworthy reading: missing is never counted as idle',
};

const REASON_WORDS: Readonly<Record<string, string>> = {
  unverified_claim: 'Only its own claim names a job',
  unknown_job: 'Names a job that no source declared',
  wrong_user: 'Another OS account than the job’s',
  before_start: 'Before the job’s start',
  after_end: 'After the job’s end',
  outside_allocation: 'On a device its job does not hold',
  foreign_in_job: 'Inside a job, not what it declared',
  no_job: 'No matching declaration',
  no_process: 'Work that shows no process',
  telemetry_conflict: 'Power and utilisation disagree',
  unlike_declared: 'Not as its job said',
  reverse_tunnel: 'Reverse tunnel out of a job',
  relayed_connection: 'Outside and inside at once, out of a job',
  network_scan: 'Many connection attempts from a job',
  process_hidden: 'A process that /proc does not show',
  process_covered: 'A process covered in /proc',
  member_hidden: 'A member of a control group that /proc does not show',
  tool_changed: 'What GPUs are read with has changed',
  tool_exposed: 'Others can write what GPUs are read with',
  preload_set: 'A library is loaded into every program',
  version_mismatch: 'Driver, library and tool of several versions',
  key_changed: 'A node signs with another key',
};

export const REASONS: readonly string[] = Object.keys(REASON_WORDS);

/** The words of a code; a code that this page does not know yet is shown with spaces, never hidden. */
function wordsOf(table: Readonly<Record<string, string>>, code: string): string {
  return table[code] ?? code.replaceAll('_', ' ');
}

export const reasonWords = (reason: string): string => wordsOf(REASON_WORDS, reason);

const EVIDENCE_WORDS: Readonly<Record<string, string>> = {
  cgroup: 'Kernel boundary',
  lineage: 'Process lineage',
  binding: 'Device binding',
  claim: 'Its own claim',
  policy: 'Site policy',
};
/** What tied the process to a job; most sources have nothing. */
export const evidenceWords = (evidence: string | null): string =>
  evidence === null ? 'None' : wordsOf(EVIDENCE_WORDS, evidence);

export const KIND_WORDS = {
  compute: 'GPU time',
  network: 'Network',
  integrity: 'Integrity',
  agent: 'Agent',
} as const;

export const STRENGTH_WORDS = {
  proof: 'Proof that no declaration covers it',
  suspicion: 'Suspicion',
  unobserved: 'Nobody saw',
} as const;

export const TOOL_WORDS = {
  nvidia_smi: 'nvidia-smi',
  libnvidia_ml: 'libnvidia-ml',
  preload: 'Loaded into every program',
} as const;

export const CONNECTION_WORDS = {
  established: 'Connected',
  attempt: 'Tried to connect',
  listening: 'Listening',
} as const;

export const PEER_WORDS = {
  loopback: 'this host',
  internal: 'internal network',
  external: 'external address',
} as const;

export const MODE_WORDS = {
  observe: 'Observe: balances, shows nothing as a finding to act on',
  shadow: 'Shadow: shows findings, alerts nobody',
  live: 'Live',
} as const;
