// Exact decimals, billing periods and statements.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { at } from '../../api/domain/at.ts';
import {
  addDecimals,
  formatDecimal,
  hoursFromMs,
  lineAmount,
  parseDecimal,
  roundToMinor,
  roundTotals,
  sumDecimals,
} from '../../api/domain/money.ts';
import { periodInterval } from '../../api/domain/period.ts';
import { type ChargeLine, makeStatement } from '../../api/domain/statement.ts';
import { NO_SUMS } from '../../api/domain/sums.ts';

describe('decimals', () => {
  test.each(['0', '2.50', '-0.001', '123456789012345.123456789012345'])(
    '%s reads and writes as itself',
    (text) => {
      const value = parseDecimal(text);
      expect(formatDecimal(value, value.scale)).toBe(text);
    },
  );

  test.each(['', '1e3', '+1', '1,5', '.5', '1.', 'NaN', ' 1'])('%j is refused', (text) => {
    expect(() => parseDecimal(text)).toThrow(RangeError);
  });

  test('trailing zeros only as far as asked', () => {
    expect(formatDecimal(parseDecimal('2.5000'))).toBe('2.5');
    expect(formatDecimal(parseDecimal('2.5000'), 2)).toBe('2.50');
    expect(formatDecimal(parseDecimal('3'), 2)).toBe('3.00');
    expect(formatDecimal(parseDecimal('-0.05'))).toBe('-0.05');
  });

  test('a tenth and two tenths are three tenths', () => {
    expect(formatDecimal(addDecimals(parseDecimal('0.1'), parseDecimal('0.2')))).toBe('0.3');
  });
});

describe('hours', () => {
  test.each([
    [3_600_000, '1'],
    [1, '0.000000278'],
    [9, '0.0000025'],
    [0, '0'],
    [-3_600_000, '-1'],
  ])('%d ms are %s hours', (ms, hours) => {
    expect(formatDecimal(hoursFromMs(ms))).toBe(hours);
  });

  test('fractions of milliseconds are refused', () => {
    expect(() => hoursFromMs(0.5)).toThrow(RangeError);
  });

  test('a line is its hours times its rate, exactly', () => {
    expect(formatDecimal(lineAmount(1000, parseDecimal('2.50')))).toBe('0.000694445');
  });
});

describe('rounding', () => {
  test('half to even, in the currency’s minor unit', () => {
    const round = (text: string, currency: string) => {
      const value = roundToMinor(parseDecimal(text), currency);
      return formatDecimal(value, value.scale);
    };
    expect(round('0.125', 'EUR')).toBe('0.12');
    expect(round('0.135', 'EUR')).toBe('0.14');
    expect(round('0.1351', 'EUR')).toBe('0.14');
    expect(round('-0.125', 'EUR')).toBe('-0.12');
    expect(round('1.5', 'JPY')).toBe('2');
    expect(round('1.2345', 'KWD')).toBe('1.234');
    expect(round('7', 'EUR')).toBe('7.00');
  });

  test('rounded totals add up to the rounded sum, and none is off by a unit', () => {
    const amount = fc.bigInt({ min: -(10n ** 12n), max: 10n ** 15n }).map((units) => ({ units, scale: 11 }));
    fc.assert(
      fc.property(
        fc.array(amount, { maxLength: 20 }),
        fc.constantFrom('EUR', 'JPY', 'KWD'),
        (amounts, currency) => {
          const rounded = roundTotals(amounts, currency);
          const total = roundToMinor(sumDecimals(amounts), currency);
          expect(formatDecimal(sumDecimals(rounded))).toBe(formatDecimal(total));
          for (const [index, value] of rounded.entries()) {
            const exact = amounts[index]?.units ?? 0n;
            const unit = 10n ** BigInt(11 - value.scale);
            const distance = value.units * unit - exact;
            expect(distance < unit && distance > -unit).toBe(true);
          }
        },
      ),
    );
  });
});

describe('periods', () => {
  test('a month in UTC', () => {
    expect(periodInterval('2026-10')).toEqual({ fromMs: Date.UTC(2026, 9, 1), toMs: Date.UTC(2026, 10, 1) });
  });

  test('what is no month is refused', () => {
    expect(() => periodInterval('2026-13')).toThrow(RangeError);
  });
});

