import { programOf } from './programs.ts';
import { FULL, type SignalRule } from './signal.ts';

/** Which of its peers a job declared is not told by address here. */
const MAY_BE_DECLARED = 40;
/** The connection is of a process below the same source, which uses no device itself. */
const OF_A_RELATIVE = 60;

export const externalPeer: SignalRule = {
  id: 'external_peer',
  title: 'Connected to the outside while it computed',
  source: 'A pool, whatever its protocol, port or encryption, has to be reached.',
  attack: { before: ['T1496.001'], after: [] },
  weight: 12,
  test({ own, family, jobs }) {
    const outside = family.connections.filter(
      ({ kind, peerClass }) => kind === 'established' && peerClass === 'external',
    );
    const ids = new Set(own.map(({ id }) => id));
    const first = outside.find(({ process }) => ids.has(process)) ?? outside[0];
    if (first === undefined) return null;
    const process = family.processes.find(({ id }) => id === first.process);
    const declares = jobs.some((job) => (job.declares.peers ?? []).length > 0);
    const strength = declares ? MAY_BE_DECLARED : ids.has(first.process) ? FULL : OF_A_RELATIVE;
    const who = process === undefined ? 'It' : `${programOf(process)} (${process.pid})`;
    return { detail: `${who} held a connection to an external address.`, strength };
  },
};
