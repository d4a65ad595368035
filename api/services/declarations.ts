/** What people and schedulers declare: jobs, how far a source is complete and how it fares, the fleet, the rates. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { HOUR_MS } from '../contract/batch.ts';
import { canonicalJson, sha256Hex } from '../contract/canonical.ts';
import type { RateCard } from '../contract/finance.ts';
import type { FleetIn, FleetResult } from '../contract/fleet.ts';
import { JobIn, type JobOut, type JobPatch } from '../contract/jobs.ts';
import type { BulkResult, ConditionsIn, HealthIn } from '../contract/sources.ts';
import type { Caller } from '../domain/caller.ts';
import type { Job } from '../domain/job.ts';
import { POLICY_SOURCE } from '../domain/policy.ts';
import { StoreConflict } from '../store/batches.ts';
import type { JobKey, JobRecord, JobWrite, JournalWrite, SourceHealth, SourceKey } from '../store/jobs.ts';
import type { Store } from '../store/store.ts';
import { contentOf, fromInput, invalid, patched, toJobOut } from './declared-job.ts';
import { ServiceError } from './errors.ts';
import { importFleet } from './fleet-import.ts';
import { SELF_DECLARING_SOURCES } from './node-hour.ts';

/** Capacity that opens is booked hour by hour: a mistyped year must not book decades as not measured. */
const FLEET_BEHIND_MAX_DAYS = 400;
/** A declaration that touches time this recent is attributed at once. */
const URGENT_WITHIN_MS = 2 * HOUR_MS;
/** A source may not say what lies further than this ahead of the service's clock. */
const MAX_AHEAD_MS = 60_000;
const ATTEMPTS = 3;
/** Jobs that are written in one transaction: between two, batches have their turn. */
const JOBS_PER_WRITE = 100;
const ERRORS_PER_JOB = 10;
const FIELD_CHARS = 200;
const DECLARING_ROLES: readonly string[] = ['admin', 'scheduler', 'owner'];

type SourceName = Pick<SourceKey, 'source' | 'sourceInstance'>;

export interface Declarations {
  /** The same source, instance, external id and incarnation is the same job: a new version only where it differs. */
  declareJob(caller: Caller, job: JobIn): Promise<{ job: JobOut; created: boolean }>;
  /** Many at once, each checked and answered by itself, in their order. */
  declareJobs(caller: Caller, jobs: readonly unknown[]): Promise<BulkResult[]>;
  patchJob(caller: Caller, id: string, patch: JobPatch): Promise<JobOut>;
  /** "This source has declared everything up to then." Going back is ignored. */
  putSource(caller: Caller, source: string, sourceInstance: string, completeToMs: number): Promise<void>;
  /** How a source fares. */
  putHealth(caller: Caller, name: SourceName, health: HealthIn): Promise<void>;
  /** Why nodes have no job. Returns how many of the conditions are new or corrected. */
  putConditions(caller: Caller, name: SourceName, said: ConditionsIn['conditions']): Promise<number>;
  putFleet(caller: Caller, fleet: FleetIn): Promise<FleetResult>;
  putRates(caller: Caller, card: RateCard): Promise<void>;
}

