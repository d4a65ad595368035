// Exact decimals for hours, rates and money. Nothing here is ever a floating-point number.

/** `units` ÷ 10^`scale`. */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

export const ZERO: Decimal = { units: 0n, scale: 0 };

/** Decimals of a quantity of GPU-hours. */
export const HOUR_SCALE = 9;
const MS_PER_HOUR = 3_600_000n;
const DECIMAL = /^-?\d{1,30}(?:\.\d{1,30})?$/;

/** Reads "2.50" and the like; throws `RangeError` for exponents, signs other than a leading minus, and separators. */
export function parseDecimal(text: string): Decimal {
  if (!DECIMAL.test(text)) throw new RangeError(`not a decimal number: ${JSON.stringify(text.slice(0, 80))}`);
  const point = text.indexOf('.');
  const scale = point < 0 ? 0 : text.length - point - 1;
  return { units: BigInt(text.replace('.', '')), scale };
}

/** Plain text without exponent or separators; trailing zeros only as far as `minScale` asks for them. */
export function formatDecimal(value: Decimal, minScale = 0): string {
  let { units, scale } = value;
  while (scale > minScale && units % 10n === 0n) {
    units /= 10n;
    scale -= 1;
  }
  if (scale < minScale) {
    units *= 10n ** BigInt(minScale - scale);
    scale = minScale;
  }
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
  const sign = units < 0n ? '-' : '';
  const whole = digits.slice(0, digits.length - scale);
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(-scale)}`;
}

const unitsAt = (value: Decimal, scale: number): bigint => value.units * 10n ** BigInt(scale - value.scale);

export function addDecimals(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { units: unitsAt(a, scale) + unitsAt(b, scale), scale };
}

export const sumDecimals = (values: Iterable<Decimal>): Decimal => {
  let sum = ZERO;
  for (const value of values) sum = addDecimals(sum, value);
  return sum;
};

export const multiplyDecimals = (a: Decimal, b: Decimal): Decimal => ({
  units: a.units * b.units,
  scale: a.scale + b.scale,
});

export function equalDecimals(a: Decimal, b: Decimal): boolean {
  const scale = Math.max(a.scale, b.scale);
  return unitsAt(a, scale) === unitsAt(b, scale);
}

/** `dividend` ÷ `divisor` (positive), rounded half to even. */
function divideHalfEven(dividend: bigint, divisor: bigint): bigint {
  const floor = floorDivide(dividend, divisor);
  const twice = (dividend - floor * divisor) * 2n;
  return twice > divisor || (twice === divisor && floor % 2n !== 0n) ? floor + 1n : floor;
}

function floorDivide(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  return dividend < 0n && quotient * divisor !== dividend ? quotient - 1n : quotient;
}

/** Integer milliseconds as hours with 9 decimals, rounded half to even. The one place where hours are rounded. */
export function hoursFromMs(ms: number): Decimal {
  if (!Number.isSafeInteger(ms)) throw new RangeError(`not integer milliseconds: ${ms}`);
  return { units: divideHalfEven(BigInt(ms) * 10n ** BigInt(HOUR_SCALE), MS_PER_HOUR), scale: HOUR_SCALE };
}

/** What one line costs: its hours times the rate per GPU-hour, exact and unrounded. */
export const lineAmount = (ms: number, ratePerGpuHour: Decimal): Decimal =>
  multiplyDecimals(hoursFromMs(ms), ratePerGpuHour);

/** Decimals of a currency's minor unit where ISO 4217 says other than 2. */
const MINOR_DIGITS: ReadonlyMap<string, number> = new Map([
  ...'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'
    .split(' ')
    .map((currency): [string, number] => [currency, 0]),
  ...'BHD IQD JOD KWD LYD OMR TND'.split(' ').map((currency): [string, number] => [currency, 3]),
  ...'CLF UYW'.split(' ').map((currency): [string, number] => [currency, 4]),
]);

export const minorDigits = (currency: string): number => MINOR_DIGITS.get(currency) ?? 2;

export function roundToMinor(value: Decimal, currency: string): Decimal {
  const scale = minorDigits(currency);
  if (value.scale <= scale) return { units: unitsAt(value, scale), scale };
  return { units: divideHalfEven(value.units, 10n ** BigInt(value.scale - scale)), scale };
}

/**
 * Rounds amounts to the currency's minor unit so that they add up to the rounded sum of the exact amounts: largest
 * remainder, ties to the earlier one.
 */
export function roundTotals(amounts: readonly Decimal[], currency: string): Decimal[] {
  const scale = minorDigits(currency);
  const exactScale = amounts.reduce((widest, amount) => Math.max(widest, amount.scale), scale);
  const divisor = 10n ** BigInt(exactScale - scale);
  const parts = amounts.map((amount, index) => {
    const exact = unitsAt(amount, exactScale);
    const units = floorDivide(exact, divisor);
    return { index, units, remainder: exact - units * divisor };
  });
  const target = roundToMinor(sumDecimals(amounts), currency).units;
  const missing = Number(target - parts.reduce((sum, part) => sum + part.units, 0n));
  const raised = new Set(
    [...parts]
      .sort((a, b) => (a.remainder === b.remainder ? a.index - b.index : a.remainder > b.remainder ? -1 : 1))
      .slice(0, missing)
      .map((part) => part.index),
  );
  return parts.map((part) => ({ units: part.units + (raised.has(part.index) ? 1n : 0n), scale }));
}
