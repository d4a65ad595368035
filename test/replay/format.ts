/**
 * A scenario: what happens on some nodes, what was declared about it, what goes wrong with the watching, and the truth.
 * One file that a person can write; `docs/SCENARIOS.md` explains it, and has this schema as JSON Schema.
 */
import { z } from 'zod';
import { Fault, Node, Policy } from './format-nodes.ts';
import { Job, Key, Load, Process, span, type TRUTHS } from './format-work.ts';
import { Offset } from './offset.ts';

const CEILINGS = ['proof', 'suspicion', 'unobserved'] as const;
const Expect = z.strictObject({
  ceiling: z
    .union([z.enum(CEILINGS), z.array(z.strictObject({ ...span, is: z.enum(CEILINGS) })).min(1)])
    .default('proof')
    .meta({ description: 'The best that an observer on the node can honestly say of the diverted time' }),
  reasons: z
    .array(z.string())
    .default([])
    .meta({ description: 'Reasons that a finding of the diversion may have' }),
  network: z.array(z.string()).default([]).meta({ description: 'Network findings that must be there' }),
  integrity: z.array(z.string()).default([]),
  amountWithin: z.number().min(0).max(1).default(0.05).meta({
    description: 'How far off the amount may honestly be, as a part of it',
  }),
  netSeconds: z
    .number()
    .optional()
    .meta({ description: 'Diverted GPU-seconds: checks the file against its own model' }),
  occupiedSeconds: z.number().optional(),
  onset: Offset.optional(),
});

export const Scenario = z
  .strictObject({
    id: Key,
    title: z.string(),
    family: z.string().meta({ description: 'What reports group by' }),
    about: z.string().default(''),
    start: z.iso.datetime().default('2026-10-05T08:00:00Z'),
    length: Offset.default(3_600_000),
    poll: Offset.default(15_000),
    after: Offset.default(900_000).meta({
      description: 'How long it is played on after the end, so that everything that awaits a record has it',
    }),
    nodes: z.record(Key, Node).default({ 'gpu-n1': Node.parse({}) }),
    users: z.record(Key, z.int().min(0)).default({}),
    loads: z.record(Key, Load).default({}),
    feeds: z
      .record(
        Key,
        z.strictObject({
          lag: Offset.default(0).meta({ description: 'How far behind its word is complete' }),
          down: z
            .array(z.strictObject({ from: Offset, to: Offset }))
            .default([])
            .meta({ description: 'When it says nothing; what it would have said comes at the end' }),
        }),
      )
      .default({})
      .meta({ description: 'Sources of declarations, by their names' }),
    policy: z
      .union([Policy, z.array(Policy)])
      .default([])
      .meta({ description: "The site's policy, or its versions" }),
    jobs: z.record(Key, Job).default({}),
    processes: z.record(Key, Process).default({}),
    faults: z.array(Fault).default([]),
    expect: Expect.prefault({}),
  })
  .meta({ id: 'Scenario' });

export type Scenario = z.infer<typeof Scenario>;
export type ScenarioNode = z.infer<typeof Node>;
export type ScenarioProcess = z.infer<typeof Process>;
export type ScenarioJob = z.infer<typeof Job>;
export type ScenarioFault = z.infer<typeof Fault>;
export type Truth = (typeof TRUTHS)[number];
export type Ceiling = (typeof CEILINGS)[number];
