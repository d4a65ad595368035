import { programOf, wordsOf } from './programs.ts';
import { FULL, type SignalRule } from './signal.ts';

/** File names of GPU miners for Linux, in small letters. */
const NAMES: ReadonlySet<string> = new Set([
  't-rex',
  'lolminer',
  'miner',
  'gminer',
  'nbminer',
  'teamredminer',
  'rigel',
  'bzminer',
  'srbminer-multi',
  'onezerominer',
  'nanominer',
  'phoenixminer',
  'miniz',
  'wildrig-multi',
  'tt-miner',
  'ethminer',
  'xmrig',
  'nq-miner',
  'dynexsolve',
  'hoo_gpu',
  'ccminer',
  'sgminer',
  'cgminer',
  'bfgminer',
  'kawpowminer',
  'minerd',
  'cpuminer',
  'xmr-stak',
  'claymore',
  'bminer',
]);

export const minerName: SignalRule = {
  id: 'miner_name',
  title: 'Called as a known miner is',
  source: "The miners' own pages and RainbowMiner's list. A label: anybody can rename a file.",
  attack: { before: ['T1496.001'], after: [] },
  weight: 1,
  test({ lineage }) {
    const found = lineage.find(
      (process) =>
        NAMES.has(programOf(process).toLowerCase()) ||
        NAMES.has((wordsOf(process)[0]?.split('/').at(-1) ?? '').toLowerCase()),
    );
    return found === undefined
      ? null
      : { detail: `Process ${found.pid} bears the name of a known miner.`, strength: FULL };
  },
};
