// Network observations inside a job: reverse tunnels and scans. They stand beside the ledger and never change a verdict.
import type { Evidence } from './bucket.ts';
import type { ObservedProcess, ProcessId } from './cell.ts';
import type { ObservedConnection } from './decode.ts';
import { isJobBoundary, runAt } from './evidence.ts';
import type { Severity } from './finding.ts';
import { findingId } from './source.ts';
import type { Judge, NodeFacts } from './verdict.ts';

export const NETWORK_REASONS = ['reverse_tunnel', 'network_scan'] as const;
export type NetworkReason = (typeof NETWORK_REASONS)[number];

/** A network finding of one node-hour; it carries no GPU time. */
export interface NetworkFinding {
  readonly id: string;
  readonly kind: 'network';
  readonly cluster: string;
  readonly node: string;
  readonly process: ProcessId;
  readonly job: string | null;
  /** What ties the process to that job. */
  readonly evidence: Evidence | null;
  readonly reason: NetworkReason;
  readonly severity: Severity;
  readonly connections: readonly ObservedConnection[];
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Attempts to this many distinct peers and ports, by one process within the hour, look like a scan. */
export const SCAN_PEERS = 20;

/**
 * Looks at the connections of processes inside a job's boundary or lineage. A reverse tunnel is an external connection of
 * a process that was told to forward a remote port; a scan is many attempts, which job start-up may also look like, so it
 * stays a notice. One finding per process and reason.
 */
export function networkFindings(
  facts: NodeFacts,
  judge: Judge,
  connections: Iterable<ObservedConnection>,
): NetworkFinding[] {
  const byProcess = new Map<ProcessId, ObservedConnection[]>();
  for (const connection of connections) {
    const own = byProcess.get(connection.process);
    if (own === undefined) byProcess.set(connection.process, [connection]);
    else own.push(connection);
  }
  const findings: NetworkFinding[] = [];
  for (const [id, own] of byProcess) {
    const process = facts.processes.get(id);
    const ties = judge.tiesOf(id);
    const inside = ties.ties.find((tie) => tie.evidence !== 'claim');
    if (process === undefined) continue;
    if (inside === undefined && (ties.owner === null || !isJobBoundary(ties.owner))) continue;
    const tunnel = own.filter((fact) => fact.kind === 'established' && fact.peerClass === 'external');
    const attempts = own.filter((fact) => fact.kind === 'attempt' && fact.peerClass !== 'loopback');
    const seen: [NetworkReason, Severity, ObservedConnection[]][] = [];
    if (tunnel.length > 0 && forwardsRemotePort(process)) seen.push(['reverse_tunnel', 'warn', tunnel]);
    if (attempts.reduce((sum, fact) => sum + fact.peers, 0) >= SCAN_PEERS)
      seen.push(['network_scan', 'notice', attempts]);
    for (const [reason, severity, evidence] of seen) {
      const firstMs = Math.min(...evidence.map((fact) => fact.firstMs));
      const job = inside === undefined ? null : runAt(inside.jobs, process.startedMs, firstMs, facts.policy);
      findings.push({
        id: findingId(`network ${reason}`, facts.cluster, facts.node, id),
        kind: 'network',
        cluster: facts.cluster,
        node: facts.node,
        process: id,
        job: job?.id ?? null,
        evidence: job === null ? null : (inside?.evidence ?? null),
        reason,
        severity,
        connections: evidence,
        firstMs,
        lastMs: Math.max(...evidence.map((fact) => fact.lastMs)),
      });
    }
  }
  return findings.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** [bind address:]port:host:port, as ssh's -R takes it. */
const FORWARD = /^(?:[^\s:]*:|\[[^\s\]]*\]:)?\d{1,5}:(?:[^\s:]+|\[[^\s\]]+\]):\d{1,5}$/;
const OPTION = /^-[A-Za-z0-9]*R(.*)$/;
const KEYWORD = /^(?:-o)?RemoteForward(?:=|$)/i;

/** Whether a command line asks for a remote forward in ssh's way, whatever the program calls itself. */
export function forwardsRemotePort(process: Pick<ObservedProcess, 'commandLine'>): boolean {
  const words = (process.commandLine ?? '').split(' ');
  return words.some((word, at) => {
    if (KEYWORD.test(word)) return at > 0;
    const joined = OPTION.exec(word)?.[1];
    if (joined === undefined) return false;
    return FORWARD.test(joined === '' ? (words[at + 1] ?? '') : joined);
  });
}
