import { z } from 'zod';
import { Sums } from './ledger.ts';
import { Booking } from './mapping.ts';
import { cleanText, list, Ms, Name, PageQuery, Time } from './primitives.ts';

const SOURCE = /^[a-z][a-z0-9-]{0,31}$/;
/** An address, a range of addresses, or host:port. */
const Peer = cleanText(300).regex(
  /^(?:[0-9a-fA-F.:]+(?:\/\d{1,3})?|\[[0-9a-fA-F:]+\]:\d{1,5}|[A-Za-z0-9._-]+:\d{1,5})$/,
  'must be an address range such as 10.0.0.0/8, or host:port',
);

/** What a declaration's attributes may hold: so much is kept of each job. */
export const ATTRIBUTE_LIMITS = { count: 64, nameChars: 330, valueChars: 1024, chars: 16_384 } as const;
const Attributes = z
  .record(
    z
      .string()
      .max(ATTRIBUTE_LIMITS.nameChars)
      .regex(/^[A-Za-z0-9][A-Za-z0-9._/:-]*$/, 'must be a name of letters, digits and . _ / : -'),
    cleanText(ATTRIBUTE_LIMITS.valueChars),
  )
  .refine(
    (attributes) => {
      const entries = Object.entries(attributes);
      const chars = entries.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
      return entries.length <= ATTRIBUTE_LIMITS.count && chars <= ATTRIBUTE_LIMITS.chars;
    },
    {
      message: `must hold at most ${ATTRIBUTE_LIMITS.count} of together ${ATTRIBUTE_LIMITS.chars} characters`,
    },
  );

const AllocationIn = z
  .strictObject({
    node: Name,
    devices: list(Name, 64, 1).optional().meta({ description: 'Device UUIDs' }),
    indices: list(z.int().min(0).max(65_535), 64, 1).optional().meta({
      description:
        'Devices by their minor numbers on the node (the N of /dev/nvidiaN), as they are at that time by the inventory of its agent',
    }),
    count: z.int().min(1).max(64).optional().meta({
      description: 'That many devices of the node; without devices, indices and count, the whole node',
    }),
    start: Time.optional().meta({ description: "Default: the job's start" }),
    end: Time.nullable().optional().meta({ description: "Default: the job's end" }),
    share: z
      .number()
      .gt(0)
      .max(1)
      .default(1)
      .meta({ description: 'Share of each device, for devices that jobs share' }),
  })
  .refine((a) => [a.devices, a.indices, a.count].filter((one) => one !== undefined).length <= 1, {
    path: ['count'],
    message: 'give devices, indices or count, one of them',
  })
  .meta({ id: 'AllocationInput' });

/** What is worth knowing of a declaration as evidence. */
export const JOB_MARKS = ['late', 'backdated', 'extended', 'broad', 'other_user'] as const;
export type JobMark = (typeof JOB_MARKS)[number];

const RootIn = z.strictObject({
  node: Name,
  bootId: z.uuid(),
  pid: z
    .int()
    .min(1)
    .max(2 ** 31),
  startTicks: z.int().min(0),
});

/** What a job says of what it runs, beside its executables. */
const promises = {
  image: cleanText(1024).min(1).nullable().default(null).meta({
    description:
      'Its container image, by reference or digest. A record only: no agent sees of which image a container is',
  }),
  entrypoint: list(cleanText(4096).min(1), 64).default([]).meta({
    description: 'The words with which the command line of its root process begins; others are marked',
  }),
  commandPattern: cleanText(1024).min(1).nullable().default(null).meta({
    description:
      'What the redacted command lines of its processes on devices look like, * for any characters; others are marked',
  }),
  peers: list(Peer, 256).default([]).meta({
    description: 'Address ranges such as 10.0.0.0/8, or host:port, that it expects to reach. A signal only',
  }),
  processesPerDevice: z.int().min(1).max(4096).nullable().default(null).meta({
    description: 'How many of its processes use one device at a time, at most; more are marked',
  }),
};

