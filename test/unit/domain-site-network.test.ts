import { describe, expect, test } from 'vitest';
import type { ObservedConnection } from '../../api/domain/decode.ts';
import { type ApprovedTunnel, DEFAULT_POLICY, type Policy } from '../../api/domain/policy.ts';
import { peersWanted, siteConnections } from '../../api/domain/site-network.ts';
import { pidOf, processFact } from './domain-facts.ts';

const connection = (change: Partial<ObservedConnection> = {}): ObservedConnection => ({
  ...{ process: pidOf(1), kind: 'established', peerClass: 'external', localPort: 40_000, peers: 1 },
  ...{ personal: 'd1', firstMs: 0, lastMs: 1000, ...change },
});
const tunnel = (change: Partial<ApprovedTunnel> = {}): ApprovedTunnel => ({
  ...{
    peers: ['198.51.100.0/28'],
    executables: ['/usr/bin/cloudflared'],
    uids: [1001],
    reason: 'bastion',
    ...change,
  },
});
const bastion = processFact(1, { path: '/usr/bin/cloudflared', uid: 1001 });

/** Where a connection to `peers` is, as the site sees it. */
function classOf(
  policy: Partial<Policy>,
  peers: readonly string[],
  process = bastion,
  change: Partial<ObservedConnection> = {},
): string | undefined {
  const facts = {
    connections: [connection({ peers: peers.length, ...change })],
    processes: new Map([[process.id, process]]),
  };
  return siteConnections(facts, { ...DEFAULT_POLICY, ...policy }, new Map([['d1', peers]]))[0]?.peerClass;
}

describe('internal ranges', () => {
  const own = { internalRanges: ['203.0.113.0/25', '2001:db8::/32'] };
  test.each<[string, readonly string[], string]>([
    ['inside', ['203.0.113.7:443'], 'internal'],
    ['inside, the other family', ['[2001:db8::7]:443'], 'internal'],
    ['written as the other family', ['[::ffff:203.0.113.7]:443'], 'internal'],
    ['outside', ['203.0.113.200:443'], 'external'],
    ['one of several outside', ['203.0.113.7:443', '192.0.2.1:443'], 'external'],
    ['no address', ['nonsense:1'], 'external'],
  ])('%s', (_name, peers, expected) => {
    expect(classOf(own, peers)).toBe(expected);
  });

  test('what a policy leaves as it is told is the same list', () => {
    const told = (connections: readonly ObservedConnection[], peers: string) =>
      siteConnections(
        { connections, processes: new Map() },
        { ...DEFAULT_POLICY, ...own },
        new Map([['d1', [peers]]]),
      ) === connections;
    expect(told([], '203.0.113.7:443')).toBe(true);
    expect(told([connection()], '192.0.2.1:443')).toBe(true);
    expect(told([connection()], '203.0.113.7:443')).toBe(false);
  });

  test('what is not wholly known stays outside, and nothing else is touched', () => {
    const peers = ['203.0.113.7:443'];
    expect(classOf(own, peers, bastion, { peers: 2 })).toBe('external');
    expect(classOf(own, peers, bastion, { personal: null })).toBe('external');
    expect(classOf(own, peers, bastion, { personal: 'd2' })).toBe('external');
    expect(classOf(own, peers, bastion, { peerClass: 'loopback' })).toBe('loopback');
  });
});

describe('approved tunnels', () => {
  const allowed = { approvedTunnels: [tunnel()] };
  const peers = ['198.51.100.7:443'];
  test('the program and account that are named, to the peers that are named', () => {
    expect(classOf(allowed, peers)).toBe('internal');
    expect(classOf(allowed, ['198.51.100.77:443'])).toBe('external');
    expect(classOf(allowed, peers, processFact(1, { path: '/usr/bin/ssh', uid: 1001 }))).toBe('external');
    expect(classOf(allowed, peers, processFact(1, { path: '/usr/bin/cloudflared', uid: 1002 }))).toBe(
      'external',
    );
    expect(classOf(allowed, peers, { ...bastion, uid: null })).toBe('external');
    expect(classOf(allowed, peers, { ...bastion, executable: null })).toBe('external');
    expect(classOf(allowed, peers, processFact(2))).toBe('external');
  });

  test('what is empty names everybody', () => {
    const any = { approvedTunnels: [tunnel({ executables: [], uids: [] })] };
    expect(classOf(any, peers, processFact(1, { executable: null, uid: null }))).toBe('internal');
  });
});

test('peers are read only where the policy says something of them', () => {
  const facts = [
    connection(),
    connection({ personal: null }),
    connection({ personal: 'd2', peerClass: 'internal' }),
  ];
  expect(peersWanted(DEFAULT_POLICY, facts).size).toBe(0);
  expect([...peersWanted({ ...DEFAULT_POLICY, internalRanges: ['203.0.113.0/24'] }, facts)]).toEqual(['d1']);
  expect([...peersWanted({ ...DEFAULT_POLICY, approvedTunnels: [tunnel()] }, facts)]).toEqual(['d1']);
});
