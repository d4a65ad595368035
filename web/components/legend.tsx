/** The key to a stacked chart: fills, words and, where given, totals; each entry shows or hides its part. */
import { SERIES, SERIES_LABELS, SERIES_MEANINGS, type SeriesKey } from '../words.ts';
import { Swatch } from './swatch.tsx';

interface LegendProps {
  readonly totals: Readonly<Record<SeriesKey, string>> | undefined;
  readonly hidden: ReadonlySet<SeriesKey>;
  readonly toggle: (key: SeriesKey) => void;
}

export function Legend({ totals, hidden, toggle }: LegendProps) {
  return (
    <div className="legend">
      {SERIES.map((key) => (
        <button
          key={key}
          type="button"
          className="legend-item"
          aria-pressed={!hidden.has(key)}
          title={SERIES_MEANINGS[key]}
          onClick={() => toggle(key)}
        >
          <Swatch part={key} />
          <span>{SERIES_LABELS[key]}</span>
          {totals ? <span className="legend-total">{totals[key]}</span> : null}
        </button>
      ))}
    </div>
  );
}
