import { z } from 'zod';
import { Completeness, Ms, RangeQuery, Time } from './primitives.ts';

export const LEDGER_GROUPS = [
  ...(['account', 'user', 'job', 'node', 'model', 'device', 'hour', 'day'] as const),
  ...(['charged_account', 'project', 'cost_centre'] as const),
] as const;

/** The sums that every ledger answer carries. capacityMs = used + held + unaccounted + idle + unobserved, exactly. */
export const Sums = z
  .object({
    capacityMs: Ms,
    usedMs: Ms,
    heldMs: Ms,
    unaccountedMs: Ms,
    idleMs: Ms,
    unobservedMs: Ms,
    allocatedMs: Ms.meta({ description: 'Time that a job held the device, whatever happened in it' }),
    unaccountedActiveMs: Ms.meta({ description: 'Of unaccountedMs: executing (settled and provisional)' }),
    unaccountedProvisionalMs: Ms.meta({ description: 'Of unaccountedMs: awaiting a record' }),
    unaccountedInsideMs: Ms.meta({ description: 'Of unaccountedMs: on a device that a job held' }),
    unobservedInsideMs: Ms.meta({ description: 'Of unobservedMs: on a device that a job held' }),
  })
  .meta({ id: 'Sums' });
export type Sums = z.infer<typeof Sums>;

export const LedgerQuery = RangeQuery.extend({
  group_by: z
    .string()
    .default('day')
    .transform((text) => text.split(','))
    .pipe(z.array(z.enum(LEDGER_GROUPS)).min(1).max(3))
    .meta({
      description:
        'One to three of account, user, job, node, model, device, hour, day, charged_account, project, cost_centre, joined by ' +
        'commas. account is the declared one; charged_account, project and cost_centre are what the mapping says',
    }),
});

export const LedgerRow = Sums.extend({
  group: z.record(z.string(), z.string().nullable()).meta({
    description:
      'One member per group_by; null account, user or job: held by nobody; null project or cost centre: none. `job` is the job id',
  }),
});
export type LedgerRow = z.infer<typeof LedgerRow>;

export const LedgerAnswer = z
  .object({
    from: Time,
    to: Time,
    groupBy: z.array(z.enum(LEDGER_GROUPS)),
    complete: Completeness,
    total: Sums,
    rows: z.array(LedgerRow),
  })
  .meta({ id: 'Ledger' });
export type LedgerAnswer = z.infer<typeof LedgerAnswer>;
