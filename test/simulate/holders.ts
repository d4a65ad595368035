/**
 * Whom each device was allocated to, from the declarations as they stand in the end: exact, since no reading is needed to
 * know it. Only what the rules on docs/ACCOUNTING.md say without "where its processes ran first".
 */
import type { Built } from '../replay/build.ts';
import type { Declared } from '../replay/build-jobs.ts';
import { jobKey } from './keys.ts';
import { DECLARATION_LEAD } from './plots-diverted.ts';
import { overlapMs, type Zone } from './zones.ts';

const SELF_DECLARED = new Set(['api', 'run']);

interface Holding extends Zone {
  readonly job: string;
  readonly share: number;
}

/** By device UUID: what its holders get, by `jobKey`. Devices of nodes where a job has "so many of them" are left out. */
export function holdersOf(built: Built): ReadonlyMap<string, readonly Holding[]> {
  const byJob = new Map<string, Declared[]>();
  for (const one of built.declarations.filter(({ atMs }) => atMs <= built.endMs + built.scenario.after)) {
    const key = jobKey(one.job.source, one.job.externalId, one.job.incarnation ?? 0);
    byJob.set(key, [...(byJob.get(key) ?? []), one]);
  }
  const holdings = new Map<string, Holding[]>(
    [...built.nodes.values()].flatMap((node) => node.devices.map(({ uuid }) => [uuid, []])),
  );
  for (const [key, versions] of byJob) {
    const [first] = versions;
    const last = versions.at(-1);
    if (first === undefined || last === undefined) continue;
    const { job } = last;
    const countsMs = SELF_DECLARED.has(job.source) ? first.atMs - DECLARATION_LEAD * 1000 : -Infinity;
    for (const part of job.allocations) {
      const uuids = built.nodes.get(part.node)?.devices.map(({ uuid }) => uuid) ?? [];
      const fromMs = Math.max(
        countsMs,
        Date.parse(job.start),
        part.start == null ? -Infinity : Date.parse(part.start),
      );
      const toMs = Math.min(
        job.end === null || job.end === undefined ? Infinity : Date.parse(job.end),
        part.end == null ? Infinity : Date.parse(part.end),
      );
      if (part.count !== undefined && part.count !== null) for (const uuid of uuids) holdings.delete(uuid);
      else
        for (const uuid of part.devices ?? uuids)
          holdings.get(uuid)?.push({ job: key, share: part.share ?? 1, fromMs, toMs });
    }
  }
  return holdings;
}

/** What each holder gets of a stretch of a device; nobody is not listed. */
export function sharesOf(holdings: readonly Holding[], zone: Zone): ReadonlyMap<string, number> {
  const cuts = [
    ...new Set([zone.fromMs, zone.toMs, ...holdings.flatMap(({ fromMs, toMs }) => [fromMs, toMs])]),
  ]
    .filter((ms) => ms >= zone.fromMs && ms <= zone.toMs)
    .sort((a, b) => a - b);
  const shares = new Map<string, number>();
  for (const [at, toMs] of cuts.slice(1).entries()) {
    const piece = { fromMs: cuts[at] ?? toMs, toMs };
    const here = new Map<string, number>();
    for (const one of holdings)
      if (overlapMs([one], piece) > 0) here.set(one.job, Math.max(here.get(one.job) ?? 0, one.share));
    const sum = [...here.values()].reduce((total, share) => total + share, 0);
    for (const [job, share] of here)
      shares.set(
        job,
        (shares.get(job) ?? 0) + (piece.toMs - piece.fromMs) * (sum > 1 ? 1 / here.size : share),
      );
  }
  return shares;
}
