/** The fill of a part of the ledger, as a little square: the same in legends, bars and badges. */
import type { SeriesKey } from '../words.ts';

export function Swatch({ part }: { part: SeriesKey | 'other' }) {
  return <span className={`swatch part-${part}`} aria-hidden="true" />;
}
