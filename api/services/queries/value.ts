/** What time at stored rates is worth: exact sums, rounded once for showing. */
import type { Money } from '../../contract/primitives.ts';
import {
  addDecimals,
  type Decimal,
  formatDecimal,
  lineAmount,
  minorDigits,
  roundToMinor,
  ZERO,
} from '../../domain/money.ts';
import type { PricedMs } from '../../store/finding-questions.ts';

const RATE_SCALE = 6;

export const rateFromMicros = (micros: string): Decimal => ({ units: BigInt(micros), scale: RATE_SCALE });

/**
 * Null where some of the time has no rate, or rates are in several currencies. `currency` is what to say when there is no
 * time at all; null: nothing can be said then.
 */
export function moneyOf(priced: readonly PricedMs[], currency: string | null = null): Money | null {
  const currencies = new Set(priced.map((part) => part.currency));
  if (priced.length === 0 && currency !== null) currencies.add(currency);
  const [only] = currencies;
  if (currencies.size !== 1 || only === null || only === undefined) return null;
  let sum = ZERO;
  for (const { ms, rateMicros } of priced) {
    if (rateMicros === null) return null;
    sum = addDecimals(sum, lineAmount(ms, rateFromMicros(rateMicros)));
  }
  return { amount: formatDecimal(roundToMinor(sum, only), minorDigits(only)), currency: only };
}
