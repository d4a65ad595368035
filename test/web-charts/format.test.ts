import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatAgo,
  formatCount,
  formatDecimal,
  formatDuration,
  formatGpuHours,
  formatMoment,
  formatMoney,
  formatPercent,
  formatTick,
  shorten,
  visibleText,
} from '../../web/format.ts';

const HOUR_MS = 3_600_000;
const plain = (text: string) => text.replaceAll('\u00a0', ' ');

describe('GPU-hours', () => {
  test.each([
    [0, 2, '0.00'],
    [HOUR_MS, 1, '1.0'],
    [HOUR_MS * 1_234_567, 1, '1,234,567.0'],
    [HOUR_MS / 2, 0, '1'],
    [18_000, 2, '0.01'],
    [17_999, 2, '<0.01'],
    [1, 1, '<0.1'],
    [-HOUR_MS, 1, '−1.0'],
    // 2^53 - 1 ms: a double could not hold the tenths.
    [9_007_199_254_740_991, 3, '2,501,999,792.984'],
  ])('%i ms with %i decimals is %s', (ms, decimals, expected) => {
    expect(formatGpuHours(ms, decimals)).toBe(expected);
  });

  test('never shows zero for time that is there', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 * HOUR_MS }),
        fc.integer({ min: 0, max: 3 }),
        (ms, decimals) => {
          expect(formatGpuHours(ms, decimals)).toMatch(/[1-9]/);
        },
      ),
    );
  });
});

describe('money', () => {
  test.each([
    ['1234567.891', 'EUR', 'EUR 1,234,567.89'],
    ['0', 'EUR', 'EUR 0.00'],
    ['0.004', 'EUR', '<0.01'],
    ['0.005', 'EUR', 'EUR 0.01'],
    ['-12.345', 'EUR', 'EUR −12.35'],
    ['1999.5', 'JPY', 'JPY 2,000'],
    // More digits than a double holds.
    ['999999999999999.015', 'EUR', 'EUR 999,999,999,999,999.02'],
  ])('%s %s', (amount, currency, expected) => {
    expect(plain(formatMoney({ amount, currency }))).toContain(expected);
  });

  test('an unknown value is not zero', () => {
    expect(formatMoney(null)).toBe('–');
  });

  test('keeps every digit without a number of decimals, and leaves what is not a number alone', () => {
    expect(formatDecimal('1234.000000001')).toBe('1,234.000000001');
    expect(formatDecimal('n/a')).toBe('n/a');
  });
});

test('counts have separators', () => {
  expect(formatCount(1_234_567)).toBe('1,234,567');
  expect(formatCount(-5)).toBe('−5');
});

describe('percent', () => {
  test.each([
    [1, 3, '33.3 %'],
    [1, 100_000, '<0.1 %'],
    [99_999, 100_000, '>99.9 %'],
    [5, 5, '100.0 %'],
    [0, 5, '0.0 %'],
    [0, 0, '–'],
  ])('%i of %i is %s', (part, whole, expected) => {
    expect(plain(formatPercent(part, whole))).toBe(expected);
  });
});

describe('times', () => {
  test.each([
    [0, '0 s'],
    [400, '<1 s'],
    [45_000, '45 s'],
    [5 * 60_000, '5 min'],
    [2 * HOUR_MS + 5 * 60_000, '2 h 05 min'],
    [76 * HOUR_MS, '3 d 4 h'],
  ])('%i ms is %s', (ms, expected) => {
    expect(plain(formatDuration(ms))).toBe(expected);
  });

  test('ago', () => {
    const now = Date.parse('2026-10-01T12:00:00Z');
    expect(plain(formatAgo('2026-10-01T11:57:00Z', now))).toBe('3 min ago');
    expect(formatAgo('2026-10-01T12:00:05Z', now)).toBe('just now');
    expect(plain(formatAgo('2026-10-01T12:05:00Z', now))).toBe('in 5 min');
    expect(formatAgo('never', now)).toBe('–');
  });

  test('moments say their zone', () => {
    expect(plain(formatMoment('2026-10-01T13:05:09.123Z', 'utc'))).toBe('2026-10-01 13:05 UTC');
    expect(plain(formatMoment('2026-10-01T13:05:09.123Z', 'utc', 'second'))).toBe('2026-10-01 13:05:09 UTC');
    expect(plain(formatMoment('2026-10-01T15:05:09+02:00', 'utc'))).toBe('2026-10-01 13:05 UTC');
    expect(formatMoment(null, 'utc')).toBe('–');
    expect(formatMoment('yesterday', 'utc')).toBe('–');
  });

  test('local moments are those of the host', () => {
    const date = new Date('2026-10-01T13:05:00Z');
    const clock = `${String(date.getHours()).padStart(2, '0')}:${String(date.getMinutes()).padStart(2, '0')}`;
    expect(formatMoment(date.toISOString(), 'local')).toContain(clock);
  });

  test('ticks show the clock within a day and the date beyond', () => {
    expect(formatTick('2026-10-01T13:00:00Z', HOUR_MS, 24 * HOUR_MS, 'utc')).toBe('13:00');
    expect(formatTick('2026-10-01T13:00:00Z', HOUR_MS, 168 * HOUR_MS, 'utc')).toBe('10-01 13:00');
    expect(formatTick('2026-10-01T13:00:30Z', 30_000, HOUR_MS, 'utc')).toBe('13:00:30');
    expect(formatTick('2026-10-01T00:00:00Z', 24 * HOUR_MS, 720 * HOUR_MS, 'local')).toBe('10-01');
  });
});

describe('hostile text', () => {
  test('control, bidirectional and zero-width characters become visible', () => {
    expect(visibleText('a\u202egnp.exe\u0000\u200b\u2028')).toBe('a\\u{202e}gnp.exe\\u{0}\\u{200b}\\u{2028}');
    expect(visibleText('<img src=x> モデル /opt/x')).toBe('<img src=x> モデル /opt/x');
  });

  test('no text can carry an invisible or reordering character through', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(visibleText(text)).not.toMatch(
          /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/,
        );
      }),
    );
  });

  test('long texts are cut in the middle', () => {
    expect(shorten('abcdefghij', 10)).toBe('abcdefghij');
    expect(shorten('abcdefghijk', 10)).toBe('abcd…ghijk');
    expect(shorten('x'.repeat(500), 60)).toHaveLength(60);
  });
});
