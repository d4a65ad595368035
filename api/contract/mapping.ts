/** The site's mapping: to which account, project and cost centre the time of a job is charged, by what its declaration says. */
import { z } from 'zod';
import { cleanText, Decimal, list, Ms, Name, Time } from './primitives.ts';

const DAY_MS = 86_400_000;
const RULES_MAX = 500;
const PATTERNS_MAX = 64;
const NAMES_MAX = 16;

const patterns = (what: string) =>
  list(cleanText(330).min(1), PATTERNS_MAX)
    .default([])
    .meta({ description: `${what}; * for any characters. Empty: any` });
const byName = (what: string) =>
  z
    .record(z.string().min(1).max(330), list(cleanText(330).min(1), PATTERNS_MAX, 1))
    .refine((members) => Object.keys(members).length <= NAMES_MAX, `must name at most ${NAMES_MAX}`)
    .default({})
    .meta({ description: `${what}, each by name with a list of patterns; all of them must match` });

const Match = z.strictObject({
  accounts: patterns('Declared accounts'),
  users: patterns('OS accounts'),
  sources: patterns('Sources, such as slurm, or slurm/west of several'),
  partitions: patterns('Partitions or queues (attribute partition)'),
  namespaces: patterns('Namespaces (attribute namespace)'),
  labels: byName('Labels (attributes label:<name>)'),
  attributes: byName('Other attributes, such as qos'),
});

const Rule = z
  .strictObject({
    match: Match.prefault({}).meta({ description: 'All that it names must match; nothing: every job' }),
    account: Name.nullable().default(null).meta({ description: 'null: the declared one stays' }),
    project: Name.nullable().default(null),
    costCentre: Name.nullable().default(null),
  })
  .refine((one) => one.account !== null || one.project !== null || one.costCentre !== null, {
    message: 'says nothing: give account, project or costCentre, one or more of them',
  });
/** One rule, with every member of what it matches. */
export type MappingRule = z.infer<typeof Rule>;
export const MappingRules = list(Rule, RULES_MAX);

const matchesAll = ({ match }: MappingRule): boolean =>
  Object.values(match).every((each) => Object.keys(each).length === 0);

const Day = Time.refine((text) => Date.parse(text) % DAY_MS === 0, 'must be the start of a UTC day');

/** PUT /v1/mapping: all rules; the first one that matches a job decides. */
export const MappingIn = z
  .strictObject({
    from: Day.optional().meta({
      description: 'From which UTC day on they hold. Default: today. Time before that stays as it was',
    }),
    reach: z
      .literal('past')
      .optional()
      .meta({ description: 'Said where charges of days before today are meant to move' }),
    rules: MappingRules.meta({ description: 'All of them, the first match decides: [] is none' }),
    dryRun: z.boolean().default(false),
    trial: z
      .strictObject({ from: Day, to: Day })
      .refine((one) => Date.parse(one.from) < Date.parse(one.to), {
        path: ['to'],
        message: 'must lie after from',
      })
      .optional()
      .meta({ description: 'Of a dry run: the days of which it says what would move. Default: the last 31' }),
  })
  .superRefine(({ rules }, context) => {
    const last = rules.findIndex(matchesAll);
    if (last >= 0 && last < rules.length - 1)
      context.addIssue({
        code: 'custom',
        path: ['rules', last, 'match'],
        message: 'matches every job, so that no rule after it is ever asked: name something, or put it last',
      });
  })
  .meta({ id: 'MappingInput' });
export type MappingIn = z.infer<typeof MappingIn>;

export const MappingOut = z
  .object({
    version: z.int().meta({ description: '0: none was ever set; the declared accounts are charged' }),
    from: Time.nullable(),
    reach: z.literal('past').nullable(),
    recordedAt: Time.nullable(),
    recordedBy: z.string().nullable(),
    rules: z.array(Rule),
  })
  .meta({ id: 'Mapping' });
export type MappingOut = z.infer<typeof MappingOut>;

export const Mappings = z
  .object({
    current: MappingOut.meta({ description: 'What is in force now' }),
    items: z.array(MappingOut).meta({ description: 'Every version, the newest first' }),
  })
  .meta({ id: 'Mappings' });
export type Mappings = z.infer<typeof Mappings>;

/** To whom time is charged. */
export const Booking = z
  .object({
    account: z.string(),
    project: z.string().nullable(),
    costCentre: z.string().nullable(),
  })
  .meta({ id: 'Booking' });
export type Booking = z.infer<typeof Booking>;

export const MappingResult = z
  .object({
    dryRun: z.boolean(),
    mapping: MappingOut.meta({ description: 'As it is recorded, or would be' }),
    trial: z
      .object({
        from: Time,
        to: Time,
        moves: z
          .array(
            z.object({
              from: Booking,
              to: Booking,
              allocatedMs: Ms,
              gpuHours: Decimal,
              amount: Decimal.nullable().meta({ description: 'Exact; null where a rate is missing' }),
            }),
          )
          .meta({ description: 'The most time first' }),
        currency: z.string().nullable(),
        allocatedMs: Ms.meta({ description: 'All that jobs held in these days, moved or not' }),
      })
      .nullable()
      .meta({
        description: 'Of a dry run: what these days would be charged otherwise, as if it had held then',
      }),
  })
  .meta({ id: 'MappingResult' });
export type MappingResult = z.infer<typeof MappingResult>;
