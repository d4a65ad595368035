/**
 * The wire of `POST /v1/batches` as a schema: for the OpenAPI page, and what the fast check in
 * `api/services/validate-batch.ts` is held to by a test.
 */
import { z } from 'zod';
import {
  BATCH_LIMITS,
  BATCH_SCHEMA,
  GAP_REASONS,
  HOUR_MS,
  INTEGRITY_KINDS,
  PEER_CLASSES,
  SPLIT_METHODS,
  TOOL_ROLES,
} from './batch.ts';

import { GRANT_LIMITS } from './grants.ts';

/** The end of the year 9999. */
export const MAX_TIME_MS = 253_402_300_799_999;

export const CONNECTION_KINDS = ['established', 'attempt', 'listening'] as const;

export const BATCH_PATTERNS = {
  hash: /^[0-9a-f]{64}$/,
  salt: /^[0-9a-f]{32}$/,
  signature: /^[0-9a-f]{128}$/,
  bootId: /^[0-9A-Za-z-]{1,64}$/,
  processKey: /^\d{1,10}\/(\d{1,20}|\?\d{1,16})$/,
  /** No half of a surrogate pair either: a database would keep something else. */
  name: /^[^\x00-\x1f\x7f\p{Cs}]+$/u,
  peer: /^[\x21-\x7e]{1,128}$/,
} as const;

const Name = z.string().min(1).max(BATCH_LIMITS.nameChars).regex(BATCH_PATTERNS.name);
const Hash = z.string().regex(BATCH_PATTERNS.hash);
const ProcessKey = z.string().regex(BATCH_PATTERNS.processKey);
const Time = z.int().min(0).max(MAX_TIME_MS);
const Count = z.int().min(0);
const Id32 = z
  .int()
  .min(0)
  .max(2 ** 32);
const SpanMs = z.int().min(0).max(HOUR_MS);
const Slices = z.int().min(1).max(BATCH_LIMITS.instances);
const Instance = z.int().min(0).max(65_535);
/** A moment and a later one. */
const inOrder = (one: { firstMs: number; lastMs: number }) => one.lastMs >= one.firstMs;
const NOT_BEFORE_FIRST = { path: ['lastMs'], message: 'must not lie before firstMs' };

const Device = z.strictObject({
  uuid: Name,
  index: z.int().min(0).max(65_535),
  minor: z.int().min(0).max(65_535).nullable(),
  busId: Name,
  model: Name,
  memoryBytes: Count.nullable(),
  powerLimitMilliwatts: Count.nullable(),
  migEnabled: z.boolean(),
  slices: Slices.nullable(),
  instances: z
    .array(
      z.strictObject({
        uuid: Name.nullable(),
        gpuInstance: Instance,
        computeInstance: Instance,
        profile: Name.nullable(),
        slices: Slices.nullable(),
      }),
    )
    .max(BATCH_LIMITS.instances),
});

const Executable = z.strictObject({
  path: z.string().max(BATCH_LIMITS.pathChars),
  device: z.string().max(BATCH_LIMITS.nameChars).nullable(),
  inode: z.string().max(BATCH_LIMITS.nameChars).nullable(),
  deleted: z.boolean(),
  fileSystem: Name.nullable(),
});

const Process = z
  .strictObject({
    key: ProcessKey,
    pid: Id32,
    startTicks: Count.nullable(),
    startedMs: Time.nullable(),
    parent: ProcessKey.nullable(),
    uid: Id32.nullable(),
    loginUid: Id32.nullable(),
    sessionId: Id32.nullable(),
    namespaces: z.strictObject({ pid: Count, net: Count, mnt: Count, user: Count }).nullable(),
    comm: z.string().max(BATCH_LIMITS.nameChars),
    executable: Executable.nullable(),
    cgroup: z.string().max(BATCH_LIMITS.cgroupChars),
    earlierCgroups: z.array(z.string().max(BATCH_LIMITS.cgroupChars)).max(BATCH_LIMITS.claims),
    earlierExecutables: z.array(Executable).max(BATCH_LIMITS.claims),
    executedMs: Time.optional(),
    claims: z
      .array(z.strictObject({ name: Name, value: z.string().max(BATCH_LIMITS.detailChars) }))
      .max(BATCH_LIMITS.claims),
    argumentsDigest: Hash.nullable(),
    unreadable: z.array(z.string().max(BATCH_LIMITS.detailChars)).max(BATCH_LIMITS.claims),
    firstSeenMs: Time,
    exitedMs: Time.nullable(),
    personal: Hash.nullable(),
  })
  .refine((process) => process.key.startsWith(`${process.pid}/`), {
    path: ['key'],
    message: 'must start with the pid',
  });

