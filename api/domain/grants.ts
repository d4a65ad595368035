/**
 * What the kubelet gave to pods, as devices of the node. Kubernetes itself only knows how many a pod asked for; which ones
 * those are is the kubelet's word, carried by the agent, and beats the place where the pod's processes were seen.
 */
import type { BatchBody, DeviceFact } from '../contract/batch.ts';
import { type GrantFact, type GrantsFact, replicaOf } from '../contract/grants.ts';
import type { FirstSeen } from './bind.ts';
import type { Interval } from './interval.ts';
import type { Allocation, Job } from './job.ts';
import { WHOLE_MILLI } from './slots.ts';

/** A pod's part of a device. */
export interface ObservedGrant {
  readonly namespace: string;
  readonly pod: string;
  readonly atMs: number;
  /** null: an id that the inventory does not explain. */
  readonly device: string | null;
  readonly shareMilli: number;
}

/** Kubelets list a pod for a while after it ended; one that was short may be listed only then. */
const AFTER_END_MS = 60_000;
/** The clocks of kubelet and agent differ by no more. */
const CLOCKS_MS = 5_000;

type Part = Pick<ObservedGrant, 'device' | 'shareMilli'>;

/** The grants of a node-hour; those of a batch by the newest inventory at that point. Batches in order. */
export function podGrantsOf(batches: readonly Pick<BatchBody, 'inventory' | 'grants'>[]): ObservedGrant[] {
  const grants: ObservedGrant[] = [];
  let inventory: readonly DeviceFact[] = [];
  for (const batch of batches) {
    inventory = batch.inventory ?? inventory;
    if (batch.grants === undefined) continue;
    for (const own of byPod(batch.grants).values()) {
      const [{ namespace, pod } = { namespace: '', pod: '' }] = own;
      for (const part of partsOf(own, batch.grants, inventory))
        grants.push({ namespace, pod, atMs: batch.grants.atMs, ...part });
    }
  }
  return grants;
}

const byPod = ({ grants }: GrantsFact): Map<string, GrantFact[]> =>
  Map.groupBy(grants, ({ namespace, pod }) => podKey(namespace, pod));

const podKey = (namespace: string, pod: string): string => `${namespace}/${pod}`;

/** What a pod has of each device; containers that are given the same one share it. */
function partsOf(own: readonly GrantFact[], fact: GrantsFact, inventory: readonly DeviceFact[]): Part[] {
  const replicas = new Map(fact.replicas.map(({ device, count }) => [device, count]));
  const ids = new Set(own.flatMap((grant) => grant.ids));
  const sums = new Map<string, number>();
  const parts: Part[] = [];
  for (const id of [...ids].sort()) {
    const base = replicaOf(id);
    const count = base === null ? 1 : (replicas.get(base) ?? 1);
    const { device, shareMilli } = partOf(base ?? id, inventory);
    const share = Math.max(1, Math.floor(shareMilli / count));
    if (device === null) parts.push({ device, shareMilli: WHOLE_MILLI });
    else sums.set(device, Math.min(WHOLE_MILLI, (sums.get(device) ?? 0) + share));
  }
  for (const [device, shareMilli] of sums) parts.push({ device, shareMilli });
  return parts;
}

const UNKNOWN: Part = { device: null, shareMilli: WHOLE_MILLI };
/** "MIG-GPU-<uuid>/<GPU instance>/<compute instance>", as drivers before 470 name an instance. */
const OLD_INSTANCE = /^MIG-(GPU-[0-9A-Za-z-]+)\/(\d{1,5})\/\d{1,5}$/;
/** "nvidia0", "nvidia0/gi3": devices and instances by minor number, as Google's plugin names them. */
const BY_MINOR = /^nvidia(\d{1,5})(?:\/gi(\d{1,5}))?$/;
/** "gpu-0", "gpu-0-mig-19-4-1": dynamic resources, by minor number, profile, first slice and slices of memory. */
const DYNAMIC = /^gpu-(\d{1,5})(?:-mig-(\d{1,3})-\d{1,2}-(\d{1,2}))?$/;
/** Compute slices of the driver's profiles, of devices that have seven. */
const PROFILE_SLICES: ReadonlyMap<string, number> = new Map([
  ['19', 1],
  ['20', 1],
  ['15', 1],
  ['14', 2],
  ['9', 3],
  ['5', 4],
  ['0', 7],
]);

/** The device that an id of the kubelet means, and how much of it. */
function partOf(id: string, inventory: readonly DeviceFact[]): Part {
  for (const device of inventory) {
    if (names(id, device.uuid)) return whole(device);
    for (const instance of device.instances)
      if (instance.uuid !== null && names(id, instance.uuid)) return slice(device, instance.slices);
  }
  const byMinor = (minor: string | undefined): DeviceFact | undefined =>
    inventory.find((device) => device.minor !== null && String(device.minor) === minor);
  const old = OLD_INSTANCE.exec(id);
  if (old !== null)
    return instanceOf(
      inventory.find(({ uuid }) => uuid === old[1]),
      old[2],
    );
  const [numbered, minor, gpuInstance] = BY_MINOR.exec(id) ?? [];
  if (numbered !== undefined) return instanceOf(byMinor(minor), gpuInstance);
  const [dynamic, parent, profile, size] = DYNAMIC.exec(id) ?? [];
  const device = dynamic === undefined ? undefined : byMinor(parent);
  if (device === undefined) return UNKNOWN;
  if (profile === undefined) return whole(device);
  return slice(device, (device.slices === 7 ? PROFILE_SLICES.get(profile) : undefined) ?? Number(size));
}

