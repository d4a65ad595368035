// Books pieces of time: who gets which milliseconds, by what happened and by holder, both exactly.
import { ACCOUNTED_TYPE } from '../contract/batch.ts';
import { apportion } from './apportion.ts';
import { at } from './at.ts';
import type { ObservedGap, ObservedTenant, ProcessId } from './cell.ts';
import { executedMs, type PieceActivity } from './cutter.ts';
import { outermostOf } from './inside.ts';
import { type Interval, lengthMs } from './interval.ts';
import type { Job } from './job.ts';
import type { Awaiting, Rows, Template } from './rows.ts';
import type { SpanRun } from './runs.ts';
import type { Slot } from './slots.ts';
import type { Judge, Used, Verdict } from './verdict.ts';

/** Books the pieces of one slot, in which neither holders nor verdicts change. */
export interface Booking {
  measured(piece: Interval, activity: PieceActivity): void;
  unobserved(piece: Interval, cause: ObservedGap['reason']): void;
  /** Books a run inside the slot as its spans would be booked one by one. False: they must be, nothing is booked. */
  run(run: SpanRun): boolean;
}

/** What becomes of an amount of time, and from when on that awaits a record; undefined: it awaits nothing. */
interface Kind {
  readonly template: Template;
  readonly awaiting: Awaiting | undefined;
}

/** What becomes of it in the allocation of a job, and outside of any. */
interface Place {
  readonly held: Kind;
  readonly unheld: Kind;
}

/** A tenant of the slot: the verdict on it and the kinds of time that it can take. */
interface Tenant {
  /** By a job. What an exemption covers is not answerable for a device that contradicts itself. */
  readonly declared: boolean;
  /** The holder that its use belongs to before all others: the job that it works for. */
  readonly own: string | null;
  /** The exemption that is allotted what its use takes of time that nobody holds. */
  readonly exemption: string | null;
  /**
   * Of a declared one: how many of its job's processes may use the device at a time, and it when there are more; `marked`
   * null: it is marked anyway.
   */
  readonly crowd: { readonly job: string; readonly limit: number; readonly marked: Tenant | null } | null;
  /** Executing. */
  readonly active: Place;
  /** There, where the device does not tell activity. Asked for where that is so: few cells need it. */
  unknown(): Place;
  /** Only there, on a device, or a part of one, that no job holds. Declared ones take none of that. */
  readonly resident: Kind | null;
  /** Alone there, while the device draws power and claims to be still. */
  conflict(): Place;
}

/** Something that takes `ms` of a piece, before it is known into whose allocation it falls. */
interface Claim extends Place, Pick<Tenant, 'own' | 'exemption'> {
  readonly ms: number;
  /** When, where that is not the whole piece. */
  readonly hull?: Interval | null;
}

/** `columns` collects what each holder was allotted, for the assertion that both axes balance. */
export function createBooking(
  judge: Judge,
  slot: Slot,
  rows: Rows,
  columns: Map<string | null, number>,
): Booking {
  const known = new Map<string, Tenant>();
  let unseen: Tenant | null = null;
  const tenantOf = ({ process, type }: ObservedTenant): Tenant => {
    if (type === ACCOUNTED_TYPE) {
      unseen ??= unseenTenant(rows, judge.undeclaredFromMs);
      return unseen;
    }
    const key = `${type} ${process}`;
    let tenant = known.get(key);
    if (tenant === undefined) {
      tenant = toTenant(rows, process, judge.judge(process, slot.fromMs, slot.jobs, type), slot);
      known.set(key, tenant);
    }
    return tenant;
  };
  return {
    unobserved(piece, cause) {
      const template = rows.template({ bucket: 'unobserved', cause, activity: 'unknown' });
      const left = allot(slot, piece, columns);
      for (const [index, holder] of slot.holders.entries())
        rows.add(template, holder, piece, at(left, index));
    },
    measured(piece, activity) {
      const { activeMs, conflictMs } = activity;
      const here = markCrowds(activity.tenants.map(tenantOf));
      const left = allot(slot, piece, columns);
      if (activeMs === null) {
        const parts = contextParts(lengthMs(piece), activity);
        const claims = here.map(({ own, unknown }, index) => ({
          ...{ ms: at(parts, index), own, exemption: null, ...unknown() },
        }));
        book(rows, slot, piece, left, claims, columns);
        rest(rows, slot, piece, left, []);
        return;
      }
      const claims: Claim[] = here.map(({ own, exemption, active }, index) => {
        return { ms: executedMs(at(activity.tenants, index)), own, exemption, ...active };
      });
      if (here.length === 0) claims.push({ ms: activeMs, ...NOBODYS, ...nobody(rows, 'no_process') });
      if (conflictMs > 0) claims.push(...conflictClaims(rows, conflictMs, here));
      book(rows, slot, piece, left, claims, columns);
      rest(rows, slot, piece, left, here);
    },
    run({ tenants, sums, fromMs, toMs }) {
      if (sums === null || slot.holders.length > 1) return false;
      const here = markCrowds(tenants.map(tenantOf));
      const [holder = null] = slot.holders;
      // Who is only there shares what is left of each span.
      const residents = holder === null ? here.filter((tenant) => tenant.resident !== null) : [];
      if (residents.length > 1) return false;
      const claims: Claim[] = sums.active.map(({ ms, hull }, index) => {
        const { own, exemption, active } = here[index] ?? { ...NOBODYS, active: nobody(rows, 'no_process') };
        return { ms, hull, own, exemption, ...active };
      });
      const kinds = claims.map((claim) => (holder === null ? claim.unheld : claim.held));
      if (kinds.some(({ awaiting }) => awaiting !== undefined && liesWithin(awaiting.fromMs, fromMs, toMs)))
        return false;
      const left = allot(slot, { fromMs, toMs }, columns);
      book(rows, slot, { fromMs, toMs }, left, claims, columns);
      rest(rows, slot, sums.rest.hull ?? { fromMs, toMs }, left, here);
      return true;
    },
  };
}