const Tenancy = z
  .strictObject({
    device: Name,
    tenants: z
      .array(
        z.strictObject({
          process: ProcessKey,
          type: z.string().max(16),
          memoryBytes: Count.nullable(),
          gpuInstance: Instance.nullable(),
        }),
      )
      .max(BATCH_LIMITS.tenantsPerTenancy),
    startMs: Time,
    lengthMs: z.array(z.int().min(1).max(HOUR_MS)).min(1).max(BATCH_LIMITS.spansPerTenancy),
    activeMs: z.array(SpanMs).max(BATCH_LIMITS.spansPerTenancy).nullable(),
    shareMs: z.array(z.array(SpanMs).max(BATCH_LIMITS.spansPerTenancy)).max(BATCH_LIMITS.tenantsPerTenancy),
    method: z.enum(SPLIT_METHODS),
    conflictMs: z.array(SpanMs).max(BATCH_LIMITS.spansPerTenancy),
    partition: z.array(z.strictObject({ gpuInstance: Instance, slices: Slices })).max(BATCH_LIMITS.instances),
  })
  .superRefine((tenancy, context) => {
    const refuse = (field: string, message: string) =>
      context.addIssue({ code: 'custom', path: [field], message });
    const { activeMs, lengthMs, shareMs, tenants, conflictMs, partition } = tenancy;
    if (new Set(partition.map((one) => one.gpuInstance)).size !== partition.length)
      refuse('partition', 'names an instance twice');
    if (activeMs === null) {
      if (shareMs.length > 0) refuse('shareMs', 'must be empty where activeMs is null');
      if (conflictMs.length > 0) refuse('conflictMs', 'must be empty where activeMs is null');
      return;
    }
    if (conflictMs.length > 0 && conflictMs.length !== lengthMs.length)
      refuse('conflictMs', 'must be empty or as long as lengthMs');
    if (conflictMs.some((ms, index) => ms + (activeMs[index] ?? 0) > (lengthMs[index] ?? 0)))
      refuse('conflictMs', 'must not exceed what is not active');
    if (activeMs.length !== lengthMs.length) refuse('activeMs', 'must be as long as lengthMs');
    if (activeMs.some((ms, index) => ms > (lengthMs[index] ?? 0)))
      refuse('activeMs', 'must not exceed the length of its span');
    if (shareMs.length !== tenants.length) refuse('shareMs', 'must have one row for each tenant');
    if (shareMs.some((row) => row.length !== activeMs.length))
      refuse('shareMs', 'must be as long as lengthMs');
    const sums = activeMs.map((_, index) => shareMs.reduce((sum, row) => sum + (row[index] ?? 0), 0));
    if (tenants.length > 0 && sums.some((ms, index) => ms !== activeMs[index]))
      refuse('shareMs', 'must sum to activeMs');
  });

const Gap = z.strictObject({
  device: Name.nullable(),
  fromMs: Time,
  toMs: Time,
  reason: z.enum(GAP_REASONS),
  detail: z.string().max(BATCH_LIMITS.detailChars),
});

const Connection = z
  .strictObject({
    process: ProcessKey,
    kind: z.enum(CONNECTION_KINDS),
    peerClass: z.enum(PEER_CLASSES),
    localPort: z.int().min(0).max(65_535),
    firstMs: Time,
    lastMs: Time,
    peers: Count,
    personal: Hash.nullable(),
  })
  .refine(inOrder, NOT_BEFORE_FIRST);

