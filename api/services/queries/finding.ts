/** GET /v1/findings/{id}: the processes, the time lines, the story, and what it cost. */
import { HOUR_MS } from '../../contract/batch.ts';
import type { FindingDetail, ProcessView } from '../../contract/findings.ts';
import type { Caller } from '../../domain/caller.ts';
import type { ProcessId } from '../../domain/cell.ts';
import { SIGNALS } from '../../domain/signals/registry.ts';
import { awaitsRecord, createJudge } from '../../domain/verdict.ts';
import type {
  ChargedRow,
  ConnectionRow,
  DialRow,
  FindingFacts,
  ProcessRow,
} from '../../store/finding-questions.ts';
import { type Questions, scopeOf } from '../../store/questions.ts';
import { ServiceError } from '../errors.ts';
import { toTime, toTimeOrNull } from './completeness.ts';
import { toFinding } from './findings.ts';
import type { HourReader, HourRecord } from './hours.ts';
import { askSeries } from './series.ts';
import { storyOf } from './story.ts';
import { type Roles, TIMELINE_MAX_MS, timelineOf } from './timeline.ts';
import { moneyOf } from './value.ts';

const EXAMPLES_MAX = 16;
/** Time before the first and after the last sighting that a time line shows. */
const MARGIN_MS = 600_000;
const TIMELINE_DEVICES_MAX = 16;

function toProcess(row: ProcessRow): ProcessView {
  const { startedMs, exitedMs, time, ...rest } = row;
  const {
    executablePath,
    executableDevice,
    executableInode,
    executableDeleted,
    executableFileSystem,
    ...same
  } = rest;
  return {
    ...same,
    startedAt: toTimeOrNull(startedMs),
    exitedAt: toTimeOrNull(exitedMs),
    executable:
      executablePath === null
        ? null
        : {
            path: executablePath,
            device: executableDevice,
            inode: executableInode,
            deleted: executableDeleted,
            fileSystem: executableFileSystem,
          },
    ownNamespaces: row.ownNamespaces === null ? null : [...row.ownNamespaces],
    claims: row.claims.map(({ name, value }) => ({ name, value })),
    unreadable: [...row.unreadable],
    activeMs: time.reduce((sum, each) => sum + each.activeMs, 0),
    residentMs: time.reduce((sum, each) => sum + each.residentMs, 0),
    devices: time.map((each) => each.device),
  };
}

function toConnection(row: ConnectionRow): FindingDetail['connections'][number] {
  const { process, pid, comm, kind, peerClass, localPort, peers } = row;
  const examples = [...new Set((row.examples ?? '').split('\n').filter(Boolean))].slice(0, EXAMPLES_MAX);
  return {
    ...{ process, pid, comm, kind, peerClass, localPort, peers, examples },
    first: toTime(row.firstMs),
    last: toTime(row.lastMs),
  };
}

const toDial = ({ ofHost, fromMs, toMs, ...counts }: DialRow): FindingDetail['dials'][number] => ({
  ...counts,
  ofHost: ofHost === null ? null : ofHost === 1,
  from: toTime(fromMs),
  to: toTime(toMs),
});

/** Those of the source and of what stands beside it; what the declared job and its ancestors reach is not in question. */
function ownConnections({ processes, connections }: FindingFacts): ConnectionRow[] {
  const own = new Set(
    processes.flatMap(({ id, role }) => (role === 'source' || role === 'sibling' ? [id] : [])),
  );
  return connections.filter((connection) => own.has(connection.process));
}

/** In the order of what they weigh; a signal that this version does not know is left out. */
function toSignals({ signals }: FindingFacts): FindingDetail['signals'] {
  return SIGNALS.flatMap(({ id, title, weight, source, attack: { before, after } }) => {
    const row = signals.find((one) => one.id === id);
    if (row === undefined) return [];
    const attack = { before: [...before], after: [...after] };
    return [{ id, title, detail: row.detail, strength: row.strength, weight, source, attack }];
  });
}

/** Rows of one job at several rates become one. */
function toCharged(rows: readonly ChargedRow[]): FindingDetail['cost']['charged'] {
  return [...Map.groupBy(rows, (row) => row.id).values()].flatMap((parts) => {
    const [first] = parts;
    if (first === undefined) return [];
    const { id, source, externalId, name, account, user } = first;
    return [
      {
        account,
        job: { id, source, externalId, name, account, user },
        ms: parts.reduce((sum, part) => sum + part.ms, 0),
        amount: moneyOf(parts),
      },
    ];
  });
}

