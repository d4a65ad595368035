/** A finding as a whole after a node-hour was attributed again, and what of that is worth remembering. */
import { MARKED_REASON, type Reason } from '../domain/bucket.ts';
import { type FindingRow, graver, mergeRows, summarise } from '../domain/finding.ts';
import type { Job } from '../domain/job.ts';
import { duration, time } from '../domain/phrases.ts';
import { DEFAULT_POLICY } from '../domain/policy.ts';
import type {
  FindingGift,
  FindingState,
  FindingsWrite,
  FindingWrite,
  KnownFinding,
  Sighting,
} from '../store/ledger.ts';
import type { NodeHourResult } from './node-hour.ts';

/** Use at a job's edge up to this much is a notice. */
const EDGE_MS = DEFAULT_POLICY.endGraceMs;

/** What came out of one of the node-hours that are attributed together. */
export interface HourOutcome {
  readonly hourMs: number;
  readonly result: NodeHourResult;
}

/** What to write for every finding that the hours of a node give to, or gave to before. */
export function findingWrites(
  hours: readonly HourOutcome[],
  known: ReadonlyMap<string, KnownFinding>,
): Pick<FindingsWrite, 'hours' | 'findings'> {
  const rows = new Map<string, { root: FindingState['root']; rows: FindingRow[] }>();
  const observed = new Map<string, Observation[]>();
  for (const { result } of hours) {
    for (const part of result.findings) {
      const own = rows.get(part.id) ?? { root: part.root, rows: [] };
      rows.set(part.id, own);
      own.rows.push(...part.rows);
    }
    for (const one of result.observations) observed.set(one.id, [...(observed.get(one.id) ?? []), one]);
  }
  const findings: FindingWrite[] = [];
  for (const id of new Set([...rows.keys(), ...observed.keys(), ...known.keys()])) {
    const before = known.get(id) ?? null;
    const own = rows.get(id);
    const seen = observed.get(id);
    let state: FindingState | null = null;
    if (own !== undefined) state = computeState(own.rows, before, own.root);
    else if (seen !== undefined) state = observationState(seen, before);
    else if (before !== null) state = wholeOf(before);
    findings.push({ id, state, history: historyOf(id, before, state, hours) });
  }
  return {
    hours: hours.map(({ hourMs, result }) => ({ hourMs, gifts: giftsOf(result) })),
    findings: findings.sort(byId),
  };
}

const byId = (a: { readonly id: string }, b: { readonly id: string }): number => (a.id < b.id ? -1 : 1);

function giftsOf({ findings, observations, partsOf, signals }: NodeHourResult): FindingGift[] {
  const gifts: FindingGift[] = findings.map(({ id }) => {
    return { id, parts: partsOf.get(id) ?? [], seen: null, signals: signals.get(id) ?? [] };
  });
  for (const {
    id,
    firstMs: fromMs,
    lastMs: toMs,
    process,
    job,
    evidence,
    reason,
    severity,
  } of observations) {
    const seen = { fromMs, toMs, process, job, evidence, reason, severity };
    gifts.push({ id, parts: [], seen, signals: signals.get(id) ?? [] });
  }
  return gifts.sort(byId);
}

/** A finding as the rows of its other node-hours have it; null: they have nothing of it. */
export function wholeOf(before: KnownFinding): FindingState | null {
  if (before.state.kind === 'compute') return computeState([], before, before.state.root);
  if (before.otherSeen === null) return null;
  const { fromMs: firstMs, toMs: lastMs, ...seen } = before.otherSeen;
  return { ...before.state, ...seen, firstMs, lastMs };
}

function computeState(
  rows: readonly FindingRow[],
  before: KnownFinding | null,
  root: FindingState['root'],
): FindingState | null {
  const summary = summarise(mergeRows([...(before?.otherRows ?? []), ...rows]), EDGE_MS);
  if (summary === null) return null;
  const { insideJob: job, devices, reasons, process, settledActiveMs, ...rest } = summary;
  return { ...rest, kind: 'compute', root, device: root === null ? (devices[0] ?? null) : null, job };
}

type Observation = NodeHourResult['observations'][number];

/** The hour that saw it first says which job it was inside. `seen`: what the hours at hand saw, in their order. */
function observationState(seen: readonly Observation[], before: KnownFinding | null): FindingState | null {
  let other = before?.otherSeen ?? null;
  let state: FindingState | null = null;
  for (const one of seen) {
    state = withSighting(one, other);
    const { firstMs: fromMs, lastMs: toMs, reason, severity, job } = state;
    const { evidence } = other !== null && other.fromMs < one.firstMs ? other : one;
    other = { fromMs, toMs, reason, severity, job, evidence };
  }
  return state;
}

function withSighting(one: Observation, other: Sighting | null): FindingState {
  const { kind, reason, process } = one;
  const severity = other === null ? one.severity : graver(one.severity, other.severity);
  const { job, evidence } = other !== null && other.fromMs < one.firstMs ? other : one;
  return {
    ...{ kind, strength: 'suspicion', state: 'settled', severity, reason, evidence, job },
    ...{ root: process, device: one.kind === 'integrity' ? one.device : null },
    ...{ activeMs: 0, residentMs: 0, provisionalMs: 0 },
    firstMs: Math.min(one.firstMs, other?.fromMs ?? one.firstMs),
    lastMs: Math.max(one.lastMs, other?.toMs ?? one.lastMs),
  };
}

