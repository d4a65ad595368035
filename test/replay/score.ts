/** Scores what the service said of a scenario against what really happened. */
import { type Finding, FindingsQuery } from '../../api/contract/findings.ts';
import type { JobIn } from '../../api/contract/jobs.ts';
import { LedgerQuery, type LedgerRow } from '../../api/contract/ledger.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { startTicks } from '../simulator/model.ts';
import { type BookCell, readBooks } from './books.ts';
import type { Built } from './build.ts';
import { type Confused, confusionOf, weightedMistakes } from './confusion.ts';
import type { Ceiling } from './format.ts';
import type { Played } from './play.ts';
import { type TrueTotals, truthOf } from './truth.ts';

const HOUR_MS = 3_600_000;
const AUDITOR: Caller = { name: 'score', role: 'auditor', node: null, accounts: null };
/** Within the time of two polls and this, a finding must show. */
const VISIBLE_SLACK_MS = 2_000;

export interface Score {
  readonly id: string;
  readonly family: string;
  /** Every device and hour balances, and capacity is all of it. */
  readonly conserved: boolean;
  /** GPU-milliseconds that were really diverted, and of these, and of what was called so, what is right. */
  readonly divertedMs: number;
  readonly foundMs: number;
  readonly claimedMs: number;
  /** 1 where there was nothing to find. */
  readonly recall: number;
  readonly precision: number;
  /** |claimed − true| / true, outside of what nobody could see; null where nothing was diverted. */
  readonly amountError: number | null;
  readonly amountGood: boolean;
  /** How far the claimed beginning is from the true one, and how long until it could be seen; null: nothing diverted, or not found. */
  readonly onsetErrorMs: number | null;
  readonly visibleAfterMs: number | null;
  readonly onsetGood: boolean;
  readonly visibleGood: boolean;
  /** The least and the most that findings say can have been executed, and whether the truth lies between. */
  readonly leastMs: number;
  readonly mostMs: number;
  readonly withinBounds: boolean;
  /** For whom time was computed, and where it was put; and what of that is wrong, weighted. */
  readonly confusion: readonly Confused[];
  readonly mistakesMs: number;
  /** Executing that was charged to a job for which it was not. */
  readonly wronglyUsedMs: number;
  /** Executing that findings say of processes that did nothing wrong. */
  readonly accusedMs: number;
  /** Of all devices; and what of it was called unaccounted, executing or only there. */
  readonly capacityMs: number;
  readonly unaccountedMs: number;
  /** Nothing is to be found: neither computing nor anything else. */
  readonly benign: boolean;
  /** Findings of severity warn or more that nothing in the truth explains. */
  readonly falseAlarms: readonly string[];
  /** Of what was expected to be found, what was not: reasons, network findings, items of evidence. */
  readonly missing: readonly string[];
}

export async function score(built: Built, played: Played): Promise<Score> {
  const truth = truthOf(built);
  const { queries } = played.app.services;
  const range = { from: new Date(built.startMs).toISOString(), to: new Date(built.endMs).toISOString() };
  const ledger = await queries.ledger(LedgerQuery.parse({ ...range, group_by: 'device,hour' }));
  const findings = (await queries.findings(AUDITOR, FindingsQuery.parse({ limit: 500, ...range }))).items;
  const books = await readBooks(built, played);
  const amounts = amountsOf(truth, books);
  const confusion = confusionOf(truth, books);
  const { scenario } = built;
  // Of what nobody can see, nobody can say when it began.
  const isBlind = ceilingsOf(built).every((ceiling) => ceiling === 'unobserved');
  const unasked = truth.onsetMs === null || isBlind;
  const toleratedMs = Math.max(
    scenario.expect.amountWithin * amounts.seeableMs,
    2 * scenario.poll * truth.touched,
  );
  const compute = findings.filter((finding) => finding.kind === 'compute' && !finding.resolvedAt);
  const right = compute.filter((finding) => scenario.expect.reasons.includes(finding.reason));
  const onset = onsetOf(truth, played, right.length > 0 ? right : compute);
  const amountErrorMs = Math.abs(amounts.claimedMs - amounts.seeableMs);
  const leastMs = compute.reduce((sum, one) => sum + one.leastMs, 0);
  const mostMs = compute.reduce((sum, one) => sum + one.mostMs, 0);
  const withinBounds = leastMs - toleratedMs <= truth.divertedMs && amounts.seeableMs <= mostMs + toleratedMs;
  // Where there is no proof, honest bounds are all that can be asked for.
  const bounded = withinBounds && ceilingsOf(built).includes('suspicion');
  return {
    ...{ id: scenario.id, family: scenario.family },
    conserved: conserved(built, ledger.rows),
    ...{ divertedMs: truth.divertedMs, foundMs: amounts.foundMs, claimedMs: amounts.claimedMs },
    recall: truth.divertedMs === 0 ? 1 : amounts.foundMs / truth.divertedMs,
    precision: amounts.claimedMs === 0 ? 1 : amounts.rightMs / amounts.claimedMs,
    amountError: amounts.seeableMs === 0 ? null : amountErrorMs / amounts.seeableMs,
    amountGood: amountErrorMs <= toleratedMs || bounded,
    ...{ leastMs, mostMs, withinBounds, confusion, mistakesMs: weightedMistakes(confusion) },
    ...onset,
    onsetGood: unasked || (onset.onsetErrorMs ?? Infinity) <= 2 * scenario.poll,
    visibleGood: unasked || (onset.visibleAfterMs ?? Infinity) <= 2 * scenario.poll + VISIBLE_SLACK_MS,
    wronglyUsedMs: wronglyUsed(built, books, truth),
    accusedMs: await accused(built, played, compute),
    capacityMs: sumOf(ledger.rows, (row) => row.capacityMs),
    unaccountedMs: sumOf(ledger.rows, (row) => row.unaccountedMs),
    benign: truth.divertedMs === 0 && scenario.expect.network.length + scenario.expect.integrity.length === 0,
    falseAlarms: alarmsOf(built, truth, findings),
    missing: await missingOf(built, played, truth, findings, right),
  };
}

