// Arbitrary small sites as facts: what agents report, what people and schedulers declare, in lanes that keep their order.
import fc from 'fast-check';
import {
  ACCOUNTED_TYPE,
  type Batch,
  type BatchBody,
  type ProcessFact,
  type Tenancy,
} from '../../api/contract/batch.ts';
import { FleetIn } from '../../api/contract/fleet.ts';
import { JobIn, type JobPatch } from '../../api/contract/jobs.ts';
import { apportion } from '../../api/domain/apportion.ts';
import { BOOT, device, HOUR, MINUTE, personalOf, processFact, Stream } from '../store/site.ts';

/** An hour before a month ends: days and billing periods change within every plan. */
export const START = Date.UTC(2026, 9, 31, 23);
export const END = START + 2 * HOUR;
const NODES = ['n1', 'n2'] as const;
const PIDS = [11, 12, 13, 14] as const;

export type Fact =
  | { readonly kind: 'post'; readonly node: string; readonly batches: readonly Batch[] }
  | { readonly kind: 'declare'; readonly recordedAtMs: number; readonly job: JobIn }
  | { readonly kind: 'patch'; readonly recordedAtMs: number; readonly job: JobIn; readonly patch: JobPatch }
  | { readonly kind: 'watermark'; readonly source: string; readonly completeToMs: number }
  | { readonly kind: 'fleet'; readonly fleet: FleetIn };

/** Facts of one lane come in its order; those of different lanes in any. */
export interface Plan {
  readonly lanes: readonly (readonly Fact[])[];
}

const time = (ms: number): string => new Date(ms).toISOString();
const moment = fc.integer({ min: -20, max: 140 }).map((minutes) => START + minutes * MINUTE + 7);
const slurm = (id: string): string => `0::/system.slice/slurmstepd.scope/job_${id}/step_0/user/task_0`;

interface Life {
  readonly fact: ProcessFact;
  readonly fromMs: number;
  readonly toMs: number;
}

const aLife = (pid: number): fc.Arbitrary<Life> =>
  fc
    .record({
      cgroup: fc.constantFrom(...['1', '1', '2', '2', '9'].map(slurm), '0::/user.slice', '0::/user.slice'),
      parent: fc.constantFrom(null, ...PIDS.filter((other) => other < pid)),
      path: fc.constantFrom('/usr/bin/python3', '/usr/bin/bash', '/tmp/m'),
      claim: fc.constantFrom(null, null, '1', '3'),
      uid: fc.constantFrom(1000, 1000, 1000, 1001),
      fromMs: fc.constantFrom(-30, -30, 0, 17, 50).map((minutes) => START + minutes * MINUTE + 3),
      minutes: fc.constantFrom(25, 70, 160, 160),
    })
    .map(({ parent, path, claim, fromMs, minutes, ...more }) => ({
      fromMs,
      toMs: fromMs + minutes * MINUTE,
      fact: processFact(pid, {
        ...more,
        startedMs: fromMs,
        firstSeenMs: fromMs,
        parent: parent === null ? null : processFact(parent).key,
        executable: { path, device: '8:1', inode: path, deleted: false, fileSystem: null },
        claims: claim === null ? [] : [{ name: 'SLURM_JOB_ID', value: claim }],
        personal: personalOf('alice', path).digest,
      }),
    }));

interface Stretch {
  readonly ms: number;
  readonly what: 'span' | 'unknown' | 'gap' | 'nothing';
  readonly on: readonly {
    readonly pids: readonly number[];
    readonly busy: number;
    readonly weights: readonly number[];
    /** Of what is not active, in thousandths. */
    readonly conflict: number;
    /** A process that only accounting lists was there too. */
    readonly unseen: boolean;
  }[];
  readonly inventory: boolean;
  /** A process that tries many peers. */
  readonly scans: number | null;
}

