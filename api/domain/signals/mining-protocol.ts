import { FULL, type SignalRule } from './signal.ts';

const WORDS = [
  /\bstratum[12]?\+(?:tcp|tcps|ssl|tls|udp|http|ws|wss):/i,
  /\bethproxy\+/i,
  /\bmining\.(?:subscribe|authorize|notify|submit|hello)\b/i,
  /\beth_(?:submitLogin|getWork)\b/i,
];

export const miningProtocol: SignalRule = {
  id: 'mining_protocol',
  title: 'Names a protocol of mining pools',
  source:
    'Falco and Sigma rules on stratum addresses; the words of the protocol. A label: most miners need none of it.',
  attack: { before: ['T1496.001'], after: [] },
  weight: 1,
  test({ lineage }) {
    const found = lineage.find(({ commandLine }) => WORDS.some((word) => word.test(commandLine ?? '')));
    return found === undefined
      ? null
      : { detail: `Process ${found.pid} names such a protocol in its arguments.`, strength: FULL };
  },
};
