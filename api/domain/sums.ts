// Sums of ledger entries, in the shape that every ledger answer carries.
import type { Sums } from '../contract/ledger.ts';
import type { Entry } from './cell.ts';

export const NO_SUMS: Sums = {
  capacityMs: 0,
  usedMs: 0,
  heldMs: 0,
  unaccountedMs: 0,
  idleMs: 0,
  unobservedMs: 0,
  allocatedMs: 0,
  unaccountedActiveMs: 0,
  unaccountedProvisionalMs: 0,
  unaccountedInsideMs: 0,
  unobservedInsideMs: 0,
};

/** Milliseconds of every bucket and of the holder axis. `capacityMs` is the sum of the five buckets. */
export function sumEntries(entries: Iterable<Entry>): Sums {
  const sums = { ...NO_SUMS };
  for (const entry of entries) {
    const { ms, bucket } = entry;
    const held = entry.holder !== null;
    sums.capacityMs += ms;
    if (held) sums.allocatedMs += ms;
    if (bucket === 'used') sums.usedMs += ms;
    else if (bucket === 'held') sums.heldMs += ms;
    else if (bucket === 'idle') sums.idleMs += ms;
    else if (bucket === 'unobserved') {
      sums.unobservedMs += ms;
      if (held) sums.unobservedInsideMs += ms;
    } else {
      sums.unaccountedMs += ms;
      if (entry.activity === 'active') sums.unaccountedActiveMs += ms;
      if (entry.provisional) sums.unaccountedProvisionalMs += ms;
      if (held) sums.unaccountedInsideMs += ms;
    }
  }
  return sums;
}

export function addSums(a: Sums, b: Sums): Sums {
  return {
    capacityMs: a.capacityMs + b.capacityMs,
    usedMs: a.usedMs + b.usedMs,
    heldMs: a.heldMs + b.heldMs,
    unaccountedMs: a.unaccountedMs + b.unaccountedMs,
    idleMs: a.idleMs + b.idleMs,
    unobservedMs: a.unobservedMs + b.unobservedMs,
    allocatedMs: a.allocatedMs + b.allocatedMs,
    unaccountedActiveMs: a.unaccountedActiveMs + b.unaccountedActiveMs,
    unaccountedProvisionalMs: a.unaccountedProvisionalMs + b.unaccountedProvisionalMs,
    unaccountedInsideMs: a.unaccountedInsideMs + b.unaccountedInsideMs,
    unobservedInsideMs: a.unobservedInsideMs + b.unobservedInsideMs,
  };
}
