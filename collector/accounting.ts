/**
 * What the driver's accounting tells of processes that have ended. Of those that readings saw alive it is a fact beside
 * the ledger; those that came and went between two readings get their time by it. A row has a pid and nothing else, so
 * whose it is must be found out.
 */
import { ACCOUNTED_TYPE, type AccountedFact } from '../api/contract/batch.ts';
import type { EndedTenant, StartOf } from './parts.ts';
import { type EndedProcess, type Reading, UNTOLD_TYPE } from './reading.ts';

/** A row may come later than the reading in which its process was gone; after this long the pid is another process. */
const REMEMBERED_MS = 15 * 60_000;
/** Pids of one device that are remembered, unless more are listed at once. */
const MAX_REMEMBERED = 1024;
/** Rows of one reading; a machine on which more processes end between two readings loses the rest, and says so. */
const MAX_ROWS = 512;

/** Where the processes behind pids are looked up. */
export interface Identities {
  /** Key of the living process that has had this pid since before `sinceMs`; null: /proc shows none. */
  keyOfLiving(pid: number, sinceMs: number, atMs: number): string | null;
  /** Key of a new record of a process that has ended, and that nothing but accounting tells of. */
  keyOfEnded(pid: number, atMs: number, why: string): string;
}

/** `ended`: by device, who has time there that readings do not show. `lost`: rows beyond what one reading may hold. */
export interface Accounted {
  readonly facts: readonly AccountedFact[];
  readonly ended: ReadonlyMap<string, readonly EndedTenant[]>;
  readonly lost: number;
}

interface Sight {
  readonly key: string;
  readonly type: string;
  /** By the monotonic clock: it came after this; null where that is not known. */
  readonly afterMs: number | null;
  /** By the monotonic clock: its start; null where that is not known. */
  readonly bornMs: number | null;
  /** By the monotonic clock: the first reading that saw it. */
  readonly sinceMs: number;
  /** By the monotonic clock: the last reading that saw it. */
  atMs: number;
}

const NOTHING: Accounted = { facts: [], ended: new Map(), lost: 0 };

export class AccountingBook {
  readonly #identities: Identities;
  /** By device and pid, whom readings saw there. */
  readonly #sights = new Map<string, Map<number, Sight>>();
  /** By device, the last reading that measured it, by the monotonic clock. */
  readonly #measuredMs = new Map<string, number>();
  /** Wall clock of the last reading that measured a device. */
  #beforeMs: number | null = null;

  constructor(identities: Identities) {
    this.#identities = identities;
  }

  /** Takes every reading. `keys`: process key by pid. `startedMs`: when a process started by the wall clock, if known. */
  take(reading: Reading, keys: ReadonlyMap<number, string>, startedMs: StartOf): Accounted {
    this.#remember(reading, keys, startedMs);
    const accounted = reading.ended.length === 0 ? NOTHING : this.#takeRows(reading);
    for (const { ok, uuid } of reading.devices) if (ok) this.#measuredMs.set(uuid, reading.monotonicMs);
    if (reading.devices.some((device) => device.ok)) this.#beforeMs = reading.wallMs;
    return accounted;
  }

  #takeRows(reading: Reading): Accounted {
    const facts: AccountedFact[] = [];
    const ended = new Map<string, EndedTenant[]>();
    const unseen = new Map<number, Owner>();
    const seenMs = Math.round(reading.wallMs);
    const afterMs = Math.min(Math.round(this.#beforeMs ?? seenMs), seenMs);
    for (const one of reading.ended.slice(0, MAX_ROWS)) {
      const openMs = Math.round(one.openMs);
      const busyPercent =
        one.busyPercent === null ? null : Math.min(100, Math.max(0, Math.round(one.busyPercent)));
      const row = { ...one, openMs, busyPercent };
      const sight = this.#sightOf(row, reading.monotonicMs);
      const owner = sight ?? this.#ownerOfUnseen(row, unseen, afterMs, seenMs);
      if (sight === null) place(ended, { ...row, stayed: false }, owner);
      else {
        const left = this.#openAfter(sight, row, reading.monotonicMs);
        if (left !== null) place(ended, { ...row, ...left, stayed: true }, owner);
      }
      facts.push({
        device: row.device,
        process: owner.key,
        openMs,
        busyPercent,
        maxMemoryBytes: row.maxMemoryBytes,
        afterMs,
        seenMs,
      });
    }
    return { facts, ended, lost: Math.max(0, reading.ended.length - MAX_ROWS) };
  }

  #remember(
    { devices, wallMs, monotonicMs }: Reading,
    keys: ReadonlyMap<number, string>,
    startedMs: StartOf,
  ): void {
    for (const device of devices) {
      if (!device.ok || device.processes.length === 0) continue;
      const sights = this.#sights.get(device.uuid) ?? new Map<number, Sight>();
      this.#sights.set(device.uuid, sights);
      for (const { pid, type } of device.processes) {
        const key = keys.get(pid);
        const sight = sights.get(pid);
        if (key === undefined) continue;
        if (sight?.key === key) sight.atMs = monotonicMs;
        else {
          const began = startedMs(key);
          const bornMs = began === null ? null : Math.min(monotonicMs, monotonicMs - (wallMs - began));
          const afterMs = larger(this.#measuredMs.get(device.uuid) ?? null, bornMs);
          sights.set(pid, { key, type, afterMs, bornMs, sinceMs: monotonicMs, atMs: monotonicMs });
        }
      }
      if (sights.size > MAX_REMEMBERED) forget(sights, monotonicMs);
    }
  }

  /** The process that a row is about, where a reading saw it on that device; it is told of once after it is gone. */
  #sightOf({ device, pid }: EndedProcess, atMs: number): Sight | null {
    const sights = this.#sights.get(device);
    const sight = sights?.get(pid);
    if (sight === undefined || atMs - sight.atMs > REMEMBERED_MS) return null;
    // What has a context again, or still, may end another one.
    if (sight.atMs !== atMs) sights?.delete(pid);
    return sight;
  }