export function createDeclarations(store: Store, clock: Clock, cluster: string): Declarations {
  const journal = (caller: Caller, action: string, subject: string, detail: string): JournalWrite => ({
    ...{ atMs: clock.nowMs(), actor: caller.name, role: caller.role, action, subject, detail },
  });

  /** The write that makes a job what is wanted; null: it is that already. */
  function decide(
    caller: Caller,
    { id, before, nowMs }: { id: string; before: JobRecord | null; nowMs: number },
    wanted: Job,
  ): JobWrite | null {
    mayDeclare(caller, wanted);
    if (before !== null && !ownsAccount(caller, before.job))
      throw new ServiceError('forbidden', 'a job of this source and id is there already, of another account');
    if (before !== null && contentOf(before.job) === contentOf(wanted)) return null;
    const action = before === null ? 'job.declare' : 'job.change';
    const detail = `version ${wanted.version}, account ${wanted.account}`;
    return {
      ...{ job: wanted, recordedBy: caller.name, expectedVersion: before?.job.version ?? 0 },
      urgent: (wanted.endMs ?? nowMs) >= nowMs - URGENT_WITHIN_MS,
      journal: journal(caller, action, id, detail),
    };
  }

  /** Decides on the newest version and stores; again where somebody else was quicker. */
  async function change(
    caller: Caller,
    id: string,
    next: (before: JobRecord | null, nowMs: number) => Job,
  ): Promise<{ record: JobRecord; created: boolean }> {
    return retried(async () => {
      const before = await store.jobs.find(id);
      const nowMs = clock.nowMs();
      const write = decide(caller, { id, before, nowMs }, next(before, nowMs));
      if (write !== null) await store.jobs.apply([write]);
      else if (before !== null) return { record: before, created: false };
      const job = write?.job ?? before?.job;
      if (job === undefined) throw new Error('nothing was decided');
      return { record: { job, recordedBy: caller.name }, created: before === null };
    });
  }

  /** One transaction; a job that comes twice is decided on what the first made of it. */
  async function declareTogether(caller: Caller, inputs: readonly CheckedJob[]): Promise<BulkResult[]> {
    const keys = inputs.map((input) => ('errors' in input ? null : { ...input, cluster }));
    const ids = keys.map((key) => (key === null ? '' : jobId(key)));
    const known = await store.jobs.findAll(ids);
    const nowMs = clock.nowMs();
    const writes: JobWrite[] = [];
    const results = inputs.map((input, at): BulkResult => {
      const [key, id = ''] = [keys[at] ?? null, ids[at]];
      if ('errors' in input || key === null) return refusal('errors' in input ? input.errors : []);
      const before = known.get(id) ?? null;
      try {
        if (key.source === POLICY_SOURCE) throw invalid('source', 'is written by the policy alone');
        const write = decide(caller, { id, before, nowMs }, declared(caller, key, input, before, nowMs));
        if (write === null) return { result: 'same', id, version: before?.job.version ?? null, errors: [] };
        writes.push(write);
        known.set(id, { job: write.job, recordedBy: caller.name });
        const result = before === null ? 'created' : 'changed';
        return { result, id, version: write.job.version, errors: [] };
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
        const { errors, message } = error;
        return refusal(errors.length === 0 ? [{ field: 'account', message }] : errors);
      }
    });
    if (writes.length > 0) await store.jobs.apply(writes);
    return results;
  }

  function sayingOf(
    caller: Caller,
    { source, sourceInstance }: SourceName,
  ): { nowMs: number; entry: JournalWrite } {
    if (caller.role !== 'admin' && caller.role !== 'scheduler')
      throw new ServiceError('forbidden', 'only a scheduler says how far a source is complete');
    if (isSelfDeclaring(source) || source === POLICY_SOURCE)
      throw invalid('source', 'completes by itself: nothing is waited for');
    const entry = journal(caller, 'source.add', `${source}/${sourceInstance}`, '');
    return { nowMs: entry.atMs, entry };
  }

  const show = async (record: JobRecord): Promise<JobOut> =>
    toJobOut(record, await store.jobs.devicesOf(record.job));

  return {
    async declareJob(caller, input) {
      if (input.source === POLICY_SOURCE) throw invalid('source', 'is written by the policy alone');
      const key = { ...input, cluster };
      const { record, created } = await change(caller, jobId(key), (before, nowMs) =>
        declared(caller, key, input, before, nowMs),
      );
      return { job: await show(record), created };
    },
    async declareJobs(caller, jobs) {
      const results: BulkResult[] = [];
      for (let at = 0; at < jobs.length; at += JOBS_PER_WRITE) {
        const inputs = jobs.slice(at, at + JOBS_PER_WRITE).map(checkedJob);
        results.push(...(await retried(() => declareTogether(caller, inputs))));
        await nextTurn();
      }
      return results;
    },
    async patchJob(caller, id, patch) {
      const { record } = await change(caller, id, (before, nowMs) => {
        if (before === null || !ownsAccount(caller, before.job))
          throw new ServiceError('not_found', `there is no job ${id}`);
        if (before.job.source === POLICY_SOURCE)
          throw invalid('id', 'stands for an exemption: only the policy changes it');
        const { job } = before;
        return patched(job, patch, { id, selfDeclared: job.selfDeclared, caller, before: job, nowMs });
      });
      return show(record);
    },
    async putSource(caller, source, sourceInstance, completeToMs) {
      const { entry, nowMs } = sayingOf(caller, { source, sourceInstance });
      if (completeToMs > nowMs + MAX_AHEAD_MS) throw invalid('completeTo', 'lies in the future');
      await store.jobs.moveWatermark({ cluster, source, sourceInstance }, false, completeToMs, nowMs, entry);
    },
    async putHealth(caller, name, health) {
      const { entry, nowMs } = sayingOf(caller, name);
      await store.jobs.putHealth({ ...name, cluster }, healthOf(health, nowMs), nowMs, entry);
    },
    async putConditions(caller, name, said) {
      const { entry, nowMs } = sayingOf(caller, name);
      const conditions = said.map(({ node, condition, from, to, reason }, at) => {
        const fromMs = Date.parse(from);
        if (fromMs > nowMs + MAX_AHEAD_MS) throw invalid(`conditions.${at}.from`, 'lies in the future');
        return { node, condition, fromMs, toMs: to === null ? null : Date.parse(to), reason };
      });
      const detail = `${conditions.length} conditions of nodes`;
      const write = { ...entry, action: 'source.conditions', detail };
      return store.jobs.putConditions({ ...name, cluster }, conditions, nowMs, write);
    },
    async putFleet(caller, fleet) {
      const earliestMs = clock.nowMs() - FLEET_BEHIND_MAX_DAYS * 24 * HOUR_MS;
      const at = fleet.nodes.findIndex((node) => Date.parse(node.from) < earliestMs);
      if (at !== -1)
        throw invalid(
          `nodes.${at}.from`,
          `lies more than ${FLEET_BEHIND_MAX_DAYS} days back; all of it would be booked as not measured`,
        );
      return importFleet(store, clock, cluster, caller, fleet);
    },
    async putRates(caller, card) {
      if (caller.role !== 'admin' && caller.role !== 'finance')
        throw new ServiceError('forbidden', 'only finance and administrators set rates');
      const microsPerGpuHour = new Map(
        Object.entries(card.perGpuHour).map(([model, rate]) => [model, toMicros(rate)]),
      );
      const detail = `${card.currency}: ${Object.entries(card.perGpuHour)
        .map(([model, rate]) => `${model} ${rate}`)
        .join(', ')}`;
      await store.fleet.addRateCard({
        ...{
          cluster,
          currency: card.currency,
          microsPerGpuHour,
          nowMs: clock.nowMs(),
          recordedBy: caller.name,
        },
        effectiveFromMs: Date.parse(card.effectiveFrom),
        journal: journal(caller, 'rates.set', card.effectiveFrom, detail),
      });
    },
  };
}

