// The rows of a cell while it is being booked: time of the same kind adds up in one entry.
import { BUCKETS, REASONS } from './bucket.ts';
import type { Entry } from './cell.ts';
import type { Interval } from './interval.ts';

/** What kind of time an entry holds, without its holder and amount. Interned: equal kinds are one object. */
export type Template = Omit<Entry, 'holder' | 'ms' | 'fromMs' | 'toMs'>;

export interface Rows {
  template(kind: Partial<Template> & Pick<Template, 'bucket' | 'activity'>): Template;
  /** `finalAtMs`: for provisional time, the earliest watermark that makes it final, if later than the time itself. */
  add(template: Template, holder: string | null, piece: Interval, ms: number, finalAtMs: number): void;
  /** In a fixed order: by time, then by kind. */
  entries(): Entry[];
  /** The watermark that settles everything provisional; null when nothing is. */
  settlesAtMs(): number | null;
}

interface Row {
  fromMs: number;
  toMs: number;
  ms: number;
}

export function createRows(): Rows {
  const templates = new Map<string, Template>();
  const rows = new Map<Template, Map<string | null, Row>>();
  let settlesAtMs: number | null = null;
  return {
    template(kind) {
      const template: Template = {
        bucket: kind.bucket,
        reason: kind.reason ?? null,
        cause: kind.cause ?? null,
        activity: kind.activity,
        job: kind.job ?? null,
        process: kind.process ?? null,
        evidence: kind.evidence ?? null,
        provisional: kind.provisional ?? false,
        suspicious: kind.suspicious ?? false,
      };
      const key = keyOf(template);
      const known = templates.get(key);
      if (known !== undefined) return known;
      templates.set(key, template);
      return template;
    },
    add(template, holder, piece, ms, finalAtMs) {
      if (ms === 0) return;
      if (template.provisional) settlesAtMs = Math.max(settlesAtMs ?? 0, piece.toMs, finalAtMs);
      let byHolder = rows.get(template);
      if (byHolder === undefined) {
        byHolder = new Map();
        rows.set(template, byHolder);
      }
      const row = byHolder.get(holder);
      if (row === undefined) byHolder.set(holder, { fromMs: piece.fromMs, toMs: piece.toMs, ms });
      else {
        row.fromMs = Math.min(row.fromMs, piece.fromMs);
        row.toMs = Math.max(row.toMs, piece.toMs);
        row.ms += ms;
      }
    },
    entries() {
      const keyed: { key: string; entry: Entry }[] = [];
      for (const [template, byHolder] of rows)
        for (const [holder, row] of byHolder)
          keyed.push({ key: `${keyOf(template)} ${holder ?? ''}`, entry: { ...template, holder, ...row } });
      keyed.sort(
        (a, b) => a.entry.fromMs - b.entry.fromMs || a.entry.toMs - b.entry.toMs || (a.key < b.key ? -1 : 1),
      );
      return keyed.map(({ entry }) => entry);
    },
    settlesAtMs: () => settlesAtMs,
  };
}

const keyOf = (kind: Template): string =>
  [
    BUCKETS.indexOf(kind.bucket),
    kind.reason === null ? '' : REASONS.indexOf(kind.reason),
    kind.cause ?? '',
    kind.activity,
    kind.job ?? '',
    kind.process ?? '',
    kind.evidence ?? '',
    kind.provisional ? 1 : 0,
    kind.suspicious ? 1 : 0,
  ].join(' ');
