// Where the ways of looking at a node contradict each other: hidden processes, changed tools. Beside the ledger, as the network.
import type { HolderFact, IntegrityFact, IntegrityKind } from '../contract/batch.ts';
import type { Evidence } from './bucket.ts';
import type { ProcessId } from './cell.ts';
import { runAt } from './evidence.ts';
import type { Severity } from './finding.ts';
import { findingId } from './source.ts';
import type { Judge, NodeFacts } from './verdict.ts';

/** A fact whose process is known across boots. */
export interface ObservedIntegrity extends Omit<IntegrityFact, 'process'> {
  readonly process: ProcessId | null;
}

/** A process that has a device's file open, while the driver does not list it there. */
export interface ObservedHolder extends Omit<HolderFact, 'process'> {
  readonly process: ProcessId;
}

/** An integrity finding of one node-hour; it carries no GPU time. */
export interface IntegrityFinding {
  readonly id: string;
  readonly kind: 'integrity';
  readonly cluster: string;
  readonly node: string;
  /** What it is about: a process, else a device, else (both null) the node. */
  readonly process: ProcessId | null;
  readonly device: string | null;
  /** Whose control group or lineage the process sits in. */
  readonly job: string | null;
  readonly evidence: Evidence | null;
  readonly reason: IntegrityKind;
  readonly severity: Severity;
  readonly facts: readonly ObservedIntegrity[];
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Processes and devices of one kind that get findings of their own; those seen later in the hour are told in one of the node. */
export const MAX_SUBJECTS = 64;

interface Subject {
  readonly process: ProcessId | null;
  readonly device: string | null;
}
const THE_NODE: Subject = { process: null, device: null };

/**
 * One finding for each kind and each process, device or node that it is about. `onDevices`: the processes that the
 * driver listed on a device in this hour.
 */
export function integrityFindings(
  facts: NodeFacts,
  judge: Judge,
  observed: readonly ObservedIntegrity[],
  onDevices: ReadonlySet<ProcessId>,
): IntegrityFinding[] {
  const findings: IntegrityFinding[] = [];
  for (const [reason, ofKind] of Map.groupBy(observed, (fact) => fact.kind))
    for (const { subject, own } of bySubject(ofKind)) {
      const { process, device } = subject;
      const firstMs = Math.min(...own.map((fact) => fact.firstMs));
      const onDevice =
        own.some((fact) => fact.device !== null) || (process !== null && onDevices.has(process));
      findings.push({
        id: findingId(`integrity ${reason}`, facts.cluster, facts.node, keyOf(subject)),
        kind: 'integrity',
        ...{ cluster: facts.cluster, node: facts.node, process, device, reason, firstMs, facts: own },
        ...tieOf(facts, judge, process, firstMs),
        severity: severityOf(reason, onDevice),
        lastMs: Math.max(...own.map((fact) => fact.lastMs)),
      });
    }
  return findings.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** The facts of one kind by what they are about, the earliest first. */
function bySubject(facts: readonly ObservedIntegrity[]): { subject: Subject; own: ObservedIntegrity[] }[] {
  const groups = new Map<string, { subject: Subject; own: ObservedIntegrity[] }>();
  const inOrder = [...facts].sort(
    (a, b) =>
      a.firstMs - b.firstMs ||
      a.lastMs - b.lastMs ||
      compareText(keyOf(a), keyOf(b)) ||
      compareText(a.detail, b.detail),
  );
  for (const fact of inOrder) {
    const { process } = fact;
    const wanted: Subject = { process, device: process === null ? fact.device : null };
    const subject = groups.has(keyOf(wanted)) || groups.size < MAX_SUBJECTS ? wanted : THE_NODE;
    const group = groups.get(keyOf(subject));
    if (group === undefined) groups.set(keyOf(subject), { subject, own: [fact] });
    else group.own.push(fact);
  }
  return [...groups.values()];
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const keyOf = ({ process, device }: Subject): string => process ?? `device ${device ?? ''}`;

/** What cannot come about by itself is worth a look today; the rest is how a site may have set itself up. */
function severityOf(reason: IntegrityKind, onDevice: boolean): Severity {
  if (reason === 'tool_changed') return 'warn';
  return onDevice && (reason === 'process_hidden' || reason === 'process_covered') ? 'warn' : 'notice';
}

/** The job that the process sits in, by its control group or its lineage. */
function tieOf(
  facts: NodeFacts,
  judge: Judge,
  process: ProcessId | null,
  atMs: number,
): { job: string | null; evidence: Evidence | null } {
  const known = process === null ? undefined : facts.processes.get(process);
  const tie = known && judge.tiesOf(known.id).ties.find((one) => one.evidence !== 'claim');
  if (known === undefined || tie === undefined) return { job: null, evidence: null };
  return { job: runAt(tie.jobs, known.startedMs, atMs, facts.policy).id, evidence: tie.evidence };
}
