/** What the domain needs to tell a finding's story, from what the store knows. */
import { ACCOUNTED_TYPE, HOUR_MS } from '../../contract/batch.ts';
import { EVIDENCE } from '../../domain/bucket.ts';
import { statesDevice } from '../../domain/candidates.ts';
import type { ObservedProcess, ProcessId } from '../../domain/cell.ts';
import { type Dark, darkWithin } from '../../domain/dark.ts';
import type { Ties } from '../../domain/evidence.ts';
import type { Holding, Job } from '../../domain/job.ts';
import { DEFAULT_POLICY } from '../../domain/policy.ts';
import { lineageOf } from '../../domain/process.ts';
import { type Story, type StoryFacts, type StoryHolder, tellStory } from '../../domain/story.ts';
import { createJudge } from '../../domain/verdict.ts';
import { FINDING_REASONS } from '../../domain/wording.ts';
import type { ConnectionRow, FindingFacts } from '../../store/finding-questions.ts';
import type { HourRecord } from './hours.ts';

/** What to say of polls where no batch of the time is left to ask. */
const USUAL_POLL_MS = 5_000;
/** Agents look at most this much later at who has a device open. */
const SWEEP_MS = 60_000;

function summaryOf({ row }: FindingFacts, process: ProcessId | null): StoryFacts['summary'] {
  return {
    reason: FINDING_REASONS.find((reason) => reason === row.reason) ?? 'no_job',
    evidence: EVIDENCE.find((evidence) => evidence === row.evidence) ?? null,
    process,
    insideJob: row.insideJob?.id ?? null,
    devices: row.devices.map((device) => device.uuid),
    activeMs: row.activeMs,
    residentMs: row.residentMs,
    provisionalMs: row.provisionalMs,
    settledActiveMs: row.state === 'settled' ? Math.max(0, row.activeMs - row.provisionalMs) : 0,
    firstMs: row.firstSeenMs,
    lastMs: row.lastSeenMs,
    state: row.state,
    severity: row.severity,
    strength: row.strength,
  };
}

/** The newest fact of the busiest source process, and the hour that has it. */
function findSource(
  facts: FindingFacts,
  hours: readonly HourRecord[],
): { hour: HourRecord; process: ObservedProcess } | null {
  const busiest = facts.processes
    .filter((row) => row.role === 'source')
    .map((row) => ({
      id: row.id,
      ms: row.time.reduce((sum, each) => sum + each.activeMs + each.residentMs, 0),
    }))
    .sort((a, b) => b.ms - a.ms)[0];
  const wanted = busiest !== undefined && busiest.ms > 0 ? busiest.id : facts.row.source.process;
  for (const hour of [...hours].reverse()) {
    for (const process of hour.facts.processes.values()) if (process.id === wanted) return { hour, process };
  }
  return null;
}

/**
 * Who was seen with a device of the finding open in its hours, the earliest first; each process and device once. Agents
 * tell of it when it is new and once in every further hour, not how long it lasts.
 */
function holdersOf(facts: FindingFacts, hours: readonly HourRecord[]): StoryHolder[] {
  const { devices, firstSeenMs, lastSeenMs } = facts.row;
  const found = new Map<string, StoryHolder & { firstMs: number }>();
  for (const { fromMs, holders, facts: node, minors } of hours)
    for (const { device, process: id, firstMs, lastMs } of holders) {
      if (!devices.some(({ uuid }) => uuid === device)) continue;
      if (fromMs >= lastSeenMs || fromMs + HOUR_MS <= firstSeenMs) continue;
      const process = node.processes.get(id);
      const goneMs = process?.exitedMs ?? Number.POSITIVE_INFINITY;
      if (firstMs >= lastSeenMs + SWEEP_MS || goneMs <= firstSeenMs) continue;
      const minor = minors.get(device);
      const file = minor === undefined ? `the file of ${device}` : `/dev/nvidia${minor}`;
      if (process !== undefined && !found.has(`${id} ${device}`))
        found.set(`${id} ${device}`, { file, process, firstMs, seenMs: lastMs });
    }
  return [...found.values()].sort((a, b) => a.firstMs - b.firstMs || a.process.pid - b.process.pid);
}

