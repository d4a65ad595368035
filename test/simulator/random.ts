/** Seeded randomness of the simulator: the same seed gives the same site, byte for byte. */

export interface Random {
  /** [0, 1) */
  next(): number;
  /** Both ends included. */
  integer(min: number, max: number): number;
  chance(probability: number): boolean;
  /** Throws `RangeError` for an empty list. */
  pick<T>(list: readonly T[]): T;
  /** Mean 1. */
  exponential(): number;
  /** `digits` lower-case hexadecimal digits. */
  hex(digits: number): string;
  uuid(): string;
}

const TWO_32 = 4_294_967_296;

/** mulberry32: 32 bits of state, good enough for shapes of load, and in one line. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    return mix(state);
  };
  const integer = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  const hex = (digits: number): string => {
    let text = '';
    while (text.length < digits) text += integer(0, 15).toString(16);
    return text;
  };
  return {
    next,
    integer,
    chance: (probability) => next() < probability,
    pick: (list) => {
      const picked = list[integer(0, list.length - 1)];
      if (picked === undefined) throw new RangeError('cannot pick from an empty list');
      return picked;
    },
    exponential: () => -Math.log(1 - next()),
    hex,
    uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
  };
}

/** A number in [0, 1) for every (seed, index), without state: noise of a load at a moment, in any order of asking. */
export function noise(seed: number, index: number): number {
  return mix((Math.imul(seed, 0x9e3779b1) ^ Math.imul(index, 0x85ebca6b)) >>> 0);
}

function mix(value: number): number {
  let t = Math.imul(value ^ (value >>> 15), value | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / TWO_32;
}
