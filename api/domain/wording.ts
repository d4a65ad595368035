// What is said about each reason. Neutral: of declarations and processes, never of people's intentions.
import { INTEGRITY_KINDS, type IntegrityKind } from '../contract/batch.ts';
import { REASONS, type Reason } from './bucket.ts';
import { NETWORK_REASONS, type NetworkReason } from './network.ts';

/** What a finding can be about: unaccounted time, what was seen on the network, or how the node is read. */
export type FindingReason = Reason | NetworkReason | IntegrityKind;
export const FINDING_REASONS: readonly FindingReason[] = [...REASONS, ...NETWORK_REASONS, ...INTEGRITY_KINDS];

/** What the reason means, in one sentence. */
export const SENTENCES: Readonly<Record<FindingReason, string>> = {
  unverified_claim:
    'Its environment names a job, but nothing that the process cannot write itself ties it to that job.',
  unknown_job: 'It is marked as part of a job that no source has declared.',
  wrong_user: 'It ran inside a declared job under another account than the job states.',
  before_start: 'It belongs to a declared job, but executed before that job counts.',
  after_end: 'It belongs to a declared job, but executed after that job had ended.',
  outside_allocation: 'It belongs to a declared job, but executed on a device that the job did not hold.',
  foreign_in_job: 'It ran inside a declared job, but is not what that job declared to run.',
  no_job: 'Nothing ties it to any declared job.',
  no_process: 'The device was in use while no reading showed a process on it.',
  telemetry_conflict:
    'The device drew working power, in two readings in a row, while it reported that nothing executed.',
  unlike_declared:
    'It ran inside a declared job, whose use it is, but is not as that job said, or not what it first ran where it said nothing.',
  reverse_tunnel:
    'A process inside a job held an external connection and was told to forward a port of the other side to this one.',
  relayed_connection:
    'A process inside a job that uses no device held an external connection, and meanwhile opened others to the inside, as a forward does.',
  network_scan: 'A process inside a job tried to reach many addresses or ports.',
  process_hidden: 'The driver names a process on a device, and /proc does not show it.',
  process_covered:
    'Something is mounted over the folder of a process in /proc: who reads there sees something else.',
  member_hidden: 'A control group lists a process that /proc does not show.',
  tool_changed:
    'A file through which the GPUs are read is another than before, while the driver is of the same version.',
  tool_exposed: 'Accounts other than root can write a file through which the GPUs are read.',
  preload_set: 'A library is set to be loaded into every program of the node.',
  version_mismatch: 'The driver, its library and nvidia-smi are not of one version.',
  key_changed: 'What came in the name of this node was signed by a key that it had not used before.',
};