const aStretch: fc.Arbitrary<Stretch> = fc.record({
  ms: fc.integer({ min: 20_001, max: 1_500_000 }),
  what: fc.constantFrom(
    'span' as const,
    'span' as const,
    'span' as const,
    'unknown' as const,
    'gap' as const,
    'nothing' as const,
  ),
  on: fc.array(
    fc.record({
      pids: fc.subarray([...PIDS], { minLength: 1 }),
      busy: fc.integer({ min: 0, max: 1000 }),
      weights: fc.array(fc.nat(9), { minLength: PIDS.length, maxLength: PIDS.length }),
      conflict: fc.constantFrom(0, 0, 300, 1000),
      unseen: fc.constantFrom(false, false, true),
    }),
    { minLength: 2, maxLength: 2 },
  ),
  inventory: fc.boolean(),
  scans: fc.option(fc.constantFrom(...PIDS), { freq: 2 }),
});

interface Source {
  readonly node: string;
  readonly name: string;
  readonly fromMs: number;
  readonly stretches: readonly Stretch[];
}

/** A device of the site, on the node that has it at a moment; null: on none yet. */
interface Place {
  readonly uuid: string;
  readonly moves: readonly { readonly node: string; readonly fromMs: number }[];
}
const nodeAt = (place: Place, ms: number): string | null =>
  place.moves.findLast((move) => move.fromMs <= ms)?.node ?? null;

function tenancyOf(
  uuid: string,
  fromMs: number,
  toMs: number,
  alive: readonly Life[],
  stretch: Stretch,
  at: number,
): Tenancy {
  const ms = toMs - fromMs;
  const on = stretch.on[at % 2];
  const known = stretch.what !== 'unknown';
  const here = alive.filter((life) => on?.pids.includes(life.fact.pid));
  const tenants = here.map(({ fact: { key, pid } }) => {
    return { process: key, type: 'C', memoryBytes: null, gpuInstance: known ? null : (pid % 3) + 1 };
  });
  const weights = here.map((life) => on?.weights[life.fact.pid - 11] ?? 0);
  if (known && on?.unseen) {
    tenants.push({ process: `9/?${fromMs}`, type: ACCOUNTED_TYPE, memoryBytes: null, gpuInstance: null });
    weights.push(5);
  }
  const activeMs = Math.floor((ms * (on?.busy ?? 0)) / 1000);
  return {
    device: uuid,
    tenants,
    startMs: fromMs,
    lengthMs: [ms],
    activeMs: known ? [activeMs] : null,
    shareMs: known ? apportion(activeMs, weights).map((share) => [share]) : [],
    method: tenants.length === 0 ? 'none' : 'sm_share',
    conflictMs: known ? [Math.floor(((ms - activeMs) * (on?.conflict ?? 0)) / 1000)] : [],
    partition: known ? [] : PARTITION,
  };
}

/** Of seven slices; where the inventory does not say so, the device is taken as a whole. */
const PARTITION = [
  { gpuInstance: 1, slices: 3 },
  { gpuInstance: 2, slices: 2 },
  { gpuInstance: 3, slices: 1 },
];
const slicesOf = (uuid: string): number | null => (uuid === uuids[0] ? 7 : null);

/** What one installation of an agent sends: a batch for each stretch, cut where hours end. */
function batchesOf(source: Source, places: readonly Place[], lives: readonly Life[]): Batch[] {
  const stream = new Stream(source.node, source.name);
  const batches: Batch[] = [];
  let atMs = source.fromMs;
  let lastHourMs = -1;
  const known = new Set<string>();
  for (const stretch of source.stretches) {
    const endMs = Math.min(END, atMs + stretch.ms);
    while (atMs < endMs) {
      const hourMs = atMs - (atMs % HOUR);
      const [fromMs, toMs] = [atMs, Math.min(endMs, hourMs + HOUR)];
      atMs = toMs;
      if (stretch.what === 'nothing') continue;
      const fresh = hourMs !== lastHourMs;
      lastHourMs = hourMs;
      const alive = lives.filter((life) => life.fromMs <= fromMs && fromMs < life.toMs);
      const told = alive.filter((life) => fresh || !known.has(life.fact.key));
      for (const life of told) known.add(life.fact.key);
      const here = places.filter((place) => nodeAt(place, fromMs) === source.node);
      const body: Partial<BatchBody> = {
        processes: told.map((life) => life.fact),
        inventory:
          fresh || stretch.inventory
            ? here.map(({ uuid }, index) => ({ ...device(source.node, index), uuid, slices: slicesOf(uuid) }))
            : null,
      };
      if (stretch.what === 'gap')
        body.gaps = [{ device: null, fromMs, toMs, reason: 'tool_failed', detail: '' }];
      else body.tenancies = here.map((place, at) => tenancyOf(place.uuid, fromMs, toMs, alive, stretch, at));
      body.connections = alive
        .filter((life) => life.fact.pid === stretch.scans)
        .map((life) => ({
          ...{ process: life.fact.key, kind: 'attempt', peerClass: 'internal', localPort: 0, peers: 30 },
          ...{ firstMs: fromMs, lastMs: toMs, personal: null },
        }));
      const personal = told.map((life) => personalOf('alice', life.fact.executable?.path ?? ''));
      batches.push(
        stream.batch(fromMs, toMs, body, [...new Map(personal.map((one) => [one.digest, one])).values()]),
      );
    }
  }
  return batches;
}

