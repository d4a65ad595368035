/** Of a scenario: loads, declarations, and processes through their lives. */
import { z } from 'zod';
import { withBytes } from '../simulator/bytes.ts';
import { Indexes, MemorySize, Offset } from './offset.ts';

export const Key = z.string().min(1).max(200);
const Text = z.string().max(200_000);
/** Of the node, not of the contract: any bytes. */
const Bytes = Text.transform(withBytes).meta({
  description: '\\xNN, written out (in YAML: in single quotes), is the byte NN, whether that is UTF-8 or not',
});
export const span = { from: Offset.optional(), to: Offset.optional() };

const Phase = z.strictObject({ for: Offset, sm: z.number().min(0).max(100) });
export const Load = z.strictObject({
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
      'on from its own where that is a number, else are <id>_0, <id>_1, …, and the copies of a process live in the copy ' +
      'of their job that has their number',
  });

const Allocated = z
  .union([
    Indexes,
    z.literal('all'),
    z.strictObject({
      gpus: Indexes.optional(),
      any: z.int().min(1).max(64).optional().meta({ description: 'So many, without saying which' }),
      share: z.number().gt(0).max(1).optional(),
      ...span,
    }),
  ])
  .meta({ description: 'GPUs, "all" (the node), {any: 2}, or {gpus, from, to, share}' });

const Declared = {
  name: z.string().optional(),
  account: z.string().optional(),
  user: z.string().nullable().optional(),
  uid: z.int().min(0).nullable().optional(),
  start: Offset.optional(),
  end: Offset.nullable().optional(),
  on: z
    .record(Key, z.union([Allocated, z.array(Allocated).min(1)]))
    .optional()
    .meta({ description: 'By node: what of it the job has' }),
  executables: z.array(Text).optional(),
  share: z.number().gt(0).max(1).optional(),
  says: z.record(z.string(), z.json()).optional().meta({
    description:
      'Further members of the declaration, as POST /v1/jobs has them: image, entrypoint, commandPattern, peers, …',
  }),
};
export const Job = z.strictObject({
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
  exe: Bytes.optional().meta({ description: 'Path of the executable; "memfd:name" for memory' }),
  inode: Text.optional().meta({ description: 'Identity of the file; by its path where not given' }),
  deleted: z.boolean().optional(),
  fileSystem: z.enum(['ext4', 'tmpfs', 'nfs4', 'lustre', 'overlay']).optional().meta({
    description: 'By its path where not given: /dev/shm and /run are tmpfs',
  }),
  argv: z.array(Bytes).optional().meta({ description: 'Default: the executable alone' }),
  comm: Bytes.optional().meta({ description: 'Default: the first 15 characters of the file name' }),
  shownAs: Bytes.optional().meta({
    description: 'Its name in nvidia-smi, byte for byte, with commas and new lines as they are',
  }),
};

const Use = z.strictObject({
  gpus: Indexes,
  load: Key,
  ...span,
  type: z.string().default('C').meta({ description: "nvidia-smi's letters: C, G, C+G, M+C" }),
  instance: z
    .strictObject({ gpu: z.int().min(0), compute: z.int().min(0).default(0) })
    .optional()
    .meta({ description: 'The MIG instance that it runs in' }),
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

export const TRUTHS = ['declared', 'diverted', 'overhead'] as const;

export const Process = z.strictObject({
  node: Key.optional().meta({ description: 'Default: the first node' }),
  pid: z.int().min(1).max(4_194_304).optional(),
  parent: Key.optional().meta({ description: 'A process of this file; default: init' }),
  user: Key.default('root'),
  session: z.boolean().default(true).meta({ description: 'Whether its user logged in (login uid)' }),
  job: Key.optional().meta({ description: 'The job in whose kernel boundary it lives' }),
  cgroup: Bytes.optional().meta({ description: 'Instead of job: the text of its control group' }),
  environment: z.record(z.string(), Bytes).default({}),
  ...image,
  start: Offset.default(0),
  end: Offset.optional(),
  changes: z
    .array(z.strictObject({ at: Offset, ...image, job: Key.optional(), cgroup: Bytes.optional() }))
    .default([])
    .meta({ description: 'Exec, a new title, another control group' }),
  uses: z.array(Use).default([]),
  opens: Indexes.optional().meta({ description: 'GPUs whose device file it has open without computing' }),
  sockets: z.array(Socket).default([]),
  namespace: z.int().optional().meta({ description: 'Number of its own network namespace' }),
  userNamespace: z.int().optional().meta({ description: 'Number of its own user namespace' }),
  innerPid: z.int().min(1).optional().meta({ description: 'Its pid in a pid namespace of its own' }),
  hidden: z.enum(['mount', 'unlisted']).optional().meta({
    description:
      'How /proc was made not to show it: something is mounted over its folder, or the kernel denies it',
  }),
  state: z.enum(['S', 'T', 'Z', 'kernel']).default('S').meta({
    description: 'As /proc says: T stopped, Z dead and not yet collected; kernel: a thread of the kernel',
  }),
  copies: Copies,
  argumentBytes: z
    .int()
    .min(1)
    .max(2_000_000)
    .optional()
    .meta({ description: 'Makes its last argument this long' }),
  environmentBytes: z
    .int()
    .min(1)
    .max(2_000_000)
    .optional()
    .meta({ description: 'Adds a variable of this length to its environment' }),
  truth: z
    .union([z.enum(TRUTHS), z.array(z.strictObject({ from: Offset, is: z.enum(TRUTHS) })).min(1)])
    .default('declared')
    .meta({ description: 'Whom its computing is for, which only the benchmark is told' }),
  truthJob: Key.optional().meta({
    description:
      'The job that it computes for; default: job, then that whose root it is, then that of its parent',
  }),
});
