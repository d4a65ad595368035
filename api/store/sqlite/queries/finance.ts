/** Rate cards, and what a period charges, from the hourly sums. */
import type { ChargeRow, RateCardRow } from '../../questions.ts';
import { cardAt, rateOn } from './finding-rows.ts';
import { SUM_COLUMNS } from './ledger.ts';
import type { Reader } from './reader.ts';

const CARDS = `SELECT version, effective_from_ms AS effectiveFromMs, currency, recorded_at_ms AS recordedAtMs,
  recorded_by AS recordedBy FROM rate_cards ORDER BY effective_from_ms DESC, version DESC`;
const RATES = 'SELECT version, model, micros_per_gpu_hour AS micros FROM rates ORDER BY version, model';

/** One row per holder, device, UTC day and rate card: the unit of charging. */
const CHARGES = `
  WITH cards AS (SELECT DISTINCT hour_ms, ${cardAt('hour_ms')} AS card FROM ledger_hours
    WHERE hour_ms >= @fromMs AND hour_ms < @toMs),
  lines AS (
    SELECT nullif(l.account, '') AS account, l.holder, l.device, l.hour_ms - l.hour_ms % 86400000 AS dayMs, k.card,
      ${SUM_COLUMNS}
    FROM ledger_hours l JOIN cards k ON k.hour_ms = l.hour_ms
    WHERE l.hour_ms >= @fromMs AND l.hour_ms < @toMs
    GROUP BY l.holder, l.account, l.device, dayMs, k.card)
  SELECT t.*, (SELECT j.id FROM jobs j WHERE j.job = t.holder) AS job, v.model,
    ${rateOn('t.card', 'v.model')} AS rateMicros, (SELECT currency FROM rate_cards WHERE version = t.card) AS currency
  FROM lines t JOIN devices v ON v.device = t.device
  ORDER BY t.dayMs, t.device, t.holder`;

const CAPACITY = `SELECT coalesce(sum(capacity_ms), 0) AS ms FROM cells WHERE hour_ms >= @fromMs AND hour_ms < @toMs`;

export interface FinanceQuestions {
  rateCards(): RateCardRow[];
  charges(fromMs: number, toMs: number): ChargeRow[];
  /** As the cells booked it, apart from the sums that the charges come from. */
  capacityMs(fromMs: number, toMs: number): number;
}

export function financeQuestions(reader: Reader): FinanceQuestions {
  const cards = reader.question<Omit<RateCardRow, 'rates'>>(CARDS);
  const rates = reader.question<{ version: number; model: string; micros: string }>(RATES);
  const charges = reader.question<ChargeRow>(CHARGES);
  const capacity = reader.question<{ ms: number }>(CAPACITY);
  return {
    rateCards() {
      const byCard = Map.groupBy(rates.all({}), (row) => row.version);
      return cards.all({}).map((card) => ({ ...card, rates: byCard.get(card.version) ?? [] }));
    },
    charges: (fromMs, toMs) => charges.all({ fromMs, toMs }),
    capacityMs: (fromMs, toMs) => capacity.first({ fromMs, toMs })?.ms ?? 0,
  };
}
