/** Rate cards, and what a period charges, from the hourly sums. */
import { bookingOf, type Declared, type Mapping, mappingAt } from '../../../domain/mapping.ts';
import type { ChargeRow, MoveRow, RateCardRow } from '../../questions.ts';
import { BOOKING_JOINS, type BookingSql, bookingCall } from './bookings.ts';
import { cardAt, rateOn } from './finding-rows.ts';
import { SUM_COLUMNS } from './ledger.ts';
import type { Reader } from './reader.ts';

const DAY_MS = 86_400_000;
/** Two years of days; a row for each account, model and card of a day. */
const DAYS_KNOWN_MAX = 731;
/** The sums of `SUM_COLUMNS`, by the names that it gives them. */
const SUM_NAMES = [...SUM_COLUMNS.matchAll(/AS (\w+)/g)].map((match) => match[1]);

const CARDS = `SELECT version, effective_from_ms AS effectiveFromMs, currency, recorded_at_ms AS recordedAtMs,
  recorded_by AS recordedBy FROM rate_cards ORDER BY effective_from_ms DESC, version DESC`;
const RATES = 'SELECT version, model, micros_per_gpu_hour AS micros FROM rates ORDER BY version, model';

const VERSIONS = `SELECT day_ms AS dayMs, changes || '/' || (SELECT coalesce(max(version), 0) FROM rate_cards) AS version
  FROM day_changes WHERE day_ms >= @fromMs AND day_ms < @toMs ORDER BY day_ms`;

/**
 * A day's charges by account, model and rate card; with `mapped` by what the mapping books instead of the account. The
 * line (holder, device, day, card) is the unit of charging: its hours are rounded to nine decimals, as `hoursFromMs` does
 * (a ninth has no half, so there are no ties), and only then summed.
 */
const charges = (mapped: boolean): string => `
  WITH cards AS (SELECT DISTINCT hour_ms, ${cardAt('hour_ms')} AS card FROM ledger_hours
    WHERE hour_ms >= @fromMs AND hour_ms < @toMs),
  lines AS ${mapped ? 'MATERIALIZED' : ''} (
    SELECT l.holder, l.account, l.device, k.card, ${SUM_COLUMNS}
    FROM ledger_hours l JOIN cards k ON k.hour_ms = l.hour_ms
    WHERE l.hour_ms >= @fromMs AND l.hour_ms < @toMs
    GROUP BY l.holder, l.account, l.device, k.card),
  ${mapped ? BOOKED : ''}
  sums AS (
    SELECT ${mapped ? 'b.booked' : "nullif(t.account, '')"} AS account, v.model, t.card,
      ${SUM_NAMES.map((name) => `sum(t.${name}) AS ${name}`).join(', ')},
      sum((t.allocatedMs * 5000 + 9) / 18) AS nanoHours
    FROM lines t JOIN devices v ON v.device = t.device
    ${mapped ? 'LEFT JOIN booked b ON b.holder = t.holder AND b.account = t.account' : ''}
    GROUP BY 1, v.model, t.card)
  SELECT s.*, ${rateOn('s.card', 's.model')} AS rateMicros,
    (SELECT currency FROM rate_cards WHERE version = s.card) AS currency
  FROM sums s ORDER BY s.account, s.model, s.card`;

const BOOKED = `booked AS MATERIALIZED (
    SELECT h.holder, h.account, ${bookingCall('@fromMs')} AS booked
    FROM (SELECT DISTINCT holder, account FROM lines WHERE holder <> 0) h ${BOOKING_JOINS}),`;

/** Node by node: cells are in that order. */
const CAPACITY = `
  SELECT coalesce(sum(c.capacity_ms), 0) AS ms FROM nodes n CROSS JOIN cells c ON c.node = n.node
  WHERE c.hour_ms >= @fromMs AND c.hour_ms < @toMs`;

const NOBODY = { account: null, project: null, costCentre: null };

interface DayCharges {
  readonly version: string;
  readonly rows: readonly ChargeRow[];
  readonly capacityMs: number;
}

export interface FinanceQuestions {
  rateCards(): RateCardRow[];
  /**
   * What full UTC days charge. `capacityMs` is as the cells booked it, apart from the sums that the charges come from.
   * Days that did not change since they were asked for are remembered.
   */
  charges(fromMs: number, toMs: number): { charges: ChargeRow[]; capacityMs: number };
  /** What jobs held in full UTC days, by whom it is charged to and would be if `trial` held then. */
  moves(fromMs: number, toMs: number, trial: Mapping): MoveRow[];
}

type PlainRow = Omit<ChargeRow, 'project' | 'costCentre'>;
type BookedRow = Omit<PlainRow, 'account'> & { readonly account: number | null };

export function financeQuestions(reader: Reader, bookings: BookingSql): FinanceQuestions {
  const cards = reader.question<Omit<RateCardRow, 'rates'>>(CARDS);
  const rates = reader.question<{ version: number; model: string; micros: string }>(RATES);
  const plain = reader.question<PlainRow>(charges(false));
  const booked = reader.question<BookedRow>(charges(true));
  const capacity = reader.question<{ ms: number }>(CAPACITY);
  const versions = reader.question<{ dayMs: number; version: string }>(VERSIONS);
  const known = new Map<number, DayCharges>();

  function chargesOf(day: { fromMs: number; toMs: number }, mapping: Mapping | null): ChargeRow[] {
    if (mapping === null || mapping.rules.length === 0)
      return plain.all(day).map((row) => ({ ...row, project: null, costCentre: null }));
    return bookings.inForce((of) =>
      booked.all(day).map((row) => {
        const [to] = row.account === null ? [NOBODY] : of(row.account);
        return { ...row, ...to };
      }),
    );
  }

  function ofDay(changed: { dayMs: number; version: string }): DayCharges {
    const { dayMs } = changed;
    const mapping = mappingAt(bookings.mappings(), dayMs);
    const version = `${changed.version}/${mapping?.version ?? 0}`;
    const before = known.get(dayMs);
    if (before?.version === version) return before;
    const day = { fromMs: dayMs, toMs: dayMs + DAY_MS };
    const made = { version, rows: chargesOf(day, mapping), capacityMs: capacity.first(day)?.ms ?? 0 };
    known.delete(dayMs);
    known.set(dayMs, made);
    for (const oldest of known.keys()) if (known.size > DAYS_KNOWN_MAX) known.delete(oldest);
    return made;
  }
  return {
    rateCards() {
      const byCard = Map.groupBy(rates.all({}), (row) => row.version);
      return cards.all({}).map((card) => ({ ...card, rates: byCard.get(card.version) ?? [] }));
    },
    charges(fromMs, toMs) {
      const days = versions.all({ fromMs, toMs }).map(ofDay);
      return {
        charges: days.flatMap((day) => day.rows),
        capacityMs: days.reduce((sum, day) => sum + day.capacityMs, 0),
      };
    },
    moves(fromMs, toMs, trial) {
      const all = bookings.mappings();
      const book = (declared: Declared, dayMs: number) =>
        [bookingOf(mappingAt(all, dayMs)?.rules ?? [], declared), bookingOf(trial.rules, declared)] as const;
      return bookings.run(book, (of) =>
        versions.all({ fromMs, toMs }).flatMap(({ dayMs }) =>
          booked.all({ fromMs: dayMs, toMs: dayMs + DAY_MS }).flatMap((row) => {
            if (row.account === null) return [];
            const [from, to] = of(row.account);
            const { allocatedMs, nanoHours, rateMicros, currency } = row;
            return [{ from, to, allocatedMs, nanoHours, rateMicros, currency }];
          }),
        ),
      );
    },
  };
}
