/** Seeded random numbers for jitter: the same seed gives the same pace, and the pace so far does not tell what comes. */
import { hash } from 'node:crypto';

const DIGITS = 8;

/** Numbers in [0, 1) from a text: SHA-256 of it and a counter. As secret as the seed. */
export function seededRandom(seed: string): () => number {
  let count = 0;
  return () => {
    count += 1;
    return Number.parseInt(hash('sha256', `${seed} ${count}`).slice(0, DIGITS), 16) / 16 ** DIGITS;
  };
}