const liesWithin = (ms: number, fromMs: number, toMs: number): boolean => fromMs < ms && ms < toMs;

const NOBODYS = { own: null, exemption: null, crowd: null };

/** More processes of a job on the device than it declared: all of them are marked. */
function markCrowds(here: readonly Tenant[]): readonly Tenant[] {
  if (here.every((tenant) => tenant.crowd === null)) return here;
  const counts = new Map<string, number>();
  for (const { crowd } of new Set(here))
    if (crowd !== null) counts.set(crowd.job, (counts.get(crowd.job) ?? 0) + 1);
  const isOver = ({ job, limit }: NonNullable<Tenant['crowd']>): boolean =>
    [...counts].some(([counted, count]) => counted === job && count > limit);
  return here.map((tenant) =>
    tenant.crowd !== null && isOver(tenant.crowd) ? (tenant.crowd.marked ?? tenant) : tenant,
  );
}

/** The holder that a job's use belongs to: itself, or the outermost one that it runs inside of; null: no one. */
const holderFor = (job: Job, slot: Slot): string | null =>
  slot.holders.includes(job.id) ? job.id : (outermostOf(job, slot.jobs)?.id ?? null);

const anywhere = (template: Template, awaiting?: Awaiting): Place => {
  const kind = { template, awaiting };
  return { held: kind, unheld: kind };
};

/** Activity that no process is known for: nobody's record can cover it, so it awaits none. */
const nobody = (rows: Rows, reason: 'no_process' | 'telemetry_conflict'): Place =>
  anywhere(rows.template({ bucket: 'unaccounted', reason, activity: 'active' }));

function toTenant(rows: Rows, process: ProcessId, verdict: Verdict, slot: Slot): Tenant {
  if (verdict.reason === null) return userOf(rows, process, verdict, slot);
  const { reason, job, evidence, provisionalFromMs, finalAtMs } = verdict;
  const against = { bucket: 'unaccounted', job: job?.id ?? null, process, evidence } as const;
  const awaiting = { fromMs: provisionalFromMs, finalAtMs };
  const resident = rows.template({ ...against, reason, activity: 'resident' });
  return {
    declared: false,
    ...NOBODYS,
    active: anywhere(rows.template({ ...against, reason, activity: 'active' }), awaiting),
    // Whoever holds the device: else a held partition would hide it.
    unknown: () => anywhere(resident, awaiting),
    resident: { template: resident, awaiting },
    conflict: () => anywhere(rows.template({ ...against, reason: 'telemetry_conflict', activity: 'active' })),
  };
}

function userOf(rows: Rows, process: ProcessId, verdict: Used, slot: Slot): Tenant {
  const { job, evidence, suspicious } = verdict;
  const who = { job: job.id, process, evidence, suspicious } as const;
  const used = rows.template({ bucket: 'used', activity: 'active', ...who });
  const unknown = (): Place => ({
    held: { template: rows.template({ bucket: 'held', activity: 'unknown', ...who }), awaiting: undefined },
    unheld: { template: rows.template({ bucket: 'idle', activity: 'unknown', ...who }), awaiting: undefined },
  });
  const use = { active: anywhere(used), unknown, resident: null };
  if (evidence === 'policy')
    return {
      ...{ declared: false, own: null, exemption: job.id, crowd: null, ...use },
      conflict: () => nobody(rows, 'telemetry_conflict'),
    };
  const limit = job.declares.processesPerDevice;
  const marked = suspicious ? null : { ...verdict, suspicious: true };
  return {
    ...{ declared: true, own: holderFor(job, slot), exemption: null, ...use, conflict: unknown },
    crowd:
      limit === undefined
        ? null
        : { job: job.id, limit, marked: marked && userOf(rows, process, marked, slot) },
  };
}

/**
 * A process that only the driver's accounting lists: who it was is not known. Within a job's allocation nothing speaks
 * against the job; outside of any it is use by nobody, unless a job is declared that held the device.
 */
