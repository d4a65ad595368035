/** Everything that a node-hour is attributed from, read from the store: the same for the worker, `verify` and the pages. */
import type { BatchBody } from '../contract/batch.ts';
import { placesByCount } from '../domain/bind.ts';
import type { ObservedProcess, ProcessId } from '../domain/cell.ts';
import type { DecodedHour } from '../domain/decode.ts';
import { peersWanted, siteConnections } from '../domain/site-network.ts';
import type { NodeHourKey } from '../store/batches.ts';
import type { HourFacts, LedgerReader } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';
import {
  decodeHour,
  type HourOfNode,
  jobsWanted,
  missingProcesses,
  type NodeHourInputs,
} from './node-hour.ts';

export type LoadedHour = Omit<NodeHourInputs, 'sources'>;

/** `facts` as `reader.readFacts` gives them. */
function loadHour(
  reader: LedgerReader,
  hour: HourOfNode & NodeHourKey,
  bodies: readonly BatchBody[],
  facts: HourFacts,
): LoadedHour {
  const personal = reader.readPersonal(personalDigests(bodies));
  return completeHour(reader, hour, decodeHour(hour, bodies, personal), facts);
}

/** The digests of everything personal that the processes of these batches have. */
export function personalDigests(bodies: readonly BatchBody[]): Set<string> {
  const digests = new Set<string>();
  for (const { processes } of bodies)
    for (const { personal } of processes) if (personal !== null) digests.add(personal);
  return digests;
}

/** The processes of an hour and the ancestors that earlier hours told of. */
type ProcessLoader = (node: number, decoded: DecodedHour) => LoadedHour['processes'];

interface Wanted {
  readonly node: number;
  readonly own: LoadedHour['processes'];
  readonly missing: ReadonlySet<ProcessId>;
}

const isSame = (a: Wanted, b: Wanted): boolean =>
  a.node === b.node &&
  a.own === b.own &&
  a.missing.size === b.missing.size &&
  [...a.missing].every((id) => b.missing.has(id));

/** Of hours in a row that have the same processes, and miss the same, they are the same map. For one state of the store. */
export function createProcessLoader(reader: LedgerReader): ProcessLoader {
  let last: Wanted | null = null;
  let processes = new Map<ProcessId, ObservedProcess>();
  return (node, decoded) => {
    const own = decoded.processes;
    const missing = missingProcesses(decoded);
    const before = last;
    last = { node, own, missing };
    if (before !== null && isSame(before, last)) return processes;
    processes = new Map(reader.readProcesses(node, missing).map((process) => [process.id, process]));
    for (const [id, process] of own) processes.set(id, process);
    return processes;
  };
}

/** What was reported, with everything that it takes beside it. */
export function completeHour(
  reader: LedgerReader,
  hour: HourOfNode & NodeHourKey,
  reported: DecodedHour,
  facts: HourFacts,
  loadProcesses = createProcessLoader(reader),
): LoadedHour {
  const { cluster, nodeName, hourMs } = hour;
  const peers = reader.readPeers(peersWanted(facts.policy, reported.connections));
  const decoded = {
    ...reported,
    connections: siteConnections(reported, facts.policy, peers),
    integrity: [...reported.integrity, ...facts.keyChanges.map((fact) => ({ ...fact, process: null }))],
  };
  const processes = loadProcesses(hour.node, decoded);
  const jobs = reader.readJobs(jobsWanted(hour, processes, facts.policy));
  const counted = jobs.filter((job) => placesByCount(job, nodeName));
  const firstSeenElsewhere = reader.readFirstSeen(
    hour,
    counted.map((job) => job.id),
  );
  const bookedToMs = facts.bookedToMs ?? hourMs;
  return { cluster, nodeName, hourMs, decoded, processes, facts, bookedToMs, jobs, firstSeenElsewhere };
}

/** A node-hour as it is in the state that the reader reads. */
export function readHourIn(
  reader: LedgerReader,
  hour: HourOfNode & NodeHourKey,
  bodies: readonly BatchBody[],
): LoadedHour & { readonly facts: HourFacts } {
  const facts = reader.readFacts(hour);
  return { ...loadHour(reader, hour, bodies, facts), facts };
}

/** A node-hour as the store has it now, on one snapshot. */
export function readHourOf(
  store: Store,
  hour: HourOfNode & NodeHourKey,
  bodies: readonly BatchBody[],
): Promise<LoadedHour & { readonly facts: HourFacts }> {
  return store.ledger.read((reader) => readHourIn(reader, hour, bodies));
}
