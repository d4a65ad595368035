import { z } from 'zod';
import { JobRef } from './jobs.ts';
import { Money, Ms, PageQuery, Time } from './primitives.ts';

export const FINDING_KINDS = ['compute', 'network', 'integrity', 'agent'] as const;
export const SEVERITIES = ['notice', 'warn', 'critical'] as const;
/** What the evidence allows to say: that no declaration covers it, that something speaks for it, or that nobody saw. */
export const STRENGTHS = ['proof', 'suspicion', 'unobserved'] as const;

export const ProcessView = z
  .object({
    id: z.string().meta({ description: '<boot id>/<pid>/<start ticks>' }),
    bootId: z.string(),
    pid: z.int(),
    startTicks: z.int().nullable(),
    startedAt: Time.nullable(),
    exitedAt: Time.nullable(),
    parentId: z.string().nullable(),
    user: z
      .string()
      .nullable()
      .meta({ description: 'OS account; null when unreadable or erased by retention' }),
    uid: z.int().nullable(),
    comm: z.string(),
    executable: z
      .object({
        path: z.string(),
        device: z.string().nullable(),
        inode: z.string().nullable(),
        deleted: z.boolean(),
        fileSystem: z.string().nullable().meta({
          description:
            'Type of the file system that it lies on; memfd: it was never in a folder; null: not known',
        }),
      })
      .nullable(),
    commandLine: z.string().nullable().meta({
      description:
        'Kept of processes that use a device or have a connection of interest; secrets are redacted',
    }),
    commandLineCut: z.boolean(),
    argumentsDigest: z.string().nullable().meta({ description: 'SHA-256 of its redacted command line' }),
    sessionId: z.int().nullable(),
    ownNamespaces: z
      .array(z.enum(['pid', 'net', 'mnt', 'user']))
      .nullable()
      .meta({
        description: 'Namespaces that it does not share with the first process of its node; null: not known',
      }),
    cgroup: z.string(),
    boundary: z
      .string()
      .nullable()
      .meta({ description: 'Kernel boundary that the cgroup names, such as slurm:8101' }),
    claims: z.array(z.object({ name: z.string(), value: z.string() })),
    unreadable: z.array(z.string()),
    role: z
      .enum(['source', 'ancestor', 'sibling', 'declared'])
      .meta({ description: 'source: belongs to this finding' }),
    activeMs: Ms,
    residentMs: Ms,
    devices: z.array(z.string()),
  })
  .meta({ id: 'Process' });
export type ProcessView = z.infer<typeof ProcessView>;

const SignalView = z
  .object({
    id: z.string(),
    title: z.string(),
    detail: z.string(),
    strength: z.int().min(1).max(100).meta({ description: 'Of 100' }),
    weight: z.int().meta({ description: 'What it adds to a score of 100 at full strength' }),
    source: z.string().meta({ description: 'Where the knowledge comes from' }),
    attack: z.object({ before: z.array(z.string()), after: z.array(z.string()) }).meta({
      description: 'MITRE ATT&CK techniques, as numbered before v19, and since where that number is known',
    }),
  })
  .meta({ id: 'Signal' });

export const Finding = z
  .object({
    id: z.string(),
    kind: z.enum(FINDING_KINDS),
    severity: z.enum(SEVERITIES),
    strength: z.enum(STRENGTHS),
    state: z
      .enum(['provisional', 'settled'])
      .meta({ description: 'provisional: awaiting record; never alerts' }),
    running: z.boolean(),
    mode: z.enum(['observe', 'shadow', 'live']),
    cluster: z.string(),
    node: z.string(),
    devices: z.array(z.object({ uuid: z.string(), index: z.int().nullable(), model: z.string().nullable() })),
    reason: z.string().meta({ description: 'The reason with the most time' }),
    reasons: z.array(z.string()),
    evidence: z.string().nullable(),
    source: z.object({
      process: z
        .string()
        .nullable()
        .meta({ description: 'Id of the source process; null when only a device is known' }),
      pid: z.int().nullable(),
      comm: z.string().nullable(),
      executable: z.string().nullable(),
      user: z.string().nullable(),
    }),
    insideJob: JobRef.nullable(),
    activeMs: Ms,
    residentMs: Ms,
    leastMs: Ms.meta({
      description: 'What executed at least, given how often devices are read and what their sensors sample',
    }),
    mostMs: Ms.meta({
      description:
        'What executed at most: between readings, while nothing was measured, and where the device does not tell',
    }),
    provisionalMs: Ms,
    value: Money.nullable().meta({
      description: "Value of the active time at the devices' rates; null where no rate is set",
    }),
    score: z
      .int()
      .min(0)
      .max(100)
      .meta({ description: 'Of its signals: which finding to look at first, and no verdict' }),
    firstSeen: Time,
    lastSeen: Time,
    recordedAt: Time.meta({ description: 'When the service first knew' }),
    resolvedAt: Time.nullable().meta({
      description: 'Since then, by later records, nothing of it stands and no list names it; null: it stands',
    }),
  })
  .meta({ id: 'Finding' });
