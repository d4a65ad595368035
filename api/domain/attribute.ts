/**
 * Attribution: what happened in each millisecond of one device and hour, and whom it was allocated to.
 *
 * Time is cut where a verdict can change (holdings, starts and ends of the jobs in question, watermarks, edges of
 * capacity). Each piece is divided twice, exactly: by what happened (used, held, unaccounted, idle, unobserved) and by
 * holder. Whole milliseconds everywhere; what does not divide goes by largest remainder.
 */
import { apportion, partBetween } from './apportion.ts';
import type { Reason } from './bucket.ts';
import type { CellFacts, CellResult, ObservedGap, ObservedSpan, ProcessId } from './cell.ts';
import { effectiveStartMs } from './evidence.ts';
import { type Interval, lengthMs } from './interval.ts';
import type { Job } from './job.ts';
import { createRows, type Rows, type Template } from './rows.ts';
import { capacityOf, type Slot, slotsOf } from './slots.ts';
import { createJudge, type Judge, type NodeFacts, type Verdict } from './verdict.ts';

/** What differs between the devices of one node and hour. */
export type DeviceFacts = Pick<
  CellFacts,
  'device' | 'interval' | 'capacity' | 'bookedToMs' | 'spans' | 'gaps' | 'holdings'
>;

/** The books of a cell do not balance. Never caught to be ignored: the cell is wrong, or its facts are. */
export class ConservationError extends Error {
  constructor(device: string, interval: Interval, axis: string, expectedMs: number, actualMs: number) {
    super(`cell ${device} from ${interval.fromMs}: ${axis} is ${actualMs} ms and should be ${expectedMs} ms`);
    this.name = 'ConservationError';
  }
}

/** Attributes one cell. Pure; throws `ConservationError` when either axis does not sum to the booked capacity. */
export function attribute(facts: CellFacts): CellResult {
  return createAttributor(facts)(facts);
}

/** Attributes the cells of one node and hour; evidence is worked out once for all of them. */
export function createAttributor(node: NodeFacts): (cell: DeviceFacts) => CellResult {
  const judge = createJudge(node);
  return (cell) => attributeCell(node, judge, cell);
}

