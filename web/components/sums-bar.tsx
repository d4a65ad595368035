/** Sums as one thin bar of parts, for tables: what happened at a glance, the numbers in words for screen readers. */
import type { Sums } from '../../api/contract/ledger.ts';
import { partsOf } from '../charts/parts.ts';
import { formatPercent } from '../format.ts';
import { SERIES, SERIES_LABELS } from '../words.ts';

export function SumsBar({ sums, label }: { sums: Sums; label: string }) {
  const parts = partsOf(sums);
  if (sums.capacityMs === 0) return <span className="soft">Nothing booked</span>;
  const present = SERIES.filter((key) => parts[key] > 0);
  const words = present
    .map((key) => `${SERIES_LABELS[key]} ${formatPercent(parts[key], sums.capacityMs)}`)
    .join(', ');
  return (
    <span className="sums-bar" role="img" aria-label={`${label}: ${words}`} title={words}>
      {present.map((key) => (
        <span key={key} className={`part-${key}`} style={{ flexGrow: parts[key] }} />
      ))}
    </span>
  );
}
