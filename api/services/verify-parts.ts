/** What `verify` finds, in one thread or put together of several. */

/** Differences that are listed; more are only counted. */
const LISTED_DIFFERENCES = 1_000;

/**
 * Why something stored is not what the facts give. `tampered`: nothing explains it. `rules`: it was made by other rules or
 * another policy than hold now. `expired`: retention has erased text that the verdict rested on.
 */
type DifferenceKind = 'tampered' | 'rules' | 'expired';

export interface VerifyDifference {
  readonly kind: DifferenceKind;
  /** Node, hour and device, or the name of the sum. */
  readonly where: string;
  readonly what: string;
}

/** What to leave out. */
export interface VerifyOptions {
  /** False: nobody asks who signed. The hashes and chains are checked all the same. */
  readonly signatures?: boolean;
}

/** What was found in some of the nodes. */
export interface VerifyPart {
  batches: number;
  cells: number;
  checked: number;
  pending: number;
  erased: number;
  signatures: number | null;
  differenceCount: number;
  readonly differences: VerifyDifference[];
  readonly chain: string[];
}

/** What was found in each of some nodes, by the store's numbers. */
export type VerifyParts = ReadonlyMap<number, VerifyPart>;

/** A thread with a store of its own: verifies nodes, by the store's numbers, and tells of each hour. */
export type VerifyThread = (
  nodes: readonly number[],
  options: VerifyOptions,
  onHour: () => void,
) => Promise<VerifyParts>;

export const nothingFound = ({ signatures = true }: VerifyOptions): VerifyPart => ({
  ...{ batches: 0, cells: 0, checked: 0, pending: 0, erased: 0, differenceCount: 0 },
  ...{ signatures: signatures ? 0 : null, differences: [], chain: [] },
});

/** The keys in about equal parts by weight. */
export function divide(weights: ReadonlyMap<number, number>, count: number): number[][] {
  const parts: { keys: number[]; weight: number }[] = [];
  for (let part = 0; part < count; part += 1) parts.push({ keys: [], weight: 0 });
  for (const [key, weight] of [...weights].sort(([, a], [, b]) => b - a)) {
    const least = parts.reduce((best, next) => (next.weight < best.weight ? next : best));
    least.keys.push(key);
    least.weight += weight;
  }
  return parts.map((part) => part.keys);
}

export function addPart(found: VerifyPart, part: VerifyPart): void {
  for (const name of ['batches', 'cells', 'checked', 'pending', 'erased'] as const) found[name] += part[name];
  if (found.signatures !== null) found.signatures += part.signatures ?? 0;
  found.chain.push(...part.chain);
  for (const difference of part.differences) add(found, difference);
  // Those that the part only counted.
  found.differenceCount += part.differenceCount - part.differences.length;
}

export function add(found: VerifyPart, difference: VerifyDifference): void {
  found.differenceCount += 1;
  // A sign of tampering must not drown among the others.
  if (found.differences.length < LISTED_DIFFERENCES) found.differences.push(difference);
  else if (difference.kind === 'tampered') found.differences[LISTED_DIFFERENCES - 1] = difference;
}