const sumOf = (rows: readonly LedgerRow[], of: (row: LedgerRow) => number): number =>
  rows.reduce((sum, row) => sum + of(row), 0);

/** What the processes of findings executed of whom nothing was ever diverted. */
async function accused(built: Built, played: Played, findings: readonly Finding[]): Promise<number> {
  const diverting = new Set<string>();
  for (const { node } of [...built.boots.values()].flat())
    for (const process of node.processes)
      if (built.truths.get(process)?.some(({ is }) => is === 'diverted'))
        diverting.add(`${node.bootId} ${process.pid} ${startTicks(node, process)}`);
  let wrongMs = 0;
  for (const { id } of findings.filter(({ activeMs, residentMs }) => activeMs + residentMs > 0)) {
    const { processes } = await played.app.services.queries.finding(AUDITOR, id);
    for (const { bootId, pid, startTicks: ticks, role, activeMs } of processes)
      if (role === 'source' && ticks !== null && !diverting.has(`${bootId} ${pid} ${ticks}`))
        wrongMs += activeMs;
  }
  return wrongMs;
}

interface Amounts {
  /** Diverted, without what nobody could see. */
  readonly seeableMs: number;
  readonly claimedMs: number;
  /** Of what was claimed, what was diverted. */
  readonly rightMs: number;
  /** Of what was diverted, what was claimed, or called not measured where that is the truth. */
  readonly foundMs: number;
}

function amountsOf(truth: TrueTotals, books: ReadonlyMap<string, BookCell>): Amounts {
  let seeableMs = 0;
  let claimedMs = 0;
  let rightMs = 0;
  let foundMs = 0;
  for (const key of new Set([...books.keys(), ...truth.cells.keys()])) {
    const cell = truth.cells.get(key);
    const book = books.get(key);
    const marked = [...(book?.marked.values() ?? [])].reduce((sum, ms) => sum + ms, 0);
    const divertedMs = cell?.diverted ?? 0;
    // A mark accuses nobody: it claims what is there to be found, and nothing where a job's own time is marked.
    const claimed = (book?.claimed ?? 0) + Math.min(marked, Math.max(0, divertedMs - (book?.claimed ?? 0)));
    const seeable = divertedMs - (cell?.divertedUnseen ?? 0);
    claimedMs += claimed;
    seeableMs += seeable;
    rightMs += Math.min(claimed, divertedMs);
    foundMs += Math.min(claimed + (book?.untold ?? 0), seeable);
    foundMs += Math.min(book?.unobserved ?? 0, cell?.divertedUnseen ?? 0);
  }
  return { seeableMs, claimedMs, rightMs, foundMs };
}

const ceilingsOf = ({ scenario }: Built): Ceiling[] => {
  const { ceiling } = scenario.expect;
  return typeof ceiling === 'string' ? [ceiling] : ceiling.map(({ is }) => is);
};

function conserved(built: Built, rows: readonly LedgerRow[]): boolean {
  const devices = [...built.nodes.values()].reduce((sum, node) => sum + node.devices.length, 0);
  const first = Math.floor(built.startMs / HOUR_MS) * HOUR_MS;
  const hours = new Map<number, number>();
  for (const row of rows) {
    const sum = row.usedMs + row.heldMs + row.unaccountedMs + row.idleMs + row.unobservedMs;
    if (sum !== row.capacityMs) return false;
    const hourMs = Date.parse(row.group['hour'] ?? '');
    hours.set(hourMs, (hours.get(hourMs) ?? 0) + row.capacityMs);
  }
  for (let hourMs = first; hourMs + HOUR_MS <= built.endMs; hourMs += HOUR_MS)
    if (hourMs >= built.startMs && hours.get(hourMs) !== devices * HOUR_MS) return false;
  return true;
}

