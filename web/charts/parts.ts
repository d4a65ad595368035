/** How the ledger's sums become the parts that charts and bars draw, and what those parts are painted with. */
import type { Color } from 'chart.js';
import type { Sums } from '../../api/contract/ledger.ts';
import type { SeriesKey } from '../words.ts';

/**
 * A fill for every part, and for what other findings than a page's own hold; patterns are made by the browser, so a
 * chart's builder only passes them on.
 */
export type Paints = Readonly<Record<SeriesKey | 'other', Color>>;

/** Colours of everything in a chart that is not data. */
export interface Ink {
  readonly text: string;
  readonly grid: string;
  readonly surface: string;
}

/** The sums' capacity in parts that add up to it: unaccounted time is cut into settled and awaiting record. */
export function partsOf(sums: Sums): Readonly<Record<SeriesKey, number>> {
  return {
    unaccounted: sums.unaccountedMs - sums.unaccountedProvisionalMs,
    awaiting: sums.unaccountedProvisionalMs,
    used: sums.usedMs,
    held: sums.heldMs,
    idle: sums.idleMs,
    unobserved: sums.unobservedMs,
  };
}

/** What a chart shows, as a table for those who cannot see it or want the numbers. */
export interface TableData {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}
