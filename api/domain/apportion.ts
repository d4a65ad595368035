import { at } from './at.ts';

/**
 * Divides `total` in proportion to `weights`, exactly: whole numbers that sum to `total`, by largest remainder; ties go
 * to the lower index. With all weights 0 the parts are equal. Where `total` is at most the sum of the weights, no part
 * exceeds its weight, so the weights may be capacities. Both factors stay below 2^53 for anything inside one hour.
 */
export function apportion(total: number, weights: readonly number[]): number[] {
  let sum = 0;
  for (const weight of weights) sum += weight;
  if (sum === 0)
    return weights.length === 0
      ? []
      : apportion(
          total,
          weights.map(() => 1),
        );
  const parts: number[] = [];
  const remainders: number[] = [];
  let left = total;
  for (const weight of weights) {
    const product = total * weight;
    const part = Math.floor(product / sum);
    parts.push(part);
    remainders.push(product - part * sum);
    left -= part;
  }
  if (left === 0) return parts;
  const order = remainders.map((_, index) => index);
  order.sort((a, b) => at(remainders, b) - at(remainders, a));
  for (const index of order.slice(0, left)) parts[index] = at(parts, index) + 1;
  return parts;
}

/** How much of `total`, spread evenly over `lengthMs`, falls between two offsets. Neighbouring parts sum exactly. */
export function partBetween(total: number, lengthMs: number, fromMs: number, toMs: number): number {
  return Math.floor((total * toMs) / lengthMs) - Math.floor((total * fromMs) / lengthMs);
}
