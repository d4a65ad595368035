/** A job of Ray as a declaration: never with devices, since what Ray's books say of GPUs is what its users asked for. */
import { attributesOf } from '../attributes.ts';
import { clean, isMembers, type Members, membersAt, textOf } from '../json-values.ts';
import type { Declaration } from '../source.ts';
import type { RaySettings } from './settings.ts';

/** A row of the dashboard's list cannot be used: which, and why. */
export class BadRayJob extends Error {
  readonly subject: string | null;
  /** Where it has one that can be read: the job is there, whatever else of it cannot be. */
  readonly externalId: string | null;
  constructor(subject: string | null, message: string, externalId: string | null = null) {
    super(message);
    this.name = 'BadRayJob';
    this.subject = subject;
    this.externalId = externalId;
  }
}

export interface RayJob {
  /** What its workers have in RAY_JOB_ID; before it has one, its submission's. */
  readonly externalId: string;
  readonly submissionId: string | null;
  readonly type: string | null;
  readonly status: string;
  readonly name: string | null;
  readonly driverNode: string | null;
  readonly startMs: number;
  /** null: it runs. 'unknown': it ended, and Ray does not say when. */
  readonly endMs: number | null | 'unknown';
}

/** Actors of a job that live now. */
export interface RayActors {
  readonly count: number;
  /** Those that do not end with their job, by name or class. */
  readonly detached: readonly string[];
  readonly namespaces: readonly string[];
}

const STATUSES = ['PENDING', 'RUNNING', 'STOPPED', 'SUCCEEDED', 'FAILED'];
const JOB_ID = /^[0-9a-f]{8}$/;
const SUBMISSION_ID = /^[\x21-\x7e]{1,253}$/;
/** The end of the year 9999. */
const MAX_MS = 253_402_300_799_999;
/** The beginning of the year 2000: what is earlier was meant in seconds. */
const MIN_MS = 946_684_800_000;

/** null: it waits, and has nothing yet. Throws `BadRayJob`; `problem` hears of members that contradict each other. */
export function rayJobOf(value: unknown, problem: (subject: string, message: string) => void): RayJob | null {
  if (!isMembers(value)) throw new BadRayJob(null, 'a job is no object');
  const jobId = textOf(value, 'job_id') ?? textOf(membersAt(value, 'driver_info'), 'id');
  const submissionId = textOf(value, 'submission_id');
  const subject = clean(submissionId ?? jobId ?? '?', 100);
  if (jobId !== null && !JOB_ID.test(jobId))
    throw new BadRayJob(subject, 'job_id is no 8 hexadecimal digits');
  if (submissionId !== null && !SUBMISSION_ID.test(submissionId))
    throw new BadRayJob(subject, 'submission_id is no id');
  const externalId = jobId ?? submissionId;
  if (externalId === null) throw new BadRayJob(subject, 'it has neither job_id nor submission_id');
  const status = textOf(value, 'status');
  if (status === null) throw new BadRayJob(subject, 'status is no text', externalId);
  const isKnown = STATUSES.includes(status);
  if (!isKnown) problem(subject, 'status is none that is known: its end decides whether it runs');
  const isOver = isKnown
    ? status !== 'PENDING' && status !== 'RUNNING'
    : value['end_time'] !== null && value['end_time'] !== undefined;
  const startMs = millisecondsOf(value, 'start_time');
  if (startMs === null) {
    // One that was stopped while it waited never began.
    const isUnset = value['start_time'] === null || value['start_time'] === undefined;
    if (status === 'PENDING' || (isOver && isUnset && jobId === null)) return null;
    throw new BadRayJob(subject, 'start_time is no time in milliseconds', externalId);
  }
  let endMs = isOver ? millisecondsOf(value, 'end_time') : null;
  if (endMs !== null && endMs < startMs) {
    problem(subject, 'end_time lies before start_time: it is left out');
    endMs = null;
  }
  const metadata = membersAt(value, 'metadata');
  return {
    ...{ externalId, submissionId, status, startMs },
    type: textOf(value, 'type'),
    name: textOf(metadata, 'job_name') ?? textOf(metadata, 'name'),
    driverNode: textOf(membersAt(value, 'driver_info'), 'node_ip_address'),
    endMs: isOver ? (endMs ?? 'unknown') : null,
  };
}

function millisecondsOf(members: Members, name: string): number | null {
  const value = members[name];
  return typeof value === 'number' && value >= MIN_MS && value <= MAX_MS ? Math.floor(value) : null;
}

/** Of the state API: the actors that live, by job. null: the answer has no list of actors. */
export function actorsOf(answer: unknown): Map<string, RayActors> | null {
  const rows = membersAt(answer, 'data', 'result')['result'];
  if (!Array.isArray(rows)) return null;
  const alive = rows
    .filter(isMembers)
    .filter((row) => row['state'] === 'ALIVE' && textOf(row, 'job_id') !== null);
  return new Map(
    [...Map.groupBy(alive, (row) => textOf(row, 'job_id') ?? '')].map(([job, own]) => [
      job,
      {
        count: own.length,
        detached: own
          .filter((row) => row['is_detached'] === true)
          .map((row) => textOf(row, 'name') ?? textOf(row, 'class_name') ?? '?'),
        namespaces: [...new Set(own.flatMap((row) => textOf(row, 'ray_namespace') ?? []))].sort(),
      },
    ]),
  );
}

const MAX_NAMED = 20;

/** `endMs` stands for an end that Ray does not tell. */
export function rayDeclaration(
  job: RayJob,
  endMs: number | null,
  actors: RayActors | undefined,
  settings: RaySettings,
): Declaration {
  const isSandbox = actors?.namespaces.some((one) => settings.sandboxNamespaces.includes(one)) === true;
  return {
    source: 'ray',
    sourceInstance: settings.instance,
    externalId: job.externalId,
    // Ray counts from the beginning again when it restarts.
    incarnation: Math.floor(job.startMs / 1000),
    account: settings.account,
    user: settings.user ?? null,
    name: clean(job.name ?? `Ray job ${job.submissionId ?? job.externalId}`, 1024),
    start: new Date(job.startMs).toISOString(),
    end: endMs === null ? null : new Date(endMs).toISOString(),
    allocations: [],
    ...(isSandbox ? { commandPattern: '*SandboxActor*' } : {}),
    within: settings.within ?? null,
    attributes: attributesOf([
      ['jobId', job.externalId],
      ['submissionId', job.submissionId],
      ['type', job.type],
      ['status', job.status],
      ['driverNode', job.driverNode],
      ['kind', isSandbox ? 'sandboxes' : null],
      ['namespaces', actors?.namespaces.join(' ')],
      ['actors', actors === undefined ? null : String(actors.count)],
      ['detachedActors', actors?.detached.slice(0, MAX_NAMED).sort().join(' ')],
    ]),
  };
}
