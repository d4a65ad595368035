/** What a simulated node is at one moment: who lives, what every device does. The renderers turn it into tools' answers. */
import type { DeviceFault, DeviceUse, Load, SimDevice, SimInstance, SimNode, SimProcess } from './model.ts';
import { within } from './model.ts';
import { noise } from './random.ts';

export interface DeviceTenant {
  readonly process: SimProcess;
  readonly use: DeviceUse;
  /** 0–100. */
  readonly smPercent: number;
}

export interface DeviceState {
  readonly device: SimDevice;
  readonly fault: DeviceFault['kind'] | null;
  /** What its sensors say instead of a value; null: the value. */
  readonly says: string | null;
  /** 0–100. */
  readonly utilisationPercent: number;
  readonly memoryUsedMiB: number;
  readonly powerWatts: number;
  /** Those that the driver shows, ascending by pid. */
  readonly tenants: readonly DeviceTenant[];
  /** Those that there are: nothing renders it. */
  readonly actual: readonly DeviceTenant[];
}

export interface NodeState {
  readonly node: SimNode;
  readonly atMs: number;
  readonly alive: ReadonlyMap<number, SimProcess>;
  /** Changes whenever somebody starts or ends. */
  readonly generation: number;
  readonly devices: readonly DeviceState[];
}

export interface NodeView {
  /** Cheap for the same moment again and for moments that move on; going back starts over. */
  at(atMs: number): NodeState;
}

/** Memory that the driver keeps on an idle device. */
const DRIVER_MIB = 4;
/** Noise changes once a second. */
const NOISE_MS = 1000;
const NEEDS_RESET = '[GPU requires reset]';
/** What a device draws of what it may at full load. */
const FULL_LOAD = 0.85;

/** 0–100: what a context that began at `sinceMs` takes at `atMs`. */
export function smAt(load: Load, sinceMs: number, atMs: number): number {
  let period = 0;
  for (const phase of load.phases) period += phase.lengthMs;
  if (period === 0) return 0;
  let offset = (atMs - sinceMs) % period;
  for (const phase of load.phases) {
    if (offset < phase.lengthMs) return jittered(phase.smPercent, load, atMs);
    offset -= phase.lengthMs;
  }
  return 0;
}

function jittered(percent: number, load: Load, atMs: number): number {
  if (percent === 0 || load.jitterPercent === 0) return percent;
  const swing = (noise(load.seed, Math.floor(atMs / NOISE_MS)) * 2 - 1) * load.jitterPercent;
  return Math.min(100, Math.max(1, Math.round(percent + swing)));
}

export function createNodeView(node: SimNode): NodeView {
  let alive = new Map<number, SimProcess>();
  let next = 0;
  let seen = 0;
  let generation = 0;
  let state: NodeState | null = null;

  const advance = (atMs: number): void => {
    if (state !== null && (atMs < state.atMs || node.processes.length !== seen)) {
      alive = new Map();
      next = 0;
      generation += 1;
    }
    seen = node.processes.length;
    for (const [pid, process] of alive) {
      if (process.endMs !== null && process.endMs <= atMs) {
        alive.delete(pid);
        generation += 1;
      }
    }
    for (; next < node.processes.length; next += 1) {
      const process = node.processes[next];
      if (process === undefined || process.startMs > atMs) break;
      if (process.endMs !== null && process.endMs <= atMs) continue;
      alive.set(process.pid, process);
      generation += 1;
    }
  };

  return {
    at(atMs) {
      if (state !== null && state.atMs === atMs && node.processes.length === seen) return state;
      advance(atMs);
      state = { node, atMs, alive, generation, devices: deviceStates(node, alive, atMs) };
      return state;
    },
  };
}

function deviceStates(
  node: SimNode,
  alive: ReadonlyMap<number, SimProcess>,
  atMs: number,
): readonly DeviceState[] {
  const tenants: DeviceTenant[][] = node.devices.map(() => []);
  for (const process of alive.values()) {
    for (const use of process.uses) {
      if (!within(use, atMs)) continue;
      tenants[use.device]?.push({ process, use, smPercent: smAt(use.load, use.fromMs, atMs) });
    }
  }
  return node.devices.map((device, index) => deviceState(device, tenants[index] ?? [], atMs));
}

function deviceState(device: SimDevice, present: DeviceTenant[], atMs: number): DeviceState {
  const tenants = fitted(present, device);
  const fault = device.faults.find((candidate) => within(candidate, atMs));
  if (fault !== undefined && fault.kind !== 'says') {
    const nothing = { utilisationPercent: 0, memoryUsedMiB: 0, powerWatts: 0, tenants: [], actual: [] };
    return { ...nothing, device, fault: fault.kind, says: NEEDS_RESET };
  }
  let utilisation = 0;
  let memory = DRIVER_MIB;
  for (const tenant of tenants) {
    utilisation += tenant.smPercent;
    memory += tenant.use.memoryMiB;
  }
  const { idleWatts, limitWatts } = device.model;
  const held = tenants.length > 0 ? 0.08 : 0;
  const room = limitWatts - idleWatts;
  const drawn = tenants.reduce(
    (sum, { use, smPercent }) => sum + ((use.watts ?? room * FULL_LOAD) * smPercent) / 100,
    0,
  );
  const watts = idleWatts + Math.min(room, Math.max(held * room, drawn));
  const lie = device.lies.find((candidate) => within(candidate, atMs));
  return {
    device,
    fault: fault?.kind ?? null,
    says: fault?.text ?? null,
    utilisationPercent: lie?.utilisationPercent ?? utilisation,
    memoryUsedMiB: lie?.memoryMiB ?? Math.min(memory, device.model.memoryMiB),
    powerWatts: lie?.powerWatts ?? watts + noise(device.minor + 1, Math.floor(atMs / NOISE_MS)) * 3,
    tenants: lie?.hideProcesses === true ? [] : tenants,
    actual: tenants,
  };
}

/** Of a whole GPU. */
const MIG_SLICES = 7;

/** Sorted by pid; where contexts together want more than the device or their part of it has, each gets its share of that. */
function fitted(present: DeviceTenant[], { instances = [] }: SimDevice): DeviceTenant[] {
  if (present.length === 0) return present;
  present.sort((a, b) => a.process.pid - b.process.pid);
  if (instances.length === 0) return limited(present, 100);
  const groups = Map.groupBy(present, ({ use }) => use.gpuInstance ?? null);
  const own = [...groups].flatMap(([number, tenants]) => {
    const instance = instances.find((one) => one.gpuInstance === number);
    return instance === undefined ? tenants : limited(tenants, percentOf(instance));
  });
  return limited(
    own.sort((a, b) => a.process.pid - b.process.pid),
    100,
  );
}

/** A profile begins with its slices, after those of the compute instance: "3g.40gb", "1c.3g.40gb". */
const percentOf = ({ profile }: SimInstance): number =>
  Math.floor((Number(/(\d+)g/.exec(profile)?.[1] ?? MIG_SLICES) * 100) / MIG_SLICES);

function limited(tenants: DeviceTenant[], percent: number): DeviceTenant[] {
  const wanted = tenants.reduce((sum, tenant) => sum + tenant.smPercent, 0);
  if (wanted <= percent) return tenants;
  const part = ({ smPercent }: DeviceTenant): number => Math.floor((smPercent * percent) / wanted);
  return tenants.map((tenant) => ({ ...tenant, smPercent: part(tenant) }));
}
