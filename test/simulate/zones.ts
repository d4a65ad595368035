/**
 * When an honest observer of a device can be sure, cannot be, and cannot see at all: from the scenario alone. Around every
 * change of what happens on a device it may be off by a poll; around every fault it may have seen nothing.
 */

import type { Boot, Built } from '../replay/build.ts';
import type { ScenarioFault } from '../replay/format.ts';
import type { SimNode, SimProcess } from '../simulator/model.ts';
import { createNodeView } from '../simulator/snapshot.ts';

/** [fromMs, toMs) */
export interface Zone {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Polls are jittered by a tenth. */
const POLL_SLACK = 1.15;
/** What an agent has in memory when it is killed: a window, and what it has not yet written of the next. */
const WINDOW_MS = 30_000;
const FOREVER_MS = 10 * 86_400_000;
/** How far apart a stepped clock may place what it measured around the step. */
const STEP_SLACK_MS = 90_000;

/** A tool that hung is asked again less and less often, at least every so many polls. */
const LEFT_OUT_POLLS = 18;

export interface Blindness {
  /** May be not measured. */
  readonly maybe: readonly Zone[];
  /** Must be not measured. */
  readonly surely: readonly Zone[];
}

/** Merged and ascending. */
export function union(zones: readonly Zone[]): Zone[] {
  const merged: { fromMs: number; toMs: number }[] = [];
  for (const zone of zones.filter(({ fromMs, toMs }) => fromMs < toMs).sort((a, b) => a.fromMs - b.fromMs)) {
    const last = merged.at(-1);
    if (last !== undefined && zone.fromMs <= last.toMs) last.toMs = Math.max(last.toMs, zone.toMs);
    else merged.push({ ...zone });
  }
  return merged;
}

export function overlapMs(zones: readonly Zone[], { fromMs, toMs }: Zone): number {
  return zones.reduce(
    (sum, zone) => sum + Math.max(0, Math.min(zone.toMs, toMs) - Math.max(zone.fromMs, fromMs)),
    0,
  );
}

export const slackMs = ({ scenario }: Built): number => scenario.poll * POLL_SLACK;

/** A device's blindness; `device` is its index on the node. */
export function blindness(built: Built, node: string, device: number): Blindness {
  const { startMs, endMs, scenario } = built;
  const slack = slackMs(built);
  const maybe: Zone[] = [
    { fromMs: startMs - FOREVER_MS, toMs: startMs + 2 * slack },
    { fromMs: endMs + scenario.after - WINDOW_MS - 2 * slack, toMs: endMs + FOREVER_MS },
  ];
  const surely: Zone[] = [];
  const [first] = Object.keys(scenario.nodes);
  for (const fault of scenario.faults) {
    if ('node' in fault && (fault.node ?? first) !== node) continue;
    const blind = blindBy(built, fault, device, slack);
    maybe.push(...blind.maybe);
    surely.push(...blind.surely);
  }
  return { maybe: union(maybe), surely: union(surely) };
}

const wider = ({ fromMs, toMs }: Zone, beforeMs: number, afterMs: number): Zone => ({
  fromMs: fromMs - beforeMs,
  toMs: toMs + afterMs,
});

function blindBy(built: Built, fault: ScenarioFault, device: number, slack: number): Blindness {
  const { startMs, endMs, scenario } = built;
  const lost = Math.max(WINDOW_MS, scenario.poll) + 2 * slack;
  const zone = spanOf(built, fault);
  const { fromMs, toMs } = zone;
  switch (fault.kind) {
    case 'agent_killed':
    case 'reboot':
      return { maybe: [wider(zone, lost, 2 * slack)], surely: [zone] };
    case 'agent_stopped':
      return { maybe: [wider(zone, slack, 2 * slack)], surely: [zone] };
    case 'agent_frozen':
      return { maybe: [wider(zone, slack, 2 * slack)], surely: toMs - fromMs > 3.5 * slack ? [zone] : [] };
    case 'tool':
      return {
        maybe: [wider(zone, slack, (fault.how === 'hang' ? LEFT_OUT_POLLS : 2) * slack)],
        surely: fault.call === undefined && fault.how !== 'half_line' ? [wider(zone, -slack, -slack)] : [],
      };
    case 'device':
      if (!fault.gpus.includes(device)) return { maybe: [], surely: [] };
      return {
        maybe: [wider(zone, slack, 2 * slack)],
        surely: fault.how === 'lost' || fault.how === 'gone' ? [wider(zone, -slack, -slack)] : [],
      };
    case 'sensors':
      return { maybe: fault.gpus.includes(device) ? [wider(zone, slack, 2 * slack)] : [], surely: [] };
    case 'clock_step': {
      const by = Math.min(Math.abs(fault.by), STEP_SLACK_MS);
      return { maybe: [wider(zone, by + 2 * slack, by + 2 * slack)], surely: [] };
    }
    case 'spool_edited': {
      const away = scenario.faults.flatMap((other) =>
        other.kind === 'service_away' && other.from <= fault.at && fault.at < other.to ? [other.from] : [],
      );
      return {
        maybe: [{ fromMs: startMs + Math.min(fault.at, ...away) - lost - 2 * slack, toMs: fromMs + lost }],
        surely: [],
      };
    }
    case 'service_away':
    case 'service_restarted':
    case 'answers_lost':
      return { maybe: endMs < fromMs ? [zone] : [], surely: [] };
  }
}

/** When the sensors of a device lie: of what they say then nobody may be named. */
export function liesAbout(built: Built, node: string, device: number): Zone[] {
  const [first] = Object.keys(built.scenario.nodes);
  return union(
    built.scenario.faults
      .filter((fault) => fault.kind === 'sensors')
      .filter((fault) => (fault.node ?? first) === node && fault.gpus.includes(device))
      .map((fault) => wider(spanOf(built, fault), slackMs(built), 2 * slackMs(built))),
  );
}

function spanOf({ startMs, scenario }: Built, fault: ScenarioFault): Zone {
  if ('at' in fault)
    return { fromMs: startMs + fault.at, toMs: startMs + fault.at + ('for' in fault ? fault.for : 0) };
  return { fromMs: startMs + (fault.from ?? 0), toMs: startMs + (fault.to ?? scenario.length) };
}

/** A process computing in one way on a device. */
interface TrueUse {
  readonly process: SimProcess;
  /** 0–100, without noise. */
  readonly smPercent: number;
  /** Of a divided device, in sevenths: what of it its instance is. Nobody is told what executes there. 0: not divided. */
  readonly sevenths: number;
  /** The driver's letters. */
  readonly type: string;
}

/** A stretch in which nothing on a device changes. */
export interface Piece extends Zone {
  readonly uses: readonly TrueUse[];
}

/** What really happens on a device, piece after piece, from the scenario's start to its end. */
export function piecesOf(built: Built, boot: Boot, device: number): Piece[] {
  const { node, originals } = withoutNoise(boot.node);
  const fromMs = Math.max(built.startMs, boot.fromMs);
  const toMs = Math.min(built.endMs, boot.toMs);
  const cuts = [
    fromMs,
    ...edgesOf(built, boot.node, device)
      .map(({ atMs }) => atMs)
      .filter((ms) => ms > fromMs && ms < toMs),
    toMs,
  ];
  const view = createNodeView(node);
  return cuts.slice(1).flatMap((endMs, at) => {
    const startMs = cuts[at] ?? endMs;
    if (startMs >= endMs) return [];
    const state = view.at((startMs + endMs) / 2).devices[device];
    const uses = (state?.actual ?? []).map(({ process, use, smPercent }) => {
      const instance = state?.device.instances?.find(({ gpuInstance }) => gpuInstance === use.gpuInstance);
      const sevenths = Number(/(\d)g\./.exec(instance?.profile ?? '')?.[1] ?? 0);
      return { process: originals.get(process) ?? process, type: use.type, smPercent, sevenths };
    });
    return [{ fromMs: startMs, toMs: endMs, uses: withoutServer(uses) }];
  });
}

const SERVER = 'nvidia-cuda-mps-server';

/** What the server of MPS executes is for its clients, by what they are said to execute themselves, else equally. */
function withoutServer(uses: readonly TrueUse[]): readonly TrueUse[] {
  const isServer = ({ process }: TrueUse): boolean =>
    process.images.at(-1)?.exePath.endsWith(SERVER) === true;
  const clients = uses.filter(({ type }) => type === 'M+C');
  const server = uses.find(isServer);
  if (server === undefined || clients.length === 0) return uses;
  const sum = clients.reduce((total, { smPercent }) => total + smPercent, 0);
  return uses
    .filter((use) => use !== server)
    .map((use) => {
      if (use.type !== 'M+C') return use;
      const part = sum === 0 ? 1 / clients.length : use.smPercent / sum;
      return { ...use, smPercent: use.smPercent + server.smPercent * part };
    });
}

function withoutNoise(node: SimNode): { node: SimNode; originals: ReadonlyMap<SimProcess, SimProcess> } {
  const originals = new Map<SimProcess, SimProcess>();
  const processes = node.processes.map((process) => {
    const uses = process.uses.map((use) => ({ ...use, load: { ...use.load, jitterPercent: 0 } }));
    const steady = { ...process, uses };
    originals.set(steady, process);
    return steady;
  });
  const devices = node.devices.map((device) => ({ ...device, lies: [], faults: [] }));
  return { node: { ...node, processes, devices }, originals };
}

/**
 * Around every moment at which something begins, ends or changes on a device, the time in which a reading can be wrong about
 * it. Where only a whole process comes or goes, that is short: its start is known, and its end is noticed within a second.
 */
export function edgeZones(built: Built, node: SimNode, device: number, blind: readonly Zone[]): Zone[] {
  const slack = slackMs(built);
  const edges = edgesOf(built, node, device);
  return edges.map(({ atMs, kind }, index) => {
    const wide = { fromMs: atMs - slack, toMs: atMs + slack };
    const isAlone =
      [edges[index - 1], edges[index + 1]].every(
        (other) => Math.abs((other?.atMs ?? Infinity) - atMs) > 2 * slack,
      ) && overlapMs(blind, wide) === 0;
    if (!isAlone || kind === 'change') return wide;
    return kind === 'start'
      ? { fromMs: atMs - START_MS, toMs: atMs + START_MS }
      : { fromMs: atMs - NOTICED_MS, toMs: atMs + NOTICED_MS };
  });
}

/** Start times count in hundredths of a second. */
const START_MS = 50;
/** Ends are looked for every second, and lie half-way between two looks. */
const NOTICED_MS = 1_200;

interface Edge {
  readonly atMs: number;
  /** Of a whole process, or of what it does. */
  readonly kind: 'start' | 'end' | 'change';
}

/** Every moment at which something begins, ends or changes on a device; ascending, each once. */
function edgesOf(built: Built, node: SimNode, device: number): Edge[] {
  const edges = new Map<number, Edge['kind']>();
  const add = (atMs: number, kind: Edge['kind']): void => {
    const other = edges.get(atMs);
    edges.set(atMs, other === undefined || other === kind ? kind : 'change');
  };
  for (const process of node.processes) {
    const untilMs = process.endMs ?? built.endMs;
    for (const use of process.uses) {
      if (use.device !== device) continue;
      const fromMs = Math.max(process.startMs, use.fromMs);
      const toMs = Math.min(untilMs, use.toMs ?? Infinity);
      add(fromMs, fromMs === process.startMs ? 'start' : 'change');
      add(toMs, toMs === process.endMs ? 'end' : 'change');
      if (fromMs !== process.startMs) add(process.startMs, 'change');
      for (const { fromMs: turnMs } of built.truths.get(process) ?? [])
        if (turnMs > process.startMs && turnMs < untilMs) add(turnMs, 'change');
      if (use.load.phases.length < 2) continue;
      for (let atMs = fromMs; atMs < toMs; )
        for (const phase of use.load.phases) {
          if (atMs > fromMs && atMs < toMs) add(atMs, 'change');
          atMs += phase.lengthMs;
        }
    }
  }
  return [...edges].map(([atMs, kind]) => ({ atMs, kind })).sort((a, b) => a.atMs - b.atMs);
}
