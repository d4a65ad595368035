/** A node-hour as the attribution sees it, read again for a finding's page. */

import type { Clock } from '../../clock.ts';
import type { BatchBody } from '../../contract/batch.ts';
import { bindNode } from '../../domain/bind.ts';
import type { ObservedGap, ObservedSpan } from '../../domain/cell.ts';
import { gapsOf, spansOf } from '../../domain/decode.ts';
import type { Holding } from '../../domain/job.ts';
import type { NodeFacts } from '../../domain/verdict.ts';
import type { Store } from '../../store/store.ts';
import { decodeHour, type HourOfNode, jobsWanted, missingProcesses, watermarksOf } from '../node-hour.ts';

/** What a page shows of a node-hour. */
export interface HourRecord {
  readonly fromMs: number;
  readonly facts: NodeFacts;
  /** By device UUID. */
  readonly spans: ReadonlyMap<string, readonly ObservedSpan[]>;
  readonly gaps: ReadonlyMap<string, readonly ObservedGap[]>;
  readonly holdings: readonly Holding[];
  readonly pollIntervalMs: number;
}

export interface HourReader {
  /** `node` is the store's number of it. Null where nothing is left of what was reported. */
  read(hour: HourOfNode & { readonly node: number }): Promise<HourRecord | null>;
}

export function createHourReader(store: Store, clock: Clock): HourReader {
  return {
    async read(hour) {
      const bodies = (await store.batches.readHour(hour)).map((batch): BatchBody => JSON.parse(batch.body));
      const newest = bodies.at(-1);
      if (newest === undefined) return null;
      const digests = bodies.flatMap((body) => body.processes.flatMap((process) => process.personal ?? []));
      const decoded = decodeHour(hour, bodies, await store.ledger.readPersonal(new Set(digests)));
      const ancestors = await store.ledger.readProcesses(hour.node, missingProcesses(decoded));
      const processes = new Map(ancestors.map((process) => [process.id, process]));
      for (const [id, process] of decoded.processes) processes.set(id, process);
      const { devices, sources, policy } = await store.ledger.readFacts(hour);
      const jobs = await store.ledger.readJobs(jobsWanted(hour, processes));
      const uuids = devices.map((device) => device.device);
      return {
        fromMs: hour.hourMs,
        facts: {
          cluster: hour.cluster,
          node: hour.nodeName,
          processes,
          jobs: new Map(jobs.map((job) => [job.id, job])),
          sources: watermarksOf(sources, policy, clock.nowMs()),
          policy,
        },
        spans: new Map(uuids.map((uuid) => [uuid, spansOf(decoded, uuid)])),
        gaps: new Map(uuids.map((uuid) => [uuid, gapsOf(decoded, uuid)])),
        holdings: bindNode(hour.nodeName, jobs, await store.ledger.readFirstSeen(hour), uuids),
        pollIntervalMs: newest.pollIntervalMs,
      };
    },
  };
}
