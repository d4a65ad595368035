/**
 * Attribution: what happened in each millisecond of one device and hour, and whom it was allocated to.
 *
 * Time is cut where a verdict can change (holdings, starts and ends of the jobs in question, watermarks, edges of
 * capacity). Each piece is divided twice, exactly: by what happened (used, held, unaccounted, idle, unobserved) and by
 * holder. Whole milliseconds everywhere; what does not divide goes by largest remainder.
 */
import { createBooking } from './booking.ts';
import type { CellFacts, CellResult, ObservedGap, ObservedSpan, ProcessId } from './cell.ts';
import { conditionAt } from './condition.ts';
import { assertConserved } from './conservation.ts';
import { creditSpan } from './credit.ts';
import { createSpanCutter } from './cutter.ts';
import { exemptionEdges } from './exempt.ts';
import type { Interval } from './interval.ts';
import type { Job } from './job.ts';
import { namedInside } from './nested.ts';
import { createRows } from './rows.ts';
import { runsOf, type SpanRun, tenantsOf } from './runs.ts';
import { capacityOf, slotsOf } from './slots.ts';
import { edgesOfJob } from './terms.ts';
import { createJudge, type Judge, type NodeFacts } from './verdict.ts';

/** What differs between the devices of one node and hour. */
export type DeviceFacts = Pick<
  CellFacts,
  'device' | 'interval' | 'capacity' | 'bookedToMs' | 'spans' | 'gaps' | 'holdings'
>;

/** Attributes one cell. Pure; throws `ConservationError` when either axis does not sum to the booked capacity. */
export function attribute(facts: CellFacts): CellResult {
  return createAttributor(facts)(facts);
}

/** Attributes the cells of one node and hour; evidence is worked out once for all of them. */
export function createAttributor(
  node: NodeFacts,
  judge: Judge = createJudge(node),
): (cell: DeviceFacts) => CellResult {
  return (cell) => attributeCell(node, judge, cell);
}

function attributeCell(node: NodeFacts, judge: Judge, cell: DeviceFacts): CellResult {
  const capacity = capacityOf(cell);
  const runs = runsOf(cell.spans);
  const spans = credited(cell.spans, runs, node);
  const slots = slotsOf(
    cell,
    capacity,
    node.jobs,
    edgesOf(node, judge, cell.interval, tenantsOf(cell.spans)),
  );
  const rows = createRows();
  const columns = new Map<string | null, number>();
  const take = createSpanCutter();
  const next = createReader(runs, spans, cell.gaps);
  for (const slot of slots) {
    if (!slot.booked) continue;
    rows.during(conditionAt(node.conditions ?? [], slot.fromMs));
    const booking = createBooking(judge, slot, rows, columns);
    let atMs = slot.fromMs;
    while (atMs < slot.toMs) {
      const { run, span, gap } = next(atMs);
      if (run !== undefined && run.fromMs === atMs && run.toMs <= slot.toMs && booking.run(run)) {
        atMs = run.toMs;
        continue;
      }
      let piece: Interval;
      if (span !== undefined && span.fromMs <= atMs) {
        piece = { fromMs: atMs, toMs: Math.min(slot.toMs, span.toMs) };
        booking.measured(piece, take(span, piece));
      } else {
        const inGap = gap !== undefined && gap.fromMs <= atMs;
        const endMs = Math.min(
          slot.toMs,
          span?.fromMs ?? Infinity,
          (inGap ? gap.toMs : gap?.fromMs) ?? Infinity,
        );
        piece = { fromMs: atMs, toMs: endMs };
        booking.unobserved(piece, inGap ? gap.reason : 'agent_silent');
      }
      atMs = piece.toMs;
    }
  }
  const result = { entries: rows.entries(), settlesAtMs: rows.settlesAtMs() };
  assertConserved(cell, capacity, columns, result.entries);
  return result;
}

interface Reading {
  /** The run that the span is in. */
  readonly run: SpanRun | undefined;
  readonly span: ObservedSpan | undefined;
  readonly gap: ObservedGap | undefined;
}

/** The spans with what go-betweens executed given to those that they work for; summed runs have none. */
function credited(
  spans: readonly ObservedSpan[],
  runs: readonly SpanRun[],
  { processes }: NodeFacts,
): readonly ObservedSpan[] {
  if (runs.every((run) => run.sums !== null)) return spans;
  return spans.map((span) => creditSpan(span, processes));
}

/** The function that gives the first run, span and gap that end after a moment; moments come in ascending order. */
function createReader(
  runs: readonly SpanRun[],
  spans: readonly ObservedSpan[],
  gaps: readonly ObservedGap[],
): (atMs: number) => Reading {
  let runAt = 0;
  let spanAt = 0;
  let gapAt = 0;
  return (atMs) => {
    while ((runs[runAt]?.toMs ?? Infinity) <= atMs) runAt += 1;
    while ((gaps[gapAt]?.toMs ?? Infinity) <= atMs) gapAt += 1;
    const run = runs[runAt];
    spanAt = Math.max(spanAt, run?.first ?? spans.length);
    while ((spans[spanAt]?.toMs ?? Infinity) <= atMs) spanAt += 1;
    return { run, span: spans[spanAt], gap: gaps[gapAt] };
  };
}

/** Moments at which the verdict on a process of this cell can change by the times of its jobs, or of an exemption. */
function edgesOf(
  node: NodeFacts,
  judge: Judge,
  interval: Interval,
  processes: ReadonlySet<ProcessId>,
): number[] {
  const jobs = new Set<Job>();
  for (const process of processes) {
    const ties = judge.tiesOf(process);
    for (const tie of ties.ties)
      for (const job of tie.jobs) {
        jobs.add(job);
        for (const inner of namedInside(ties, job)) jobs.add(inner);
      }
  }
  const edges = processes.size === 0 ? [] : exemptionEdges(node, interval);
  for (const process of processes)
    for (const { fromMs } of node.processes.get(process)?.executions ?? []) edges.push(fromMs);
  for (const job of jobs) edges.push(...edgesOfJob(job, node.policy));
  for (const { fromMs, toMs } of node.conditions ?? []) edges.push(fromMs, toMs);
  return edges;
}
