/** What people and schedulers declare: jobs, how far a source is complete, the fleet, the rates. */
import type { Clock } from '../clock.ts';
import { HOUR_MS } from '../contract/batch.ts';
import { canonicalJson, sha256Hex } from '../contract/canonical.ts';
import type { RateCard } from '../contract/finance.ts';
import type { FleetIn, FleetResult } from '../contract/fleet.ts';
import type { JobIn, JobOut, JobPatch } from '../contract/jobs.ts';
import type { Caller } from '../domain/caller.ts';
import type { Job } from '../domain/job.ts';
import { POLICY_SOURCE } from '../domain/policy.ts';
import { StoreConflict } from '../store/batches.ts';
import type { JobKey, JobRecord, JournalWrite } from '../store/jobs.ts';
import type { Store } from '../store/store.ts';
import { contentOf, fromInput, invalid, patched, toJobOut } from './declared-job.ts';
import { ServiceError } from './errors.ts';
import { importFleet } from './fleet-import.ts';
import { SELF_DECLARING_SOURCES } from './node-hour.ts';

/** A source may not say that it is complete further than this ahead of the service's clock. */
const MAX_AHEAD_MS = 60_000;
/** Capacity that opens is booked hour by hour: a mistyped year must not book decades as not measured. */
const FLEET_BEHIND_MAX_DAYS = 400;
/** A declaration that touches time this recent is attributed at once. */
const URGENT_WITHIN_MS = 2 * HOUR_MS;
const ATTEMPTS = 3;
const DECLARING_ROLES: readonly string[] = ['admin', 'scheduler', 'owner'];

export interface Declarations {
  /** The same source, instance, external id and incarnation is the same job: a new version only where it differs. */
  declareJob(caller: Caller, job: JobIn): Promise<{ job: JobOut; created: boolean }>;
  patchJob(caller: Caller, id: string, patch: JobPatch): Promise<JobOut>;
  /** "This source has declared everything up to then." Going back is ignored. */
  putSource(caller: Caller, source: string, sourceInstance: string, completeToMs: number): Promise<void>;
  putFleet(caller: Caller, fleet: FleetIn): Promise<FleetResult>;
  putRates(caller: Caller, card: RateCard): Promise<void>;
}

export function createDeclarations(store: Store, clock: Clock, cluster: string): Declarations {
  const journal = (caller: Caller, action: string, subject: string, detail: string): JournalWrite => ({
    ...{ atMs: clock.nowMs(), actor: caller.name, role: caller.role, action, subject, detail },
  });

  /** Decides on the newest version and stores; again where somebody else was quicker. */
  async function change(
    caller: Caller,
    id: string,
    next: (before: JobRecord | null, nowMs: number) => Job,
  ): Promise<{ record: JobRecord; created: boolean }> {
    for (let attempt = 1; ; attempt += 1) {
      const before = await store.jobs.find(id);
      const nowMs = clock.nowMs();
      const wanted = next(before, nowMs);
      mayDeclare(caller, wanted);
      if (before !== null && !ownsAccount(caller, before.job))
        throw new ServiceError(
          'forbidden',
          'a job of this source and id is there already, of another account',
        );
      if (before !== null && contentOf(before.job) === contentOf(wanted))
        return { record: before, created: false };
      const action = before === null ? 'job.declare' : 'job.change';
      const detail = `version ${wanted.version}, account ${wanted.account}`;
      try {
        await store.jobs.apply({
          ...{ job: wanted, recordedBy: caller.name, expectedVersion: before?.job.version ?? 0 },
          urgent: (wanted.endMs ?? nowMs) >= nowMs - URGENT_WITHIN_MS,
          journal: journal(caller, action, id, detail),
        });
        return { record: { job: wanted, recordedBy: caller.name }, created: before === null };
      } catch (error) {
        if (!(error instanceof StoreConflict) || attempt >= ATTEMPTS) throw error;
      }
    }
  }

  const show = async (record: JobRecord): Promise<JobOut> =>
    toJobOut(record, await store.jobs.devicesOf(record.job));

  return {
    async declareJob(caller, input) {
      if (input.source === POLICY_SOURCE) throw invalid('source', 'is written by the policy alone');
      const key = { ...input, cluster };
      const { record, created } = await change(caller, jobId(key), (before, nowMs) =>
        fromInput(key, input, {
          ...{ id: jobId(key), selfDeclared: isSelfDeclaring(key.source), caller, nowMs },
          before: before?.job ?? null,
        }),
      );
      return { job: await show(record), created };
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
      if (caller.role !== 'admin' && caller.role !== 'scheduler')
        throw new ServiceError('forbidden', 'only a scheduler says how far a source is complete');
      if (isSelfDeclaring(source) || source === POLICY_SOURCE)
        throw invalid('source', 'completes by itself: nothing is waited for');
      const nowMs = clock.nowMs();
      if (completeToMs > nowMs + MAX_AHEAD_MS) throw invalid('completeTo', 'lies in the future');
      const key = { cluster, source, sourceInstance };
      const entry = journal(caller, 'source.add', `${source}/${sourceInstance}`, '');
      await store.jobs.moveWatermark(key, false, completeToMs, nowMs, entry);
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

/** `2.5` in millionths: exact, since a rate has at most 6 decimals. */
function toMicros(decimal: string): bigint {
  const [whole = '0', part = ''] = decimal.split('.');
  return BigInt(whole) * 1_000_000n + BigInt(part.padEnd(6, '0'));
}
