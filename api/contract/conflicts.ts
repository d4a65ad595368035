/** Where jobs claim more of a device at one time than there is. The ledger divides that time between them in equal parts. */
import { z } from 'zod';
import { JobRef } from './jobs.ts';
import { Ms, Name, PageQuery, Time } from './primitives.ts';

/** Of many claims on the same, so many are named. */
export const CONFLICT_CLAIMS_MAX = 20;

export const ConflictsQuery = PageQuery.extend({
  from: Time.optional().meta({
    description:
      'Conflicts after this, rounded down to its UTC hour; at most 31 days before `to`. Default: seven',
  }),
  to: Time.optional().meta({ description: 'Default: now' }),
  state: z.enum(['running', 'past']).optional(),
  account: z.string().max(253).optional().meta({
    description: 'In which a job of it takes part; with source: a job of both',
  }),
  source: z.string().max(32).optional().meta({ description: 'In which a job of it takes part' }),
  node: Name.optional(),
});

export const Conflict = z
  .object({
    id: z.string().meta({ description: 'Of the node and the jobs' }),
    node: z.string(),
    devices: z.array(z.object({ device: z.string(), index: z.int().nullable() })),
    claims: z.array(JobRef).meta({
      description: `The jobs that claim them, at most ${CONFLICT_CLAIMS_MAX}; owners see those of their accounts`,
    }),
    moreClaims: z.int().meta({ description: 'Jobs that take part and are not named here' }),
    from: Time.meta({ description: 'The first time of it in the range' }),
    to: Time.meta({ description: 'The last time of it that is booked' }),
    running: z.boolean().meta({ description: 'It goes on at the end of what is booked' }),
    contestedMs: Ms.meta({
      description: 'Device time that the ledger divides between them; each millisecond is counted once',
    }),
  })
  .meta({ id: 'Conflict' });
export type Conflict = z.infer<typeof Conflict>;

export const ConflictList = z
  .object({ items: z.array(Conflict), nextCursor: z.string().nullable() })
  .meta({ id: 'ConflictList' });
export type ConflictList = z.infer<typeof ConflictList>;
