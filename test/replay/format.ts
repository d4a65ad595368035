/**
 * A scenario: what happens on some nodes, what was declared about it, what goes wrong with the watching, and the truth.
 * One file that a person can write; `docs/SCENARIOS.md` explains it, and has this schema as JSON Schema.
 */
import { z } from 'zod';
import { Indexes, MemorySize, Offset } from './offset.ts';

const Key = z.string().min(1).max(200);
const Text = z.string().max(200_000);
const span = { from: Offset.optional(), to: Offset.optional() };

const Gpus = z.strictObject({
  model: z.enum(['H100-80GB', 'A100-80GB', 'A100-40GB', 'RTX-4090', 'T4']).default('H100-80GB'),
  count: z.int().min(1).max(64).default(8),
});

const Node = z.strictObject({
  gpus: Gpus.prefault({}),
  booted: Offset.default(-10 * 86_400_000).meta({ description: 'When it was started' }),
  accounting: z.boolean().default(false).meta({ description: "Whether the driver's accounting mode is on" }),
  driver: z.string().default('570.172.08'),
  processes: z
    .boolean()
    .default(true)
    .meta({ description: 'false: the driver names no process on this node' }),
});

const Phase = z.strictObject({ for: Offset, sm: z.number().min(0).max(100) });
const Load = z.strictObject({
  sm: z.number().min(0).max(100).optional().meta({ description: 'Steady share of the device, in percent' }),
  phases: z
    .array(Phase)
    .min(1)
    .optional()
    .meta({ description: 'Instead of sm: phases that repeat without end' }),
  jitter: z.number().min(0).max(50).default(0),
  memory: MemorySize.default(1024),
  watts: z.number().min(0).max(2000).optional().meta({
    description: 'What it draws above the idle device at full load; by its share where not given',
  }),
});

const Copies = z
  .strictObject({ count: z.int().min(1).max(10_000), every: Offset.default(0), gpu: z.int().default(0) })
  .optional()
  .meta({
    description:
      'So many of it, each later by `every` and `gpu` GPUs further on (modulo their number). Of a job, the ids count ' +
      'on from its own where that is a number, else are <id>_0, <id>_1, …, and the copies of a process live in the copy of their job that has their number',
  });

const Declared = {
  name: z.string().optional(),
  account: z.string().optional(),
  user: z.string().nullable().optional(),
  start: Offset.optional(),
  end: Offset.nullable().optional(),
  on: z
    .record(Key, z.union([Indexes, z.literal('all'), z.strictObject({ any: z.int().min(1).max(64) })]))
    .optional(),
  executables: z.array(Text).optional(),
  share: z.number().gt(0).max(1).optional(),
};
const Job = z.strictObject({
  ...Declared,
  source: z.string().default('slurm').meta({ description: 'slurm, kubernetes, docker, ray, api …' }),
  id: Key.optional().meta({ description: "Its id at the source; default: the job's name in this file" }),
  incarnation: z.int().min(0).default(0),
  boundaries: z.array(Text).optional(),
  root: Key.optional().meta({
    description: 'The process of this file that the declaration names as its root',
  }),
  known: Offset.default(0).meta({ description: 'How long after its start it was declared' }),
  endKnown: Offset.default(0).meta({ description: 'How long after its end that was declared' }),
  copies: Copies,
  revisions: z
    .array(z.strictObject({ at: Offset, ...Declared }))
    .default([])
    .meta({ description: 'Later versions of the declaration' }),
});

const image = {
  exe: Text.optional().meta({ description: 'Path of the executable; "memfd:name" for memory' }),
  inode: Text.optional().meta({ description: 'Identity of the file; by its path where not given' }),
  deleted: z.boolean().optional(),
  fileSystem: z
    .string()
    .optional()
    .meta({ description: 'By its path where not given: /dev/shm and /run are tmpfs' }),
  argv: z.array(Text).optional().meta({ description: 'Default: the executable alone' }),
  comm: Text.optional().meta({ description: 'Default: the first 15 characters of the file name' }),
};

const Use = z.strictObject({
  gpus: Indexes,
  load: Key,
  ...span,
  type: z.string().default('C'),
});

