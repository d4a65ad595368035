/** Imports a fleet list: says what differs from what is known, and changes it unless it is a dry run. */
import type { Clock } from '../clock.ts';
import { canonicalJson } from '../contract/canonical.ts';
import type { FleetIn, FleetResult } from '../contract/fleet.ts';
import type { Caller } from '../domain/caller.ts';
import { capacityOfDevice } from '../domain/capacity.ts';
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
  const statement = {
    node: node.node,
    fromMs: Date.parse(node.from),
    toMs: node.to === null ? null : Date.parse(node.to),
  };
  const statements = known?.statements ?? [];
  const newest = statements.at(-1);
  if (newest !== undefined && canonicalJson(newest) === canonicalJson(statement)) return [];
  const after = capacityOfDevice([...statements, statement], known?.sightings ?? []);
  const change: FleetChange = { kind: 'state', uuid, model, index, statement };
  const words = inWords(known?.capacity ?? [], after);
  return [{ change, result: { node: node.node, device: uuid, change: words } }];
}

type Stretch = FleetDevice['capacity'][number];

/** What a device's capacity gains and loses. */
function inWords(before: readonly Stretch[], after: readonly Stretch[]): string {
  const notIn = (others: readonly Stretch[]) => (one: Stretch) =>
    !others.some((other) => canonicalJson(other) === canonicalJson(one));
  const gone = before.filter(notIn(after));
  const made = after.filter(notIn(before));
  const [was, is] = [gone[0], made[0]];
  if (gone.length + made.length === 0) return 'stated as it is known';
  if (was !== undefined && is !== undefined && gone.length + made.length === 2 && was.node === is.node) {
    if (was.fromMs !== is.fromMs && was.toMs === is.toMs)
      return `capacity opens at ${timeText(is.fromMs)} instead of ${timeText(was.fromMs)}`;
    if (was.fromMs === is.fromMs)
      return is.toMs === null ? 'no longer retired' : `retired at ${timeText(is.toMs)}`;
  }
  return [
    ...gone.map((stretch) => `no capacity ${stretchText(stretch)}`),
    ...made.map((stretch) => `capacity ${stretchText(stretch)}`),
  ].join('; ');
}

const timeText = (ms: number): string => new Date(ms).toISOString();
const stretchText = ({ node, fromMs, toMs }: Stretch): string =>
  `on ${node} from ${timeText(fromMs)}${toMs === null ? '' : ` to ${timeText(toMs)}`}`;
