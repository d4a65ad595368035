/** The series of a finding: findings of other nodes, days and names that are one story with it. */
import type { FindingDetail } from '../../contract/findings.ts';
import type { Caller } from '../../domain/caller.ts';
import { DEFAULT_POLICY } from '../../domain/policy.ts';
import { regularHours, type SeriesTraits, seriesOf, wayOf } from '../../domain/series.ts';
import type { FindingRow, TraitsRow } from '../../store/finding-questions.ts';
import { type Questions, scopeOf } from '../../store/questions.ts';
import { toTime } from './completeness.ts';
import { moneyOf } from './value.ts';

/** How far before and after a finding others are looked for, and among how many of the newest. */
const REACH_MS = 31 * 86_400_000;
const CANDIDATES_MAX = 2_000;
const MEMBERS_MAX = 100;

type Series = NonNullable<FindingDetail['series']>;

/** Null where nothing else is known of its kind. Who may see some findings only gets a series of these. */
export async function askSeries(
  questions: Questions,
  caller: Caller,
  row: FindingRow,
): Promise<Series | null> {
  if (row.resolvedAtMs !== null || row.source.process === null) return null;
  const candidates = await questions.findingTraits({
    ...scopeOf(caller),
    id: row.id,
    cluster: row.cluster,
    fromMs: row.firstSeenMs - REACH_MS,
    toMs: row.lastSeenMs + REACH_MS,
    limit: CANDIDATES_MAX,
  });
  const traits = candidates.map(toTraits);
  const first = traits.find((one) => one.finding === row.id);
  if (first === undefined) return null;
  const members = seriesOf(first, traits, DEFAULT_POLICY, MEMBERS_MAX);
  if (members.length < 2) return null;
  const whyOf = new Map(members.map(({ finding, why }) => [finding, why]));
  const numbers = candidates.flatMap(({ id, finding }) => (whyOf.has(id) ? [finding] : []));
  const { rows, activeHours } = await questions.series(numbers);
  return toSeries(rows, whyOf, activeHours);
}

function toTraits(row: TraitsRow): SeriesTraits {
  const { id, node, uid, comm, argumentsDigest, commandLine, executablePath: path } = row;
  return {
    ...{ finding: id, node, uid, comm, argumentsDigest, commandLine },
    executable: path === null ? null : { path, device: row.executableDevice, inode: row.executableInode },
    ancestors: wayOf(row.ancestors),
  };
}

/** Called after its first finding, whichever of its members is asked for. */
function toSeries(
  found: readonly FindingRow[],
  whyOf: ReadonlyMap<string, readonly string[]>,
  activeHours: readonly number[],
): Series | null {
  const rows = found.toSorted((a, b) => a.firstSeenMs - b.firstSeenMs || (a.id < b.id ? -1 : 1));
  const [oldest] = rows;
  if (oldest === undefined) return null;
  const hours = regularHours(activeHours);
  return {
    id: `s${oldest.id.slice(1)}`,
    findings: rows.map(({ id, node, severity, reason, source, activeMs, firstSeenMs, lastSeenMs }) => ({
      ...{ id, node, severity, reason, executable: source.executable, activeMs },
      firstSeen: toTime(firstSeenMs),
      lastSeen: toTime(lastSeenMs),
      why: [...(whyOf.get(id) ?? [])],
    })),
    nodes: [...new Set(rows.map((row) => row.node))],
    firstSeen: toTime(oldest.firstSeenMs),
    lastSeen: toTime(Math.max(...rows.map((row) => row.lastSeenMs))),
    activeMs: rows.reduce((sum, row) => sum + row.activeMs, 0),
    value: moneyOf(rows.flatMap((row) => row.priced)),
    why: [...new Set([...whyOf.values()].flat())],
    rhythm:
      hours === null
        ? null
        : `On ${hours.days} days it executed between ${clock(hours.from)} and ${clock(hours.to)} UTC only.`,
  };
}

const clock = (hour: number): string => `${String(hour).padStart(2, '0')}:00`;
