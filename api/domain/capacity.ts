// When a device belongs to the fleet, and on which node: what inventories show, and what fleet lists state.

/** A node's inventory showed the device. `N` is whatever names a node. */
export interface Sighting<N> {
  readonly node: N;
  readonly atMs: number;
}

/** A fleet list says: on this node from then on; `toMs`: retired then. */
export interface FleetStatement<N> {
  readonly node: N;
  readonly fromMs: number;
  readonly toMs: number | null;
}

/** `toMs` null: until further notice. */
export interface CapacityStretch<N> {
  readonly node: N;
  readonly fromMs: number;
  readonly toMs: number | null;
}

interface Run<N> {
  readonly node: N;
  fromMs: number;
  toMs: number | null;
}

/** At the same moment in this order. */
const EVENTS = ['end', 'start', 'seen'] as const;

interface Event<N> {
  readonly kind: (typeof EVENTS)[number];
  readonly atMs: number;
  readonly node: N;
}

/**
 * The capacity of one device: ascending, disjoint stretches. It opens where the device is first seen, or at the date that
 * a fleet list states for that node, earlier or later. It closes where a list retires it, or where another node shows it:
 * a proven move goes before what a list says. Seen after it was retired, it belongs to the fleet again.
 *
 * The order of `sightings` does not matter; that of `statements` is the order in which they were made: a later one
 * holds from its start on.
 */
export function capacityOfDevice<N>(
  statements: readonly FleetStatement<N>[],
  sightings: readonly Sighting<N>[],
): CapacityStretch<N>[] {
  const events: Event<N>[] = sightings.map(({ node, atMs }) => ({ kind: 'seen', node, atMs }));
  for (const { node, fromMs, toMs } of statedTimeline(statements)) {
    if (toMs !== fromMs) events.push({ kind: 'start', node, atMs: fromMs });
    if (toMs !== null) events.push({ kind: 'end', node, atMs: toMs });
  }
  events.sort((a, b) => a.atMs - b.atMs || EVENTS.indexOf(a.kind) - EVENTS.indexOf(b.kind));
  const runs: Run<N>[] = [];
  for (const { kind, node, atMs } of events) {
    const last = runs.at(-1);
    const open = last === undefined || last.toMs !== null ? null : last;
    if (kind === 'end') {
      if (open?.node === node) open.toMs = atMs;
    } else if (open?.node !== node) {
      if (open !== null) open.toMs = atMs;
      runs.push({ node, fromMs: atMs, toMs: null });
    } else if (kind === 'start') open.fromMs = atMs;
  }
  return runs.filter((run) => run.toMs === null || run.toMs > run.fromMs);
}

/** What the lists say together: each statement replaces what was said of the time from its start on. */
function statedTimeline<N>(statements: readonly FleetStatement<N>[]): FleetStatement<N>[] {
  let timeline: FleetStatement<N>[] = [];
  for (const statement of statements) {
    const { fromMs } = statement;
    timeline = timeline.flatMap((earlier) => {
      if (earlier.fromMs >= fromMs) return [];
      if (earlier.toMs !== null && earlier.toMs <= fromMs) return [earlier];
      // The same node again is the same stretch, with another start; on another node it ends here.
      return earlier.node === statement.node ? [] : [{ ...earlier, toMs: fromMs }];
    });
    timeline.push(statement);
  }
  return timeline;
}
