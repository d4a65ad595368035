import { FULL, type SignalRule } from './signal.ts';

/** Reports of half a minute and more in which the figure did not change. */
const LEAST_REPORTS = 20;

export const constantMemory: SignalRule = {
  id: 'constant_memory',
  title: 'Memory that never changed while it executed',
  source:
    'Miners build their table once (RainbowMiner lists its size by coin); a framework with its own pool looks the same.',
  attack: { before: [], after: [] },
  weight: 2,
  test({ memory, activeMs }) {
    if (activeMs === 0) return null;
    const found = memory.find(
      (bytes) => bytes.length >= LEAST_REPORTS && bytes.every((one) => one === bytes[0]),
    );
    const [bytes = 0] = found ?? [];
    if (bytes === 0) return null;
    const mebibytes = Math.round(bytes / 1024 / 1024);
    return { detail: `${mebibytes} MiB in each of ${found?.length} reports.`, strength: FULL };
  },
};