const Socket = z.strictObject({
  kind: z.enum(['established', 'attempt', 'listening']),
  local: z.string().default('10.20.0.13:40000'),
  remote: z.string().optional(),
  ...span,
  scan: z
    .strictObject({ network: z.string(), hosts: z.int().min(1).max(1024), ports: z.array(z.int()).min(1) })
    .optional()
    .meta({ description: 'Instead of remote: hosts × ports, spread evenly from `from` to `to`' }),
});

const Policy = z.strictObject({
  at: Offset.default(0).meta({ description: 'When it is set' }),
  weakestEvidence: z.string().optional(),
  endGraceMs: z.int().optional(),
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

const TRUTHS = ['declared', 'diverted', 'overhead'] as const;

const Process = z.strictObject({
  node: Key.optional().meta({ description: 'Default: the only node' }),
  pid: z.int().min(1).max(4_194_304).optional(),
  parent: Key.optional().meta({ description: 'A process of this file; default: init' }),
  user: Key.default('root'),
  session: z.boolean().default(true).meta({ description: 'Whether its user logged in (login uid)' }),
  job: Key.optional().meta({ description: 'The job in whose kernel boundary it lives' }),
  cgroup: Text.optional().meta({ description: 'Instead of job: the text of its control group' }),
  environment: z.record(z.string(), Text).default({}),
  ...image,
  start: Offset.default(0),
  end: Offset.optional(),
  changes: z
    .array(z.strictObject({ at: Offset, ...image, job: Key.optional(), cgroup: Text.optional() }))
    .default([])
    .meta({ description: 'Exec, a new title, another control group' }),
  uses: z.array(Use).default([]),
  opens: Indexes.optional().meta({ description: 'GPUs whose device file it has open without computing' }),
  sockets: z.array(Socket).default([]),
  namespace: z.int().optional().meta({ description: 'Number of its own network namespace' }),
  hidden: z.enum(['mount']).optional().meta({ description: 'How /proc was made not to show it' }),
  copies: Copies,
  argumentBytes: z
    .int()
    .min(1)
    .max(2_000_000)
    .optional()
    .meta({ description: 'Makes its last argument this long' }),
  truth: z
    .union([z.enum(TRUTHS), z.array(z.strictObject({ from: Offset, is: z.enum(TRUTHS) })).min(1)])
    .default('declared')
    .meta({ description: 'Whom its computing is for, which only the benchmark is told' }),
  truthJob: Key.optional().meta({ description: 'The job that it computes for; default: job' }),
});

const Fault = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.enum(['agent_killed', 'agent_stopped', 'agent_frozen']),
    node: Key.optional(),
    from: Offset,
    to: Offset,
  }),
  z.strictObject({ kind: z.literal('clock_step'), node: Key.optional(), at: Offset, by: Offset }),
  z.strictObject({
    kind: z.literal('tool'),
    node: Key.optional(),
    ...span,
    how: z.enum(['hang', 'fail', 'half_line', 'empty']),
    exitCode: z.int().default(255),
    text: Text.default(''),
  }),
  z.strictObject({
    kind: z.literal('device'),
    node: Key.optional(),
    ...span,
    gpus: Indexes,
    how: z.enum(['requires_reset', 'lost']),
  }),
  z.strictObject({
    kind: z.literal('sensors'),
    node: Key.optional(),
    ...span,
    gpus: Indexes,
    utilisation: z.number().optional(),
    watts: z.number().optional(),
    memory: MemorySize.optional(),
    hideProcesses: z.boolean().default(false),
  }),
  z.strictObject({ kind: z.literal('service_away'), from: Offset, to: Offset }),
  z.strictObject({ kind: z.literal('reboot'), node: Key.optional(), at: Offset, for: Offset }),
  z.strictObject({ kind: z.literal('spool_edited'), node: Key.optional(), at: Offset }),
]);

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
    nodes: z.record(Key, Node).default({ 'gpu-n1': Node.parse({}) }),
    users: z.record(Key, z.int().min(0)).default({}),
    loads: z.record(Key, Load).default({}),
    feeds: z
      .record(
        Key,
        z.strictObject({
          lag: Offset.default(0).meta({ description: 'How far behind its word is complete' }),
          down: z.array(z.strictObject({ from: Offset, to: Offset })).default([]),
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
