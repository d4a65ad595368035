/** Of a scenario: the machines, what goes wrong with them and with the watching, and the site's policy. */
import { z } from 'zod';
import { Key, span } from './format-work.ts';
import { Indexes, MemorySize, Offset } from './offset.ts';

const Gpus = z.strictObject({
  model: z.enum(['H100-80GB', 'A100-80GB', 'A100-40GB', 'RTX-4090', 'T4']).default('H100-80GB'),
  count: z.int().min(1).max(64).default(8),
});

const Instance = z.strictObject({
  gpus: Indexes,
  id: z.int().min(0).meta({ description: 'Number of the GPU instance' }),
  compute: z.int().min(0).default(0).meta({ description: 'Number of the compute instance in it' }),
  profile: z
    .string()
    .regex(/^(?:\d+c\.)?\d+g\.\d+gb(?:\+me)?$/)
    .meta({ description: 'Such as "3g.40gb"' }),
});

export const Node = z.strictObject({
  gpus: Gpus.prefault({}),
  instances: z.array(Instance).default([]).meta({
    description: 'MIG instances; a GPU that has one is in MIG mode',
  }),
  booted: Offset.default(-10 * 86_400_000).meta({ description: 'When it was started' }),
  accounting: z.boolean().default(false).meta({ description: "Whether the driver's accounting mode is on" }),
  driver: z.string().default('570.172.08'),
  processes: z
    .boolean()
    .default(true)
    .meta({ description: 'false: the driver names no process on this node' }),
  cgroups: z
    .union([z.literal(1), z.literal(2)])
    .default(2)
    .meta({ description: 'Version of control groups' }),
  state: z.enum(['up', 'drained']).default('up').meta({
    description: 'What the scheduler does with it; capacity counts either way',
  }),
  mode: z.enum(['observe', 'shadow', 'live']).default('live'),
  countedProcesses: z.int().min(0).optional().meta({
    description: 'How many processes another program counts on it, where that differs',
  }),
  files: z
    .array(
      z.strictObject({
        path: z.string().startsWith('/'),
        content: z.string().max(100_000),
        from: Offset.default(-10 * 86_400_000),
        owner: z.int().min(0).default(0),
        mode: z
          .string()
          .regex(/^[0-7]{3,4}$/)
          .default('755'),
      }),
    )
    .default([])
    .meta({
      description: 'Such as the library through which GPUs are read; the later one of a path replaces it',
    }),
});

const on = { node: Key.optional().meta({ description: 'Default: the first node' }) };
export const Fault = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.enum(['agent_killed', 'agent_stopped', 'agent_frozen']),
    ...on,
    from: Offset,
    to: Offset,
  }),
  z.strictObject({ kind: z.literal('clock_step'), ...on, at: Offset, by: Offset }),
  z.strictObject({
    kind: z.literal('tool'),
    ...on,
    ...span,
    how: z.enum(['hang', 'fail', 'half_line', 'empty']),
    call: z.string().optional().meta({
      description:
        'Beginning of the arguments that it strikes, such as "pmon" or "--query-gpu"; default: all',
    }),
    exitCode: z.int().optional().meta({ description: 'Default: 255 where it fails, else 0' }),
    text: z.string().default(''),
  }),
  z.strictObject({
    kind: z.literal('device'),
    ...on,
    ...span,
    gpus: Indexes,
    how: z.enum(['requires_reset', 'lost', 'gone', 'says']).meta({
      description: 'gone: as if it had never been there; says: its sensors say `text` instead of a value',
    }),
    text: z.string().default('[N/A]'),
  }),
  z.strictObject({
    kind: z.literal('sensors'),
    ...on,
    ...span,
    gpus: Indexes,
    utilisation: z.number().optional(),
    watts: z.number().optional(),
    memory: MemorySize.optional(),
    hideProcesses: z.boolean().default(false),
  }),
  z.strictObject({ kind: z.enum(['service_away', 'answers_lost']), from: Offset, to: Offset }),
  z.strictObject({ kind: z.literal('service_restarted'), at: Offset, for: Offset.default(10_000) }),
  z.strictObject({ kind: z.literal('reboot'), ...on, at: Offset, for: Offset.default(180_000) }),
  z.strictObject({
    kind: z.literal('spool_edited'),
    ...on,
    at: Offset.meta({ description: 'Something must lie there: with the service away' }),
  }),
]);

export const Policy = z.strictObject({
  at: Offset.default(0).meta({ description: 'When it is set' }),
  weakestEvidence: z.string().optional(),
  endGraceMs: z.int().optional(),
  launchers: z.array(z.string()).optional(),
  internalRanges: z.array(z.string()).optional(),
  approvedTunnels: z.array(z.looseObject({ peers: z.array(z.string()) })).optional(),
  exemptions: z
    .array(
      z.strictObject({
        id: Key,
        owner: z.string().default('operations'),
        account: z.string().default('site-overhead'),
        reason: z.string().default('Known to the site.'),
        until: Offset.default(30 * 86_400_000),
        match: z
          .looseObject({ windows: z.array(z.strictObject({ from: Offset, to: Offset })).default([]) })
          .meta({ description: 'As in PUT /v1/policy, its windows as offsets' }),
      }),
    )
    .default([]),
});
