import { relayOf } from '../network.ts';
import { programOf } from './programs.ts';
import { FULL, type SignalRule } from './signal.ts';

const BESIDE = 70;

export const relayShape: SignalRule = {
  id: 'relay_shape',
  title: 'Sockets in the shape of a tunnel in use',
  source:
    'What a remote forward does to sockets, whatever the program: one lasting way out, few ways in meanwhile.',
  attack: { before: ['T1572'], after: [] },
  weight: 8,
  test({ own, family, beside }) {
    const onDevices = new Set(own.map(({ id }) => id));
    for (const [place, strength] of [
      [family, FULL],
      [beside, BESIDE],
    ] as const)
      for (const process of place.processes) {
        if (onDevices.has(process.id)) continue;
        const sockets = place.connections.filter((one) => one.process === process.id);
        if (relayOf(sockets).length === 0) continue;
        const who = `${programOf(process)} (${process.pid})`;
        return {
          detail: `${who} held a connection to the outside and meanwhile opened some to the inside.`,
          strength,
        };
      }
    return null;
  },
};
