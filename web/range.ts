/** Time ranges as the address bar holds them: `?range=24h|7d|30d|month`, or `?from=…&to=…` in RFC 3339. */

export const PRESETS = ['24h', '7d', '30d', 'month'] as const;
export type Preset = (typeof PRESETS)[number];

export const PRESET_LABELS: Readonly<Record<Preset, string>> = {
  '24h': '24 hours',
  '7d': '7 days',
  '30d': '30 days',
  month: 'This month',
};

/** Half-open and on full UTC hours. `problem` says why the address was not taken as it was. */
export interface TimeRange {
  readonly preset: Preset | null;
  readonly fromMs: number;
  readonly toMs: number;
  readonly problem: string | null;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A page draws at most this much at once. */
export const MAX_RANGE_MS = 366 * DAY_MS;
const PRESET_MS = { '24h': DAY_MS, '7d': 7 * DAY_MS, '30d': 30 * DAY_MS } as const;

const nextHour = (ms: number): number => Math.ceil(ms / HOUR_MS) * HOUR_MS;
const startOfHour = (ms: number): number => Math.floor(ms / HOUR_MS) * HOUR_MS;

function presetRange(preset: Preset, nowMs: number, problem: string | null = null): TimeRange {
  const toMs = nextHour(nowMs);
  if (preset !== 'month') return { preset, fromMs: toMs - PRESET_MS[preset], toMs, problem };
  const now = new Date(nowMs);
  return { preset, fromMs: Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1), toMs, problem };
}

function isPreset(text: string | null): text is Preset {
  return PRESETS.some((preset) => preset === text);
}

/** The range of an address. What it does not understand becomes the default, and the page says so. */
export function parseRange(params: URLSearchParams, nowMs: number, fallback: Preset = '24h'): TimeRange {
  const [preset, from, to] = [params.get('range'), params.get('from'), params.get('to')];
  if (isPreset(preset)) return presetRange(preset, nowMs);
  if (preset !== null) return presetRange(fallback, nowMs, 'The address names an unknown range.');
  if (from === null && to === null) return presetRange(fallback, nowMs);
  const fromMs = startOfHour(Date.parse(from ?? ''));
  const toMs = to === null ? nextHour(nowMs) : nextHour(Date.parse(to));
  if (Number.isNaN(fromMs) || Number.isNaN(toMs))
    return presetRange(fallback, nowMs, 'The address holds a time that is not RFC 3339.');
  if (fromMs >= toMs) return presetRange(fallback, nowMs, 'The range in the address ends before it begins.');
  if (toMs - fromMs > MAX_RANGE_MS)
    return presetRange(fallback, nowMs, 'The range in the address is longer than 366 days.');
  return { preset: null, fromMs, toMs, problem: null };
}

/** The other parameters of an address with this preset in place of any range. */
export function withPreset(params: URLSearchParams, preset: Preset): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const name of ['range', 'from', 'to']) next.delete(name);
  next.set('range', preset);
  return next;
}

/** What the API wants to know of a range. */
export function rangeQuery(range: TimeRange): { from: string; to: string } {
  return { from: new Date(range.fromMs).toISOString(), to: new Date(range.toMs).toISOString() };
}

/** The months to choose a statement from, newest first, as "2026-10". */
export function recentMonths(nowMs: number, count: number): string[] {
  const now = new Date(nowMs);
  return Array.from({ length: count }, (_, back) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back, 1)).toISOString().slice(0, 7),
  );
}