/** Again, from the newest state, where somebody else was quicker. */
async function retried<T>(act: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1)
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof StoreConflict) || attempt >= ATTEMPTS) throw error;
    }
}

type CheckedJob = JobIn | { readonly errors: BulkResult['errors'] };

function checkedJob(job: unknown): CheckedJob {
  const parsed = JobIn.safeParse(job);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.slice(0, ERRORS_PER_JOB).map(({ path, message }) => ({
    ...{ field: path.join('.').slice(0, FIELD_CHARS), message },
  }));
  return { errors };
}

const refusal = (errors: readonly { field: string; message: string }[]): BulkResult => ({
  ...{ result: 'refused', id: null, version: null, errors: [...errors] },
});

const declared = (caller: Caller, key: JobKey, input: JobIn, before: JobRecord | null, nowMs: number): Job =>
  fromInput(key, input, {
    ...{ id: jobId(key), selfDeclared: isSelfDeclaring(key.source), caller, nowMs },
    before: before?.job ?? null,
  });

const isSelfDeclaring = (source: string): boolean => SELF_DECLARING_SOURCES.some((one) => one === source);

/** `j_` and 16 hexadecimal digits. */
export function jobId({ cluster, source, sourceInstance, externalId, incarnation }: JobKey): string {
  const key = { cluster, source, sourceInstance, externalId, incarnation };
  return `j_${sha256Hex(canonicalJson(key)).slice(0, 16)}`;
}

/** What is another account's is not there for an owner. */
const ownsAccount = (caller: Caller, job: Job): boolean =>
  caller.role !== 'owner' || (caller.accounts ?? []).includes(job.account);

function mayDeclare(caller: Caller, job: Job): void {
  if (!DECLARING_ROLES.includes(caller.role))
    throw new ServiceError('forbidden', 'this role declares no jobs');
  if (!ownsAccount(caller, job))
    throw new ServiceError('forbidden', `this token does not declare jobs of account ${job.account}`);
  if (!job.selfDeclared && caller.role === 'owner')
    throw new ServiceError('forbidden', `only a scheduler's token declares jobs of source ${job.source}`);
}

/** A time to come would stand above all that follows. */
function healthOf({ state, lastSuccess, problems, problemCount }: HealthIn, nowMs: number): SourceHealth {
  const past = (time: string): number => Math.min(Date.parse(time), nowMs);
  return {
    state,
    lastSuccessMs: lastSuccess === null ? null : past(lastSuccess),
    problems: problems.map(({ at, subject, message }) => ({ atMs: past(at), subject, message })),
    problemCount: Math.max(problemCount, problems.length),
  };
}

/** `2.5` in millionths: exact, since a rate has at most 6 decimals. */
function toMicros(decimal: string): bigint {
  const [whole = '0', part = ''] = decimal.split('.');
  return BigInt(whole) * 1_000_000n + BigInt(part.padEnd(6, '0'));
}