describe('statements', () => {
  const line = (
    account: string | null,
    allocatedMs: number,
    rate: string | null,
    model = 'H100',
  ): ChargeLine => ({
    account,
    project: null,
    costCentre: null,
    model,
    hours: hoursFromMs(account === null ? 0 : allocatedMs),
    rate: rate === null ? null : parseDecimal(rate),
    sums: {
      ...NO_SUMS,
      capacityMs: allocatedMs,
      usedMs: account === null ? 0 : allocatedMs,
      idleMs: account === null ? allocatedMs : 0,
      allocatedMs: account === null ? 0 : allocatedMs,
    },
  });
  const statement = (lines: ChargeLine[], capacityMs: number, currency: string | null = 'EUR') =>
    makeStatement({
      period: '2026-10',
      interval: periodInterval('2026-10'),
      cluster: 'c1',
      currency,
      status: 'open',
      complete: { completeTo: null, settledTo: null, laggingNodes: [], laggingSources: [], pendingCells: 0 },
      lines,
      capacityMs,
    });

  test('accounts and unheld time foot to capacity, and totals add up', () => {
    const made = statement(
      [
        line('b', 1_200_000, '0.10'),
        line('a', 1_200_000, '0.10'),
        line('c', 1_200_000, '0.10'),
        line(null, 400, null),
      ],
      3_600_400,
    );
    expect(made.accounts.map(({ account, total, gpuHours }) => [account, total, gpuHours])).toEqual([
      ['a', '0.04', '0.333333333'],
      ['b', '0.03', '0.333333333'],
      ['c', '0.03', '0.333333333'],
    ]);
    expect(made.total).toMatchObject({
      amount: '0.10',
      chargedMs: 3_600_000,
      sums: { capacityMs: 3_600_400 },
    });
    expect(made.check).toEqual({
      capacityMs: 3_600_400,
      accountsMs: 3_600_000,
      unheldMs: 400,
      differenceMs: 0,
      balanced: true,
    });
  });

  test('a statement that does not foot says so', () => {
    expect(statement([line('a', 1000, '1')], 1500).check).toMatchObject({
      differenceMs: 500,
      balanced: false,
    });
  });

  test('lines are exact and by model; a rate that changed is not one rate', () => {
    const made = statement(
      [line('a', 3_600_000, '2.50'), line('a', 3_600_000, '3'), line('a', 1000, '1.5', 'A100')],
      7_201_000,
    );
    expect(made.accounts[0]?.lines).toMatchObject([
      { model: 'A100', ratePerGpuHour: '1.50', amount: '0.000416667' },
      { model: 'H100', ratePerGpuHour: null, amount: '5.50', gpuHours: '2' },
    ]);
    expect(made.accounts[0]?.total).toBe('5.50');
  });

  test('without a rate there is no amount, and missing is not zero', () => {
    const made = statement([line('a', 1000, null), line('b', 3_600_000, '1')], 3_601_000);
    expect(made.accounts.map((account) => account.total)).toEqual([null, '1.00']);
    expect(made.total.amount).toBeNull();
  });

  test('a line of no time needs no rate; one without a rate beside a priced one has no sum', () => {
    const free = at(statement([line('a', 0, null)], 0).accounts, 0);
    expect([free.total, at(free.lines, 0).amount]).toEqual(['0.00', '0.00']);
    const lines = [line('a', 3_600_000, '1'), line('a', 1000, null)];
    for (const some of [lines, lines.toReversed()]) {
      const mixed = at(statement(some, 3_601_000).accounts, 0);
      expect([mixed.total, at(mixed.lines, 0).amount, at(mixed.lines, 0).ratePerGpuHour]).toEqual([
        null,
        null,
        null,
      ]);
    }
    const same = at(at(statement([line('a', 0, null), line('a', 0, null)], 0).accounts, 0).lines, 0);
    expect(same.amount).toBe('0.00');
  });

  test('accounts and models come in one order', () => {
    const lines = ['c', 'a', 'b'].flatMap((account) => [
      line(account, 1000, '1', 'H100'),
      line(account, 1000, '1', 'A100'),
    ]);
    expect(statement(lines, 6000)).toEqual(statement(lines.toReversed(), 6000));
  });

  test('without a currency nothing has an amount', () => {
    const made = statement([line('a', 3_600_000, '1')], 3_600_000, null);
    expect(statement([], 0, null).total.amount).toBeNull();
    expect(made.accounts[0]?.lines[0]?.amount).toBeNull();
    expect(made.total.amount).toBeNull();
  });
});
