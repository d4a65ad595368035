/** The site's policy: what is in force, and how a new version of it comes to be. */
import type { Clock } from '../clock.ts';
import { HOUR_MS } from '../contract/batch.ts';
import { canonicalJson, sha256Hex } from '../contract/canonical.ts';
import type { ExemptionIn, Policies, PolicyIn, PolicyOut, PolicyResult } from '../contract/policy.ts';
import { EXEMPTION_MAX_DAYS } from '../contract/policy.ts';
import type { Caller } from '../domain/caller.ts';
import type { Job } from '../domain/job.ts';
import { DEFAULT_POLICY, type Exemption, POLICY_SOURCE, type Policy } from '../domain/policy.ts';
import { policyChanges, policyWarnings } from '../domain/policy-words.ts';
import type { PolicyRecord, PolicyWrite } from '../store/policies.ts';
import type { Store } from '../store/store.ts';
import { jobId } from './declarations.ts';
import { type FieldError, ServiceError } from './errors.ts';
import { tryPolicy } from './policy-trial.ts';

const DAY_MS = 24 * HOUR_MS;
/** The past is attributed anew hour by hour: a mistyped year must not take that of decades. */
const PAST_MAX_DAYS = 400;
const JOURNAL_CHARS = 4_000;

export interface PolicyService {
  show(): Promise<Policies>;
  /** Records a whole policy, or says what it would do. */
  put(caller: Caller, input: PolicyIn): Promise<PolicyResult>;
}

export function createPolicyService(store: Store, clock: Clock, cluster: string): PolicyService {
  return {
    async show() {
      const records = await store.policies.list();
      const items = [...records].reverse().map(toOut);
      return { current: toOut(inForce(records, clock.nowMs())), items: [...items, toOut(BUILT_IN)] };
    },
    async put(caller, input) {
      if (caller.role !== 'admin') throw new ServiceError('forbidden', 'only administrators set the policy');
      const nowMs = clock.nowMs();
      const records = await store.policies.list();
      const fromMs = input.from === undefined ? hourOf(nowMs) : Date.parse(input.from);
      checkBegin(input, fromMs, nowMs);
      const before = inForce(records, fromMs);
      const jobs = new Map<string, Job>();
      for (const { id } of input.exemptions) {
        const known = await store.jobs.find(exemptionJobId(cluster, id));
        if (known !== null) jobs.set(id, known.job);
      }
      const version = Math.max(1, ...records.map((one) => one.policy.version)) + 1;
      const policy = toPolicy(input, { version, fromMs, nowMs, cluster, before, jobs });
      const record: PolicyRecord = {
        ...{ policy, fromMs, reachesPast: input.reach === 'past', recordedAtMs: nowMs },
        recordedBy: caller.name,
      };
      const changes = policyChanges(before.policy, policy);
      const writes = await jobWrites(store, cluster, before.policy, policy, fromMs, nowMs);
      const shown = { policy: toOut(record), changes, warnings: policyWarnings(policy) };
      if (input.dryRun) {
        const trial = await tryPolicy(
          store,
          policy,
          writes.map((one) => one.job),
          nowMs,
        );
        return { dryRun: true, ...shown, trial };
      }
      const write: PolicyWrite = {
        ...{ ...record, jobs: writes },
        journal: {
          ...{ atMs: nowMs, actor: caller.name, role: caller.role, action: POLICY_ACTION },
          ...{ subject: policySubject(record), detail: journalDetail(record, changes) },
        },
      };
      await store.policies.apply(write);
      return { dryRun: false, ...shown, trial: null };
    },
  };
}

const hourOf = (ms: number): number => Math.floor(ms / HOUR_MS) * HOUR_MS;

const invalid = (errors: readonly FieldError[]): ServiceError =>
  new ServiceError('invalid', `Not valid: ${errors.map((error) => error.field).join(', ')}`, errors);

function checkBegin({ reach, from }: PolicyIn, fromMs: number, nowMs: number): void {
  const field = 'from';
  if (fromMs < hourOf(nowMs) && reach !== 'past')
    throw invalid([
      {
        field,
        message: `${from} lies before this hour; say reach: past where verdicts of the past are to change`,
      },
    ]);
  if (fromMs < nowMs - PAST_MAX_DAYS * DAY_MS)
    throw invalid([{ field, message: `lies more than ${PAST_MAX_DAYS} days back` }]);
}