function onsetOf(
  truth: TrueTotals,
  played: Played,
  findings: readonly Finding[],
): Pick<Score, 'onsetErrorMs' | 'visibleAfterMs'> {
  const { onsetMs } = truth;
  if (onsetMs === null || findings.length === 0) return { onsetErrorMs: null, visibleAfterMs: null };
  const first = Math.min(...findings.map((finding) => Date.parse(finding.firstSeen)));
  const seen = Math.min(...findings.map((finding) => played.firstSeenMs.get(finding.id) ?? Infinity));
  return {
    onsetErrorMs: Math.abs(first - onsetMs),
    visibleAfterMs: Number.isFinite(seen) ? Math.max(0, seen - onsetMs) : null,
  };
}

/** By how much jobs are charged with more executing than was theirs, beyond what polling can know. */
function wronglyUsed(built: Built, books: ReadonlyMap<string, BookCell>, truth: TrueTotals): number {
  const charged = new Map<string, number>();
  for (const { used } of books.values())
    for (const [name, ms] of used) charged.set(name, (charged.get(name) ?? 0) + ms);
  let wrongMs = 0;
  for (const [name, ms] of charged) {
    const own = truth.byJob.get(name) ?? 0;
    wrongMs += Math.max(0, ms - own - Math.max(0.05 * own, 2 * built.scenario.poll));
  }
  return wrongMs;
}

function alarmsOf(built: Built, truth: TrueTotals, findings: readonly Finding[]): string[] {
  const { expect } = built.scenario;
  const expected = new Set([...expect.reasons, ...expect.network, ...expect.integrity]);
  return findings
    .filter((finding) => finding.severity !== 'notice' && finding.resolvedAt === null)
    .filter(
      (finding) => !(expected.has(finding.reason) || (truth.divertedMs > 0 && finding.kind === 'compute')),
    )
    .map((finding) => `${finding.kind} ${finding.reason} ${finding.source.executable ?? ''}`);
}

/** The newest version of each job. */
const newest = (declarations: Built['declarations']): JobIn[] => [
  ...new Map(
    declarations.map(({ job }) => [`${job.source} ${job.externalId} ${job.incarnation}`, job]),
  ).values(),
];

/** Whether a job had something of the node in the finding's time, so that there is something to explain. */
const hasNeighbours = (built: Built, { node, firstSeen, lastSeen }: Finding): boolean =>
  newest(built.declarations).some(
    (job) =>
      job.allocations.some((one) => one.node === node) &&
      job.start < lastSeen &&
      (job.end === null || job.end > firstSeen),
  );

/** Nobody on the node can read when it started. */
const isHidden = (built: Built, pid: number): boolean =>
  [...built.boots.values()]
    .flat()
    .some(({ node }) => node.processes.some((one) => one.pid === pid && one.hidden !== undefined));

async function missingOf(
  built: Built,
  played: Played,
  truth: TrueTotals,
  findings: readonly Finding[],
  right: readonly Finding[],
): Promise<string[]> {
  const { expect } = built.scenario;
  const missing: string[] = [];
  for (const reason of [...expect.network, ...expect.integrity])
    if (!findings.some((finding) => finding.reason === reason)) missing.push(reason);
  if (truth.divertedMs === 0 || expect.reasons.length === 0) return missing;
  const [finding] = [...right].sort((a, b) => b.activeMs - a.activeMs);
  if (finding === undefined) return [...missing, `a finding: ${expect.reasons.join(' or ')}`];
  const detail = await played.app.services.queries.finding(AUDITOR, finding.id);
  const source = detail.processes.find((process) => process.role === 'source' && process.activeMs > 0);
  if (source !== undefined) {
    if (source.bootId === '' || source.pid <= 0) missing.push('evidence: boot and pid');
    const shown = !isHidden(built, source.pid);
    if (source.startTicks === null && shown) missing.push('evidence: start');
    if (source.executable === null && shown) missing.push('evidence: executable');
    if (source.executable?.inode === null) missing.push('evidence: inode');
    if (source.cgroup === '') missing.push('evidence: control group');
  }
  if (!(finding.firstSeen < finding.lastSeen)) missing.push('evidence: first and last seen');
  if (finding.devices.length === 0) missing.push('evidence: device');
  // What is marked has its job.
  const unmatched = finding.reason !== 'unlike_declared' && hasNeighbours(built, finding);
  if (unmatched && detail.story.candidates.length === 0) missing.push('evidence: why no job matches');
  return missing;
}