const Within = z.strictObject({
  source: z.string().regex(SOURCE),
  externalId: Name,
});

const declaration = {
  account: Name,
  user: Name.nullable().default(null),
  uid: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .nullable()
    .default(null),
  name: cleanText(1024).default(''),
  start: Time,
  end: Time.nullable().default(null),
  allocations: list(AllocationIn, 4096),
  boundaries: list(cleanText(4096).min(3), 64)
    .optional()
    .meta({
      description:
        'Kernel boundaries such as slurm:8101, kubernetes:<pod uid>, docker:<container id>, systemd:<unit path>. ' +
        'Default: <source>:<externalId> for slurm, kubernetes and docker',
    }),
  executables: list(cleanText(4096).min(1), 256)
    .default([])
    .meta({ description: 'What the job says it runs: paths, * within a folder, ** across folders' }),
  ...promises,
  root: RootIn.nullable().default(null),
  within: Within.nullable().default(null).meta({
    description:
      'The job that this one runs inside of, such as the Slurm job of a Ray job: it refines that one, whose time is counted once',
  }),
  attributes: Attributes.default({}).meta({
    description:
      'What its scheduler says of it beside: partition, qos, comment, namespace, owner, label:<name> … They change no verdict. ' +
      'By namespace and pod, what the kubelet gave to a pod is found',
  }),
};

/** POST /v1/jobs. The same source, instance, external id and incarnation again is the same job: a new version if it differs. */
export const JobIn = z
  .strictObject({
    source: z.string().regex(SOURCE).default('api'),
    sourceInstance: Name.default('default'),
    externalId: Name,
    incarnation: z.int().min(0).default(0),
    partial: z
      .boolean()
      .default(false)
      .meta({
        description:
          'The start, and what this does not say, stay as they were said before: end, user, uid, name, attributes, ' +
          'executables, allocations of other nodes, and which devices of a node it has, where this gives as many by count',
      }),
    ...declaration,
  })
  .refine((job) => job.end === null || !(Date.parse(job.end) < Date.parse(job.start)), {
    path: ['end'],
    message: 'must not lie before start',
  })
  .meta({ id: 'JobInput' });
export type JobIn = z.infer<typeof JobIn>;

/** PATCH /v1/jobs/{id}: what changes; the rest stays. */
export const JobPatch = z
  .strictObject({
    account: Name.optional(),
    user: Name.nullable().optional(),
    name: cleanText(1024).optional(),
    start: Time.optional(),
    end: Time.nullable().optional(),
    allocations: list(AllocationIn, 4096).optional(),
    executables: list(cleanText(4096).min(1), 256).optional(),
    image: promises.image.unwrap().optional(),
    entrypoint: promises.entrypoint.unwrap().optional(),
    commandPattern: promises.commandPattern.unwrap().optional(),
    peers: promises.peers.unwrap().optional(),
    processesPerDevice: promises.processesPerDevice.unwrap().optional(),
    attributes: Attributes.optional(),
  })
  .refine((patch) => Object.keys(patch).length > 0, { message: 'names nothing to change' })
  .meta({ id: 'JobPatch' });
export type JobPatch = z.infer<typeof JobPatch>;

export const JobRef = z
  .object({
    id: z.string(),
    source: z.string(),
    externalId: z.string(),
    name: z.string(),
    account: z.string(),
    user: z.string().nullable(),
  })
  .meta({ id: 'JobRef' });
export type JobRef = z.infer<typeof JobRef>;

