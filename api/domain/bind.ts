// Which devices a job holds on a node: named ones, all of them, or "n of the node" placed by rule.
import type { ObservedSpan } from './cell.ts';
import type { Allocation, Holding, Job } from './job.ts';
import type { Policy } from './policy.ts';
import { runsOf } from './runs.ts';
import { WHOLE_MILLI } from './slots.ts';
import { effectiveStartMs, grantsOf } from './terms.ts';
import type { Judge } from './verdict.ts';

/** `toMs` of a holding whose job has not ended. */
export const OPEN_END_MS = Number.MAX_SAFE_INTEGER;

/** When a job's processes were first seen on a device, by job id and device UUID. */
export type FirstSeen = ReadonlyMap<string, ReadonlyMap<string, number>>;

export const placesByCount = (job: Job, node: string): boolean =>
  [job, ...(job.earlier ?? [])].some(({ allocations }) =>
    allocations.some((one) => one.node === node && one.devices === null && one.count !== null),
  );

interface Request {
  readonly job: Job;
  readonly allocation: Allocation;
  readonly fromMs: number;
  readonly toMs: number;
  /** How many devices are still to be placed. */
  left: number;
}

/**
 * Places the allocations of `jobs` on the devices of `node`. Named devices and whole nodes first; then "n of a node":
 * where the job's processes ran first (`firstSeen`), the rest on the lowest free UUIDs, marked `assumed`. A device is
 * free for an allocation when the shares that overlap it leave room; when none is free the lowest one is taken all the
 * same, and the conflict shows in the ledger. The order of `jobs` and `deviceUuids` does not matter. A self-declared job
 * holds nothing before it counts, so that a late one does not take the place of others.
 */
export function bindNode(
  node: string,
  jobs: Iterable<Job>,
  firstSeen: FirstSeen,
  deviceUuids: readonly string[],
  policy: Policy,
): Holding[] {
  const devices = [...new Set(deviceUuids)].sort();
  const requests = requestsOn(node, jobs, devices.length, policy);
  const placed = new Map<string, Holding[]>();
  const place = (request: Request, device: string, assumed: boolean): void => {
    const holdings = placed.get(device) ?? [];
    placed.set(device, holdings);
    const { fromMs, toMs } = request;
    holdings.push({
      job: request.job.id,
      device,
      shareMilli: request.allocation.shareMilli,
      assumed,
      fromMs,
      toMs,
    });
    request.left -= 1;
  };
  const holdsAlready = (request: Request, device: string): boolean =>
    (placed.get(device) ?? []).some((other) => other.job === request.job.id && overlaps(other, request));
  const isFree = (request: Request, device: string): boolean => {
    let takenMilli = request.allocation.shareMilli;
    for (const other of placed.get(device) ?? [])
      if (overlaps(other, request)) takenMilli += other.shareMilli;
    return takenMilli <= WHOLE_MILLI;
  };

  const counted: Request[] = [];
  for (const request of requests) {
    const { devices: named, count } = request.allocation;
    if (named === null && count !== null) counted.push(request);
    else for (const device of named ?? devices) place(request, device, false);
  }
  for (const { request, device } of seenInOrder(counted, firstSeen, devices))
    if (request.left > 0 && isFree(request, device) && !holdsAlready(request, device))
      place(request, device, false);
  for (const request of counted) {
    const others = devices.filter((device) => !holdsAlready(request, device));
    const free = others.filter((device) => isFree(request, device));
    const busy = others.filter((device) => !free.includes(device));
    for (const device of [...free, ...busy].slice(0, request.left)) place(request, device, true);
  }
  return [...placed.values()]
    .flat()
    .sort(
      (a, b) =>
        compare(a.device, b.device) || a.fromMs - b.fromMs || compare(a.job, b.job) || a.toMs - b.toMs,
    );
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const overlaps = (a: { fromMs: number; toMs: number }, b: { fromMs: number; toMs: number }): boolean =>
  a.fromMs < b.toMs && b.fromMs < a.toMs;

/** The allocations that concern a node, each within its job's own time, earliest first. */
function requestsOn(node: string, jobs: Iterable<Job>, deviceCount: number, policy: Policy): Request[] {
  const requests: Request[] = [];
  for (const job of jobs) {
    for (const { allocation, fromMs, toMs } of grantsOf(job, node, policy)) {
      const left = Math.min(allocation.count ?? deviceCount, deviceCount);
      requests.push({ job, allocation, fromMs, toMs: Math.min(toMs, OPEN_END_MS), left });
    }
  }
  return requests.sort((a, b) => a.fromMs - b.fromMs || compare(a.job.id, b.job.id) || a.toMs - b.toMs);
}

function seenInOrder(
  requests: readonly Request[],
  firstSeen: FirstSeen,
  devices: readonly string[],
): { request: Request; device: string }[] {
  const seen: { request: Request; device: string; atMs: number }[] = [];
  for (const request of requests) {
    for (const [device, atMs] of firstSeen.get(request.job.id) ?? [])
      if (request.fromMs <= atMs && atMs < request.toMs && devices.includes(device))
        seen.push({ request, device, atMs });
  }
  return seen.sort(
    (a, b) => a.atMs - b.atMs || compare(a.request.job.id, b.request.job.id) || compare(a.device, b.device),
  );
}

/**
 * When each job's processes were first seen on each device in these spans. Kernel boundary and lineage count; a claim
 * places nothing. Of a job that ran more than once, every run that could be meant gets the moment; `bindNode` takes those
 * that lie in the run.
 */
export function firstSeenIn(
  judge: Judge,
  spansByDevice: ReadonlyMap<string, readonly ObservedSpan[]>,
  policy: Policy,
): Map<string, Map<string, number>> {
  const firstSeen = new Map<string, Map<string, number>>();
  for (const [device, spans] of spansByDevice) {
    for (const span of runsOf(spans)) {
      for (const { process } of span.tenants) {
        const tie = judge.tiesOf(process).ties[0];
        if (tie === undefined || tie.evidence === 'claim') continue;
        for (const job of tie.jobs) {
          const atMs = Math.max(span.fromMs, effectiveStartMs(job, policy));
          if (atMs >= Math.min(span.toMs, job.endMs ?? OPEN_END_MS)) continue;
          const byDevice = firstSeen.get(job.id) ?? new Map<string, number>();
          firstSeen.set(job.id, byDevice);
          byDevice.set(device, Math.min(byDevice.get(device) ?? atMs, atMs));
        }
      }
    }
  }
  return firstSeen;
}
