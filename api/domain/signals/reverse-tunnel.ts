import { forwardsRemotePort } from '../network.ts';
import { programOf } from './programs.ts';
import { type Family, FULL, type SignalRule } from './signal.ts';

/** It stands beside the source, not below it. */
const BESIDE = 70;

export const reverseTunnel: SignalRule = {
  id: 'reverse_tunnel',
  title: 'Told to forward a port of the other side',
  source: 'Elastic and Datadog rules for ssh -R; here in every spelling of it, and under any program name.',
  attack: { before: ['T1572'], after: [] },
  weight: 12,
  test({ family, beside }) {
    for (const [place, strength] of [
      [family, FULL],
      [beside, BESIDE],
    ] as const) {
      const found = tunnelIn(place);
      if (found !== null) return { detail: found, strength };
    }
    return null;
  },
};

function tunnelIn({ processes, connections }: Family): string | null {
  const outside = new Set(
    connections
      .filter(({ kind, peerClass }) => kind === 'established' && peerClass === 'external')
      .map(({ process }) => process),
  );
  const found = processes.find((process) => outside.has(process.id) && forwardsRemotePort(process));
  if (found === undefined) return null;
  return `${programOf(found)} (${found.pid}) asks for a remote forward and holds a connection to the outside.`;
}