/** The newest day of the finding, with a margin: what its time lines show. */
function windowOf({ row }: FindingFacts): { fromMs: number; toMs: number } {
  const toMs = row.lastSeenMs + MARGIN_MS;
  return { fromMs: Math.max(row.firstSeenMs - MARGIN_MS, toMs - TIMELINE_MAX_MS), toMs };
}

async function readHours(reader: HourReader, facts: FindingFacts): Promise<HourRecord[]> {
  const hours: HourRecord[] = [];
  const { cluster, node: nodeName, nodeNumber: node } = facts.row;
  const { fromMs, toMs } = windowOf(facts);
  for (let hourMs = Math.floor(fromMs / HOUR_MS) * HOUR_MS; hourMs < toMs; hourMs += HOUR_MS) {
    const hour = await reader.read({ cluster, nodeName, node, hourMs });
    if (hour !== null) hours.push(hour);
  }
  return hours;
}

/** Whether a record may still come that covers what a process did at a moment on a device. */
function awaitsIn(hours: readonly HourRecord[]): Roles['awaits'] {
  const judges = hours.map((hour) => ({ hour, judge: createJudge(hour.facts) }));
  return (process, atMs, device) => {
    const found = judges.find(({ hour }) => hour.fromMs <= atMs && atMs < hour.fromMs + HOUR_MS);
    if (found === undefined) return false;
    const { holdings, facts } = found.hour;
    const holders = holdings
      .filter((holding) => holding.device === device && holding.fromMs <= atMs && atMs < holding.toMs)
      .flatMap((holding) => facts.jobs.get(holding.job) ?? []);
    return awaitsRecord(found.judge.judge(process, atMs, holders, ''), atMs);
  };
}

function timelines(facts: FindingFacts, hours: readonly HourRecord[]): FindingDetail['timelines'] {
  if (hours.length === 0) return [];
  const { fromMs, toMs: untilMs } = windowOf(facts);
  // What is not booked yet would only be an empty stretch.
  const booked = hours.flatMap((hour) => [...hour.spans.values(), ...hour.gaps.values()].flat());
  const bookedToMs = booked.reduce((latest, { toMs }) => Math.max(latest, toMs), facts.row.lastSeenMs);
  const toMs = Math.min(untilMs, bookedToMs);
  const ids = (role: ProcessRow['role']): ReadonlySet<string> =>
    new Set(facts.processes.filter((row) => row.role === role).map((row) => row.id));
  const source = ids('source');
  const declared = ids('declared');
  const known = (all: ReadonlySet<string>): ReadonlySet<ProcessId> =>
    new Set(hours.flatMap((hour) => [...hour.facts.processes.keys()].filter((id) => all.has(id))));
  const roles = { source: known(source), declared: known(declared), awaits: awaitsIn(hours) };
  return facts.row.devices.slice(0, TIMELINE_DEVICES_MAX).map(({ uuid, index }) =>
    timelineOf(
      {
        uuid,
        index,
        spans: hours.flatMap((hour) => hour.spans.get(uuid) ?? []),
        gaps: hours.flatMap((hour) => hour.gaps.get(uuid) ?? []),
        holdings: hours.flatMap((hour) => hour.holdings.filter((holding) => holding.device === uuid)),
      },
      roles,
      fromMs,
      toMs,
    ),
  );
}

/** Throws `not_found`, also for a finding that the caller may not see. */
export async function askFinding(
  questions: Questions,
  reader: HourReader,
  caller: Caller,
  id: string,
): Promise<FindingDetail> {
  const facts = await questions.finding(id, scopeOf(caller));
  if (facts === null) throw new ServiceError('not_found', `There is no finding ${id}`);
  const hours = await readHours(reader, facts);
  const finding = toFinding(facts.row);
  const connections = ownConnections(facts);
  const story = storyOf(facts, connections, hours);
  const { accounts } = scopeOf(caller);
  const isSeen = (account: string): boolean => accounts === null || accounts.includes(account);
  return {
    ...finding,
    processes: facts.processes.map(toProcess),
    timelines: timelines(facts, hours),
    connections: connections.map(toConnection),
    dials: facts.dials.map(toDial),
    signals: toSignals(facts),
    series: await askSeries(questions, caller, facts.row),
    // The jobs of others that came near it are none of an owner's business.
    story: { ...story, candidates: story.candidates.filter(({ job }) => isSeen(job.account)) },
    cost: {
      value: finding.value,
      occupiedMs: facts.row.activeMs + facts.row.residentMs,
      charged: toCharged(facts.charged).filter(({ account }) => isSeen(account)),
    },
    history: facts.history.map(({ atMs, text }) => ({ at: toTime(atMs), text })),
  };
}
