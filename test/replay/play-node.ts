/** A node of a scenario and its agent: started, killed, frozen, rebooted when the scenario says so. */
import { type Agent, type AgentConfig, createAgent } from '../../collector/agent.ts';
import type { Network } from '../../collector/ports.ts';
import type { SimNode } from '../simulator/model.ts';
import { createSimulatedPorts, SIMULATED_PATHS, type SimulatedPorts } from '../simulator/ports.ts';
import type { Boot, Built } from './build.ts';
import type { ScenarioFault } from './format.ts';
import type { Frozen, World } from './world.ts';

export const CLUSTER = 'main';
const WINDOW_MS = 30_000;
const SPOOL_BYTES = 256 * 1024 * 1024;
const HOUR_MS = 3_600_000;

/** Something to be done at a moment of the scenario. */
export interface Due {
  readonly atMs: number;
  readonly act: () => Promise<void>;
}

/** A node with its agent, through its own starts and those of the agent. */
export class PlayedNode {
  readonly #built: Built;
  readonly #world: World;
  readonly #faults: readonly ScenarioFault[];
  readonly #boots: readonly Boot[];
  readonly #network: Network;
  /** What lies on its disk. */
  readonly #disk = new Map<string, Buffer | null>();
  #running: { readonly agent: Agent; readonly abort: AbortController; readonly ended: Promise<void> } | null =
    null;
  polls = 0;

  constructor(built: Built, boots: readonly Boot[], index: number, world: World, network: Network) {
    this.#built = built;
    this.#world = world;
    this.#boots = boots;
    this.#network = network;
    const name = boots[0]?.node.name;
    this.#faults = built.scenario.faults.filter(
      (fault) => !('node' in fault) || (fault.node === undefined ? index === 0 : fault.node === name),
    );
  }

  #spans(kind: ScenarioFault['kind']): Frozen[] {
    const { startMs } = this.#built;
    return this.#faults.flatMap((fault) =>
      fault.kind === kind && 'from' in fault && 'to' in fault
        ? [{ fromMs: startMs + (fault.from ?? 0), toMs: startMs + (fault.to ?? this.#built.scenario.length) }]
        : [],
    );
  }

  /** Its starts and ends. */
  due(): Due[] {
    const { startMs } = this.#built;
    const start = async (): Promise<void> => this.#start();
    const kill = async (): Promise<void> => this.#kill();
    return [
      ...this.#boots.flatMap(({ fromMs, toMs }) => [
        { atMs: fromMs, act: start },
        { atMs: toMs, act: kill },
      ]),
      ...this.#spans('agent_killed').flatMap(({ fromMs, toMs }) => [
        { atMs: fromMs, act: kill },
        { atMs: toMs, act: start },
      ]),
      ...this.#spans('agent_stopped').flatMap(({ fromMs, toMs }) => [
        { atMs: fromMs, act: () => this.stop() },
        { atMs: toMs, act: start },
      ]),
      ...this.#faults.flatMap((fault) =>
        fault.kind === 'spool_edited'
          ? [{ atMs: startMs + fault.at, act: async () => editSpool(this.#disk) }]
          : [],
      ),
    ].filter(({ atMs }) => atMs <= this.#built.endMs);
  }

  #start(): void {
    const boot = this.#boots.find(
      ({ fromMs, toMs }) => fromMs <= this.#world.nowMs && this.#world.nowMs < toMs,
    );
    if (boot === undefined || this.#running !== null || this.#isOff()) return;
    const ports = this.#portsOf(boot);
    const abort = new AbortController();
    const agent = createAgent(configOf(this.#built, boot.node), {
      ...ports,
      execute: (file, args, options) => {
        if (args[0]?.startsWith('--query-gpu=') === true) this.polls += 1;
        return ports.execute(file, args, options);
      },
    });
    const ended = agent.run(abort.signal);
    this.#running = { agent, abort, ended };
  }

  /** Another of its faults goes on. */
  #isOff(): boolean {
    return [...this.#spans('agent_killed'), ...this.#spans('agent_stopped')].some(
      ({ fromMs, toMs }) => fromMs <= this.#world.nowMs && this.#world.nowMs < toMs,
    );
  }

  #portsOf({ node }: Boot): SimulatedPorts {
    const steps = this.#faults.flatMap((fault) =>
      fault.kind === 'clock_step' ? [{ atMs: this.#built.startMs + fault.at, byMs: fault.by }] : [],
    );
    const clock = this.#world.clockOf(node.bootMs, steps, this.#spans('agent_frozen'));
    return createSimulatedPorts(node, clock, this.#network, () => this.#world.nowMs, this.#disk);
  }

  /** It gets no chance to say anything. */
  #kill(): void {
    this.#running?.abort.abort();
    this.#running = null;
  }

  async stop(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    running.abort.abort();
    await running.ended;
    await running.agent.stop();
    this.#running = null;
  }
}

const LONG_NUMBER = /\d{4,}/g;
/** Somebody changes numbers in every batch that waits to be sent. */
function editSpool(disk: Map<string, Buffer | null>): void {
  for (const [path, bytes] of disk) {
    if (!path.startsWith(SIMULATED_PATHS.spool) || bytes === null || !path.endsWith('.json')) continue;
    const text = bytes.toString('latin1').replace(LONG_NUMBER, (digits) => `${digits.slice(0, -1)}0`);
    disk.set(path, Buffer.from(text, 'latin1'));
  }
}

const configOf = (built: Built, node: SimNode): AgentConfig => ({
  ...{ cluster: CLUSTER, node: node.name, spoolFolder: SIMULATED_PATHS.spool, spoolMaxBytes: SPOOL_BYTES },
  seed: `${built.scenario.id} ${node.name}`,
  pollIntervalMs: built.scenario.poll,
  shipIntervalMs: 2 * built.scenario.poll,
  windowMs: Math.max(WINDOW_MS, built.scenario.poll),
  nvidiaSmi: SIMULATED_PATHS.nvidiaSmi,
  procRoot: SIMULATED_PATHS.procRoot,
  passwdPath: SIMULATED_PATHS.passwd,
  inventoryIntervalMs: HOUR_MS / 6,
});
