/** A node-hour as the attribution sees it, read again for a finding's page. */

import type { Clock } from '../../clock.ts';
import type { BatchBody } from '../../contract/batch.ts';
import type { ObservedGap, ObservedSpan } from '../../domain/cell.ts';
import { creditSpan } from '../../domain/credit.ts';
import { gapsOf, type ObservedAccounted, spansOf } from '../../domain/decode.ts';
import type { IntegrityFinding, ObservedHolder } from '../../domain/integrity.ts';
import type { Holding } from '../../domain/job.ts';
import type { NodeFacts } from '../../domain/verdict.ts';
import type { Store } from '../../store/store.ts';
import { readHourOf } from '../load-hour.ts';
import { type HourOfNode, integrityOf, placeNodeHour, watermarksOf } from '../node-hour.ts';

/** What a page shows of a node-hour. */
export interface HourRecord {
  readonly fromMs: number;
  readonly facts: NodeFacts;
  /** By device UUID; what go-betweens are listed with is credited. */
  readonly spans: ReadonlyMap<string, readonly ObservedSpan[]>;
  readonly gaps: ReadonlyMap<string, readonly ObservedGap[]>;
  readonly holdings: readonly Holding[];
  /** The numbers in /dev/nvidiaN, by device UUID, where the inventory tells. */
  readonly minors: ReadonlyMap<string, number>;
  readonly holders: readonly ObservedHolder[];
  /** What the driver's accounting lists. */
  readonly accounted: readonly ObservedAccounted[];
  readonly integrity: readonly IntegrityFinding[];
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
      const loaded = await readHourOf(store, hour, bodies);
      const { facts } = loaded;
      const sources = watermarksOf(facts.sources, facts.policy, clock.nowMs());
      const { node, judge, holdings } = placeNodeHour({ ...loaded, sources });
      const { decoded } = loaded;
      const uuids = facts.devices.map((device) => device.device);
      return {
        fromMs: hour.hourMs,
        facts: node,
        spans: new Map(
          uuids.map((uuid) => [uuid, spansOf(decoded, uuid).map((span) => creditSpan(span, node.processes))]),
        ),
        gaps: new Map(uuids.map((uuid) => [uuid, gapsOf(decoded, uuid)])),
        holdings,
        minors: minorsOf(bodies),
        holders: decoded.holders,
        accounted: decoded.accounted,
        integrity: integrityOf(node, judge, decoded),
        pollIntervalMs: newest.pollIntervalMs,
      };
    },
  };
}

function minorsOf(bodies: readonly BatchBody[]): Map<string, number> {
  const minors = new Map<string, number>();
  for (const { inventory } of bodies)
    for (const { uuid, minor } of inventory ?? []) if (minor !== null) minors.set(uuid, minor);
  return minors;
}
