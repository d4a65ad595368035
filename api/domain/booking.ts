// Books pieces of time: who gets which milliseconds, by what happened and by holder, both exactly.
import { apportion } from './apportion.ts';
import type { ObservedGap, ProcessId } from './cell.ts';
import type { PieceActivity } from './cutter.ts';
import { type Interval, lengthMs } from './interval.ts';
import type { Awaiting, Rows, Template } from './rows.ts';
import type { Slot } from './slots.ts';
import type { Judge, Verdict } from './verdict.ts';

/** Books the pieces of one slot, in which neither holders nor verdicts change. */
export interface Booking {
  measured(piece: Interval, activity: PieceActivity): void;
  unobserved(piece: Interval, cause: ObservedGap['reason']): void;
}

/** A tenant of the slot: the verdict on it and the kinds of time that it can take. */
interface Tenant {
  readonly undeclared: boolean;
  /** The holder that its use belongs to before all others: the job that it works for. */
  readonly own: string | null;
  /** Undefined: its time awaits nothing. */
  readonly awaiting: Awaiting | undefined;
  /** Executing. */
  readonly active: Template;
  /** Only there: an undeclared one on a device, or a part of one, that no job holds. */
  readonly resident: Template;
  /** There, where the device does not tell activity: in its job's or another's allocation, and outside of any. */
  readonly unknownHeld: Template;
  readonly unknownIdle: Template;
}

/** Something that takes `ms` of a piece, before it is known into whose allocation it falls. */
interface Claim {
  readonly ms: number;
  readonly own: string | null;
  readonly awaiting: Awaiting | undefined;
  readonly held: Template;
  readonly unheld: Template;
}

/** `columns` collects what each holder was allotted, for the assertion that both axes balance. */
export function createBooking(
  judge: Judge,
  slot: Slot,
  rows: Rows,
  columns: Map<string | null, number>,
): Booking {
  const known = new Map<ProcessId, Tenant>();
  const tenantOf = (process: ProcessId): Tenant => {
    let tenant = known.get(process);
    if (tenant === undefined) {
      tenant = toTenant(rows, process, judge.judge(process, slot.fromMs, slot.jobs));
      known.set(process, tenant);
    }
    return tenant;
  };
  return {
    unobserved(piece, cause) {
      const template = rows.template({ bucket: 'unobserved', cause, activity: 'unknown' });
      const left = allot(slot, piece, columns);
      for (const [index, holder] of slot.holders.entries())
        rows.add(template, holder, piece, left[index] ?? 0);
    },
    measured(piece, { activeMs, tenants }) {
      const here = tenants.map(({ process }) => tenantOf(process));
      const left = allot(slot, piece, columns);
      if (activeMs === null) {
        const shares = equalShares(lengthMs(piece), here.length);
        const claims = here.map((tenant, index) => contextClaim(tenant, shares[index] ?? 0));
        book(rows, slot, piece, left, claims);
      } else if (here.length === 0) {
        const working = rows.template({ bucket: 'unaccounted', reason: 'no_process', activity: 'active' });
        book(rows, slot, piece, left, [
          { ms: activeMs, own: null, awaiting: undefined, held: working, unheld: working },
        ]);
      } else {
        const claims = here.map(({ own, awaiting, active }, index) => {
          return { ms: tenants[index]?.activeMs ?? 0, own, awaiting, held: active, unheld: active };
        });
        book(rows, slot, piece, left, claims);
      }
      rest(rows, slot, piece, left, here);
    },
  };
}

