/** What sources of declarations and the service say to each other, beside single jobs. */
import { z } from 'zod';
import { JobIn } from './jobs.ts';
import { cleanText, list, Ms, Name, Time } from './primitives.ts';

/** Limits of what a source sends. */
export const SOURCE_LIMITS = {
  jobsPerRequest: 500,
  requestBytes: 16 * 1024 * 1024,
  conditions: 1000,
  problems: 50,
} as const;

/** POST /v1/jobs/bulk. Each job is checked and answered by itself. */
export const JobsBulkIn = z.strictObject({ jobs: list(z.unknown(), SOURCE_LIMITS.jobsPerRequest, 1) });
export const JobsBulkDocumented = z
  .strictObject({ jobs: z.array(JobIn).min(1).max(SOURCE_LIMITS.jobsPerRequest) })
  .meta({ id: 'JobsBulkInput' });

const BulkResult = z.object({
  result: z.enum(['created', 'changed', 'same', 'refused']),
  id: z.string().nullable().meta({ description: 'null: refused' }),
  version: z.int().nullable(),
  errors: z
    .array(z.object({ field: z.string(), message: z.string() }))
    .meta({ description: 'Of a refused one: what is wrong with it, and why' }),
});
export type BulkResult = z.infer<typeof BulkResult>;
export const JobsBulkOut = z
  .object({ results: z.array(BulkResult).meta({ description: 'In the order of the jobs' }) })
  .meta({ id: 'JobsBulk' });

export const SOURCE_STATES = ['starting', 'following', 'failing', 'stopped'] as const;
const ProblemText = z.strictObject({
  at: Time,
  subject: cleanText(300)
    .nullable()
    .meta({ description: 'The row, job, node or call; null: all of the source' }),
  message: cleanText(1000).min(1),
});

const HealthIn = z.strictObject({
  state: z.enum(SOURCE_STATES).meta({
    description:
      'starting: it has not answered yet; following: it has; failing: it does not, and is tried again; stopped: by its operator',
  }),
  lastSuccess: Time.nullable()
    .default(null)
    .meta({ description: 'When the scheduler last answered completely' }),
  problems: list(ProblemText, SOURCE_LIMITS.problems).default([]).meta({ description: 'The newest first' }),
  problemCount: z.int().min(0).default(0).meta({ description: 'With those that are not listed' }),
});
export type HealthIn = z.infer<typeof HealthIn>;

/** PUT /v1/sources/{source}/{sourceInstance}: "this source has answered completely up to then", and how it fares. */
export const SourceIn = z
  .strictObject({ completeTo: Time.optional(), health: HealthIn.optional() })
  .refine((one) => one.completeTo !== undefined || one.health !== undefined, {
    path: ['completeTo'],
    message: 'give completeTo, health, or both',
  })
  .meta({ id: 'SourceInput' });
export type SourceIn = z.infer<typeof SourceIn>;

/** The gravest first: where several hold, it is the reason. */
export const CONDITIONS = ['down', 'maintenance', 'drained', 'reserved'] as const;
/**
 * PUT /v1/sources/{source}/{sourceInstance}/conditions: why nodes have no job. The same beginning again is a correction; a
 * later one ends one without an end; one that ends with its beginning says that it is so no more.
 */
export const ConditionsIn = z
  .strictObject({
    conditions: list(
      z
        .strictObject({
          node: Name,
          condition: z.enum(CONDITIONS),
          from: Time,
          to: Time.nullable().default(null).meta({ description: 'null: still so' }),
          reason: cleanText(300).default('').meta({ description: "The scheduler's own words" }),
        })
        .refine((one) => one.to === null || !(Date.parse(one.to) < Date.parse(one.from)), {
          path: ['to'],
          message: 'must not lie before from',
        }),
      SOURCE_LIMITS.conditions,
      1,
    ),
  })
  .meta({ id: 'ConditionsInput' });
export type ConditionsIn = z.infer<typeof ConditionsIn>;
export const ConditionsResult = z
  .object({ recorded: z.int().meta({ description: 'Of them new or corrected' }) })
  .meta({ id: 'ConditionsResult' });

const SourceHealth = z
  .object({
    state: z.enum(SOURCE_STATES),
    since: Time,
    lastSuccess: Time.nullable(),
    reportedAt: Time,
    silent: z.boolean().meta({ description: 'Its runner has not been heard for too long' }),
    problems: z.array(z.object({ at: Time, subject: z.string().nullable(), message: z.string() })),
    problemCount: z.int(),
  })
  .nullable()
  .meta({ description: 'As its runner says it; null: nobody runs it with `gpuledger sources run`' });

export const SourceOut = z
  .object({
    source: z.string(),
    sourceInstance: z.string(),
    selfDeclared: z.boolean(),
    completeTo: Time.nullable(),
    lagMs: z.int().nullable(),
    lagging: z.boolean(),
    jobs: z.int(),
    lastHeard: Time.nullable(),
    health: SourceHealth,
    suspect: z
      .object({
        since: Time.meta({ description: 'Since when its record does not go on' }),
        nodes: z.int(),
        findings: z.int(),
        activeMs: Ms,
      })
      .nullable()
      .meta({
        description:
          'Its record stopped, and shortly after, several nodes that its jobs run on were used without a job: look at the source first',
      }),
  })
  .meta({ id: 'Source' });
export type SourceOut = z.infer<typeof SourceOut>;
export const SourceList = z.object({ items: z.array(SourceOut) }).meta({ id: 'SourceList' });
export type SourceList = z.infer<typeof SourceList>;
