import { z } from 'zod';
import { Finding } from './findings.ts';
import { Sums } from './ledger.ts';
import { Completeness, Money, Ms, RangeQuery, Time } from './primitives.ts';

/** GET /v1/overview: what the first page shows, from one snapshot. */
export const OverviewQuery = RangeQuery;
export const Overview = z
  .object({
    now: Time,
    cluster: z.string(),
    complete: Completeness,
    nodes: z.object({ total: z.int(), silent: z.int(), notEnrolled: z.int(), devices: z.int() }),
    sources: z.object({ total: z.int(), lagging: z.int() }),
    verdict: z.enum(['clear', 'awaiting', 'unaccounted', 'blind']).meta({
      description:
        'unaccounted: settled use that no declaration covers is running or was seen in the range; ' +
        'awaiting: only provisional; blind: nothing is measured',
    }),
    today: z.object({ settledMs: Ms, provisionalMs: Ms, value: Money.nullable() }),
    month: z.object({ settledMs: Ms, provisionalMs: Ms, value: Money.nullable() }),
    newSinceYesterday: z.int(),
    stillRunning: z.int(),
    conflicts: z
      .int()
      .meta({ description: 'Conflicts of claims that go on now; GET /v1/conflicts lists them' }),
    total: Sums,
    series: z.object({ stepMs: Ms, points: z.array(Sums.extend({ at: Time })) }),
    worst: z.array(Finding),
  })
  .meta({ id: 'Overview' });
export type Overview = z.infer<typeof Overview>;

/** Server-sent events of GET /v1/live: only what changed; the pages ask again. */
export type LiveEvent =
  | { type: 'hello'; now: string }
  | { type: 'ledger'; completeTo: string | null }
  | { type: 'finding'; id: string; state: 'provisional' | 'settled'; running: boolean }
  | { type: 'node'; node: string };

/** GET /v1/session: who the page is signed in as. */
export const Session = z
  .object({
    name: z.string(),
    roles: z.array(z.string()),
    /** The node that an agent's token may write for; null for everybody else. */
    node: z.string().nullable().optional(),
    accounts: z.array(z.string()).nullable().meta({ description: 'What an owner sees; null: everything' }),
    may: z.array(z.string()).meta({ description: 'Permissions such as findings:read' }),
    cluster: z.string(),
    version: z.string(),
    demo: z.boolean(),
  })
  .meta({ id: 'Session' });
export type Session = z.infer<typeof Session>;