/** Processes that only accounting lists, on the finding's devices while no job held them. */
function unseenOf(facts: FindingFacts, hours: readonly HourRecord[]): StoryFacts['unseen'] {
  const { devices, firstSeenMs, lastSeenMs } = facts.row;
  const unseen = new Set<string>();
  for (const { spans, holdings } of hours)
    for (const { uuid } of devices)
      for (const { fromMs, tenants } of spans.get(uuid) ?? []) {
        const held = (one: Holding): boolean =>
          one.device === uuid && one.fromMs <= fromMs && fromMs < one.toMs;
        if (fromMs < firstSeenMs || fromMs >= lastSeenMs || holdings.some(held)) continue;
        for (const { type, process } of tenants)
          if (type === ACCOUNTED_TYPE) unseen.add(`${process} ${uuid}`);
      }
  const rows = new Map(
    hours.flatMap(({ accounted }) => accounted.map((one) => [`${one.process} ${one.device}`, one])),
  );
  const own = [...unseen].flatMap((key) => rows.get(key) ?? []);
  return {
    processes: own.length,
    openMs: own.reduce((sum, one) => sum + one.openMs, 0),
    executedMs: own.reduce((sum, one) => sum + Math.floor((one.openMs * (one.busyPercent ?? 0)) / 100), 0),
  };
}

/** What agents said of an integrity finding, each sentence once. */
function detailsOf({ row }: FindingFacts, hours: readonly HourRecord[]): string[] {
  const own = hours.flatMap((hour) => hour.integrity.filter((one) => one.id === row.id));
  return [...new Set(own.flatMap((one) => one.facts.map((fact) => fact.detail)))];
}

/** Where the finding's devices were not measured within its span, as far as evidence is left. */
function darkOf(facts: FindingFacts, hours: readonly HourRecord[]): Dark[] {
  const span = { fromMs: facts.row.firstSeenMs, toMs: facts.row.lastSeenMs };
  return facts.row.devices.flatMap(({ uuid }) => {
    const spans = hours.flatMap((hour) => hour.spans.get(uuid) ?? []);
    const gaps = hours.flatMap((hour) => hour.gaps.get(uuid) ?? []);
    return darkWithin(span, spans, gaps);
  });
}

/**
 * Jobs that held a device of the node in this time, that state its devices for this time though that does not count, or
 * that something of the process names; no others are in question.
 */
function jobsInQuestion(facts: FindingFacts, hours: readonly HourRecord[], ties: Ties | null): Job[] {
  const { firstSeenMs, lastSeenMs, node, devices } = facts.row;
  const span = { fromMs: firstSeenMs, toMs: lastSeenMs };
  const uuids = devices.map(({ uuid }) => uuid);
  const named = [...(ties?.ties.flatMap((tie) => tie.jobs) ?? []), ...(ties?.claimed ?? [])];
  const ids = new Set(named.map((job) => job.id));
  for (const hour of hours)
    for (const holding of hour.holdings)
      if (holding.fromMs < lastSeenMs && holding.toMs > firstSeenMs) ids.add(holding.job);
  const known = new Map(hours.flatMap((hour) => [...hour.facts.jobs]));
  return [...known.values()].filter((job) => ids.has(job.id) || statesDevice(job, node, uuids, span));
}

const peersOf = (connections: readonly ConnectionRow[], which: (one: ConnectionRow) => boolean): number =>
  connections.filter(which).reduce((sum, connection) => sum + connection.peers, 0);

/** `connections` are those that the page shows. */
export function storyOf(
  facts: FindingFacts,
  connections: readonly ConnectionRow[],
  hours: readonly HourRecord[],
): Story {
  const source = findSource(facts, hours);
  const newest = source?.hour ?? hours.at(-1) ?? null;
  const ties = source ? createJudge(source.hour.facts).tiesOf(source.process.id) : null;
  const { row } = facts;
  return tellStory({
    summary: summaryOf(facts, source?.process.id ?? null),
    node: row.node,
    devices: row.devices.map((device) => (device.index === null ? device.uuid : `GPU ${device.index}`)),
    lineage: source ? [...lineageOf(source.process, source.hour.facts.processes)] : [],
    ties,
    jobs: jobsInQuestion(facts, hours, ties),
    holdings: hours.flatMap((hour) => hour.holdings),
    deviceUuids: row.devices.map((device) => device.uuid),
    sources: newest?.facts.sources ?? [],
    policy: newest?.facts.policy ?? DEFAULT_POLICY,
    dark: darkOf(facts, hours),
    pollIntervalMs: newest?.pollIntervalMs ?? USUAL_POLL_MS,
    externalConnections: peersOf(
      connections,
      ({ kind, peerClass }) => kind === 'established' && peerClass === 'external',
    ),
    attempts: peersOf(connections, ({ kind, peerClass }) => kind === 'attempt' && peerClass !== 'loopback'),
    holders: row.kind === 'compute' && row.source.process === null ? holdersOf(facts, hours) : [],
    unseen: unseenOf(facts, row.kind === 'compute' && row.source.process === null ? hours : []),
    details: row.kind === 'integrity' ? detailsOf(facts, hours) : [],
    running: row.running,
    resolved: row.resolvedAtMs !== null,
  });
}