function attributeCell(node: NodeFacts, judge: Judge, cell: DeviceFacts): CellResult {
  const capacity = capacityOf(cell);
  const slots = slotsOf(cell, capacity, node, edgesOfJobs(node, judge, cell.spans));
  const rows = createRows();
  const columns = new Map<string | null, number>();
  const take = createSpanCutter();
  const { spans, gaps } = cell;
  let spanAt = 0;
  let gapAt = 0;
  for (const slot of slots) {
    if (!slot.booked) continue;
    const booking = createBooking(judge, slot, rows, columns);
    let atMs = slot.fromMs;
    while (atMs < slot.toMs) {
      while ((spans[spanAt]?.toMs ?? Infinity) <= atMs) spanAt += 1;
      while ((gaps[gapAt]?.toMs ?? Infinity) <= atMs) gapAt += 1;
      const span = spans[spanAt];
      const gap = gaps[gapAt];
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
  assertConserved(cell, capacity, columns, result);
  return result;
}

function assertConserved(
  cell: DeviceFacts,
  capacity: readonly Interval[],
  columns: ReadonlyMap<string | null, number>,
  result: CellResult,
): void {
  const bookedMs = capacity.reduce((sum, interval) => sum + lengthMs(interval), 0);
  const byHolder = new Map<string | null, number>();
  let totalMs = 0;
  for (const entry of result.entries) {
    totalMs += entry.ms;
    byHolder.set(entry.holder, (byHolder.get(entry.holder) ?? 0) + entry.ms);
  }
  if (totalMs !== bookedMs)
    throw new ConservationError(cell.device, cell.interval, 'the sum of buckets', bookedMs, totalMs);
  let allottedMs = 0;
  for (const [holder, ms] of columns) {
    allottedMs += ms;
    const actualMs = byHolder.get(holder) ?? 0;
    if (actualMs !== ms)
      throw new ConservationError(
        cell.device,
        cell.interval,
        `the share of ${holder ?? 'nobody'}`,
        ms,
        actualMs,
      );
  }
  if (allottedMs !== bookedMs)
    throw new ConservationError(cell.device, cell.interval, 'the sum of holders', bookedMs, allottedMs);
}

/** Moments at which the verdict on a process of this cell can change by its jobs' times. */
function edgesOfJobs(node: NodeFacts, judge: Judge, spans: readonly ObservedSpan[]): number[] {
  const processes = new Set<ProcessId>();
  for (const span of spans) for (const tenant of span.tenants) processes.add(tenant.process);
  const jobs = new Set<Job>();
  for (const process of processes)
    for (const tie of judge.tiesOf(process).ties) for (const job of tie.jobs) jobs.add(job);
  const edges: number[] = [];
  for (const job of jobs) {
    edges.push(effectiveStartMs(job, node.policy));
    if (job.endMs !== null) edges.push(job.endMs, job.endMs + node.policy.endGraceMs);
  }
  return edges;
}

/** Active time of a piece of a span, per tenant in the order of process ids. */
interface PieceActivity {
  readonly activeMs: number | null;
  readonly tenants: readonly { readonly process: ProcessId; readonly activeMs: number }[];
}

/**
 * Cuts spans into consecutive pieces: active time in proportion to length, and every tenant's parts sum to what it had.
 * Pieces of one span are asked for in ascending order; what is skipped is cut off and dropped.
 */
function createSpanCutter(): (span: ObservedSpan, piece: Interval) => PieceActivity {
  let current: ObservedSpan | null = null;
  let order: ObservedSpan['tenants'] = [];
  let left: number[] = [];
  let doneToMs = 0;
  const advance = (span: ObservedSpan, activeMs: number, toMs: number): number[] => {
    const length = span.toMs - span.fromMs;
    const ms = partBetween(activeMs, length, doneToMs - span.fromMs, toMs - span.fromMs);
    doneToMs = toMs;
    if (left.length === 0) return [ms];
    const parts = apportion(ms, left);
    left = left.map((have, index) => have - (parts[index] ?? 0));
    return parts;
  };
  return (span, piece) => {
    if (span !== current) {
      current = span;
      doneToMs = span.fromMs;
      order =
        span.tenants.length < 2
          ? span.tenants
          : [...span.tenants].sort((a, b) => (a.process < b.process ? -1 : 1));
      left = order.map((tenant) => tenant.activeMs ?? 0);
    }
    const { activeMs } = span;
    if (activeMs === null)
      return { activeMs, tenants: order.map(({ process }) => ({ process, activeMs: 0 })) };
    if (piece.fromMs > doneToMs) advance(span, activeMs, piece.fromMs);
    const whole = piece.fromMs === span.fromMs && piece.toMs === span.toMs;
    const parts = whole ? left : advance(span, activeMs, piece.toMs);
    const pieceActiveMs = whole ? activeMs : parts.reduce((sum, part) => sum + part, 0);
    return {
      activeMs: pieceActiveMs,
      tenants: order.map(({ process }, index) => ({ process, activeMs: parts[index] ?? 0 })),
    };
  };
}

interface Booking {
  measured(piece: Interval, activity: PieceActivity): void;
  unobserved(piece: Interval, cause: ObservedGap['reason']): void;
}

/** Something that takes `ms` of a piece, before it is known whose allocation that falls into. */
interface Claim {
  readonly ms: number;
  /** The holder that it belongs to before all others: the job that used it. */
  readonly own: string | null;
  readonly verdict: Verdict | null;
  template(holder: string | null): Template;
}

const NO_PROCESS: Reason = 'no_process';

/** Books the pieces of one slot, in which neither holders nor verdicts change. */
function createBooking(judge: Judge, slot: Slot, rows: Rows, columns: Map<string | null, number>): Booking {
  const verdicts = new Map<ProcessId, Verdict>();
  const verdictOn = (process: ProcessId): Verdict => {
    let verdict = verdicts.get(process);
    if (verdict === undefined) {
      verdict = judge.judge(process, slot.fromMs, slot.jobs);
      verdicts.set(process, verdict);
    }
    return verdict;
  };

  /** Divides the piece between holders, then the claims, own holder first, then what is left by `rest`. */
  const book = (
    piece: Interval,
    claims: readonly Claim[],
    rest: (holder: string | null, ms: number) => void,
  ): void => {
    const left = apportion(lengthMs(piece), slot.weights);
    for (const [index, holder] of slot.holders.entries())
      columns.set(holder, (columns.get(holder) ?? 0) + (left[index] ?? 0));
    const add = (claim: Claim, index: number, ms: number): void => {
      if (ms === 0) return;
      const holder = slot.holders[index] ?? null;
      left[index] = (left[index] ?? 0) - ms;
      rows.add(claim.template(holder), holder, piece, ms, claim.verdict?.finalAtMs ?? 0);
    };
    const open = claims.map((claim) => {
      const index = claim.own === null ? -1 : slot.holders.indexOf(claim.own);
      const ms = index < 0 ? 0 : Math.min(claim.ms, left[index] ?? 0);
      if (ms > 0) add(claim, index, ms);
      return claim.ms - ms;
    });
    for (const [at, claim] of claims.entries()) {
      const ms = open[at] ?? 0;
      if (ms === 0) continue;
      for (const [index, part] of apportion(ms, left).entries()) add(claim, index, part);
    }
    for (const [index, holder] of slot.holders.entries()) {
      const ms = left[index] ?? 0;
      if (ms !== 0) rest(holder, ms);
    }
  };

  return {
    unobserved(piece, cause) {
      const template = rows.template({ bucket: 'unobserved', cause, activity: 'unknown' });
      book(piece, [], (holder, ms) => rows.add(template, holder, piece, ms, 0));
    },
    measured(piece, { activeMs, tenants }) {
      const judged = tenants.map((tenant) => ({ ...tenant, verdict: verdictOn(tenant.process) }));
      const undeclared = judged.filter((tenant) => tenant.verdict.reason !== null);
      const resting = (holder: string | null, ms: number): void => {
        if (holder === null && undeclared.length > 0) {
          const shares = apportion(
            ms,
            undeclared.map(() => 1),
          );
          for (const [index, { process, verdict }] of undeclared.entries())
            rows.add(
              unaccounted(rows, process, verdict, 'resident'),
              null,
              piece,
              shares[index] ?? 0,
              verdict.finalAtMs,
            );
          return;
        }
        const activity = tenants.length === 0 ? 'none' : 'resident';
        rows.add(
          rows.template({ bucket: holder === null ? 'idle' : 'held', activity }),
          holder,
          piece,
          ms,
          0,
        );
      };
      if (activeMs === null) book(piece, contexts(rows, piece, judged), resting);
      else if (tenants.length === 0) book(piece, [unexplained(rows, activeMs)], resting);
      else
        book(
          piece,
          judged.map((tenant) => executing(rows, tenant)),
          resting,
        );
    },
  };
}

interface Judged {
  readonly process: ProcessId;
  readonly activeMs: number;
  readonly verdict: Verdict;
}

function executing(rows: Rows, { process, activeMs, verdict }: Judged): Claim {
  if (verdict.reason !== null) {
    const template = unaccounted(rows, process, verdict, 'active');
    return { ms: activeMs, own: null, verdict, template: () => template };
  }
  const job = verdict.job?.id ?? null;
  const { evidence, suspicious } = verdict;
  const template = rows.template({ bucket: 'used', activity: 'active', job, process, evidence, suspicious });
  return { ms: activeMs, own: job, verdict, template: () => template };
}

/** The device works and no process shows. */
function unexplained(rows: Rows, activeMs: number): Claim {
  const template = rows.template({ bucket: 'unaccounted', reason: NO_PROCESS, activity: 'active' });
  return { ms: activeMs, own: null, verdict: null, template: () => template };
}

/**
 * Where the device does not tell its activity (MIG), time goes to the contexts on it in equal shares: a declared one's
 * is held (idle, where it spills over what its job was given), activity unknown; an undeclared one's is unaccounted,
 * resident, whoever holds the device.
 */
function contexts(rows: Rows, piece: Interval, judged: readonly Judged[]): Claim[] {
  const shares = apportion(
    lengthMs(piece),
    judged.map(() => 1),
  );
  return judged.map(({ process, verdict }, index) => {
    const ms = shares[index] ?? 0;
    if (verdict.reason !== null) {
      const template = unaccounted(rows, process, verdict, 'resident');
      return { ms, own: null, verdict, template: () => template };
    }
    const job = verdict.job?.id ?? null;
    const { evidence, suspicious } = verdict;
    const known = { activity: 'unknown', job, process, evidence, suspicious } as const;
    return {
      ms,
      own: job,
      verdict,
      template: (holder) => rows.template({ bucket: holder === null ? 'idle' : 'held', ...known }),
    };
  });
}

function unaccounted(
  rows: Rows,
  process: ProcessId,
  verdict: Verdict,
  activity: 'active' | 'resident',
): Template {
  const { reason, evidence, provisional } = verdict;
  return rows.template({
    bucket: 'unaccounted',
    reason,
    activity,
    job: verdict.job?.id ?? null,
    process,
    evidence,
    provisional,
  });
}
