// The jobs that could have covered a finding, and why none of them does.
import type { FindingDetail } from '../contract/findings.ts';
import type { JobRef } from '../contract/jobs.ts';
import { type Ties, userMatches } from './evidence.ts';
import { isDeclared } from './fit.ts';
import { isInside } from './inside.ts';
import { type Interval, intersect } from './interval.ts';
import type { Job } from './job.ts';
import { list, time } from './phrases.ts';
import { executablePath } from './process.ts';
import { WHOLE_MILLI } from './slots.ts';
import type { StoryFacts } from './story.ts';
import { effectiveStartMs, endAt, termsAt } from './terms.ts';

/** Candidates beyond this many are left out. */
export const MAX_CANDIDATES = 20;

/** What of a use the jobs near it are compared with. */
type CandidateFacts = Pick<
  StoryFacts,
  'jobs' | 'holdings' | 'deviceUuids' | 'node' | 'ties' | 'lineage' | 'policy'
> & { readonly summary: Pick<StoryFacts['summary'], 'firstMs' | 'lastMs' | 'insideJob'> };

/** Every job in question with the first test that it fails, those that come nearest first. */
export function candidatesOf(facts: CandidateFacts): FindingDetail['story']['candidates'] {
  return [...facts.jobs]
    .sort((a, b) => nearness(facts, b) - nearness(facts, a) || (a.id < b.id ? -1 : 1))
    .slice(0, MAX_CANDIDATES)
    .map((job) => ({ job: jobRef(job), why: [whyNot(facts, job), ...notes(job)].join(' ') }));
}

const jobRef = (job: Job): JobRef => ({
  id: job.id,
  source: job.source,
  externalId: job.externalId,
  name: job.name,
  account: job.account,
  user: job.user,
});

const spanOf = ({ summary }: CandidateFacts): Interval => ({ fromMs: summary.firstMs, toMs: summary.lastMs });

const tieTo = (facts: CandidateFacts, job: Job): Ties['ties'][number] | undefined =>
  facts.ties?.ties.find((tie) => tie.jobs.some((other) => other.id === job.id)) ??
  (facts.ties?.claimed.some((other) => other.id === job.id) === true
    ? { evidence: 'claim', jobs: [job] }
    : undefined);

const holdsDevice = (facts: CandidateFacts, job: Job): boolean =>
  facts.holdings.some(
    (holding) =>
      holding.job === job.id &&
      facts.deviceUuids.includes(holding.device) &&
      intersect(holding, spanOf(facts)) !== null,
  );

/** Whether a declaration states a device for a time, from whenever on that counts. */
export function statesDevice(
  job: Job,
  node: string,
  devices: readonly string[],
  { fromMs, toMs }: Interval,
): boolean {
  return job.allocations.some((one) => {
    if (one.node !== node) return false;
    const endMs = Math.min(one.toMs ?? Number.POSITIVE_INFINITY, job.endMs ?? Number.POSITIVE_INFINITY);
    if (Math.max(one.fromMs, job.startMs) >= toMs || endMs <= fromMs) return false;
    return one.devices === null || one.devices.some((device) => devices.includes(device));
  });
}

const states = (facts: CandidateFacts, job: Job): boolean =>
  statesDevice(job, facts.node, facts.deviceUuids, spanOf(facts));

const nearness = (facts: CandidateFacts, job: Job): number =>
  (tieTo(facts, job) === undefined ? 0 : 4) +
  (holdsDevice(facts, job) ? 2 : 0) +
  (states(facts, job) ? 1 : 0);

const by = ({ recordedBy }: Job): string => (recordedBy === undefined ? '' : ` by ${recordedBy}`);

