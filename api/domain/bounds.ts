// Between which amounts the executing of a finding lies, given how it was seen.
import { at } from './at.ts';
import type { ObservedProcess, ObservedSpan } from './cell.ts';
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
  readonly pollMs: number;
  /** The driver kept accounts: what ended between two readings is known. */
  readonly accounted: boolean;
}

/** A stretch in which a process was on the device without a break. */
interface Run extends Interval {
  /** Of its spans, in turn: what part of it executed; null: the device does not tell. */
  readonly levels: readonly (number | null)[];
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
        facts.pollMs,
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
  if (row.process === null) {
    // It begins and ends somewhere between two readings; of what accounting lists it is known how long it was there.
    const doubtMs = facts.accounted ? 0 : Math.min(activeMs, facts.pollMs);
    return { leastMs: activeMs - doubtMs, mostMs: activeMs + residentMs + doubtMs, ...none };
  }
  const own = facts.spans.filter((span) => span.toMs > row.fromMs && span.fromMs < row.toMs);
  const runs = runsOf(own, row);
  const told = runs.flatMap(toldOf);
  const untoldMs = runs.length > told.length ? residentMs : 0;
  const doubtMs = told.reduce((sum, run) => sum + doubtOf(run, row, facts), 0);
  const thereMs = runs.reduce((sum, run) => sum + lengthMs(run), 0) + edgesOf(runs, row, facts);
  // Nothing executes for longer than it is there.
  const mostMs = Math.max(activeMs, Math.min(activeMs + doubtMs, thereMs)) + untoldMs + betweenOf(runs, own);
  return {
    leastMs: Math.max(0, Math.round(activeMs - doubtMs)),
    mostMs: Math.round(mostMs),
    single: told.filter((run) => lengthMs(run) < facts.pollMs && levelOf(run) > 0),
  };
}

interface ToldRun extends Run {
  readonly levels: readonly number[];
}

/** A run in which the device always tells its activity; nothing where it does not. */
function toldOf(run: Run): ToldRun[] {
  const levels = run.levels.flatMap((level) => level ?? []);
  return levels.length === run.levels.length ? [{ ...run, levels }] : [];
}

/** At the end of a run. */
const levelOf = ({ levels }: ToldRun): number => at(levels, levels.length - 1);

function runsOf(spans: readonly ObservedSpan[], { process }: BoundsRow): Run[] {
  const runs: { fromMs: number; toMs: number; levels: (number | null)[] }[] = [];
  for (const span of spans) {
    const own = span.tenants.filter((tenant) => tenant.process === process);
    if (own.length === 0) continue;
    const shareMs = own.reduce((sum, { activeMs }) => sum + (activeMs ?? 0), 0);
    const level = span.activeMs === null ? null : Math.min(1, shareMs / lengthMs(span));
    const last = runs.at(-1);
    if (last !== undefined && last.toMs === span.fromMs) {
      last.toMs = span.toMs;
      last.levels.push(level);
    } else runs.push({ fromMs: span.fromMs, toMs: span.toMs, levels: [level] });
  }
  return runs;
}

const near = (atMs: number | null | undefined, placeMs: number, pollMs: number): boolean =>
  typeof atMs === 'number' && Math.abs(atMs - placeMs) < pollMs;

/** Whether a run begins or ends at a moment that is not known: no edge of the hour, none of the kernel's telling. */
const beginsUnknown = (run: Run, { life }: BoundsRow, { hour, pollMs }: BoundsFacts): boolean =>
  run.fromMs > hour.fromMs && !near(life?.startedMs, run.fromMs, pollMs);
const endsUnknown = (run: Run, { life }: BoundsRow, { spans, pollMs }: BoundsFacts): boolean =>
  run.toMs < at(spans, spans.length - 1).toMs && !near(life?.exitedMs, run.toMs, pollMs);

function edgesOf(runs: readonly Run[], row: BoundsRow, facts: BoundsFacts): number {
  const unknown = runs.reduce(
    (sum, run) => sum + Number(beginsUnknown(run, row, facts)) + Number(endsUnknown(run, row, facts)),
    0,
  );
  return unknown * (facts.pollMs / 2);
}

/** By how much what executed in a run may be another amount. */
function doubtOf(run: ToldRun, row: BoundsRow, facts: BoundsFacts): number {
  const { levels } = run;
  const changes = levels.reduce(
    (sum, level, index) => sum + Math.abs(level - (levels[index - 1] ?? level)),
    0,
  );
  const begins = beginsUnknown(run, row, facts) ? at(levels, 0) : 0;
  const edges = begins + (endsUnknown(run, row, facts) ? levelOf(run) : 0);
  return (changes + edges) * (facts.pollMs / 2);
}

/** What chance sightings can stand for beyond what is booked of them. */
function chanceOf(single: readonly ToldRun[], pollMs: number): number {
  if (single.length === 0) return 0;
  const bookedMs = single.reduce((sum, run) => sum + levelOf(run) * lengthMs(run), 0);
  const polls = single.length + DEVIATIONS * Math.sqrt(single.length);
  return Math.max(0, Math.round(polls * pollMs * Math.max(...single.map(levelOf)) - bookedMs));
}

/** What lies between two runs, where nothing at all was measured between them. */
function betweenOf(runs: readonly Run[], spans: readonly ObservedSpan[]): number {
  return runs.slice(1).reduce((sum, run, index) => {
    const beforeMs = at(runs, index).toMs;
    const measured = spans.some((span) => span.fromMs >= beforeMs && span.toMs <= run.fromMs);
    return measured ? sum : sum + run.fromMs - beforeMs;
  }, 0);
}
