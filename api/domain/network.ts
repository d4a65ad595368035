// Network observations inside a job: reverse tunnels and scans. They stand beside the ledger and never change a verdict.
import type { Evidence } from './bucket.ts';
import type { ObservedProcess, ProcessId } from './cell.ts';
import type { ObservedConnection } from './decode.ts';
import { isJobBoundary, runAt } from './evidence.ts';
import type { Severity } from './finding.ts';
import { sameExecutable } from './process.ts';
import { findingId } from './source.ts';
import type { Judge, NodeFacts } from './verdict.ts';

export const NETWORK_REASONS = ['reverse_tunnel', 'relayed_connection', 'network_scan'] as const;
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

/** A forward holds one connection to the outside, or one more while it reconnects … */
const RELAY_EXTERNAL = 2;
/** … for longer than a download of a page takes, … */
const RELAY_LASTS_MS = 60_000;
/** … and opens few to the inside. Services and loaders of data have many. */
const RELAY_INWARD = 8;

/**
 * Looks at the connections of processes inside a job's boundary or lineage. A reverse tunnel is an external connection of
 * a process that was told to forward a remote port; a scan is many attempts, which job start-up may also look like, so it
 * stays a notice; so does a relay (`looksLikeRelay`). One finding per process and reason. `onDevices`: processes that used
 * a device.
 */
export function networkFindings(
  facts: NodeFacts,
  judge: Judge,
  connections: Iterable<ObservedConnection>,
  onDevices: ReadonlySet<ProcessId>,
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
    const relay = relayOf(own);
    if (tunnel.length > 0 && forwardsRemotePort(process)) seen.push(['reverse_tunnel', 'warn', tunnel]);
    else if (relay.length > 0 && !runsOnDevices(process, onDevices, facts))
      seen.push(['relayed_connection', 'notice', relay]);
    if (attempts.reduce((sum, fact) => sum + fact.peers, 0) >= SCAN_PEERS)
      seen.push(['network_scan', 'notice', attempts]);
    for (const [reason, severity, evidence] of seen) {
      const firstMs = Math.min(...evidence.map((fact) => fact.firstMs));
      const job = inside && runAt(inside.jobs, process.startedMs, firstMs, facts.policy);
      findings.push({
        id: findingId(`network ${reason}`, facts.cluster, facts.node, id),
        kind: 'network',
        cluster: facts.cluster,
        node: facts.node,
        process: id,
        job: job?.id ?? null,
        evidence: inside?.evidence ?? null,
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

/**
 * The connections of a process that has the shape of a remote forward in use, by its sockets alone: it went outside and
 * stayed there, and meanwhile went to a few places inside. None where it has not. A forward of a local port looks like
 * any program that serves its job and reports to the outside, and is not told.
 */
export function relayOf(own: readonly ObservedConnection[]): ObservedConnection[] {
  const listening = new Set(own.filter((fact) => fact.kind === 'listening').map((fact) => fact.localPort));
  const gone = own.filter((fact) => fact.kind === 'established' && !listening.has(fact.localPort));
  const outward = gone.filter((fact) => fact.peerClass === 'external');
  const lasting = outward.filter((fact) => fact.lastMs - fact.firstMs >= RELAY_LASTS_MS);
  const inward = gone.filter((fact) => fact.peerClass !== 'external');
  const meanwhile = inward.filter((fact) =>
    lasting.some((out) => out.firstMs <= fact.firstMs && fact.firstMs <= out.lastMs),
  );
  const few = places(outward) <= RELAY_EXTERNAL && places(inward) <= RELAY_INWARD;
  return few && meanwhile.length > 0 ? [...lasting, ...meanwhile] : [];
}

/** Each place is told again and again while its connection lasts. */
const places = (facts: readonly ObservedConnection[]): number =>
  [...new Map(facts.map((fact) => [`${fact.peerClass} ${fact.localPort}`, fact.peers])).values()].reduce(
    (sum, peers) => sum + peers,
    0,
  );

/** Whether it uses a device, or is the program of one that does: what trains also fetches and reports. */
function runsOnDevices(
  process: ObservedProcess,
  onDevices: ReadonlySet<ProcessId>,
  facts: NodeFacts,
): boolean {
  if (onDevices.has(process.id) || process.executable === null) return true;
  for (const id of onDevices) {
    const executable = facts.processes.get(id)?.executable ?? null;
    if (executable !== null && sameExecutable(executable, process.executable)) return true;
  }
  return false;
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
