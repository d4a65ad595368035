import { describe, expect, test } from 'vitest';
import { MAX_RANGE_MS, parseRange, rangeQuery, recentMonths, withPreset } from '../../web/range.ts';

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse('2026-10-15T13:20:00Z');
const range = (query: string) => parseRange(new URLSearchParams(query), NOW_MS);

describe('presets', () => {
  test.each([
    ['', '2026-10-14T14:00:00.000Z'],
    ['range=24h', '2026-10-14T14:00:00.000Z'],
    ['range=7d', '2026-10-08T14:00:00.000Z'],
    ['range=30d', '2026-09-15T14:00:00.000Z'],
    ['range=month', '2026-10-01T00:00:00.000Z'],
  ])('%s ends with the hour under way', (query, from) => {
    expect(rangeQuery(range(query))).toEqual({ from, to: '2026-10-15T14:00:00.000Z' });
    expect(range(query).problem).toBeNull();
  });

  test('is the same all through an hour, so that answers can be kept', () => {
    const later = parseRange(new URLSearchParams(''), NOW_MS + 30 * 60_000);
    expect(later).toEqual(range(''));
  });
});

describe('from and to', () => {
  test('widen to full hours', () => {
    expect(rangeQuery(range('from=2026-10-01T10:30:00Z&to=2026-10-01T12:00:01Z'))).toEqual({
      from: '2026-10-01T10:00:00.000Z',
      to: '2026-10-01T13:00:00.000Z',
    });
    expect(range('from=2026-10-01T10:30:00Z').preset).toBeNull();
  });

  test.each([
    ['range=decade', /unknown/],
    ['from=yesterday', /RFC 3339/],
    ['to=2026-10-01T12:00:00Z', /RFC 3339/],
    ['from=2026-10-02T00:00:00Z&to=2026-10-01T00:00:00Z', /before it begins/],
    ['from=2024-10-01T00:00:00Z&to=2026-10-01T00:00:00Z', /366 days/],
  ])('%s is refused aloud, and the default shown', (query, problem) => {
    expect(range(query).problem).toMatch(problem);
    expect(range(query).preset).toBe('24h');
  });

  test('the longest range passes, an hour more does not', () => {
    const to = '2026-10-01T00:00:00.000Z';
    const from = (ms: number) => new Date(Date.parse(to) - ms).toISOString();
    expect(range(`from=${from(MAX_RANGE_MS)}&to=${to}`).problem).toBeNull();
    expect(range(`from=${from(MAX_RANGE_MS + HOUR_MS)}&to=${to}`).problem).not.toBeNull();
  });
});

test('a preset replaces any range and keeps the rest of the address', () => {
  const params = withPreset(new URLSearchParams('from=a&to=b&node=gpu-1'), '7d');
  expect(params.toString()).toBe('node=gpu-1&range=7d');
});

test('months run back over the turn of a year', () => {
  expect(recentMonths(Date.parse('2027-01-31T23:00:00Z'), 3)).toEqual(['2027-01', '2026-12', '2026-11']);
});
