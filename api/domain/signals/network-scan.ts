import { SCAN_PEERS } from '../network.ts';
import { programOf } from './programs.ts';
import { FULL, type SignalRule } from './signal.ts';

/** Beside the source, where what the job declared starts up too. */
const BESIDE = 50;

export const networkScan: SignalRule = {
  id: 'network_scan',
  title: 'Tried many addresses or ports',
  source: 'Elastic scan rules (distinct peers of one executable), without their exemption of interpreters.',
  attack: { before: ['T1046'], after: [] },
  weight: 6,
  test({ family, beside }) {
    for (const [place, strength] of [
      [family, FULL],
      [beside, BESIDE],
    ] as const)
      for (const process of place.processes) {
        const peers = place.connections
          .filter(
            (one) => one.process === process.id && one.kind === 'attempt' && one.peerClass !== 'loopback',
          )
          .reduce((sum, one) => sum + one.peers, 0);
        if (peers < SCAN_PEERS) continue;
        return {
          detail: `${programOf(process)} (${process.pid}) tried ${peers} addresses or ports.`,
          strength,
        };
      }
    return null;
  },
};
