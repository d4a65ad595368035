/** A moment in the reader's zone, with the other zone on hover. */
import { formatAgo, formatMoment, type Precision, UNKNOWN } from '../format.ts';
import { useSettings } from '../settings.tsx';

interface MomentProps {
  readonly iso: string | null;
  readonly precision?: Precision;
  /** Date over clock, for crowded tables. */
  readonly stacked?: boolean;
}

export function Moment({ iso, precision = 'minute', stacked = false }: MomentProps) {
  const { zone } = useSettings();
  if (iso === null) return <span className="soft">{UNKNOWN}</span>;
  const other = formatMoment(iso, zone === 'utc' ? 'local' : 'utc', 'second');
  return (
    <time
      dateTime={iso}
      title={`${formatMoment(iso, zone, 'second')} = ${other}`}
      className={stacked ? 'moment moment-stacked' : 'moment'}
    >
      {formatMoment(iso, zone, precision)}
    </time>
  );
}

/** "3 min ago", with the moment itself on hover. */
export function Ago({ iso }: { iso: string | null }) {
  const { zone, nowMs } = useSettings();
  if (iso === null) return <span className="soft">never</span>;
  return (
    <time dateTime={iso} title={formatMoment(iso, zone, 'second')} className="moment">
      {formatAgo(iso, nowMs)}
    </time>
  );
}