export type Finding = z.infer<typeof Finding>;

const FINDING_SORTS = [
  'lastSeen',
  'firstSeen',
  'activeMs',
  'residentMs',
  'value',
  'severity',
  'rank',
] as const;
export const FindingsQuery = PageQuery.extend({
  from: Time.optional().meta({ description: 'Last seen at or after' }),
  to: Time.optional().meta({ description: 'First seen before' }),
  kind: z.enum(FINDING_KINDS).optional(),
  reason: z.string().max(64).optional(),
  state: z.enum(['provisional', 'settled']).optional(),
  running: z.stringbool().optional(),
  node: z.string().optional(),
  search: z.string().max(200).optional().meta({ description: 'Part of executable, user, node or job' }),
  sort: z
    .enum(FINDING_SORTS)
    .default('lastSeen')
    .meta({ description: 'rank: by severity, and within it by the score of its signals' }),
  order: z.enum(['asc', 'desc']).default('desc'),
});
export const FindingList = z
  .object({ items: z.array(Finding), nextCursor: z.string().nullable() })
  .meta({ id: 'FindingList' });
export type FindingList = z.infer<typeof FindingList>;

/** A series of a device's time line: `ms[i]` of step i went to this. */
export const TimelineSeries = z.object({
  label: z.string(),
  kind: z.enum(['source', 'used', 'held', 'otherUnaccounted', 'otherAwaiting', 'idle', 'unobserved']),
  ms: z.array(Ms),
});
export const FindingDetail = Finding.extend({
  processes: z
    .array(ProcessView)
    .meta({ description: 'The source, its descendants and its ancestors up to init' }),
  timelines: z.array(
    z.object({
      device: z.string(),
      index: z.int().nullable(),
      from: Time,
      stepMs: Ms,
      series: z.array(TimelineSeries),
    }),
  ),
  connections: z.array(
    z.object({
      process: z.string(),
      pid: z.int().nullable(),
      comm: z.string().nullable(),
      kind: z.enum(['established', 'attempt', 'listening']),
      peerClass: z.enum(['loopback', 'internal', 'external']),
      localPort: z.int(),
      peers: z.int(),
      examples: z.array(z.string()),
      first: Time,
      last: Time,
    }),
  ),
  dials: z
    .array(
      z.object({
        attempts: z.int(),
        failed: z.int(),
        mostAMinute: z.int(),
        ofHost: z.boolean().nullable().meta({
          description:
            'The namespace is that of the whole machine, where anybody may have tried; null: not known',
        }),
        from: Time,
        to: Time,
      }),
    )
    .meta({
      description:
        'TCP connections tried in each network namespace of its source processes, by the counters of the kernel',
    }),
  signals: z
    .array(SignalView)
    .meta({ description: 'What makes it worth a look before others, the heaviest first; no verdict' }),
  series: z
    .object({
      id: z.string(),
      findings: z.array(
        z.object({
          id: z.string(),
          node: z.string(),
          severity: z.enum(SEVERITIES),
          reason: z.string(),
          executable: z.string().nullable(),
          activeMs: Ms,
          firstSeen: Time,
          lastSeen: Time,
          why: z.array(z.string()).meta({ description: 'In what it agrees with one before it' }),
        }),
      ),
      nodes: z.array(z.string()),
      firstSeen: Time,
      lastSeen: Time,
      activeMs: Ms,
      value: Money.nullable(),
      why: z.array(z.string()),
      rhythm: z.string().nullable().meta({ description: 'Where it keeps to certain hours of the day' }),
    })
    .nullable()
    .meta({
      description: 'Findings of other nodes and days that are one story with it; null: none is known',
    }),
  story: z.object({
    observed: z.array(z.string()),
    notObserved: z.array(z.string()),
    candidates: z.array(z.object({ job: JobRef, why: z.string() })),
    innocentCauses: z.array(z.string()),
    wouldChange: z.array(z.string()),
  }),
  cost: z.object({
    value: Money.nullable(),
    occupiedMs: Ms.meta({ description: 'Time that a source process was on a device, active or not' }),
    charged: z
      .array(z.object({ account: z.string(), job: JobRef, ms: Ms, amount: Money.nullable() }))
      .meta({ description: 'Who was already charged for the time in which this ran' }),
  }),
  history: z
    .array(z.object({ at: Time, text: z.string() }))
    .meta({ description: 'Earlier verdicts and what changed them' }),
}).meta({ id: 'FindingDetail' });
export type FindingDetail = z.infer<typeof FindingDetail>;
