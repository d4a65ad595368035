/** Everything that a node-hour is attributed from, read from the store: the same for the worker, `verify` and the pages. */
import type { BatchBody } from '../contract/batch.ts';
import { peersWanted, siteConnections } from '../domain/site-network.ts';
import type { NodeHourKey } from '../store/batches.ts';
import type { HourFacts } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';
import {
  decodeHour,
  type HourOfNode,
  jobsWanted,
  missingProcesses,
  type NodeHourInputs,
} from './node-hour.ts';

export type LoadedHour = Omit<NodeHourInputs, 'sources'>;

/** `facts` as `store.ledger.readFacts` gives them. */
export async function loadHour(
  store: Store,
  hour: HourOfNode & NodeHourKey,
  bodies: readonly BatchBody[],
  facts: HourFacts,
): Promise<LoadedHour> {
  const { cluster, nodeName, hourMs } = hour;
  const digests = new Set(
    bodies.flatMap((body) => body.processes.flatMap((process) => process.personal ?? [])),
  );
  const reported = decodeHour(hour, bodies, await store.ledger.readPersonal(digests));
  const peers = await store.ledger.readPeers(peersWanted(facts.policy, reported.connections));
  const decoded = { ...reported, connections: siteConnections(reported, facts.policy, peers) };
  const ancestors = await store.ledger.readProcesses(hour.node, missingProcesses(decoded));
  const processes = new Map(ancestors.map((process) => [process.id, process]));
  for (const [id, process] of decoded.processes) processes.set(id, process);
  const jobs = await store.ledger.readJobs(jobsWanted(hour, processes, facts.policy));
  const firstSeenElsewhere = await store.ledger.readFirstSeen(
    hour,
    jobs.map((job) => job.id),
  );
  const bookedToMs = facts.bookedToMs ?? hourMs;
  return { cluster, nodeName, hourMs, decoded, processes, facts, bookedToMs, jobs, firstSeenElsewhere };
}
