/** How a device's active time is divided between the processes on it: never more, never less than there is. */
import type { SplitMethod } from '../api/contract/batch.ts';

export interface Split {
  /** null: nothing was there to divide, so any method fits. */
  readonly method: SplitMethod | null;
  /** One number per tenant; they sum to the active time. */
  readonly shares: readonly number[];
}

/**
 * Divides `total` (integer ms, at least 0) in proportion to `weights` (at least 0, not all 0): parts are rounded down,
 * and what is left goes to the largest remainders, ties to the earlier one.
 */
function byLargestRemainder(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  const shares = weights.map((weight) => Math.floor((total * weight) / sum));
  let left = total - shares.reduce((a, b) => a + b, 0);
  const order = weights
    .map((weight, index) => ({ index, remainder: (total * weight) % sum }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index);
  for (const { index } of order) {
    if (left === 0) break;
    shares[index] = (shares[index] ?? 0) + 1;
    left -= 1;
  }
  return shares;
}

/** By pmon's SM column where it has numbers; else the only process takes all; else equal shares. */
export function splitActive(activeMs: number, smPercent: readonly (number | null)[]): Split {
  if (smPercent.length === 0) return { method: 'none', shares: [] };
  if (smPercent.length === 1) return { method: 'sole', shares: [activeMs] };
  if (activeMs === 0) return { method: null, shares: smPercent.map(() => 0) };
  const measured = smPercent.map((value) => value ?? 0);
  if (measured.some((value) => value > 0))
    return { method: 'sm_share', shares: byLargestRemainder(activeMs, measured) };
  return {
    method: 'equal',
    shares: byLargestRemainder(
      activeMs,
      smPercent.map(() => 1),
    ),
  };
}