const Accounted = z
  .strictObject({
    device: Name,
    process: ProcessKey,
    openMs: Time,
    busyPercent: z.int().min(0).max(100).nullable(),
    maxMemoryBytes: Count.nullable(),
    afterMs: Time,
    seenMs: Time,
  })
  .refine((one) => one.seenMs >= one.afterMs, { path: ['seenMs'], message: 'must not lie before afterMs' });

const Holder = z
  .strictObject({ device: Name, process: ProcessKey, firstMs: Time, lastMs: Time })
  .refine(inOrder, NOT_BEFORE_FIRST);

const Dial = z
  .strictObject({
    process: ProcessKey,
    netNamespace: Count,
    attempts: Count,
    failed: Count,
    fromMs: Time,
    toMs: Time,
  })
  .refine((one) => one.toMs >= one.fromMs, { path: ['toMs'], message: 'must not lie before fromMs' });

const Integrity = z
  .strictObject({
    kind: z.enum(INTEGRITY_KINDS),
    device: Name.nullable(),
    process: ProcessKey.nullable(),
    detail: z.string().max(BATCH_LIMITS.detailChars),
    firstMs: Time,
    lastMs: Time,
  })
  .refine(inOrder, NOT_BEFORE_FIRST);

const Tool = z.strictObject({
  role: z.enum(TOOL_ROLES),
  path: z.string().max(BATCH_LIMITS.pathChars),
  device: z.string().max(BATCH_LIMITS.nameChars).nullable(),
  inode: z.string().max(BATCH_LIMITS.nameChars).nullable(),
  ownerUid: Id32.nullable(),
  sizeBytes: Count.nullable(),
  sha256: Hash.nullable(),
  version: Name.nullable(),
});

const Host = z.strictObject({
  operatingSystem: Name.nullable(),
  kernel: Name.nullable(),
  processor: Name.nullable(),
  cores: Count.nullable(),
  memoryBytes: Count.nullable(),
  virtualisation: Name.nullable(),
});

const Grants = z
  .strictObject({
    atMs: Time,
    grants: z
      .array(
        z.strictObject({
          namespace: Name,
          pod: Name,
          container: Name,
          resource: Name,
          ids: z.array(Name).max(GRANT_LIMITS.idsPerGrant),
        }),
      )
      .max(GRANT_LIMITS.grants),
    replicas: z
      .array(z.strictObject({ device: Name, count: z.int().min(1).max(65_535) }))
      .max(GRANT_LIMITS.replicas),
  })
  .refine(({ grants }) => grants.reduce((sum, { ids }) => sum + ids.length, 0) <= GRANT_LIMITS.ids, {
    path: ['grants'],
    message: `must hold at most ${GRANT_LIMITS.ids} ids`,
  });

