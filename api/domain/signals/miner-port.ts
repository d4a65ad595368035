import { FULL, type SignalRule } from './signal.ts';

/** Where miners listen for their own status pages, by default. */
const PORTS: readonly number[] = [3001, 3333, 4014, 4028, 4029, 4030, 4067, 4068, 21_550];

export const minerPort: SignalRule = {
  id: 'miner_port',
  title: 'Listens where miners do by default',
  source: "The miners' own pages. A label: a port is a number.",
  attack: { before: ['T1496.001'], after: [] },
  weight: 1,
  test({ own, family }) {
    const ids = new Set(own.map(({ id }) => id));
    const found = family.connections.find(
      ({ process, kind, localPort }) => kind === 'listening' && ids.has(process) && PORTS.includes(localPort),
    );
    return found === undefined ? null : { detail: `It listens on port ${found.localPort}.`, strength: FULL };
  },
};
