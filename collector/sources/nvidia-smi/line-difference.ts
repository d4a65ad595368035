/** Which lines two texts do not share: long lists of which little changes, without decoding what stayed. */

const LINE_END = 10;
const BLOCK = 4096;

/** How many bytes are the same from these places on. */
function sameBytes(before: Buffer, b: number, after: Buffer, a: number): number {
  const most = Math.min(before.length - b, after.length - a);
  let same = 0;
  while (same < most) {
    const size = Math.min(BLOCK, most - same);
    const from = a + same;
    if (before.compare(after, from, from + size, b + same, b + same + size) !== 0) break;
    same += size;
  }
  while (same < most && before[b + same] === after[a + same]) same += 1;
  return same;
}

const endOf = (text: Buffer, from: number): number => {
  const at = text.indexOf(LINE_END, from);
  return at < 0 ? text.length : at + 1;
};
const equal = (x: Buffer, xFrom: number, xTo: number, y: Buffer, yFrom: number, yTo: number): boolean =>
  xTo - xFrom === yTo - yFrom && xTo > xFrom && x.compare(y, yFrom, yTo, xFrom, xTo) === 0;

/**
 * Lines (without their ends) of `before` that `after` lacks, and the other way round. Their order does not matter, though
 * it is quickest where it stays the same. Both texts end with a line's end.
 */
export function lineDifference(before: Buffer, after: Buffer): { removed: Set<string>; added: Set<string> } {
  const removed = new Set<string>();
  const added = new Set<string>();
  const take = (set: Set<string>, text: Buffer, from: number, to: number): unknown =>
    set.add(text.toString('latin1', from, to).trimEnd());
  let b = 0;
  let a = 0;
  while (b < before.length && a < after.length) {
    const same = sameBytes(before, b, after, a);
    const lines = same === 0 ? 0 : Math.max(0, before.lastIndexOf(LINE_END, b + same - 1) + 1 - b);
    b += lines;
    a += lines;
    if (b >= before.length || a >= after.length) break;
    const bEnd = endOf(before, b);
    const aEnd = endOf(after, a);
    const gone = equal(before, bEnd, endOf(before, bEnd), after, a, aEnd);
    const come = equal(before, b, bEnd, after, aEnd, endOf(after, aEnd));
    if (gone || !come) take(removed, before, b, bEnd);
    if (come || !gone) take(added, after, a, aEnd);
    if (gone || !come) b = bEnd;
    if (come || !gone) a = aEnd;
  }
  for (; b < before.length; b = endOf(before, b)) take(removed, before, b, endOf(before, b));
  for (; a < after.length; a = endOf(after, a)) take(added, after, a, endOf(after, a));
  for (const line of added) if (removed.delete(line)) added.delete(line);
  return { removed, added };
}
