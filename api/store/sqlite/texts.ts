/**
 * The texts of a node's day, each under a number. Its sealed hours share them: what an agent repeats each hour, its
 * inventory and its processes, is kept once. Numbers never change; every hour that is sealed adds what is new.
 */
import { BadColumns, IntegerReader, IntegerWriter } from './integers.ts';
import type { TextNumbers, TextsByNumber } from './transpose.ts';

/** Digests are noise: they are kept as bytes, and each of them once. */
const DIGEST = /[0-9a-f]{64}/g;
const DIGEST_BYTES = 32;
/** Stands for a digest; a text that has this character itself keeps its digests. */
const MARK = '\u0001';

export interface DayTexts extends TextNumbers, TextsByNumber {
  readonly count: number;
  /** What a text says as JSON; made once, and to be left as it is. */
  parsed(number: number): unknown;
  pack(): Buffer;
}

/** Those of `packed`, which `pack` made; none. Throws `BadColumns`. */
export function createTexts(packed: Buffer | null, maxBytes: number): DayTexts {
  const texts = packed === null ? [] : unpackTexts(packed, maxBytes);
  const numbers = new Map(texts.map((text, number) => [text, number]));
  const values = new Map<number, unknown>();
  const textAt = (number: number): string => {
    const found = texts[number];
    if (found === undefined) throw new BadColumns();
    return found;
  };
  return {
    get count() {
      return texts.length;
    },
    numberOf(text) {
      const known = numbers.get(text);
      if (known !== undefined) return known;
      numbers.set(text, texts.length);
      return texts.push(text) - 1;
    },
    text: textAt,
    parsed(number) {
      if (!values.has(number)) values.set(number, JSON.parse(textAt(number)));
      return values.get(number);
    },
    pack: () => packTexts(texts),
  };
}

function packTexts(texts: readonly string[]): Buffer {
  const known = new Map<string, number>();
  const named: number[] = [];
  const whole = texts.map((text) => (text.includes(MARK) ? 1 : 0));
  const bytes = texts.map((text, at) => {
    if (whole[at] === 1) return Buffer.from(text, 'utf8');
    const marked = text.replace(DIGEST, (digest) => {
      const number = known.get(digest) ?? known.size;
      known.set(digest, number);
      named.push(number);
      return MARK;
    });
    return Buffer.from(marked, 'utf8');
  });
  const to = new IntegerWriter();
  to.add([texts.length, named.length, known.size]);
  to.add(whole);
  to.add(bytes.map((one) => one.length));
  to.add(firstUses(named));
  for (const one of bytes) to.addBytes(one);
  to.addPlain(Buffer.from([...known.keys()].join(''), 'hex'));
  return to.pack();
}

/** Numbers are given in the order of their first use: 0 stands for the next new one, else how far back it is, from 1. */
function firstUses(named: readonly number[]): number[] {
  let next = 0;
  return named.map((number) => {
    if (number < next) return next - number;
    next += 1;
    return 0;
  });
}

function unpackTexts(packed: Buffer, maxBytes: number): string[] {
  const from = new IntegerReader(packed, maxBytes);
  const [count = 0, nameCount = 0, digestCount = 0] = from.take(3);
  const whole = from.take(count);
  const lengths = from.take(count);
  const uses = from.take(nameCount);
  const marked = lengths.map((length) => from.bytes(length).toString('utf8'));
  const digests = from.plain(digestCount * DIGEST_BYTES).toString('hex');
  let use = 0;
  let next = 0;
  const digest = (): string => {
    const back = uses[use++] ?? 0;
    const number = back === 0 ? next++ : next - back;
    return digests.slice(2 * DIGEST_BYTES * number, 2 * DIGEST_BYTES * (number + 1));
  };
  return marked.map((text, at) => (whole[at] === 1 ? text : text.replaceAll(MARK, digest)));
}
