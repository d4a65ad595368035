import type { ObservedProcess } from '../cell.ts';
import { wordsOf } from './programs.ts';
import { FULL, type SignalRule } from './signal.ts';

/** Options by which miners are told what to compute, for whom, and where to bring it; two of these groups make a label. */
const GROUPS: readonly RegExp[] = [
  /^(?:-a|--algo|--algorithm|--coin|-coin|--nicehash)(?:=|$)/,
  /^(?:-o|--pool|-pool|--server|--url|-P)(?:=|$)/,
  /^(?:-w|-u|--user|--wallet|-wal|--worker|-worker)(?:=|$)/,
];
const ALGORITHMS = new RegExp(
  `^(?:${[
    'ethash',
    'etchash',
    'kawpow',
    'autolykos2',
    'octopus',
    'equihash.*',
    'cuckoo.*',
    'beamhash.*',
    'kheavyhash',
    'karlsenhash',
    'pyrinhash',
    'blake3',
    'progpow.*',
    'firopow',
    'fishhash',
    'xelishash.*',
    'nexapow',
    'randomx',
    'rx/0',
    'cryptonight.*',
    'zelhash',
    'verushash',
    'sha3x',
    'sha256ton',
    'sha512256d',
  ].join('|')})$`,
  'i',
);

export const minerArguments: SignalRule = {
  id: 'miner_arguments',
  title: 'Arguments as miners take them',
  source:
    "The miners' own pages; Elastic and Sigma rules. A label: a configuration file leaves nothing of it.",
  attack: { before: ['T1496.001'], after: [] },
  weight: 1,
  test({ lineage }) {
    const found = lineage.find(looksSo);
    return found === undefined
      ? null
      : { detail: `Process ${found.pid} has arguments as a miner takes them.`, strength: FULL };
  },
};

function looksSo(process: ObservedProcess): boolean {
  const words = wordsOf(process);
  const options = GROUPS.filter((group) => words.some((word) => group.test(word))).length;
  const algorithm = words.some((word) => ALGORITHMS.test(word.slice(word.lastIndexOf('=') + 1)));
  return algorithm && options >= 2;
}