/** Why a job does not cover the use: the first test that it fails, in the order in which verdicts are reached. */
function whyNot(facts: CandidateFacts, job: Job): string {
  const { summary, policy } = facts;
  const late = lateness(facts, job);
  if (late !== null) return late;
  const [process] = facts.lineage;
  const { ties } = facts;
  const tie = tieTo(facts, job);
  const holds = holdsDevice(facts, job);
  if (job.marks?.includes('other_user') === true)
    return (
      `It states ${job.user ?? 'any account'}, for whom ${job.recordedBy ?? 'its declarer'} does not declare: ` +
      'it covers nothing.'
    );
  if (process === undefined || ties === null)
    return 'No process shows on the device, so nothing ties the use to this job.';
  if (tie === undefined)
    return holds
      ? 'It held the device, but neither kernel boundary nor lineage ties this process to it.'
      : 'Neither kernel boundary, lineage nor environment ties this process to it, and it held other devices.';
  if (tie.evidence === 'claim' && job.id !== summary.insideJob)
    return 'Only the environment of the process names it, which any process can set; no kernel boundary or lineage confirms it.';
  const inside =
    tie.evidence === 'lineage'
      ? 'below its root process'
      : tie.evidence === 'cgroup'
        ? 'inside its kernel boundary'
        : 'inside the job that it runs in, and names it';
  const terms = termsAt(job, summary.lastMs - 1, policy);
  if (userMatches(process, terms, ties.owner) === false)
    return (
      `The process is ${inside}, but ran as ${process.user ?? `uid ${process.uid}`} ` +
      `while the job states ${terms.user ?? `uid ${terms.uid}`}.`
    );
  const startMs = effectiveStartMs(terms, policy);
  if (summary.lastMs <= startMs) return `It started at ${time(startMs)}, after the use.`;
  const endMs = endAt(job, summary.firstMs, policy);
  if (endMs !== null && summary.firstMs >= endMs)
    return `The process is ${inside}, but the job ended at ${time(endMs)}, before the use.`;
  if (!holds && tie.evidence !== 'claim')
    return `The process is ${inside}, but the job did not hold the device then.`;
  const { executables } = terms.declares;
  if (process.executable !== null && executables.length > 0 && !isDeclared(process.executable, terms))
    return (
      `The process is ${inside}, but ${executablePath(process.executable)} is none of what the job declared: ` +
      `${list(executables)}.`
    );
  return `The process is ${inside}; a part of the time is outside of what the job was given.`;
}

/** Of a self-declaration that was recorded after the use which it states; else null. */
function lateness(facts: CandidateFacts, job: Job): string | null {
  const { summary, policy } = facts;
  const first = job.earlier?.[0] ?? job;
  if (!job.selfDeclared || summary.lastMs > effectiveStartMs(job, policy) || job.startMs >= summary.lastMs)
    return null;
  if (!states(facts, job) && tieTo(facts, job) === undefined) return null;
  return (
    `It was declared at ${time(job.firstRecordedAtMs)}${by(first)}, after the use; ` +
    'a self-declaration does not reach back.'
  );
}

/** What else is to be known of a declaration. */
function notes(job: Job): string[] {
  const lines: string[] = [];
  if (job.marks?.includes('extended') === true)
    lines.push(
      `Version ${job.version} of it was recorded at ${time(job.recordedAtMs)}${by(job)}: what a later version adds does not reach back.`,
    );
  if (job.marks?.includes('broad') === true)
    lines.push(
      'This declaration would cover anything: it names no program, and nothing that a process must be inside of.',
    );
  return lines;
}

/** Pairs of declarations beyond this many are left out. */
const MAX_CONFLICTS = 5;

/** Declarations that claim more of one of the finding's devices, at one time in its span, than there is. */
export function conflictsOf(facts: CandidateFacts): string[] {
  const span = spanOf(facts);
  const jobs = new Map(facts.jobs.map((job) => [job.id, job]));
  const own = facts.holdings.filter(
    (one) => facts.deviceUuids.includes(one.device) && intersect(one, span) !== null,
  );
  const pairs = new Set<string>();
  for (const [at, a] of own.entries())
    for (const b of own.slice(at + 1)) {
      const [one, other] = [jobs.get(a.job), jobs.get(b.job)];
      if (one === undefined || other === undefined || one === other || a.device !== b.device) continue;
      if (a.shareMilli + b.shareMilli <= WHOLE_MILLI || intersect(a, b) === null) continue;
      if (isInside(one, other) || isInside(other, one)) continue;
      pairs.add([nameOf(one), nameOf(other)].sort().join(' and '));
    }
  return [...pairs]
    .slice(0, MAX_CONFLICTS)
    .map((pair) => `Two declarations claim the same device at the same time: ${pair}.`);
}

const nameOf = ({ source, externalId }: Job): string => `${source} ${externalId}`;