const NETWORK_WORDS = {
  gone: 'By later records it was not inside a job.',
  back: 'By corrected records it was inside a job.',
};
const MARKED_WORDS = {
  gone: 'By what is known now it is as its job said.',
  back: 'By what is known now it is not as its job said.',
};
const INTEGRITY_WORDS = {
  gone: 'By what is known now nothing reports it.',
  back: 'By what is known now it is reported again.',
};
const REASON_WORDS: Readonly<Record<Reason, string>> = {
  unverified_claim: 'only its own environment named a job',
  unknown_job: 'inside a job that nobody had declared',
  wrong_user: 'the job was declared for another user',
  before_start: 'before the job started',
  after_end: 'after the job ended',
  outside_allocation: 'on a device that the job did not hold',
  foreign_in_job: 'inside a declared job, not what that job declared',
  no_job: 'no job was tied to it',
  no_process: 'no process showed',
  telemetry_conflict: 'power and utilisation disagreed',
  unlike_declared: 'not as its job said',
};
const inWords = (reason: string): string =>
  Object.entries(REASON_WORDS).find(([name]) => name === reason)?.[1] ?? reason;

/** Findings that tell now of processes of which this one told: by a later record they come from another source. */
function heirsOf(id: string, before: KnownFinding, hours: readonly HourOutcome[]): string[] {
  const processes = new Set<string | null>(before.processesHere);
  const heirs = new Set<string>();
  for (const { result } of hours)
    for (const part of result.findings)
      if (part.id !== id && part.rows.some((row) => processes.has(row.process))) heirs.add(part.id);
  return [...heirs].sort();
}

/** Declarations that a sentence names at most. */
const MAX_NAMED = 5;

/** On whose word the time that was told of is covered now: ": slurm 7 (version 2, recorded at … by …)", or nothing. */
function wordOf(before: KnownFinding, hours: readonly HourOutcome[]): string {
  const covering = coveringIn(hours);
  const named = new Set<string>();
  for (const process of before.processesHere)
    for (const job of covering.get(process) ?? []) {
      const { source, externalId, version, recordedAtMs, recordedBy } = job;
      const who = recordedBy === undefined ? '' : ` by ${recordedBy}`;
      named.add(`${source} ${externalId} (version ${version}, recorded at ${time(recordedAtMs)}${who})`);
    }
  return named.size === 0 ? '' : `: ${[...named].sort().slice(0, MAX_NAMED).join(', ')}`;
}

const knownCovering = new WeakMap<readonly HourOutcome[], ReadonlyMap<string, ReadonlySet<Job>>>();

/** The jobs that held a device and used it, by process. */
function coveringIn(hours: readonly HourOutcome[]): ReadonlyMap<string, ReadonlySet<Job>> {
  const known = knownCovering.get(hours);
  if (known !== undefined) return known;
  const found = new Map<string, Set<Job>>();
  for (const { result } of hours)
    for (const { entries, holders } of result.cells) {
      const jobs = new Map(holders.flatMap(({ job }) => (job === null ? [] : [[job.id, job]])));
      for (const { reason, process, job: id } of entries) {
        const job = id === null ? undefined : jobs.get(id);
        if (reason !== null || process === null || job === undefined) continue;
        const own = found.get(process) ?? new Set<Job>();
        found.set(process, own.add(job));
      }
    }
  knownCovering.set(hours, found);
  return found;
}

/** What was said before and is no longer said. Time that merely adds up is no news. */
function historyOf(
  id: string,
  before: KnownFinding | null,
  after: FindingState | null,
  hours: readonly HourOutcome[],
): string[] {
  if (before === null) return [];
  const was = before.state;
  const marked = was.reason === MARKED_REASON && (after === null || after.reason === MARKED_REASON);
  if (was.kind !== 'compute' || marked) {
    if ((after === null) === before.resolved) return [];
    const words = marked ? MARKED_WORDS : was.kind === 'network' ? NETWORK_WORDS : INTEGRITY_WORDS;
    return [after === null ? words.gone : words.back];
  }
  const wasMs = was.activeMs + was.residentMs;
  if (after === null) {
    if (before.resolved) return [];
    const heirs = heirsOf(id, before, hours);
    const now =
      heirs.length === 0
        ? `Later records cover all of it${wordOf(before, hours)}.`
        : `What later records do not cover is told in ${heirs.join(', ')} now.`;
    return [`Until now ${duration(wasMs)} were unaccounted (${inWords(was.reason)}). ${now}`];
  }
  const texts: string[] = [];
  const nowMs = after.activeMs + after.residentMs;
  if (!before.resolved && nowMs < wasMs) {
    const heirs = heirsOf(id, before, hours);
    const word = heirs.length === 0 ? wordOf(before, hours) : `, or tell of it in ${heirs.join(', ')}`;
    texts.push(
      `Until now ${duration(wasMs)} were unaccounted. Later records cover ${duration(wasMs - nowMs)} of it${word}.`,
    );
  }
  if (!before.resolved && was.reason !== after.reason)
    texts.push(
      `Until now the verdict was: ${inWords(was.reason)}. Later records changed it to: ${inWords(after.reason)}.`,
    );
  if (before.resolved) texts.push('It was covered by records before; corrected records no longer cover it.');
  if (!before.resolved && was.state === 'provisional' && after.state === 'settled')
    texts.push(`It awaited a record; none came that covers it (${inWords(after.reason)}).`);
  return texts;
}
