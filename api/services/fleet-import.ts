/** Imports a fleet list: says what differs from what is known, and changes it unless it is a dry run. */
import type { Clock } from '../clock.ts';
import type { FleetIn, FleetResult } from '../contract/fleet.ts';
import type { Caller } from '../domain/caller.ts';
import type { FleetChange, FleetDevice, FleetNode } from '../store/fleet.ts';
import type { Store } from '../store/store.ts';
import { ServiceError } from './errors.ts';

type NodeIn = FleetIn['nodes'][number];

/** A change with the words for it. */
interface Worded {
  readonly change: FleetChange;
  readonly result: FleetResult['changes'][number];
}

/**
 * Nodes and devices that the list does not name are left alone. Throws `ServiceError` `forbidden`, or `invalid` with the
 * member's path where the list contradicts itself.
 */
export async function importFleet(
  store: Store,
  clock: Clock,
  cluster: string,
  caller: Caller,
  fleet: FleetIn,
): Promise<FleetResult> {
  if (caller.role !== 'admin') throw new ServiceError('forbidden', 'only administrators import a fleet list');
  checkList(fleet);
  const uuids = fleet.nodes.flatMap((node) => node.devices.map((device) => device.uuid));
  const known = await store.fleet.readFleet(cluster, uuids);
  const nodes = new Map(known.nodes.map((node) => [node.node, node]));
  const devices = new Map(known.devices.map((device) => [device.uuid, device]));
  const modes = new Map(known.nodes.map((node) => [node.group, node.mode]));
  const changes = fleet.nodes.flatMap((node) => [
    ...nodeChanges(node, nodes.get(node.node), modes),
    ...node.devices.flatMap((device) => deviceChanges(node, device, devices.get(device.uuid))),
  ]);
  if (!fleet.dryRun && changes.length > 0)
    await store.fleet.applyFleet(
      cluster,
      changes.map(({ change }) => change),
      clock.nowMs(),
      {
        ...{
          atMs: clock.nowMs(),
          actor: caller.name,
          role: caller.role,
          action: 'fleet.import',
          subject: cluster,
        },
        detail: `${fleet.nodes.length} nodes, ${changes.length} changes`,
      },
    );
  return { dryRun: fleet.dryRun, changes: changes.map(({ result }) => result) };
}

function checkList(fleet: FleetIn): void {
  const seen = new Set<string>();
  for (const [at, node] of fleet.nodes.entries()) {
    if (node.to !== null && Date.parse(node.to) < Date.parse(node.from))
      throw bad(`nodes.${at}.to`, 'must not lie before from');
    for (const [place, { uuid }] of node.devices.entries()) {
      if (seen.has(uuid)) throw bad(`nodes.${at}.devices.${place}.uuid`, 'is listed twice');
      seen.add(uuid);
    }
  }
}

const bad = (field: string, message: string): ServiceError =>
  new ServiceError('invalid', `Not valid: ${field}`, [{ field, message }]);

function nodeChanges(
  node: NodeIn,
  known: FleetNode | undefined,
  modes: Map<string, FleetNode['mode']>,
): Worded[] {
  const { node: name, group, mode } = node;
  const changes: Worded[] = [];
  const add = (change: FleetChange, words: string) =>
    changes.push({ change, result: { node: name, device: null, change: words } });
  if (known === undefined) add({ kind: 'add_node', node: name, group }, `new, in group ${group}`);
  else if (known.group !== group)
    add({ kind: 'move_group', node: name, group }, `moves from group ${known.group} to ${group}`);
  if (mode !== undefined && (modes.get(group) ?? 'live') !== mode) {
    modes.set(group, mode);
    add({ kind: 'set_mode', group, mode }, `group ${group} becomes ${mode}`);
  }
  return changes;
}

function deviceChanges(
  node: NodeIn,
  device: NodeIn['devices'][number],
  known: FleetDevice | undefined,
): Worded[] {
  const { uuid, model, index = null } = device;
  const fromMs = Date.parse(node.from);
  const toMs = node.to === null ? null : Date.parse(node.to);
  const say = (change: FleetChange, words: string): Worded[] => [
    { change, result: { node: node.node, device: uuid, change: words } },
  ];
  const open: FleetChange = { kind: 'open', node: node.node, uuid, model, index, fromMs, toMs };
  const newest = known?.capacity.at(-1);
  if (newest === undefined) return say(open, `capacity opens at ${node.from}`);
  if (newest.node !== node.node || (newest.toMs !== null && fromMs >= newest.toMs)) {
    // Elsewhere before, or retired before: a new stretch, after the one that is known.
    if (newest.toMs === null || fromMs < newest.toMs) return closeAndOpen(newest, open, node, uuid, say);
    return say(open, `capacity opens again at ${node.from}`);
  }
  const resize: FleetChange = { kind: 'resize', node: node.node, uuid, atMs: newest.fromMs, fromMs, toMs };
  if (newest.fromMs !== fromMs && (known?.capacity.length ?? 0) === 1)
    return say(resize, `capacity opens at ${node.from} instead of ${new Date(newest.fromMs).toISOString()}`);
  if (newest.toMs === toMs) return [];
  const words = toMs === null ? 'no longer retired' : `retired at ${node.to}`;
  return say({ ...resize, fromMs: newest.fromMs }, words);
}

function closeAndOpen(
  newest: FleetDevice['capacity'][number],
  open: Extract<FleetChange, { kind: 'open' }>,
  node: NodeIn,
  uuid: string,
  say: (change: FleetChange, words: string) => Worded[],
): Worded[] {
  if (open.fromMs <= newest.fromMs) return [];
  const { fromMs, node: elsewhere } = newest;
  const close: FleetChange = {
    kind: 'resize',
    node: elsewhere,
    uuid,
    atMs: fromMs,
    fromMs,
    toMs: open.fromMs,
  };
  return [
    ...say(close, `capacity on ${elsewhere} ends at ${node.from}`),
    ...say(open, `capacity opens at ${node.from}`),
  ];
}
