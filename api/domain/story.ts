// A finding's story in neutral sentences, which an admin can act on and the job's owner can accept.
import { INTEGRITY_KINDS } from '../contract/batch.ts';
import type { FindingDetail } from '../contract/findings.ts';
import { MARKED_REASON } from './bucket.ts';
import { candidatesOf, conflictsOf } from './candidates.ts';
import type { ObservedProcess, SourceWatermark } from './cell.ts';
import type { Dark } from './dark.ts';
import { ownersOf, type Ties } from './evidence.ts';
import { nearExemptions } from './exempt.ts';
import { type FindingSummary, MOMENTARY } from './finding.ts';
import type { Holding, Job } from './job.ts';
import { NETWORK_REASONS } from './network.ts';
import { duration, list, time } from './phrases.ts';
import type { Policy } from './policy.ts';
import { executablePath } from './process.ts';
import { CAUSES, CHANGES, type FindingReason, SENTENCES } from './wording.ts';

export type Story = FindingDetail['story'];

export interface StoryFacts {
  /** Of a network finding too: its reason, and no GPU time. */
  readonly summary: Omit<FindingSummary, 'reason' | 'reasons'> & { readonly reason: FindingReason };
  readonly node: string;
  /** How the finding's devices are called on pages, such as "GPU 6". */
  readonly devices: readonly string[];
  /** The source process and its ancestors, nearest first; empty where only a device is known. */
  readonly lineage: readonly ObservedProcess[];
  readonly ties: Ties | null;
  /** Jobs that held the devices or ran on the node in this time, or that something names. */
  readonly jobs: readonly Job[];
  readonly holdings: readonly Holding[];
  /** The finding's device UUIDs. */
  readonly deviceUuids: readonly string[];
  readonly sources: readonly SourceWatermark[];
  readonly policy: Policy;
  /** Of the finding's span: stretches in which one of its devices was not measured; several devices have the same. */
  readonly dark: readonly Dark[];
  readonly pollIntervalMs: number;
  /** Connections of the source, and of processes beside it, to external addresses. */
  readonly externalConnections: number;
  /** Addresses and ports, other than the node's own, that they tried to reach. */
  readonly attempts: number;
  /** Of a finding without a process: who had its devices open in this time, the earliest first. */
  readonly holders: readonly StoryHolder[];
  /** Processes that only the driver's accounting lists: how long they had the devices open, and executed as it sampled. */
  readonly unseen: { readonly processes: number; readonly openMs: number; readonly executedMs: number };
  /** Of an integrity finding: what was said of it, in the words of its agent, distinct. */
  readonly details: readonly string[];
  readonly running: boolean;
  /** By later records nothing of it stands. */
  readonly resolved: boolean;
}

/** A process that was seen with the file of a device open, while the driver does not list it there. */
export interface StoryHolder {
  /** Such as "/dev/nvidia6". */
  readonly file: string;
  readonly seenMs: number;
  readonly process: ObservedProcess;
}

/** Processes that hold a device beyond this many are only counted; the same of what an agent says of one thing. */
const MAX_HOLDERS = 10;
const MAX_DETAILS = 10;
const MAX_DARK = 5;
const MAX_CGROUP_CHARS = 200;

/** Tells a finding. Text from workloads is quoted as it is: whoever shows it must escape it. */
export function tellStory(facts: StoryFacts): Story {
  const { summary } = facts;
  if (facts.resolved) return closed(facts);
  return {
    observed: observed(facts),
    notObserved: notObserved(facts),
    candidates: isBeside(summary.reason) || summary.reason === MARKED_REASON ? [] : candidatesOf(facts),
    innocentCauses: [...CAUSES[summary.reason]],
    wouldChange: wouldChange(facts),
  };
}

const didWhat = (reason: FindingReason): string =>
  reason === 'telemetry_conflict' ? 'drew working power or executed' : 'executed';
const isNetwork = (reason: FindingReason): boolean => NETWORK_REASONS.some((other) => other === reason);
const isIntegrity = (reason: FindingReason): boolean => INTEGRITY_KINDS.some((other) => other === reason);
/** Seen beside the ledger. */
const isBeside = (reason: FindingReason): boolean => isNetwork(reason) || isIntegrity(reason);

