// What the site's policy says of addresses: which are its own, and which programs may go where outside.
import ipaddr from 'ipaddr.js';
import type { DecodedHour, ObservedConnection } from './decode.ts';
import { matchesPath } from './fit.ts';
import type { ApprovedTunnel, Policy } from './policy.ts';
import { executablePath } from './process.ts';

/** Examples of `address:port` by the digest of a connection's personal text. */
export type PeersByDigest = ReadonlyMap<string, readonly string[]>;

/** Digests of the peers that the policy could judge; none where it says nothing of addresses. */
export function peersWanted(
  policy: Policy,
  connections: Iterable<Pick<ObservedConnection, 'peerClass' | 'personal'>>,
): Set<string> {
  const wanted = new Set<string>();
  if (policy.internalRanges.length + policy.approvedTunnels.length === 0) return wanted;
  for (const { peerClass, personal } of connections)
    if (peerClass === 'external' && personal !== null) wanted.add(personal);
  return wanted;
}

/**
 * The connections as the site sees them: what its agent calls external is internal where every peer lies in a range of the
 * site, or in one that is approved for that program and account. A connection of which not every peer is known stays external.
 */
export function siteConnections(
  { connections, processes }: Pick<DecodedHour, 'connections' | 'processes'>,
  policy: Policy,
  peers: PeersByDigest,
): readonly ObservedConnection[] {
  if (connections.length === 0) return connections;
  const own = policy.internalRanges.map(rangeOf);
  const tunnels = policy.approvedTunnels.map((tunnel) => ({ tunnel, ranges: tunnel.peers.map(rangeOf) }));
  const told = connections.map((fact): ObservedConnection => {
    const known = fact.personal === null ? undefined : peers.get(fact.personal);
    if (fact.peerClass !== 'external' || known === undefined || known.length < fact.peers) return fact;
    const ranges = tunnels.flatMap((one) =>
      isOf(one.tunnel, processes.get(fact.process)) ? one.ranges : [],
    );
    const inside = known.every((peer) => isIn(addressOf(peer), [...own, ...ranges]));
    return inside ? { ...fact, peerClass: 'internal' } : fact;
  });
  return told.every((fact, index) => fact === connections[index]) ? connections : told;
}

type Process = DecodedHour['processes'] extends ReadonlyMap<unknown, infer Value> ? Value : never;
type Range = ReturnType<typeof ipaddr.parseCIDR>;

function isOf({ executables, uids }: ApprovedTunnel, process: Process | undefined): boolean {
  if (process === undefined) return false;
  if (uids.length > 0 && (process.uid === null || !uids.includes(process.uid))) return false;
  const path = process.executable === null ? null : executablePath(process.executable);
  return executables.length === 0 || (path !== null && executables.some((one) => matchesPath(one, path)));
}

const rangeOf = (text: string): Range => ipaddr.parseCIDR(text);

/** Of `192.0.2.7:443` or `[2001:db8::7]:443`. */
const addressOf = (peer: string): string => peer.slice(0, peer.lastIndexOf(':')).replaceAll(/[[\]]/g, '');

function isIn(text: string, ranges: readonly Range[]): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.process(text);
  return ranges.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
}