/** What may explain it without anything being wrong. */
export const CAUSES: Readonly<Record<FindingReason, readonly string[]>> = {
  unverified_claim: [
    'The job runs where the kernel keeps no boundary for it, so that only its environment names it.',
    'A shell was opened beside the job with its environment copied.',
  ],
  unknown_job: [
    "The scheduler's record has not come yet, or its source is not connected.",
    'A container was started directly instead of through the scheduler.',
  ],
  wrong_user: [
    'The job runs a service account or a container with accounts of its own.',
    'The declaration names the submitter rather than the account that runs.',
  ],
  before_start: [
    'The job was declared after it had been started by hand.',
    'The clocks of the scheduler and the node differ.',
  ],
  after_end: [
    'The process needed longer than usual to stop, for example to write a checkpoint.',
    'The end of the job was recorded too early.',
  ],
  outside_allocation: [
    'The devices are numbered differently on the node than in the declaration.',
    'The site does not confine jobs to their devices, and a program took all that it saw.',
  ],
  foreign_in_job: [
    'The job declared too little of what it runs, such as a helper or another interpreter.',
    'The declared path is a link, and the kernel names the file behind it.',
  ],
  no_job: [
    'Work was started by hand without declaring it.',
    'Maintenance, a driver check or a diagnosis ran.',
    'A job runs where neither its boundary nor its root process was declared.',
  ],
  no_process: [
    'The process runs in a container or namespace that the driver does not list.',
    'Utilisation lags behind a process that has just ended.',
    'Short programs began and ended between two readings.',
  ],
  telemetry_conflict: [
    'A sensor or the driver reports wrong values.',
    'Something keeps the device at high clocks without executing.',
  ],
  unlike_declared: [
    'The job runs more than one program, such as an evaluation beside a training, and did not say so.',
    'A launcher or a wrapper of the site that the policy does not know as one.',
  ],
  reverse_tunnel: ['A person reaches a notebook or a dashboard of this job from outside in this way.'],
  relayed_connection: [
    'A helper of the job reports to a service outside and talks to the job itself, as experiment trackers do.',
    'A helper fetches data from outside and hands it on inside.',
  ],
  network_scan: [
    'A large job was finding its own members at its start.',
    'A service was looked for in a range of ports.',
  ],
  process_hidden: [
    "The agent does not run in the host's pid namespace, or may not see the processes of others.",
    'The process ended between the two readings.',
    'The driver still lists a process whose end it has not noticed.',
  ],
  process_covered: ['A sandbox or a container runtime mounted it there to keep its processes from others.'],
  member_hidden: [
    'The process ended between the two readings.',
    "The agent does not run in the host's pid namespace, or may not see the processes of others.",
  ],
  tool_changed: [
    "The driver's package was installed again or repaired in the same version.",
    'The site put a wrapper in the place of nvidia-smi.',
  ],
  tool_exposed: ['It was installed by hand, or from an image that keeps loose rights.'],
  preload_set: ['A profiler, a memory allocator or a tool of the site is loaded in this way.'],
  version_mismatch: [
    'The driver was upgraded, and the node has not been restarted since.',
    'A container brings a library of its own.',
  ],
  key_changed: [
    'The node was installed anew, or its agent was given another spool folder: the key lies there.',
    'Two agents send with the token of one node.',
  ],
};

const BESIDE = 'Nothing in the ledger: this is an observation beside it and carries no GPU time.';

/** What would give another verdict. */
export const CHANGES: Readonly<Record<FindingReason, readonly string[]>> = {
  unverified_claim: [
    'A declaration that names the kernel boundary or the root process of this use.',
    'A site policy that accepts what the environment says.',
  ],
  unknown_job: ["The job's record from its source, or a declaration that names this boundary."],
  wrong_user: ['A corrected declaration that states the account which ran.'],
  before_start: ["A corrected start in the scheduler's record. A self-declaration does not reach back."],
  after_end: ["A corrected end in the scheduler's record."],
  outside_allocation: ['A corrected declaration that names this device for this time.'],
  foreign_in_job: ['A corrected declaration that names this executable.'],
  no_job: [
    'A declaration by a scheduler that covers this device and time and names the boundary of the process.',
    'A declaration that names its root process, for use from then on.',
    "An exemption in the site's policy, for use that the site itself makes.",
  ],
  no_process: [
    'A reading that names the process, such as one with access to its namespace.',
    "The record of a job that held the device, for what only the driver's accounting lists.",
  ],
  telemetry_conflict: ['Readings of power and utilisation that agree.'],
  unlike_declared: [
    'A declaration of what the job runs: executables decide, where all else only marks.',
    'Nothing in the ledger: the time is that of the job, and stays it.',
  ],
  reverse_tunnel: [BESIDE],
  relayed_connection: [BESIDE],
  network_scan: [BESIDE],
  process_hidden: [
    BESIDE,
    'A reading of /proc that shows the process; gpuledger-agent doctor on the node says what it may see.',
  ],
  process_covered: [BESIDE, 'A reading in which nothing is mounted over it.'],
  member_hidden: [
    BESIDE,
    'A reading of /proc that shows the process; gpuledger-agent doctor on the node says what it may see.',
  ],
  tool_changed: [
    BESIDE,
    'Whether other nodes with this driver version have the same file: the page of nodes and gpuledger fleet integrity compare them.',
  ],
  tool_exposed: [BESIDE, 'Rights on the file and its folder that let nobody but root write.'],
  preload_set: [BESIDE, 'A node on which nothing is loaded into every program.'],
  version_mismatch: [BESIDE, 'A driver, a library and a tool of one version, usually after a restart.'],
  key_changed: [BESIDE, 'An administrator who knows why and accepts the key: gpuledger fleet accept-key.'],
};
