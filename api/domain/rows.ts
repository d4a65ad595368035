// The rows of a cell while it is being booked: time of the same kind adds up in one entry.
import { partBetween } from './apportion.ts';
import { BUCKETS, REASONS } from './bucket.ts';
import type { Entry } from './cell.ts';
import type { NodeCondition } from './condition.ts';
import type { Interval } from './interval.ts';

/** What kind of time an entry holds, without its holder and amount. Interned: equal kinds are one object. */
export type Template = Omit<Entry, 'holder' | 'ms' | 'fromMs' | 'toMs'>;

/** From when on time of a kind awaits a record. */
export interface Awaiting {
  /** Infinity: never. */
  readonly fromMs: number;
  /** The earliest watermark that makes it final, where that is later than the time itself. */
  readonly finalAtMs: number;
}

export interface Rows {
  /** What the scheduler says of the node in the time whose kinds are asked for next. */
  during(condition: NodeCondition | null): void;
  template(kind: Partial<Omit<Template, 'provisional'>> & Pick<Template, 'bucket' | 'activity'>): Template;
  /** What of `ms` awaits a record is divided off by length: the sum of both parts is the same once it has come. */
  add(template: Template, holder: string | null, piece: Interval, ms: number, awaiting?: Awaiting): void;
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
  const keys = new Map<Template, string>();
  const rows = new Map<Template, Map<string | null, Row>>();
  let settlesAtMs: number | null = null;
  let condition: NodeCondition | null = null;
  const conditionOf = (bucket: Template['bucket']): Pick<Template, 'condition'> =>
    condition !== null && (bucket === 'idle' || bucket === 'unobserved') ? { condition } : {};
  const templateOf = (kind: Template): Template => {
    const key = keyOf(kind);
    const known = templates.get(key);
    if (known !== undefined) return known;
    templates.set(key, kind);
    keys.set(kind, key);
    return kind;
  };
  const addRow = (template: Template, holder: string | null, piece: Interval, ms: number): void => {
    if (ms === 0) return;
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
  };
  return {
    during(next) {
      condition = next;
    },
    template: (kind) =>
      templateOf({
        bucket: kind.bucket,
        reason: kind.reason ?? null,
        cause: kind.cause ?? null,
        activity: kind.activity,
        job: kind.job ?? null,
        process: kind.process ?? null,
        evidence: kind.evidence ?? null,
        provisional: false,
        suspicious: kind.suspicious ?? false,
        ...conditionOf(kind.bucket),
      }),
    add(template, holder, piece, ms, awaiting) {
      if (awaiting === undefined || piece.toMs <= awaiting.fromMs) {
        addRow(template, holder, piece, ms);
        return;
      }
      const { fromMs, toMs } = piece;
      const cutMs = Math.max(fromMs, awaiting.fromMs);
      const settledMs = partBetween(ms, toMs - fromMs, 0, cutMs - fromMs);
      addRow(template, holder, { fromMs, toMs: cutMs }, settledMs);
      if (ms === settledMs) return;
      addRow(templateOf({ ...template, provisional: true }), holder, { fromMs: cutMs, toMs }, ms - settledMs);
      settlesAtMs = Math.max(settlesAtMs ?? 0, toMs, awaiting.finalAtMs);
    },
    entries() {
      const entries: { template: Template; entry: Entry }[] = [];
      for (const [template, byHolder] of rows)
        for (const [holder, row] of byHolder)
          entries.push({ template, entry: { ...template, holder, ...row } });
      const key = ({ template, entry }: (typeof entries)[number]): string =>
        `${keys.get(template)} ${entry.holder ?? ''}`;
      entries.sort(
        (a, b) =>
          a.entry.fromMs - b.entry.fromMs || a.entry.toMs - b.entry.toMs || (key(a) < key(b) ? -1 : 1),
      );
      return entries.map(({ entry }) => entry);
    },
    settlesAtMs: () => settlesAtMs,
  };
}

/** Joined by hand: of each cell some ten are made. */
function keyOf(kind: Template): string {
  const reason = kind.reason === null ? '' : REASONS.indexOf(kind.reason);
  const what = `${BUCKETS.indexOf(kind.bucket)} ${reason} ${kind.cause ?? ''} ${kind.activity}`;
  const who = `${kind.job ?? ''} ${kind.process ?? ''} ${kind.evidence ?? ''}`;
  return `${what} ${who} ${kind.provisional ? 1 : 0} ${kind.suspicious ? 1 : 0} ${kind.condition ?? ''}`;
}