export const JobOut = JobRef.extend({
  cluster: z.string(),
  sourceInstance: z.string(),
  incarnation: z.int(),
  uid: z.int().nullable(),
  start: Time,
  end: Time.nullable(),
  allocations: z.array(
    z.object({
      node: z.string(),
      devices: z.array(z.string()).nullable().meta({
        description: 'UUIDs; of one given by indices, those that the inventory of its node has for them',
      }),
      indices: z.array(z.int()).nullable().meta({ description: 'As declared; null: not by indices' }),
      pending: z.array(z.int()).meta({
        description: 'Those of the indices that no inventory of the node has yet: nothing is held for them',
      }),
      count: z.int().nullable(),
      start: Time,
      end: Time.nullable(),
      share: z.number(),
    }),
  ),
  boundaries: z.array(z.string()),
  executables: z.array(z.string()),
  image: z.string().nullable(),
  entrypoint: z.array(z.string()),
  commandPattern: z.string().nullable(),
  peers: z.array(z.string()),
  processesPerDevice: z.int().nullable(),
  root: RootIn.nullable(),
  within: Within.nullable(),
  attributes: z.record(z.string(), z.string()),
  marks: z.array(z.enum(JOB_MARKS)).meta({
    description:
      'late: a source recorded it after its start; backdated: a person did, and it counts from a minute before that; ' +
      'extended: a later version claims more, from its own recording on; broad: it would cover anything; ' +
      "other_user: it is declared for an account that its declarer's token does not stand for, and covers nothing",
  }),
  version: z.int(),
  firstRecordedAt: Time,
  recordedAt: Time,
  recordedBy: z.string().meta({ description: 'Name of the token or session that recorded this version' }),
  selfDeclared: z.boolean(),
}).meta({ id: 'Job' });
export type JobOut = z.infer<typeof JobOut>;

const JobUse = z.object({
  allocatedMs: Ms,
  usedMs: Ms,
  heldMs: Ms,
  unaccountedInsideMs: Ms,
  unobservedInsideMs: Ms,
});
/** A row of the list: the job and what it did in the whole of its life so far. */
export const JobRow = JobOut.extend({ use: JobUse }).meta({ id: 'JobRow' });
export type JobRow = z.infer<typeof JobRow>;

export const JobsQuery = PageQuery.extend({
  from: Time.optional(),
  to: Time.optional(),
  account: z.string().optional(),
  user: z.string().optional(),
  source: z.string().optional(),
  state: z.enum(['running', 'ended']).optional(),
  search: z.string().max(200).optional().meta({ description: 'Part of the external id or name' }),
});
export const JobList = z
  .object({ items: z.array(JobRow), nextCursor: z.string().nullable() })
  .meta({ id: 'JobList' });
export type JobList = z.infer<typeof JobList>;

/** GET /v1/jobs/{id}: with every version and what ran inside, by executable. */
export const JobDetail = JobRow.extend({
  versions: z.array(JobOut),
  overlaps: z
    .array(
      z.object({
        job: JobRef,
        node: z.string(),
        devices: z.array(z.string()).nullable().meta({ description: 'null: all of the node' }),
        from: Time,
        to: Time.nullable(),
      }),
    )
    .meta({
      description:
        'Other declarations of the same devices for the same time, which share it equally; not those inside of each other',
    }),
  charged: z
    .array(
      Booking.extend({
        from: Time,
        to: Time.nullable().meta({ description: 'null: until it ends' }),
        mapped: z.boolean().meta({
          description: 'false: no rule of the mapping matches; the declared account is charged',
        }),
      }),
    )
    .meta({
      description: 'To whom its time is charged by the mapping, by the UTC days from which that holds',
    }),
  usedInOthersMs: Ms.meta({
    description:
      'Executing of its processes in what another job holds, inside of which it runs: counted there',
  }),
  inside: z.array(
    z.object({
      executable: z.string(),
      bucket: z.enum(['used', 'unaccounted']),
      reason: z.string().nullable(),
      suspicious: z.boolean(),
      processes: z.int(),
      activeMs: Ms,
      finding: z.string().nullable(),
    }),
  ),
  devices: z.array(
    z.object({
      node: z.string(),
      device: z.string(),
      index: z.int().nullable(),
      assumed: z.boolean(),
      sums: Sums,
    }),
  ),
}).meta({ id: 'JobDetail' });
export type JobDetail = z.infer<typeof JobDetail>;
