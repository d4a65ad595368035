import { z } from 'zod';
import { BATCH_LIMITS } from './batch.ts';
import { MAX_TIME_MS } from './batch-schema.ts';

/** RFC 3339 in UTC with milliseconds, as the API writes every moment. Anything with a zone is accepted. */
export const Time = z.iso
  .datetime({ offset: true, error: 'must be an RFC 3339 time with a zone, such as 2026-10-01T00:00:00Z' })
  // An offset can move the first and last year out of what can be written again.
  .refine(
    (text) => !(Date.parse(text) < 0 || Date.parse(text) > MAX_TIME_MS),
    'must lie in the years 1970 to 9999',
  )
  .meta({ id: 'Time', description: 'RFC 3339, UTC', example: '2026-10-01T00:00:00.000Z' });

/** Integer milliseconds. */
export const Ms = z.int().min(0).meta({ id: 'Ms', description: 'Integer milliseconds' });

/** Text without control characters (NUL above all, which ends text for SQLite) and without halves of surrogate pairs. */
const CLEAN = /^[^\p{Cc}\p{Cs}]*$/u;
export const cleanText = (maxChars: number) =>
  z.string().max(maxChars).regex(CLEAN, 'must not hold control characters or broken Unicode');

export const Name = z
  .string()
  .trim()
  .min(1)
  .max(BATCH_LIMITS.nameChars)
  .regex(CLEAN, 'must not hold control characters or broken Unicode');

/** A list says what is wrong with its members until so many things are: a body of millions must not become millions of errors. */
const LIST_ISSUES_MAX = 50;

/** A list of at most `max`, whose length is looked at before its members. */
export const list = <T extends z.ZodType>(member: T, max: number, min = 0) =>
  z.preprocess((value, context) => {
    if (!Array.isArray(value)) return value;
    if (value.length > max) {
      context.addIssue(`must hold at most ${max}`);
      return z.NEVER;
    }
    const before = context.issues.length;
    for (let index = 0; index < value.length; index += 1) {
      const { error } = member.safeParse(value[index]);
      for (const issue of error?.issues ?? [])
        context.addIssue({ ...issue, input: value[index], path: [index, ...issue.path] });
      if (context.issues.length - before >= LIST_ISSUES_MAX) break;
    }
    return value;
  }, z.array(member).min(min).max(max));

/** Money as exact decimal text: no exponent, no separators. */
export const Decimal = z
  .string()
  .regex(/^-?\d{1,15}(\.\d{1,15})?$/, 'must be a decimal number such as "2.50"')
  .meta({ id: 'Decimal', description: 'Exact decimal number as text', example: '2.50' });

export const Money = z
  .object({ amount: Decimal, currency: z.string().regex(/^[A-Z]{3}$/) })
  .meta({ id: 'Money' });
export type Money = z.infer<typeof Money>;

/** How many rows a list answers at most, and where the next page starts. */
export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(100).meta({ description: 'Rows per page' }),
  cursor: z.string().max(500).optional().meta({ description: '`nextCursor` of the page before' }),
});

export const RangeQuery = z.object({
  from: Time.meta({ description: 'Inclusive; the ledger rounds it down to its UTC hour' }),
  to: Time.meta({ description: 'Exclusive; the ledger rounds it up to its UTC hour' }),
});

/** How complete an answer is: everything before `completeTo` is booked. */
export const Completeness = z
  .object({
    completeTo: Time.nullable().meta({
      description: 'Every node has been booked up to here; null before the first',
    }),
    settledTo: Time.nullable().meta({ description: 'No verdict before this awaits a record' }),
    laggingNodes: z
      .array(z.string())
      .meta({ description: 'Nodes whose agent is silent or reports what is long past, at most 100' }),
    laggingSources: z.array(z.string()),
    pendingCells: z.int().min(0).meta({ description: 'Cells that wait to be computed' }),
  })
  .meta({ id: 'Completeness' });
export type Completeness = z.infer<typeof Completeness>;

/** RFC 9457. */
export const Problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem' });
export type Problem = z.infer<typeof Problem>;

export const ROLES = ['agent', 'scheduler', 'viewer', 'owner', 'finance', 'auditor', 'admin'] as const;
export type Role = (typeof ROLES)[number];