/** An id is a UUID, or begins with one: what follows numbers a part of it. */
const names = (id: string, uuid: string): boolean =>
  id === uuid || (id.startsWith(uuid) && !/[0-9A-Za-z]/.test(id.charAt(uuid.length)));

const whole = ({ uuid }: DeviceFact): Part => ({ device: uuid, shareMilli: WHOLE_MILLI });

function instanceOf(device: DeviceFact | undefined, gpuInstance: string | undefined): Part {
  if (device === undefined) return UNKNOWN;
  if (gpuInstance === undefined) return whole(device);
  const instance = device.instances.find((one) => String(one.gpuInstance) === gpuInstance);
  return slice(device, instance?.slices ?? null);
}

/** Cut, so that the parts of a device never exceed it. */
function slice(device: DeviceFact, slices: number | null): Part {
  if (slices === null || device.slices === null || slices >= device.slices) return whole(device);
  return { device: device.uuid, shareMilli: Math.max(1, Math.floor((slices * WHOLE_MILLI) / device.slices)) };
}

export interface GrantedJobs {
  /** The jobs, those that the kubelet gave devices to with these in the place of what they asked for. */
  readonly jobs: readonly Job[];
  /** When these devices were given, for hours in which the kubelet was not heard. */
  readonly seen: FirstSeen;
}

/** Only a scheduler's own record of a pod is its pod: anybody could declare one of that name. */
export function withGrants(
  node: string,
  jobs: readonly Job[],
  grants: readonly ObservedGrant[],
  hour: Interval,
): GrantedJobs {
  const seen = new Map<string, Map<string, number>>();
  if (grants.length === 0) return { jobs, seen };
  const given = Map.groupBy(grants, ({ namespace, pod }) => podKey(namespace, pod));
  const pods = Map.groupBy(jobs, keyOf);
  const changed = jobs.map((job) => {
    const key = keyOf(job);
    const runs = pods.get(key);
    if (key === null || runs === undefined) return job;
    const own = (given.get(key) ?? []).filter(({ atMs }) => runOf(runs, atMs) === job);
    if (own.length === 0) return job;
    const allocations = allocationsOf(job, node, own);
    const fromMs = Math.max(job.startMs, hour.fromMs);
    seen.set(
      job.id,
      new Map(
        allocations.flatMap(({ devices }) => (devices ?? []).map((device) => [device, fromMs] as const)),
      ),
    );
    return { ...job, allocations: [...job.allocations.filter((one) => one.node !== node), ...allocations] };
  });
  return { jobs: changed, seen };
}

/** Of a pod; null: it is none. */
function keyOf({ source, selfDeclared, attributes }: Job): string | null {
  const pod = attributes?.['pod'];
  if (source !== 'kubernetes' || selfDeclared || pod === undefined) return null;
  return podKey(attributes?.['namespace'] ?? '', pod);
}

/** Pods of one name follow each other: the one that ran then, else the one that had ended last. */
function runOf(pods: readonly Job[], atMs: number): Job | undefined {
  const running = pods.find(
    ({ startMs, endMs }) => startMs <= atMs && atMs < (endMs ?? Number.POSITIVE_INFINITY),
  );
  if (running !== undefined) return running;
  const [ended] = pods
    .flatMap((pod) =>
      pod.endMs !== null && pod.startMs <= atMs && atMs < pod.endMs + AFTER_END_MS
        ? [{ pod, endMs: pod.endMs }]
        : [],
    )
    .sort((a, b) => b.endMs - a.endMs || (a.pod.id < b.pod.id ? -1 : 1));
  return ended?.pod ?? pods.find(({ startMs }) => atMs < startMs && startMs - CLOCKS_MS <= atMs);
}

/** A pod keeps its devices for all of its life. What cannot be told by name stays a number of devices. */
function allocationsOf(job: Job, node: string, own: readonly ObservedGrant[]): Allocation[] {
  const asked = job.allocations.filter((one) => one.node === node);
  const fromMs = asked.reduce((least, one) => Math.min(least, one.fromMs), asked[0]?.fromMs ?? job.startMs);
  const shares = new Map<string, number>();
  let unnamed = 0;
  for (const at of Map.groupBy(own, ({ atMs }) => atMs).values()) {
    unnamed = Math.max(unnamed, at.filter(({ device }) => device === null).length);
    for (const { device, shareMilli } of at)
      if (device !== null) shares.set(device, Math.max(shares.get(device) ?? 0, shareMilli));
  }
  const named = [...shares].sort().map(
    ([device, shareMilli]): Allocation => ({
      node,
      devices: [device],
      count: null,
      fromMs,
      toMs: null,
      shareMilli,
    }),
  );
  if (unnamed === 0) return named;
  const shareMilli = asked[0]?.shareMilli ?? WHOLE_MILLI;
  return [...named, { node, devices: null, count: unnamed, fromMs, toMs: null, shareMilli }];
}
