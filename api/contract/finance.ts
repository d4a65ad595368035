import { z } from 'zod';
import { Sums } from './ledger.ts';
import { Completeness, Decimal, Ms, Name, Time } from './primitives.ts';

/** A rate card: what a GPU-hour of each model costs from a UTC hour on. `default` covers models that are not named. */
export const RateCard = z
  .strictObject({
    effectiveFrom: Time.refine((text) => Date.parse(text) % 3_600_000 === 0, 'must be a full UTC hour'),
    currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as EUR'),
    perGpuHour: z
      .record(
        Name,
        Decimal.refine(
          (text) => !text.startsWith('-') && (text.split('.')[1] ?? '').length <= 6,
          'must be zero or more, with at most 6 decimals',
        ),
      )
      .refine(
        (rates) => Object.keys(rates).length > 0 && Object.keys(rates).length <= 200,
        'name 1 to 200 models',
      ),
  })
  .meta({ id: 'RateCard' });
export type RateCard = z.infer<typeof RateCard>;
export const RateCards = z
  .object({ items: z.array(RateCard.extend({ version: z.int(), recordedAt: Time, recordedBy: z.string() })) })
  .meta({ id: 'RateCards' });
export type RateCards = z.infer<typeof RateCards>;

const Period = z.string().regex(/^\d{4}-(0[1-9]|1[0-2])$/, 'must be a month such as 2026-10');
export const StatementQuery = z.object({ period: Period, format: z.enum(['json', 'csv']).default('json') });

/** One account of a month. Charges are the allocated time at the rates; the buckets say what happened in it. */
const StatementLine = z
  .object({
    account: z
      .string()
      .meta({ description: 'To which the mapping charges it; without one the declared account' }),
    project: z.string().nullable(),
    costCentre: z.string().nullable(),
    model: z.string(),
    sums: Sums,
    gpuHours: Decimal,
    ratePerGpuHour: Decimal.nullable().meta({
      description: 'null where the rate changed within the month or none is set',
    }),
    amount: Decimal.nullable().meta({ description: 'Exact, unrounded; null where no rate is set' }),
  })
  .meta({ id: 'StatementLine' });
export const Statement = z
  .object({
    period: Period,
    from: Time,
    to: Time,
    cluster: z.string(),
    currency: z.string().nullable(),
    status: z.enum(['open', 'closed']),
    complete: Completeness,
    accounts: z.array(
      z.object({
        account: z.string(),
        allocatedMs: Ms,
        gpuHours: Decimal,
        total: Decimal.nullable().meta({
          description: "Rounded once to the currency's minor unit, by largest remainder",
        }),
        lines: z.array(StatementLine),
      }),
    ),
    unheld: Sums.meta({ description: 'Time that no job held; charged to nobody' }),
    total: z.object({ sums: Sums, chargedMs: Ms, amount: Decimal.nullable() }),
    check: z.object({
      capacityMs: Ms,
      accountsMs: Ms,
      unheldMs: Ms,
      differenceMs: z.int().meta({ description: '0 when the statement foots to capacity' }),
      balanced: z.boolean(),
    }),
  })
  .meta({ id: 'Statement' });
export type Statement = z.infer<typeof Statement>;