const BUILT_IN: PolicyRecord = {
  ...{ policy: DEFAULT_POLICY, fromMs: 0, reachesPast: false, recordedAtMs: 0, recordedBy: '' },
};

/** Of those in effect the one that begins last, and of these the newest. */
function inForce(records: readonly PolicyRecord[], atMs: number): PolicyRecord {
  let found = BUILT_IN;
  for (const record of records) if (record.fromMs <= atMs && record.fromMs >= found.fromMs) found = record;
  return found;
}

interface Making {
  readonly version: number;
  readonly fromMs: number;
  readonly nowMs: number;
  readonly cluster: string;
  /** The policy that it follows. */
  readonly before: PolicyRecord;
  /** What stands for its exemptions already, by their ids. */
  readonly jobs: ReadonlyMap<string, Job>;
}

function toPolicy(input: PolicyIn, making: Making): Policy {
  const errors: FieldError[] = [];
  const exemptions = input.exemptions.map((one, index) => {
    const field = `exemptions.${index}`;
    const toMs = Date.parse(one.until);
    const account = making.jobs.get(one.id)?.account;
    if (toMs > Math.max(making.fromMs, making.nowMs) + EXEMPTION_MAX_DAYS * DAY_MS)
      errors.push({
        field: `${field}.until`,
        message: `lies more than ${EXEMPTION_MAX_DAYS} days after the policy begins`,
      });
    if (toMs <= making.fromMs)
      errors.push({ field: `${field}.until`, message: 'lies before the policy begins' });
    if (account !== undefined && account !== one.account)
      errors.push({
        field: `${field}.account`,
        message: `this exemption was declared for account ${account}: another account needs another id`,
      });
    return toExemption(one, input, making);
  });
  if (errors.length > 0) throw invalid(errors);
  return {
    version: making.version,
    weakestEvidence: input.weakestEvidence ?? DEFAULT_POLICY.weakestEvidence,
    endGraceMs: input.endGraceMs ?? DEFAULT_POLICY.endGraceMs,
    selfDeclarationLeadMs: input.selfDeclarationLeadMs ?? DEFAULT_POLICY.selfDeclarationLeadMs,
    selfDeclarationWaitMs: DEFAULT_POLICY.selfDeclarationWaitMs,
    launchers: [...new Set(input.launchers ?? DEFAULT_POLICY.launchers)].sort(),
    exemptions,
    internalRanges: [...new Set(input.internalRanges)],
    approvedTunnels: input.approvedTunnels,
  };
}

/**
 * An exemption counts from when it was recorded, as a self-declaration does, unless the past is meant: what the hour saw
 * before that stays a finding. One that the policy before has in the same words goes on from where it began.
 */
function toExemption(input: ExemptionIn, { reach }: PolicyIn, making: Making): Exemption {
  const { id, owner, account, reason, match } = input;
  const made: Exemption = {
    ...{ id, job: exemptionJobId(making.cluster, id), owner, account, reason },
    fromMs: reach === 'past' ? making.fromMs : Math.max(making.fromMs, making.nowMs),
    toMs: Date.parse(input.until),
    match: {
      executables: [...match.executables],
      boundaries: [...match.boundaries],
      uids: [...match.uids],
      types: [...match.types],
      nodes: [...match.nodes],
      windows: match.windows.map((one) => ({ fromMs: Date.parse(one.from), toMs: Date.parse(one.to) })),
      daily: match.daily.map((one) => ({ fromMs: ofDayMs(one.from), toMs: ofDayMs(one.to) })),
    },
  };
  const before = making.before.policy.exemptions.find((other) => other.id === id);
  const same = before !== undefined && canonicalJson(before.match) === canonicalJson(made.match);
  return same ? { ...made, fromMs: Math.min(before.fromMs, made.fromMs) } : made;
}

const ofDayMs = (text: string): number => Date.parse(`1970-01-01T${text}:00Z`);

const exemptionKey = (cluster: string, id: string) => ({
  ...{ cluster, source: POLICY_SOURCE, sourceInstance: 'default', externalId: id, incarnation: 0 },
});
const exemptionJobId = (cluster: string, id: string): string => jobId(exemptionKey(cluster, id));

