// Spans of one device in a row with the same processes, added up: most hours are a few long runs of many short spans.
import { at } from './at.ts';
import type { ObservedProcess, ObservedSpan, ObservedTenant, ProcessId } from './cell.ts';
import { executedMs } from './cutter.ts';
import { type Interval, lengthMs } from './interval.ts';

/** An amount of time, and the hull of the spans that have some of it; null: none has. */
interface Amount {
  readonly ms: number;
  readonly hull: Interval | null;
}

export interface SpanRun extends Interval {
  /** The index of its first span, and how many there are. */
  readonly first: number;
  readonly count: number;
  /** The same in all of its spans, in the order of process ids. */
  readonly tenants: readonly ObservedTenant[];
  /**
   * What each tenant executed (one amount of what nobody is listed for, where there is none), and what nothing executed
   * in. Null where time does not add up without looking at each span: it is unknown, contradicted, partitioned or
   * credited to others.
   */
  readonly sums: { readonly active: readonly Amount[]; readonly rest: Amount } | null;
}

const kept = new WeakMap<readonly ObservedSpan[], readonly SpanRun[]>();

/** The runs of ascending, disjoint spans. Spans next to each other with nothing between are one run. */
export function runsOf(spans: readonly ObservedSpan[]): readonly SpanRun[] {
  let runs = kept.get(spans);
  if (runs === undefined) {
    runs = findRuns(spans);
    kept.set(spans, runs);
  }
  return runs;
}

function findRuns(spans: readonly ObservedSpan[]): SpanRun[] {
  const runs: SpanRun[] = [];
  let first = 0;
  while (first < spans.length) {
    const start = at(spans, first);
    const plain: PlainSpan[] = [];
    if (isPlain(start)) {
      plain.push(start);
      for (let last = start; first + plain.length < spans.length; plain.push(last)) {
        const next = at(spans, first + plain.length);
        if (next.fromMs !== last.toMs || !isPlain(next) || !sameTenants(start, next)) break;
        last = next;
      }
    }
    const { fromMs, tenants } = start;
    const count = Math.max(1, plain.length);
    const { toMs } = plain.at(-1) ?? start;
    const sums = plain.length === 0 ? null : sumUp(plain, tenants.length);
    runs.push({ fromMs, toMs, first, count, tenants, sums });
    first += count;
  }
  return runs;
}

interface PlainSpan extends ObservedSpan {
  readonly activeMs: number;
}

/** Whether what its tenants executed is theirs as it stands, and no more than there is time. */
function isPlain(span: ObservedSpan): span is PlainSpan {
  const { activeMs, conflictMs, partition, method, tenants, fromMs, toMs } = span;
  if (activeMs === null || conflictMs !== 0 || partition !== null || activeMs > toMs - fromMs) return false;
  if (tenants.length < 2) return tenants.length === 0 || tenants[0]?.activeMs === activeMs;
  let sumMs = 0;
  for (const tenant of tenants) {
    if (tenant.type.includes('M') || (method === 'equal' && tenant.type === 'G')) return false;
    sumMs += tenant.activeMs ?? 0;
  }
  return sumMs === activeMs;
}

function sameTenants(a: ObservedSpan, b: ObservedSpan): boolean {
  if (a.tenants.length !== b.tenants.length) return false;
  for (let at = 0; at < a.tenants.length; at += 1) {
    const [one, other] = [a.tenants[at], b.tenants[at]];
    if (one?.process !== other?.process || one?.type !== other?.type) return false;
    if (one?.gpuInstance !== other?.gpuInstance) return false;
  }
  return true;
}

interface Sum {
  ms: number;
  fromMs: number;
  toMs: number;
}

function addTo(sum: Sum, ms: number, { fromMs, toMs }: Interval): void {
  if (ms === 0) return;
  if (sum.ms === 0) sum.fromMs = fromMs;
  sum.ms += ms;
  sum.toMs = toMs;
}

const amountOf = ({ ms, fromMs, toMs }: Sum): Amount => ({ ms, hull: ms === 0 ? null : { fromMs, toMs } });

function sumUp(spans: readonly PlainSpan[], tenantCount: number): NonNullable<SpanRun['sums']> {
  const active = Array.from({ length: Math.max(1, tenantCount) }, (): Sum => {
    return { ms: 0, fromMs: 0, toMs: 0 };
  });
  const rest: Sum = { ms: 0, fromMs: 0, toMs: 0 };
  for (const span of spans) {
    for (let index = 0; index < active.length; index += 1)
      addTo(at(active, index), tenantCount === 0 ? span.activeMs : executedMs(at(span.tenants, index)), span);
    addTo(rest, lengthMs(span) - span.activeMs, span);
  }
  return { active: active.map(amountOf), rest: amountOf(rest) };
}

const keptTenants = new WeakMap<readonly ObservedSpan[], ReadonlySet<ProcessId>>();

/** Every process of these spans. */
export function tenantsOf(spans: readonly ObservedSpan[]): ReadonlySet<ProcessId> {
  const known = keptTenants.get(spans);
  if (known !== undefined) return known;
  const processes = new Set<ProcessId>();
  for (const { tenants } of runsOf(spans)) for (const { process } of tenants) processes.add(process);
  keptTenants.set(spans, processes);
  return processes;
}

/** Whether any of the processes is known to have ended. */
export function anyEnded(
  spans: readonly ObservedSpan[],
  processes: ReadonlyMap<ProcessId, ObservedProcess>,
): boolean {
  for (const id of tenantsOf(spans)) if ((processes.get(id)?.exitedMs ?? null) !== null) return true;
  return false;
}