function toTenant(rows: Rows, process: ProcessId, verdict: Verdict): Tenant {
  const { reason, evidence, provisionalFromMs, suspicious, finalAtMs } = verdict;
  const job = verdict.job?.id ?? null;
  const who = { job, process, evidence } as const;
  const against = { bucket: 'unaccounted', reason, ...who } as const;
  const undeclared = reason !== null;
  return {
    undeclared,
    own: undeclared ? null : job,
    awaiting: undeclared ? { fromMs: provisionalFromMs, finalAtMs } : undefined,
    active: undeclared
      ? rows.template({ ...against, activity: 'active' })
      : rows.template({ bucket: 'used', activity: 'active', suspicious, ...who }),
    resident: rows.template({ ...against, activity: 'resident' }),
    unknownHeld: rows.template({ bucket: 'held', activity: 'unknown', suspicious, ...who }),
    unknownIdle: rows.template({ bucket: 'idle', activity: 'unknown', suspicious, ...who }),
  };
}

/**
 * Where the device does not tell its activity (MIG), time goes to the contexts on it in equal shares. A declared one's is
 * held, activity unknown (idle, where it spills over what jobs were given); an undeclared one's is unaccounted, resident,
 * whoever holds the device: else a held partition would hide it.
 */
function contextClaim(tenant: Tenant, ms: number): Claim {
  const { own, awaiting } = tenant;
  return tenant.undeclared
    ? { ms, own, awaiting, held: tenant.resident, unheld: tenant.resident }
    : { ms, own, awaiting, held: tenant.unknownHeld, unheld: tenant.unknownIdle };
}

const equalShares = (totalMs: number, count: number): number[] =>
  count === 1 ? [totalMs] : apportion(totalMs, new Array<number>(count).fill(1));

/** Divides a piece between the holders of the slot. */
function allot(slot: Slot, piece: Interval, columns: Map<string | null, number>): number[] {
  const left = slot.holders.length === 1 ? [lengthMs(piece)] : apportion(lengthMs(piece), slot.weights);
  for (const [index, holder] of slot.holders.entries())
    columns.set(holder, (columns.get(holder) ?? 0) + (left[index] ?? 0));
  return left;
}

/**
 * Places what happened in what the holders were allotted, and takes it off `left`: first each job's own use in its own
 * share, then everything else in proportion to what is left of the shares.
 */
function book(rows: Rows, slot: Slot, piece: Interval, left: number[], claims: readonly Claim[]): void {
  const place = (claim: Claim, index: number, ms: number): void => {
    const holder = slot.holders[index] ?? null;
    left[index] = (left[index] ?? 0) - ms;
    rows.add(holder === null ? claim.unheld : claim.held, holder, piece, ms, claim.awaiting);
  };
  if (left.length === 1) {
    for (const claim of claims) place(claim, 0, claim.ms);
    return;
  }
  const open = claims.map((claim) => {
    const index = claim.own === null ? -1 : slot.holders.indexOf(claim.own);
    const ms = index < 0 ? 0 : Math.min(claim.ms, left[index] ?? 0);
    if (ms > 0) place(claim, index, ms);
    return claim.ms - ms;
  });
  for (const [at, claim] of claims.entries())
    for (const [index, ms] of apportion(open[at] ?? 0, left).entries()) place(claim, index, ms);
}

/** Books what nothing executed in: held, idle, or resident where undeclared contexts sit on what no job holds. */
function rest(
  rows: Rows,
  slot: Slot,
  piece: Interval,
  left: readonly number[],
  here: readonly Tenant[],
): void {
  for (const [index, holder] of slot.holders.entries()) {
    const ms = left[index] ?? 0;
    if (ms === 0) continue;
    if (ms < 0) throw new RangeError(`the piece from ${piece.fromMs} is shorter than its active time`);
    const undeclared = holder === null ? here.filter((tenant) => tenant.undeclared) : [];
    if (undeclared.length > 0) {
      const shares = equalShares(ms, undeclared.length);
      for (const [at, tenant] of undeclared.entries())
        rows.add(tenant.resident, null, piece, shares[at] ?? 0, tenant.awaiting);
    } else {
      const activity = here.length === 0 ? 'none' : 'resident';
      rows.add(rows.template({ bucket: holder === null ? 'idle' : 'held', activity }), holder, piece, ms);
    }
  }
}
