// Between which amounts the executing of a finding lies, given how it was seen.
import { at } from './at.ts';
import type { ObservedProcess, ObservedSpan, PollPace } from './cell.ts';
import type { FindingRow } from './finding.ts';
import { type Interval, lengthMs } from './interval.ts';

/** Executing time: what it was at least, and at most. */
export interface Bounds {
  readonly leastMs: number;
  readonly mostMs: number;
}

/** A row of a finding on one device in one hour. */
export interface BoundsRow
  extends Pick<FindingRow, 'process' | 'reason' | 'activeMs' | 'residentMs' | 'fromMs' | 'toMs'> {
  /** When its process came and went, as the kernel tells; null: no process, or none that is known. */
  readonly life: Pick<ObservedProcess, 'startedMs' | 'exitedMs'> | null;
}

/** What one device shows in one hour. */
export interface BoundsFacts {
  readonly hour: Interval;
  /** Ascending. */
  readonly spans: readonly ObservedSpan[];
  /** How often it was read, by beginnings; not none. */
  readonly paces: readonly PollPace[];
  /** The driver kept accounts: what ended between two readings is known. */
  readonly accounted: boolean;
}

/** A stretch in which a process was on the device without a break; of nobody's use: in which none was listed. */
interface Run extends Interval {
  /** Of its spans, in turn: what part of it executed; null: the device does not tell. */
  readonly levels: readonly { readonly fromMs: number; readonly level: number | null }[];
}

/** How many times the deviation of a count of chance sightings is taken: about nineteen in twenty. */
const DEVIATIONS = 2;

/**
 * - A moment at which something came, went or changed how much it executed lies between two readings: half of a poll on
 *   both sides, by as much as it changed. Coming and going that the kernel tells exactly is not in doubt.
 * - Of what a single reading saw there may have been more between readings. As polls are at chance moments, so many
 *   sightings stand for so many whole polls, give or take twice the deviation of such a count.
 * - Where the device does not tell what executed, that is anything from nothing to all of the time; so is what only
 *   power speaks for. Of what only the driver's accounting saw, more than was sampled, up to the time that it was there.
 * - In a gap between two sightings of a process it may have executed throughout.
 */
export function boundsOf(rows: readonly BoundsRow[], facts: BoundsFacts): Bounds[] {
  const known = rows.map((row) => boundsOfRow(row, facts));
  const chanceMs = facts.accounted
    ? 0
    : chanceOf(
        known.flatMap(({ single }) => single),
        facts,
      );
  const seen = known.reduce((sum, { single }) => sum + single.length, 0);
  let given = 0;
  let givenMs = 0;
  return known.map(({ leastMs, mostMs, single }) => {
    given += single.length;
    const untilMs = seen === 0 ? 0 : Math.round((chanceMs * given) / seen);
    const ownMs = untilMs - givenMs;
    givenMs = untilMs;
    return { leastMs, mostMs: mostMs + ownMs };
  });
}

/** `single`: its runs that one reading saw. */
function boundsOfRow(row: BoundsRow, facts: BoundsFacts): Bounds & { readonly single: readonly ToldRun[] } {
  const { activeMs, residentMs } = row;
  const none = { single: [] };
  if (row.reason === 'telemetry_conflict') return { leastMs: 0, mostMs: activeMs + residentMs, ...none };
  // Of what accounting lists it is known how long it was there.
  if (row.process === null && facts.accounted)
    return { leastMs: activeMs, mostMs: activeMs + residentMs, ...none };
  const own = facts.spans.filter((span) => span.toMs > row.fromMs && span.fromMs < row.toMs);
  const runs = runsOf(own, row);
  const told = runs.flatMap(toldOf);
  const untoldMs = runs.length > told.length ? residentMs : 0;
  const doubtMs = told.reduce((sum, run) => sum + doubtOf(run, row, facts), 0);
  const thereMs = runs.reduce((sum, run) => {
    const { beginsMs, endsMs } = edgesOf(run, row, facts);
    return sum + lengthMs(run) + beginsMs + endsMs;
  }, 0);
  // Nothing executes for longer than it is there.
  const mostMs = Math.max(activeMs, Math.min(activeMs + doubtMs, thereMs)) + untoldMs + betweenOf(runs, own);
  return {
    leastMs: Math.max(0, Math.round(activeMs - doubtMs)),
    mostMs: Math.round(mostMs),
    single: told.filter((run) => lengthMs(run) < paceAt(run.fromMs, facts) && levelOf(run) > 0),
  };
}

interface ToldRun extends Run {
  readonly levels: readonly { readonly fromMs: number; readonly level: number }[];
}