const contentOf = ({ name, user, startMs, endMs, declares }: Job): string =>
  canonicalJson({ name, user, startMs, endMs, executables: declares.executables });

/** The jobs that stand for exemptions: new ones, those that read otherwise now, and those that end. */
async function jobWrites(
  store: Store,
  cluster: string,
  before: Policy,
  after: Policy,
  fromMs: number,
  nowMs: number,
): Promise<{ job: Job; expectedVersion: number }[]> {
  const writes: { job: Job; expectedVersion: number }[] = [];
  const ended = before.exemptions
    .filter((one) => !after.exemptions.some((other) => other.id === one.id))
    .map((one) => ({ ...one, toMs: Math.min(one.toMs, Math.max(fromMs, one.fromMs)) }));
  for (const one of [...after.exemptions, ...ended]) {
    const known = (await store.jobs.find(one.job))?.job ?? null;
    const version = known?.version ?? 0;
    const job: Job = {
      ...exemptionKey(cluster, one.id),
      ...{ id: one.job, name: one.reason, account: one.account, user: one.owner, uid: null },
      startMs: Math.min(known?.startMs ?? one.fromMs, one.fromMs),
      endMs: one.toMs,
      ...{ allocations: [], boundaries: [] },
      declares: { executables: [...one.match.executables].sort(), root: null },
      firstRecordedAtMs: known?.firstRecordedAtMs ?? nowMs,
      ...{ recordedAtMs: nowMs, version: version + 1, selfDeclared: true },
    };
    const same = known !== null && contentOf(known) === contentOf(job);
    if (!same) writes.push({ job, expectedVersion: version });
  }
  return writes;
}

function journalDetail(record: PolicyRecord, changes: readonly string[]): string {
  const { fromMs, reachesPast } = record;
  const past = reachesPast ? ', and changes verdicts of the past' : '';
  const head = `from ${toTime(fromMs)}${past}; SHA-256 ${policyDigest(record)}. `;
  return `${head}${changes.join(' ')}`.slice(0, JOURNAL_CHARS);
}

/** In the journal. */
export const POLICY_ACTION = 'policy.set';
export const policySubject = ({ policy }: PolicyRecord): string => `version ${policy.version}`;

/** What the journal keeps of a version, so that a changed one shows. */
export function policyDigest({ policy, fromMs, reachesPast }: PolicyRecord): string {
  const launchers = [...policy.launchers].sort();
  return sha256Hex(canonicalJson({ ...policy, launchers, effectiveFromMs: fromMs, reachesPast }));
}

const toTime = (ms: number): string => new Date(ms).toISOString();

function toOut({ policy, fromMs, reachesPast, recordedAtMs, recordedBy }: PolicyRecord): PolicyOut {
  const builtIn = policy === DEFAULT_POLICY;
  const { version, weakestEvidence, endGraceMs, selfDeclarationLeadMs } = policy;
  return {
    ...{ version, weakestEvidence, endGraceMs, selfDeclarationLeadMs, launchers: [...policy.launchers] },
    internalRanges: [...policy.internalRanges],
    approvedTunnels: policy.approvedTunnels.map(({ peers, executables, uids, reason }) => ({
      ...{ peers: [...peers], executables: [...executables], uids: [...uids], reason },
    })),
    from: builtIn ? null : toTime(fromMs),
    reach: reachesPast ? 'past' : null,
    recordedAt: builtIn ? null : toTime(recordedAtMs),
    recordedBy: builtIn ? null : recordedBy,
    exemptions: policy.exemptions.map(({ id, job, owner, account, reason, match, ...time }) => ({
      ...{ id, job, owner, account, reason, from: toTime(time.fromMs), until: toTime(time.toMs) },
      match: {
        executables: [...match.executables],
        boundaries: [...match.boundaries],
        uids: [...match.uids],
        types: [...match.types],
        nodes: [...match.nodes],
        windows: match.windows.map((one) => ({ from: toTime(one.fromMs), to: toTime(one.toMs) })),
        daily: match.daily.map((one) => ({
          from: toTime(one.fromMs).slice(11, 16),
          to: toTime(one.toMs).slice(11, 16),
        })),
      },
    })),
  };
}