function observed(facts: StoryFacts): string[] {
  const { summary, lineage, ties } = facts;
  const place = `${list(facts.devices)} of ${facts.node}`;
  const where = `on ${place}`;
  const lines: string[] = [];
  if (summary.activeMs > 0)
    lines.push(
      `${duration(summary.activeMs)} of GPU time ${where} ${didWhat(summary.reason)} with no matching declaration, ` +
        `between ${time(summary.firstMs)} and ${time(summary.lastMs)}.`,
    );
  if (summary.residentMs > 0)
    lines.push(
      `${duration(summary.residentMs)} ${where} were occupied without executing, or without telling whether they executed.`,
    );
  const [process] = lineage;
  if (process !== undefined) lines.push(...describe(process));
  if (lineage.length > 1)
    lines.push(
      `It descends from ${lineage
        .slice(1)
        .map((ancestor) => `${ancestor.comm} (${ancestor.pid})`)
        .join(', below ')}.`,
    );
  if (ties?.owner) lines.push(`The kernel holds it in ${ties.owner.boundary}.`);
  for (const contradiction of ties?.contradictions ?? []) lines.push(`Two signs disagree: ${contradiction}.`);
  if (!isBeside(summary.reason)) lines.push(...conflictsOf(facts));
  if (facts.externalConnections > 0)
    lines.push(
      facts.externalConnections === 1
        ? 'It, or a process beside it, had a connection to an external address.'
        : `It, or a process beside it, had ${facts.externalConnections} connections to external addresses.`,
    );
  if (facts.attempts > 0)
    lines.push(
      `It, or a process beside it, tried to reach ${facts.attempts} ${facts.attempts === 1 ? 'address or port' : 'addresses and ports'}.`,
    );
  if (isIntegrity(summary.reason) && facts.devices.length > 0) lines.push(`It is about ${place}.`);
  lines.push(SENTENCES[summary.reason], ...unseenLines(facts.unseen));
  lines.push(...detailLines(facts.details), ...holderLines(facts.holders));
  if (facts.running && !MOMENTARY.includes(summary.reason))
    lines.push('It was still there at the last reading.');
  return lines;
}

/** Between what was sampled and how long they were there lies what they executed. */
function unseenLines({ processes, openMs, executedMs }: StoryFacts['unseen']): string[] {
  if (processes === 0) return [];
  const lists = `The driver's accounting lists ${processes === 1 ? '1 process' : `${processes} processes`}`;
  return [
    `${lists} that no reading showed there: the device was open to them for ${duration(openMs)} in sum, ` +
      `and executed for at least ${duration(executedMs)} of it as far as the driver sampled.`,
  ];
}

function detailLines(details: readonly string[]): string[] {
  const rest = details.length - MAX_DETAILS;
  const lines = details.slice(0, MAX_DETAILS).map((detail) => `The agent of the node says: ${detail}`);
  return rest > 0 ? [...lines, `It says ${rest} more of the same kind.`] : lines;
}

/** Evidence, and no verdict: a holder need not be what executed. */
function holderLines(holders: readonly StoryHolder[]): string[] {
  const rest = holders.length - MAX_HOLDERS;
  const lines = holders.slice(0, MAX_HOLDERS).map(({ file, seenMs, process }) => {
    const { executable, cgroup } = process;
    const path = executable === null ? 'an executable that could not be read' : executablePath(executable);
    const place = ownersOf(process)[0]?.boundary ?? cgroup.replaceAll('\n', ' ').slice(0, MAX_CGROUP_CHARS);
    const where = place === '' ? '' : `, in ${place}`;
    return (
      `${nameOf(process)} had ${file} open at ${time(seenMs)}, though the driver does not list it there: ` +
      `${path}, as ${accountOf(process) ?? 'an unknown OS account'}${where}.`
    );
  });
  if (rest > 0) lines.push(`So had ${rest} more processes.`);
  return lines;
}

/** Of a hidden process no name is known. */
const nameOf = ({ pid, comm }: ObservedProcess): string =>
  comm === '' ? `Process ${pid}` : `Process ${pid} ("${comm}")`;

function accountOf({ user, uid }: Pick<ObservedProcess, 'user' | 'uid'>): string | null {
  const account = user ?? (uid === null ? null : `uid ${uid}`);
  return account === null ? null : `OS account ${account}`;
}