const posts = (node: string, batches: readonly Batch[], size: number): Fact[] => {
  const facts: Fact[] = [];
  for (let at = 0; at < batches.length; at += size)
    facts.push({ kind: 'post', node, batches: batches.slice(at, at + size) });
  return facts;
};

const aSource = (node: string, name: string): fc.Arbitrary<Source> =>
  fc.record({
    node: fc.constant(node),
    name: fc.constant(name),
    fromMs: fc.constantFrom(0, 0, 20, 45, 90).map((minutes) => START + minutes * MINUTE + 13),
    stretches: fc.array(aStretch, { minLength: 2, maxLength: 8 }),
  });

const uuids = ['GPU-a', 'GPU-b', 'GPU-c'] as const;

const anAllocation = fc
  .record({
    node: fc.constantFrom('n1', 'n1', 'n2'),
    what: fc.constantFrom('devices', 'count', 'count', 'node'),
    devices: fc.subarray([...uuids], { minLength: 1 }),
    count: fc.integer({ min: 1, max: 2 }),
    share: fc.constantFrom(1, 1, 0.5, 0.333),
    start: fc.constantFrom(undefined, undefined, undefined, START + 30 * MINUTE),
  })
  .map(({ node, what, devices, count, share, start }) => ({
    node,
    share,
    ...(start === undefined ? {} : { start: time(start) }),
    ...(what === 'devices' ? { devices } : what === 'count' ? { count } : {}),
  }));

const aPatch = fc
  .record({
    what: fc.constantFrom('end', 'end', 'open', 'account', 'allocations', 'executables', 'user', 'name'),
    end: moment,
    allocations: fc.array(anAllocation, { maxLength: 2 }),
  })
  .map(({ what, end, allocations }): JobPatch => {
    if (what === 'end') return { end: time(end) };
    if (what === 'open') return { end: null };
    if (what === 'account') return { account: 'chemistry' };
    if (what === 'allocations') return { allocations };
    if (what === 'user') return { user: 'alice' };
    if (what === 'name') return { name: 'another' };
    return { executables: ['/usr/**'] };
  });