const Body = z
  .strictObject({
    schema: z.literal(BATCH_SCHEMA),
    cluster: Name,
    node: Name,
    stream: Name,
    seq: z.int().min(1),
    previousHash: Hash,
    bootId: z.string().regex(BATCH_PATTERNS.bootId),
    agentVersion: Name,
    driverVersion: Name.nullable(),
    pollIntervalMs: z.int().min(1).max(HOUR_MS),
    fromMs: Time,
    toMs: Time,
    inventory: z.array(Device).max(BATCH_LIMITS.devices).nullable(),
    processes: z.array(Process).max(BATCH_LIMITS.processes),
    tenancies: z.array(Tenancy).max(BATCH_LIMITS.tenanciesPerBatch),
    gaps: z.array(Gap).max(BATCH_LIMITS.gaps),
    connections: z.array(Connection).max(BATCH_LIMITS.connections),
    accounted: z.array(Accounted).max(BATCH_LIMITS.accounted),
    holders: z.array(Holder).max(BATCH_LIMITS.holders),
    dials: z.array(Dial).max(BATCH_LIMITS.dials),
    integrity: z.array(Integrity).max(BATCH_LIMITS.integrity),
    tools: z.array(Tool).max(BATCH_LIMITS.tools).nullable(),
    host: Host.nullable(),
    grants: Grants.optional(),
    clockSteps: z
      .array(z.strictObject({ atMs: Time, stepMs: z.int().min(-MAX_TIME_MS).max(MAX_TIME_MS) }))
      .max(BATCH_LIMITS.problems),
    problems: z
      .array(
        z.strictObject({
          atMs: Time,
          source: z.string().max(BATCH_LIMITS.nameChars),
          message: z.string().max(BATCH_LIMITS.detailChars),
        }),
      )
      .max(BATCH_LIMITS.problems),
  })
  .superRefine((body, context) => {
    const refuse = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    if (body.toMs < body.fromMs || body.toMs > body.fromMs - (body.fromMs % HOUR_MS) + HOUR_MS)
      refuse(['toMs'], 'must lie within the UTC hour of fromMs, not before it');
    if (body.inventory && new Set(body.inventory.map((device) => device.uuid)).size !== body.inventory.length)
      refuse(['inventory'], 'names a device twice');
    for (const [index, one] of body.tenancies.entries()) {
      const endMs = one.startMs + one.lengthMs.reduce((sum, ms) => sum + ms, 0);
      if (one.startMs < body.fromMs || one.startMs > body.toMs)
        refuse(['tenancies', index, 'startMs'], 'must lie within the batch');
      if (endMs > body.toMs) refuse(['tenancies', index, 'lengthMs'], 'must not reach beyond the batch');
    }
    for (const [index, gap] of body.gaps.entries()) {
      if (gap.fromMs < body.fromMs || gap.fromMs >= gap.toMs || gap.toMs > body.toMs)
        refuse(['gaps', index, 'toMs'], 'must lie after fromMs and within the batch');
    }
  });

/** Text whose digest is checked again after it was stored, so it must come back as it was. */
const wholeText = (maxChars: number) =>
  z
    .string()
    .max(maxChars)
    .refine((text) => text.isWellFormed() && !text.includes('\0'), 'must be whole Unicode without NUL');

const Personal = z.strictObject({
  digest: Hash,
  salt: z.string().regex(BATCH_PATTERNS.salt),
  value: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('process'),
      user: wholeText(BATCH_LIMITS.nameChars).nullable(),
      commandLine: wholeText(BATCH_LIMITS.commandLineChars).nullable(),
      commandLineCut: z.boolean(),
    }),
    z.strictObject({
      kind: z.literal('connection'),
      peers: z.array(z.string().regex(BATCH_PATTERNS.peer)).max(BATCH_LIMITS.claims),
    }),
  ]),
});

/** Batches of one stream of one node, in ascending order of their numbers. */
export const BatchRequestSchema = z
  .strictObject({
    batches: z
      .array(
        z.strictObject({
          body: Body,
          hash: Hash,
          personal: z.array(Personal).max(BATCH_LIMITS.processes + BATCH_LIMITS.connections),
          signature: z
            .strictObject({ key: Hash, value: z.string().regex(BATCH_PATTERNS.signature) })
            .optional()
            .meta({ description: 'Ed25519, by the key of the node; required once a node has signed' }),
        }),
      )
      .max(BATCH_LIMITS.batchesPerRequest),
  })
  .superRefine((request, context) => {
    const first = request.batches[0]?.body;
    for (const [index, { body }] of request.batches.entries()) {
      for (const name of ['cluster', 'node', 'stream'] as const) {
        if (body[name] !== first?.[name])
          context.addIssue({
            code: 'custom',
            path: ['batches', index, 'body', name],
            message: 'must be the same in all batches of a request',
          });
      }
    }
  })
  .meta({ id: 'BatchRequest' });

export const BatchResponseSchema = z
  .object({
    results: z.array(
      z.object({
        seq: z.int(),
        status: z.enum(['stored', 'duplicate', 'quarantined', 'out_of_order']),
        message: z.string().nullable(),
      }),
    ),
    expectedSeq: z.int(),
    serviceTimeMs: z.int().optional(),
  })
  .meta({ id: 'BatchResponse' });
