/** The site's policy: what is accepted as evidence, the graces, and the exemptions that stand in the place of a job. */
import { z } from 'zod';
import { cleanText, list, Ms, Name, Time } from './primitives.ts';

const HOUR_MS = 3_600_000;
/** Whoever answers for an exemption says so again from time to time. */
export const EXEMPTION_MAX_DAYS = 400;
const EXEMPTIONS_MAX = 200;

const Pattern = cleanText(4096).min(1);
const Boundary = cleanText(4096)
  .regex(/^systemd:\/./, 'must be a unit that the site runs, such as systemd:/system.slice/slurmd.service')
  .refine((text) => !text.includes('**'), 'must not hold **: only * within one part of the path')
  .refine(
    (text) => !text.split('/', 2).join('').includes('*'),
    'must not leave its first part open: everybody can make units below user.slice',
  );
const TimeOfDay = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of the UTC day, such as 01:30');
const Window = z
  .strictObject({ from: Time, to: Time })
  .refine((one) => Date.parse(one.from) < Date.parse(one.to), {
    path: ['to'],
    message: 'must lie after from',
  });
const Daily = z
  .strictObject({ from: TimeOfDay, to: TimeOfDay })
  .refine((one) => one.from !== one.to, { path: ['to'], message: 'must differ from from' });

const Match = z
  .strictObject({
    executables: list(Pattern, 64)
      .default([])
      .meta({ description: 'Paths; * within a folder, ** across folders. Never enough alone' }),
    boundaries: list(Boundary, 64).default([]).meta({
      description: 'Units that hold it, such as systemd:/system.slice/slurmd.service; * within one part',
    }),
    uids: list(z.int().min(0).max(4_294_967_295), 64)
      .default([])
      .meta({ description: 'Accounts, by number: 0 is root' }),
    types: list(z.string().regex(/^[A-Z](\+[A-Z]){0,3}$/, 'must be such as G, C or C+G'), 8)
      .default([])
      .meta({ description: "The driver's letters for the process on the device" }),
    nodes: list(Name, 10_000).default([]).meta({ description: 'Only there; empty: everywhere' }),
    windows: list(Window, 100).default([]).meta({ description: 'Only at these times' }),
    daily: list(Daily, 24).default([]).meta({
      description: 'Only at these times of each UTC day; an end before its start lies in the next day',
    }),
  })
  .superRefine((match, context) => {
    const { executables, boundaries, uids, types, windows, daily } = match;
    const onlyGraphics = types.length > 0 && types.every((type) => type === 'G');
    if (boundaries.length === 0 && uids.length === 0 && !onlyGraphics)
      context.addIssue({
        code: 'custom',
        message:
          'names nothing that the kernel or the driver holds: add boundaries, uids, or types: ["G"]. ' +
          'A path can be copied or made to look like another',
      });
    else if (
      boundaries.length === 0 &&
      executables.length + types.length + windows.length + daily.length === 0
    )
      context.addIssue({
        code: 'custom',
        message:
          'covers everything that an account runs: add executables, boundaries, types, windows or daily',
      });
    else if (boundaries.length + uids.length + executables.length + match.nodes.length === 0)
      context.addIssue({
        code: 'custom',
        message:
          'covers every graphics context of the fleet, and graphics can compute: add nodes, boundaries, uids or executables',
      });
  });

/** No site has more than this of the world. */
const WIDEST_BITS = { v4: 8, v6: 7 };
const Network = z
  .union([z.cidrv4(), z.cidrv6()], 'must be a network such as 198.51.100.0/24')
  .refine(
    (text) => Number(text.split('/')[1]) >= (text.includes(':') ? WIDEST_BITS.v6 : WIDEST_BITS.v4),
    'is wider than any site',
  );

const Tunnel = z.strictObject({
  peers: list(Network, 64, 1).meta({ description: 'Where to' }),
  executables: list(Pattern, 64).default([]).meta({ description: 'Paths of programs; empty: any' }),
  uids: list(z.int().min(0).max(4_294_967_295), 64).default([]).meta({ description: 'Accounts; empty: any' }),
  reason: cleanText(1024).trim().min(1),
});

const Exemption = z.strictObject({
  id: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be small letters, digits, dots, dashes or underscores')
    .meta({ description: 'What it is called in the ledger: the same id is the same exemption' }),
  owner: Name.meta({ description: 'Who answers for it' }),
  account: Name.meta({ description: 'Under which its use stands; another account needs another id' }),
  reason: cleanText(1024).trim().min(1),
  until: Time.meta({ description: `At most ${EXEMPTION_MAX_DAYS} days after the policy begins` }),
  match: Match,
});