/** A run in which the device always tells its activity; nothing where it does not. */
function toldOf(run: Run): ToldRun[] {
  const levels = run.levels.flatMap(({ fromMs, level }) => (level === null ? [] : [{ fromMs, level }]));
  return levels.length === run.levels.length ? [{ ...run, levels }] : [];
}

/** At the end of a run. */
const levelOf = ({ levels }: ToldRun): number => at(levels, levels.length - 1).level;

function runsOf(spans: readonly ObservedSpan[], { process }: BoundsRow): Run[] {
  const runs: { fromMs: number; toMs: number; levels: { fromMs: number; level: number | null }[] }[] = [];
  for (const span of spans) {
    const own = span.tenants.filter((tenant) => tenant.process === process);
    const isNobodys = process === null && span.tenants.length === 0;
    if (own.length === 0 && !isNobodys) continue;
    const { fromMs, toMs } = span;
    const ownMs = own.reduce((sum, { activeMs }) => sum + (activeMs ?? 0), 0);
    const level =
      span.activeMs === null ? null : Math.min(1, (isNobodys ? span.activeMs : ownMs) / lengthMs(span));
    const last = runs.at(-1);
    if (last !== undefined && last.toMs === fromMs) {
      last.toMs = toMs;
      last.levels.push({ fromMs, level });
    } else runs.push({ fromMs, toMs, levels: [{ fromMs, level }] });
  }
  return runs;
}

/** How far apart readings are around a moment: the longest pace there, or of the hour where none is told. */
function paceAt(ms: number, { paces }: BoundsFacts): number {
  const there = paces.filter(({ fromMs, toMs }) => fromMs <= ms && ms <= toMs);
  return Math.max(...(there.length > 0 ? there : paces).map(({ pollMs }) => pollMs));
}

const near = (atMs: number | null | undefined, placeMs: number, facts: BoundsFacts): boolean =>
  typeof atMs === 'number' && Math.abs(atMs - placeMs) < paceAt(placeMs, facts);

/** Whether a run begins or ends at a moment that is not known: no edge of the hour, none of the kernel's telling. */
const beginsUnknown = (run: Run, { life }: BoundsRow, facts: BoundsFacts): boolean =>
  run.fromMs > facts.hour.fromMs && !near(life?.startedMs, run.fromMs, facts);
const endsUnknown = (run: Run, { life }: BoundsRow, facts: BoundsFacts): boolean =>
  run.toMs < at(facts.spans, facts.spans.length - 1).toMs && !near(life?.exitedMs, run.toMs, facts);

/** Half of a poll for each of its edges that is not known. */
function edgesOf(run: Run, row: BoundsRow, facts: BoundsFacts): { beginsMs: number; endsMs: number } {
  return {
    beginsMs: beginsUnknown(run, row, facts) ? paceAt(run.fromMs, facts) / 2 : 0,
    endsMs: endsUnknown(run, row, facts) ? paceAt(run.toMs, facts) / 2 : 0,
  };
}

/** By how much what executed in a run may be another amount. */
function doubtOf(run: ToldRun, row: BoundsRow, facts: BoundsFacts): number {
  const { levels } = run;
  const changes = levels.reduce((sum, { fromMs, level }, index) => {
    const before = levels[index - 1]?.level ?? level;
    return before === level ? sum : sum + Math.abs(level - before) * (paceAt(fromMs, facts) / 2);
  }, 0);
  const { beginsMs, endsMs } = edgesOf(run, row, facts);
  return changes + at(levels, 0).level * beginsMs + levelOf(run) * endsMs;
}

/** What chance sightings can stand for beyond what is booked of them. */
function chanceOf(single: readonly ToldRun[], facts: BoundsFacts): number {
  if (single.length === 0) return 0;
  const bookedMs = single.reduce((sum, run) => sum + levelOf(run) * lengthMs(run), 0);
  const pacesMs = single.map((run) => paceAt(run.fromMs, facts));
  const sumMs = pacesMs.reduce((sum, ms) => sum + ms, 0);
  const deviationMs = Math.sqrt(pacesMs.reduce((sum, ms) => sum + ms * ms, 0));
  const level = Math.max(...single.map(levelOf));
  return Math.max(0, Math.round((sumMs + DEVIATIONS * deviationMs) * level - bookedMs));
}

/** What lies between two runs, where nothing at all was measured between them. */
function betweenOf(runs: readonly Run[], spans: readonly ObservedSpan[]): number {
  return runs.slice(1).reduce((sum, run, index) => {
    const beforeMs = at(runs, index).toMs;
    const measured = spans.some((span) => span.fromMs >= beforeMs && span.toMs <= run.fromMs);
    return measured ? sum : sum + run.fromMs - beforeMs;
  }, 0);
}