function unseenTenant(rows: Rows, undeclaredFromMs: number): Tenant {
  const against = { bucket: 'unaccounted', reason: 'no_process' } as const;
  const awaiting = { fromMs: undeclaredFromMs, finalAtMs: 0 };
  const held = { template: rows.template({ bucket: 'held', activity: 'unknown' }), awaiting: undefined };
  const resident = { template: rows.template({ ...against, activity: 'resident' }), awaiting };
  const active = { template: rows.template({ ...against, activity: 'active' }), awaiting };
  return {
    declared: false,
    ...NOBODYS,
    active: { held, unheld: active },
    unknown: () => ({ held, unheld: resident }),
    resident,
    conflict: () => nobody(rows, 'telemetry_conflict'),
  };
}

/**
 * Where the device does not tell its activity (MIG), time goes to the contexts on it: those of an instance share its part
 * of the device equally. Where one of them is in no known instance, all share the whole device equally.
 */
export function contextParts(
  totalMs: number,
  { tenants, partition }: Pick<PieceActivity, 'tenants' | 'partition'>,
): number[] {
  if (partition === null) return equalShares(totalMs, tenants.length);
  const { instances, slices } = partition;
  const where = tenants.map((tenant) => instances.findIndex((one) => one.gpuInstance === tenant.gpuInstance));
  if (where.includes(-1)) return equalShares(totalMs, tenants.length);
  const used = instances.reduce((sum, one) => sum + one.slices, 0);
  const partMs = apportion(totalMs, [...instances.map((one) => one.slices), slices - used]);
  const parts = tenants.map(() => 0);
  for (const [instance] of instances.entries()) {
    const inside = [...where.keys()].filter((index) => where[index] === instance);
    const shares = equalShares(at(partMs, instance), inside.length);
    for (const [position, index] of inside.entries()) parts[index] = at(shares, position);
  }
  return parts;
}

/**
 * The device draws working power and claims to be still. With declared processes there it is theirs to explain: not
 * executing for all that is known. Else it is use by the only undeclared process there, or by nobody who can be named.
 */
function conflictClaims(rows: Rows, totalMs: number, here: readonly Tenant[]): Claim[] {
  const declared = here.filter((tenant) => tenant.declared);
  if (declared.length === 0) {
    const place = here.length === 1 ? at(here, 0).conflict() : nobody(rows, 'telemetry_conflict');
    return [{ ms: totalMs, ...NOBODYS, ...place }];
  }
  const shares = equalShares(totalMs, declared.length);
  return declared.map(({ own, conflict }, index) => ({
    ...{ ms: at(shares, index), own, exemption: null, ...conflict() },
  }));
}

const equalShares = (totalMs: number, count: number): number[] =>
  count === 1 ? [totalMs] : apportion(totalMs, new Array<number>(count).fill(1));

/** Divides a piece between the holders of the slot. */
function allot(slot: Slot, piece: Interval, columns: Map<string | null, number>): number[] {
  const left = slot.holders.length === 1 ? [lengthMs(piece)] : apportion(lengthMs(piece), slot.weights);
  for (const [index, holder] of slot.holders.entries()) addTo(columns, holder, at(left, index));
  return left;
}

function addTo(columns: Map<string | null, number>, holder: string | null, ms: number): void {
  columns.set(holder, (columns.get(holder) ?? 0) + ms);
}

/**
 * Places what happened in what the holders were allotted, and takes it off `left`: first each job's own use in its own
 * share, then everything else in proportion to what is left of the shares. An exemption holds nothing in advance: it is
 * allotted what its use takes of time that nobody holds.
 */
function book(
  rows: Rows,
  slot: Slot,
  piece: Interval,
  left: number[],
  claims: readonly Claim[],
  columns: Map<string | null, number>,
): void {
  const place = (claim: Claim, index: number, ms: number): void => {
    const holder = at(slot.holders, index);
    left[index] = at(left, index) - ms;
    const { template, awaiting } = holder === null ? claim.unheld : claim.held;
    rows.add(template, holder ?? claim.exemption, claim.hull ?? piece, ms, awaiting);
    if (holder !== null || claim.exemption === null) return;
    addTo(columns, null, -ms);
    addTo(columns, claim.exemption, ms);
  };
  if (left.length === 1) {
    for (const claim of claims) place(claim, 0, claim.ms);
    return;
  }
  const open = claims.map((claim) => {
    const index = claim.own === null ? -1 : slot.holders.indexOf(claim.own);
    const ms = index < 0 ? 0 : Math.min(claim.ms, at(left, index));
    if (ms > 0) place(claim, index, ms);
    return claim.ms - ms;
  });
  for (const [position, claim] of claims.entries())
    for (const [index, ms] of apportion(at(open, position), left).entries()) place(claim, index, ms);
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
    const ms = at(left, index);
    if (ms === 0) continue;
    if (ms < 0) throw new RangeError(`the piece from ${piece.fromMs} is shorter than its active time`);
    const undeclared = holder === null ? here.flatMap((tenant) => tenant.resident ?? []) : [];
    if (undeclared.length > 0) {
      const shares = equalShares(ms, undeclared.length);
      for (const [position, { template, awaiting }] of undeclared.entries())
        rows.add(template, null, piece, at(shares, position), awaiting);
    } else {
      const activity = here.length === 0 ? 'none' : 'resident';
      rows.add(rows.template({ bucket: holder === null ? 'idle' : 'held', activity }), holder, piece, ms);
    }
  }
}