  /**
   * How long it had the device open after the last reading that saw it, in the interval in which it left: what is left of
   * its open time when all of the time is taken off in which it can have been there before; where nothing is, what is left
   * when it came as it was seen first. null: the driver's figure tells nothing of it, or no more than half of the interval.
   */
  #openAfter(
    { afterMs, bornMs, sinceMs, atMs }: Sight,
    { device, openMs }: EndedProcess,
    nowMs: number,
  ): { readonly openMs: number; readonly sure: boolean } | null {
    if (atMs !== this.#measuredMs.get(device)) return null;
    // Open for longer than since the reading that did not list it: that one was wrong, and it may have come at its start.
    const isOlder = afterMs !== null && openMs > nowMs - afterMs;
    const cameMs = isOlder ? bornMs : afterMs;
    const leastMs = cameMs === null ? 0 : openMs - (atMs - cameMs);
    if (leastMs > 0) return { openMs: Math.round(leastMs), sure: true };
    const mostMs = openMs - (atMs - sinceMs);
    return mostMs < 0 || mostMs >= (nowMs - atMs) / 2 ? null : { openMs: Math.round(mostMs), sure: false };
  }

  #ownerOfUnseen(row: EndedProcess, known: Map<number, Owner>, afterMs: number, seenMs: number): Owner {
    const { pid, openMs } = row;
    let owner = known.get(pid);
    if (owner !== undefined) return owner;
    // Who has had the pid since before the interval had it when the context closed.
    const living = this.#identities.keyOfLiving(pid, afterMs, seenMs);
    if (living !== null) owner = { key: living, type: UNTOLD_TYPE };
    else {
      const why =
        openMs > seenMs - afterMs
          ? `only the driver's accounting tells of it: no reading listed it, though it had a device open for ${openMs} ms`
          : "only the driver's accounting tells of it: it began and ended between two readings";
      owner = { key: this.#identities.keyOfEnded(pid, seenMs, why), type: ACCOUNTED_TYPE };
    }
    known.set(pid, owner);
    return owner;
  }
}

/** `type`: of its tenants. */
interface Owner {
  readonly key: string;
  readonly type: string;
}

const larger = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.max(a, b);

function place(
  ended: Map<string, EndedTenant[]>,
  row: EndedProcess & Pick<EndedTenant, 'stayed' | 'sure'>,
  { key, type }: Owner,
): void {
  const tenants = ended.get(row.device) ?? [];
  ended.set(row.device, tenants);
  const { openMs, busyPercent, maxMemoryBytes, stayed, sure = false } = row;
  const at = tenants.findIndex(({ process }) => process === key);
  const other = tenants[at];
  if (other === undefined)
    tenants.push({
      process: key,
      type,
      stayed,
      ...(sure ? { sure } : {}),
      openMs,
      busyPercent,
      memoryBytes: maxMemoryBytes,
    });
  // The same pid twice: one tenant, with all of the time.
  else
    tenants[at] = {
      ...other,
      openMs: other.openMs + openMs,
      busyPercent: larger(other.busyPercent, busyPercent),
      memoryBytes: larger(other.memoryBytes, maxMemoryBytes),
    };
}

/** What has not been seen for long, and else the longest known. */
function forget(sights: Map<number, Sight>, atMs: number): void {
  for (const [pid, sight] of sights) if (atMs - sight.atMs > REMEMBERED_MS) sights.delete(pid);
  for (const [pid, sight] of sights) {
    if (sights.size <= MAX_REMEMBERED) return;
    if (sight.atMs !== atMs) sights.delete(pid);
  }
}
