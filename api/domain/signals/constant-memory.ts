import { FULL, type SignalRule } from './signal.ts';

/** A shorter time says nothing. */
const LEAST_MS = 900_000;

export const constantMemory: SignalRule = {
  id: 'constant_memory',
  title: 'Memory that never changed while it executed',
  source:
    'Miners build their table once (RainbowMiner lists its size by coin); a framework with its own pool looks the same.',
  attack: { before: [], after: [] },
  weight: 2,
  test({ memory, activeMs }) {
    if (activeMs === 0) return null;
    for (const stretches of memory) {
      const [first] = stretches;
      const lengthMs = stretches.reduce((sum, one) => sum + one.lengthMs, 0);
      if (first === undefined || first.bytes === 0 || lengthMs < LEAST_MS) continue;
      if (stretches.some(({ bytes }) => bytes !== first.bytes)) continue;
      const mebibytes = Math.round(first.bytes / 1024 / 1024);
      return { detail: `${mebibytes} MiB for ${Math.floor(lengthMs / 60_000)} min.`, strength: FULL };
    }
    return null;
  },
};