/** Nothing of it stands any more, and nobody is asked to explain it. */
function closed({ summary, lineage }: StoryFacts): Story {
  const [process] = lineage;
  const was = isNetwork(summary.reason)
    ? 'It was seen inside a job. By records that came later it was not inside one.'
    : isIntegrity(summary.reason)
      ? 'It was reported of the node. By what is known now nothing reports it.'
      : 'It was found unaccounted. By what is known now no time of this source is: its history says what changed.';
  return {
    observed: [was, ...(process === undefined ? [] : describe(process))],
    notObserved: [],
    candidates: [],
    innocentCauses: [],
    wouldChange: ['A corrected record that no longer covers it would bring it back.'],
  };
}

function describe(process: ObservedProcess): string[] {
  const { executable } = process;
  const path = executable === null ? 'an executable that could not be read' : executablePath(executable);
  const file = executable?.inode ? ` (file ${executable.device ?? '?'} inode ${executable.inode})` : '';
  const account = accountOf(process);
  const ran = account === null ? 'The OS account is unknown' : `It ran as ${account}`;
  const lines = [`${nameOf(process)} ran ${path}${file}. ${ran}.`];
  if (executable?.deleted) lines.push('The executable had been removed from its folder while it ran.');
  if (process.startedMs !== null) lines.push(`It started at ${time(process.startedMs)}.`);
  return lines;
}

function notObserved(facts: StoryFacts): string[] {
  const [process] = facts.lineage;
  const polls = `every ${duration(facts.pollIntervalMs)}: what began and ended between two readings is not seen.`;
  if (isNetwork(facts.summary.reason))
    return [`Connections are read about ${polls}`, 'What was sent or received is not seen.'];
  if (isIntegrity(facts.summary.reason))
    return [
      'The files, mounts and process tables of a node are compared more rarely than its devices are read: ' +
        'what is changed and changed back between is not seen.',
      'Whether a reading was false is not seen: only that it could be.',
    ];
  const lines = [
    `Devices are read ${polls}`,
    'What was computed is not seen: only that the device executed, and for which process.',
  ];
  lines.push(...notMeasured(facts.dark));
  if (process === undefined) lines.push('No process showed on the device while it executed.');
  for (const part of process?.unreadable ?? []) lines.push(`Not readable: ${part}.`);
  return lines;
}

/** The longest stretches one by one: what is not measured is nobody's, whatever stands on both sides of it. */
function notMeasured(dark: readonly Dark[]): string[] {
  const unmeasuredMs = dark.reduce((sum, one) => sum + (one.toMs - one.fromMs), 0);
  if (unmeasuredMs === 0) return [];
  const distinct = new Map(dark.map((one) => [`${one.fromMs} ${one.toMs} ${one.reason}`, one]));
  const longest = [...distinct.values()]
    .sort((a, b) => b.toMs - b.fromMs - (a.toMs - a.fromMs))
    .slice(0, MAX_DARK);
  return [
    `${duration(unmeasuredMs)} of this time were not measured and are not counted here.`,
    ...longest.map(
      ({ fromMs, toMs, reason, sameAround }) =>
        `Not measured between ${time(fromMs)} and ${time(toMs)} (${reason})` +
        `${sameAround ? ': the same process executed in the last reading before and in the first one after' : ''}.`,
    ),
  ];
}

/** Reasons of use that no job's boundary holds: what an exemption could cover. */
const EXEMPTIBLE: readonly FindingReason[] = ['no_job', 'unverified_claim'];

function wouldChange(facts: StoryFacts): string[] {
  const { summary } = facts;
  const lines: string[] = [];
  if (summary.provisionalMs > 0) {
    const waiting = facts.sources
      .filter((source) => source.completeToMs < summary.lastMs)
      .map(
        (source) => `${source.source} (${source.sourceInstance}), complete to ${time(source.completeToMs)}`,
      );
    lines.push(
      waiting.length > 0
        ? `${duration(summary.provisionalMs)} await a record from ${list(waiting)}.`
        : `${duration(summary.provisionalMs)} await a record.`,
    );
  }
  const [process] = facts.lineage;
  const near =
    process !== undefined && EXEMPTIBLE.includes(summary.reason)
      ? nearExemptions(facts, process, { fromMs: summary.firstMs, toMs: summary.lastMs })
      : [];
  return [...lines, ...CHANGES[summary.reason], ...near];
}