/** A job with its corrections, each said at a moment of its own; some are said twice. */
const aJob: fc.Arbitrary<Fact[]> = fc
  .record({
    source: fc.constantFrom('slurm', 'slurm', 'run', 'api'),
    externalId: fc.constantFrom('1', '1', '2', '2', '3'),
    incarnation: fc.constantFrom(0, 0, 1),
    startMs: fc.oneof(moment, fc.constantFrom(START - HOUR, START - HOUR, START + 10 * MINUTE)),
    minutes: fc.option(fc.integer({ min: 40, max: 190 }), { freq: 2 }),
    allocations: fc.array(anAllocation, { minLength: 1, maxLength: 2 }),
    executables: fc.constantFrom([], [], ['/usr/**']),
    uid: fc.constantFrom(null, null, null, 1000),
    boundary: fc.constantFrom(true, true, false),
    root: fc.constantFrom(null, ...PIDS),
    patches: fc.array(fc.tuple(aPatch, fc.boolean(), fc.integer({ min: 1, max: 40 })), { maxLength: 3 }),
    recordedAtMs: moment,
  })
  .map(({ startMs, minutes, patches, boundary, root, recordedAtMs, ...more }) => {
    const job = JobIn.parse({
      ...more,
      account: 'physics',
      start: time(startMs),
      end: minutes === null ? null : time(startMs + minutes * MINUTE),
      ...(boundary ? { boundaries: [`slurm:${more.externalId}`] } : {}),
      root:
        root === null || more.source === 'slurm'
          ? null
          : { node: 'n1', bootId: BOOT, pid: root, startTicks: root * 100 },
    });
    const facts: Fact[] = [{ kind: 'declare', recordedAtMs, job }];
    let saidMs = recordedAtMs;
    for (const [patch, twice, after] of patches) {
      saidMs += after * MINUTE;
      const change: Fact = { kind: 'patch', recordedAtMs: saidMs, job, patch };
      facts.push(change, ...(twice ? [change] : []));
    }
    return facts;
  });

const aFleet = (places: readonly Place[]): fc.Arbitrary<Fact> =>
  fc
    .record({
      place: fc.constantFrom(...places),
      node: fc.constantFrom(...NODES),
      fromMs: moment,
      minutes: fc.option(fc.integer({ min: 0, max: 100 })),
    })
    .map(({ place, node, fromMs, minutes }) => ({
      kind: 'fleet',
      fleet: FleetIn.parse({
        nodes: [
          {
            node,
            from: time(fromMs),
            to: minutes === null ? null : time(fromMs + minutes * MINUTE),
            devices: [{ uuid: place.uuid, model: device(node, 0).model }],
          },
        ],
      }),
    }));

const aPlace = (uuid: string): fc.Arbitrary<Place> =>
  fc
    .record({
      first: fc.constantFrom('n1', 'n1', 'n1', 'n2'),
      move: fc.option(fc.tuple(fc.constantFrom(...NODES), moment), { freq: 2 }),
    })
    .map(({ first, move }) => ({
      uuid,
      moves: [{ node: first, fromMs: 0 }, ...(move === null ? [] : [{ node: move[0], fromMs: move[1] }])],
    }));

export const aPlan: fc.Arbitrary<Plan> = fc
  .record({
    places: fc.integer({ min: 1, max: 3 }).chain((count) => fc.tuple(...uuids.slice(0, count).map(aPlace))),
    lives: fc.tuple(...PIDS.map(aLife)),
    sources: fc.tuple(
      aSource('n1', 'one'),
      fc.option(aSource('n1', 'two')),
      fc.option(aSource('n2', 'three')),
    ),
    size: fc.integer({ min: 1, max: 3 }),
    jobs: fc.uniqueArray(aJob, { minLength: 1, maxLength: 4, selector: keyOf }),
    watermarks: fc.array(
      moment.map((completeToMs): Fact => ({ kind: 'watermark', source: 'slurm', completeToMs })),
      { maxLength: 3 },
    ),
  })
  .chain(({ places, lives, sources, size, jobs, watermarks }) =>
    fc.array(aFleet(places), { maxLength: 2 }).map((fleet) => ({
      lanes: [
        ...sources.flatMap((source) =>
          source === null ? [] : [posts(source.node, batchesOf(source, places, lives), size)],
        ),
        ...jobs,
        ...watermarks.map((one) => [one]),
        fleet,
      ],
    })),
  );

function keyOf(facts: readonly Fact[]): string {
  const [first] = facts;
  return first?.kind === 'declare'
    ? `${first.job.source} ${first.job.externalId} ${first.job.incarnation}`
    : '';
}

/** What happens between two facts. */
const aTurn = fc.record({
  lane: fc.nat(1000),
  next: fc.constantFrom('nothing', 'nothing', 'attribute', 'wait', 'again', 'seal', 'restart'),
  minutes: fc.integer({ min: 1, max: 40 }),
});
export const turns = fc.array(aTurn, { minLength: 60, maxLength: 60 });
export type Turn = typeof aTurn extends fc.Arbitrary<infer T> ? T : never;