const rules = {
  weakestEvidence: z
    .enum(['cgroup', 'lineage', 'binding', 'claim'])
    .meta({ description: 'The weakest evidence that makes use declared' }),
  endGraceMs: Ms.max(HOUR_MS).meta({ description: "After a job's end a verdict waits this long" }),
  selfDeclarationLeadMs: Ms.max(HOUR_MS).meta({
    description: 'A self-declaration counts from this long before it was recorded',
  }),
  launchers: list(cleanText(255).min(1), 1000).meta({
    description: 'Base names of shells and launchers: never the baseline of a job',
  }),
  internalRanges: list(Network, 256).meta({
    description: "Networks that are the site's own, beside what its agents take for internal",
  }),
  approvedTunnels: list(Tunnel, 100).meta({
    description: 'Where programs may go outside: such a connection counts as internal',
  }),
};

/** PUT /v1/policy: a whole policy. A rule that is left out is as in the built-in one. */
export const PolicyIn = z
  .strictObject({
    from: Time.refine((text) => Date.parse(text) % HOUR_MS === 0, 'must be a full UTC hour')
      .optional()
      .meta({ description: 'From when on it holds. Default: the hour that is running' }),
    reach: z
      .literal('past')
      .optional()
      .meta({ description: 'Said where it is meant to change verdicts of the past' }),
    weakestEvidence: rules.weakestEvidence.optional(),
    endGraceMs: rules.endGraceMs.optional(),
    selfDeclarationLeadMs: rules.selfDeclarationLeadMs.optional(),
    launchers: rules.launchers.optional(),
    internalRanges: rules.internalRanges.default([]),
    approvedTunnels: rules.approvedTunnels.default([]),
    exemptions: list(Exemption, EXEMPTIONS_MAX).meta({ description: 'All of them: [] is none' }),
    dryRun: z.boolean().default(false),
  })
  .superRefine(({ exemptions }, context) => {
    const seen = new Set<string>();
    for (const [index, { id }] of exemptions.entries()) {
      if (seen.has(id))
        context.addIssue({ code: 'custom', path: ['exemptions', index, 'id'], message: 'is there twice' });
      seen.add(id);
    }
  })
  .meta({ id: 'PolicyInput' });
export type PolicyIn = z.infer<typeof PolicyIn>;
export type ExemptionIn = PolicyIn['exemptions'][number];

export const PolicyOut = z
  .object({
    version: z.int(),
    from: Time.nullable().meta({ description: 'null: the built-in one, which holds where no other does' }),
    reach: z.literal('past').nullable(),
    recordedAt: Time.nullable(),
    recordedBy: z.string().nullable(),
    ...rules,
    exemptions: z.array(
      Exemption.extend({
        job: z.string().meta({ description: 'The job that stands for it in the ledger' }),
        from: Time.meta({ description: 'From when on it counts' }),
      }),
    ),
  })
  .meta({ id: 'Policy' });
export type PolicyOut = z.infer<typeof PolicyOut>;

export const Policies = z
  .object({
    current: PolicyOut.meta({ description: 'What is in force now' }),
    items: z.array(PolicyOut).meta({ description: 'Every version, the newest first' }),
  })
  .meta({ id: 'Policies' });
export type Policies = z.infer<typeof Policies>;

export const PolicyResult = z
  .object({
    dryRun: z.boolean(),
    policy: PolicyOut.meta({ description: 'As it is recorded, or would be' }),
    changes: z.array(z.string()).meta({ description: 'Against the version that it follows, in words' }),
    warnings: z.array(z.string()).meta({ description: 'What is accepted and wider than it may seem' }),
    trial: z
      .object({
        from: Time,
        to: Time,
        hours: z.int().meta({ description: 'Node-hours with unaccounted time that were judged again' }),
        leftOut: z.int().meta({ description: 'Older ones that were not' }),
        covered: z.array(
          z.object({
            finding: z.string(),
            exemption: z.string(),
            executable: z.string().nullable(),
            node: z.string(),
            ms: Ms.meta({ description: 'GPU-milliseconds, executing or not' }),
          }),
        ),
      })
      .nullable()
      .meta({
        description: 'Of a dry run: the unaccounted time of the last 7 days that it would have covered',
      }),
  })
  .meta({ id: 'PolicyResult' });
export type PolicyResult = z.infer<typeof PolicyResult>;
