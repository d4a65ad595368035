/**
 * Text for numbers, money, times and hostile strings. Pure, and exact where it rounds: integer milliseconds and decimal
 * text are scaled as bigint, so that what a page shows is what the ledger holds.
 */

/** Which zone moments are shown in. The ledger itself counts in UTC. */
export type Zone = 'utc' | 'local';

const HOUR_MS = 3_600_000n;
/** Shown where a value is unknown: missing is never zero. */
export const UNKNOWN = '–';
const NBSP = '\u00a0';
const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;

function divideHalfUp(numerator: bigint, denominator: bigint): bigint {
  return (2n * numerator + denominator) / (2n * denominator);
}

/** `digits` without sign, with the last `decimals` behind the point and commas between thousands. */
function grouped(scaled: bigint, decimals: number): string {
  const text = scaled.toString().padStart(decimals + 1, '0');
  const whole = text.slice(0, text.length - decimals).replace(/\B(?=(\d{3})+$)/g, ',');
  return decimals === 0 ? whole : `${whole}.${text.slice(text.length - decimals)}`;
}

/** Whole number with separators. */
export function formatCount(count: number): string {
  return (count < 0 ? '−' : '') + grouped(BigInt(Math.abs(Math.trunc(count))), 0);
}

/**
 * Integer milliseconds as GPU-hours, rounded half up once. Time that is there but would round to nothing reads "<0.01":
 * it must not look like zero.
 */
export function formatGpuHours(ms: number, decimals = 1): string {
  const absolute = BigInt(Math.abs(ms));
  const scaled = divideHalfUp(absolute * 10n ** BigInt(decimals), HOUR_MS);
  if (scaled === 0n && absolute > 0n) return `<${grouped(1n, decimals)}`;
  return (ms < 0 ? '−' : '') + grouped(scaled, decimals);
}

/** Decimal text with separators; `decimals` rounds half up, without it every digit is kept. */
export function formatDecimal(text: string, decimals?: number): string {
  const match = DECIMAL.exec(text);
  if (!match) return text;
  const [, sign = '', whole = '0', fraction = ''] = match;
  const kept = decimals ?? fraction.length;
  const digits = BigInt(whole + fraction);
  const scaled =
    kept >= fraction.length
      ? digits * 10n ** BigInt(kept - fraction.length)
      : divideHalfUp(digits, 10n ** BigInt(fraction.length - kept));
  if (scaled === 0n && digits > 0n) return `${sign === '-' ? '>−' : '<'}${grouped(1n, kept)}`;
  return (sign === '-' && scaled > 0n ? '−' : '') + grouped(scaled, kept);
}

/** How many decimals a currency has: 2 for EUR, 0 for JPY; 2 where the runtime does not know it. */
function minorDigits(currency: string): number {
  try {
    const format = new Intl.NumberFormat('en', { style: 'currency', currency });
    return format.resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    return 2;
  }
}

/** "EUR 1,234.57", rounded to the currency's minor unit for display only. */
export function formatMoney(money: { amount: string; currency: string } | null): string {
  if (!money) return UNKNOWN;
  return `${money.currency}${NBSP}${formatDecimal(money.amount, minorDigits(money.currency))}`;
}

/** Share of a whole in percent with one decimal. Not quite all never reads 100 %, and something never reads 0 %. */
export function formatPercent(partMs: number, wholeMs: number): string {
  if (wholeMs <= 0) return UNKNOWN;
  const part = BigInt(partMs);
  const whole = BigInt(wholeMs);
  const tenths = divideHalfUp(part * 1000n, whole);
  if (part > 0n && tenths === 0n) return `<0.1${NBSP}%`;
  if (part < whole && tenths >= 1000n) return `>99.9${NBSP}%`;
  return `${grouped(tenths, 1)}${NBSP}%`;
}

/** A length of time in its two largest units: "3 d 4 h", "2 h 05 min", "45 s". */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(Math.abs(ms) / 1000);
  const [days, hours] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24];
  const minutes = Math.floor(seconds / 60) % 60;
  const two = (value: number) => String(value).padStart(2, '0');
  if (days > 0) return `${days}${NBSP}d ${hours}${NBSP}h`;
  if (hours > 0) return `${hours}${NBSP}h ${two(minutes)}${NBSP}min`;
  if (seconds >= 60) return `${minutes}${NBSP}min`;
  return seconds === 0 && ms !== 0 ? `<1${NBSP}s` : `${seconds}${NBSP}s`;
}

/** How long ago a moment was, roughly; "just now" under ten seconds and for clocks that disagree a little. */
export function formatAgo(iso: string, nowMs: number): string {
  const ms = nowMs - Date.parse(iso);
  if (Number.isNaN(ms)) return UNKNOWN;
  if (ms < 10_000) return ms < -60_000 ? `in ${formatDuration(-ms)}` : 'just now';
  return `${formatDuration(ms)} ago`;
}

export type Precision = 'day' | 'minute' | 'second';
const PRECISION_CHARS = { day: 10, minute: 16, second: 19 } as const;

function isoInZone(date: Date, zone: Zone): string {
  if (zone === 'utc') return date.toISOString();
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString();
}

function zoneName(date: Date, zone: Zone): string {
  if (zone === 'utc') return 'UTC';
  const parts = new Intl.DateTimeFormat('en-GB', { timeZoneName: 'short' }).formatToParts(date);
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? 'local';
}

/** "2026-10-01 13:05 UTC": ISO order, and the zone always said. */
export function formatMoment(iso: string | null, zone: Zone, precision: Precision = 'minute'): string {
  const date = new Date(iso ?? Number.NaN);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  const text = isoInZone(date, zone).slice(0, PRECISION_CHARS[precision]).replace('T', ' ');
  return `${text}${NBSP}${zoneName(date, zone)}`;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/**
 * Short text for a chart's axis: the clock within a day or so, with seconds where steps are shorter than a minute, the
 * date too beyond it. Steps of a day are the ledger's days, which are days of UTC in any zone.
 */
export function formatTick(iso: string, stepMs: number, spanMs: number, zone: Zone): string {
  if (stepMs >= DAY_MS) return isoInZone(new Date(iso), 'utc').slice(5, 10);
  const text = isoInZone(new Date(iso), zone);
  if (spanMs > 1.5 * DAY_MS) return text.slice(5, 16).replace('T', ' ');
  return text.slice(11, stepMs < MINUTE_MS ? 19 : 16);
}

/**
 * Hostile text made visible: control, bidirectional and zero-width characters are written as `\u{…}`, so that a name
 * cannot reorder, hide or break the text around it. Markup needs nothing: it is only ever shown as text.
 */
export function visibleText(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** A text cut in the middle, where paths are least telling; whole when it fits. */
export function shorten(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  const tail = Math.ceil((maxChars - 1) / 2);
  return `${text.slice(0, maxChars - 1 - tail)}…${text.slice(text.length - tail)}`;
}
