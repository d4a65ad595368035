/** GET /v1/rates and /v1/statements. */
import type { RateCards, Statement } from '../../contract/finance.ts';
import { formatDecimal, HOUR_SCALE } from '../../domain/money.ts';
import { periodInterval } from '../../domain/period.ts';
import { type ChargeLine, makeStatement } from '../../domain/statement.ts';
import type { ChargeRow, Questions } from '../../store/questions.ts';
import { completeness, toTime } from './completeness.ts';
import { assertBalanced, sumsOf } from './ledger.ts';
import { rateFromMicros } from './value.ts';

const RATE_DECIMALS = 2;

export async function askRates(questions: Questions): Promise<RateCards> {
  const cards = await questions.rateCards();
  return {
    items: cards.map((card) => ({
      version: card.version,
      effectiveFrom: toTime(card.effectiveFromMs),
      currency: card.currency,
      perGpuHour: Object.fromEntries(
        card.rates.map(({ model, micros }) => [model, formatDecimal(rateFromMicros(micros), RATE_DECIMALS)]),
      ),
      recordedAt: toTime(card.recordedAtMs),
      recordedBy: card.recordedBy,
    })),
  };
}

function toLine(row: ChargeRow): ChargeLine {
  return {
    account: row.account,
    project: row.project,
    costCentre: row.costCentre,
    model: row.model,
    rate: row.rateMicros === null ? null : rateFromMicros(row.rateMicros),
    hours: { units: BigInt(row.nanoHours), scale: HOUR_SCALE },
    sums: sumsOf(row),
  };
}

/** A statement is in one currency; rates in several within a month leave it without amounts. */
function currencyOf(charges: readonly ChargeRow[]): string | null {
  const currencies = new Set(charges.flatMap((row) => row.currency ?? []));
  const [only] = currencies;
  return currencies.size === 1 ? (only ?? null) : null;
}

export async function askStatement(
  questions: Questions,
  cluster: string,
  period: string,
  nowMs: number,
): Promise<Statement> {
  const interval = periodInterval(period);
  const facts = await questions.statement(interval.fromMs, interval.toMs);
  const statement = makeStatement({
    period,
    interval,
    cluster,
    currency: currencyOf(facts.charges),
    status: 'open',
    complete: completeness(facts.progress, nowMs),
    lines: facts.charges.map(toLine),
    capacityMs: facts.capacityMs,
  });
  assertBalanced(statement.total.sums);
  return statement;
}
