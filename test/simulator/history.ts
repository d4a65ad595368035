/**
 * Drives the real agent over simulated nodes on a virtual clock, hour by hour: first the feeds say what they know of the
 * hour, then every agent lives through it and ships it.
 */
import { type Agent, type AgentConfig, createAgent } from '../../collector/agent.ts';
import { type Network, ShipError } from '../../collector/ports.ts';
import type { Feed } from './feed.ts';
import { type SimNode, within } from './model.ts';
import {
  createSimulatedPorts,
  createVirtualClock,
  SIMULATED_PATHS,
  type SimulatedPorts,
  type Spooled,
  type VirtualClock,
} from './ports.ts';

export const HISTORY_POLL_MS = 60_000;
const HOUR_MS = 3_600_000;
const SPOOL_BYTES = 256 * 1024 * 1024;

export interface HistoryOptions {
  readonly cluster: string;
  readonly nodes: readonly SimNode[];
  readonly startMs: number;
  readonly feed: Feed;
  networkOf(node: SimNode): Network;
  /** After every hour of every node. */
  onPolls?(polls: number): void;
}

export interface History {
  /** Lives on up to `toMs`; can be called again with a later time. */
  advance(toMs: number): Promise<void>;
  /** Stops every agent in order: last batch, last try to ship. */
  stop(): Promise<void>;
  polls(): number;
  /** Up to where it has lived. */
  reachedMs(): number;
  /** What the agent of the n-th node keeps on its disk. */
  spooled(index: number): Spooled;
}

/** One simulated node with its agent. */
class DrivenNode {
  readonly #config: AgentConfig;
  readonly #node: SimNode;
  readonly #clock: VirtualClock;
  readonly ports: SimulatedPorts;
  #agent: Agent | null = null;
  #begun = false;
  #shipping: Promise<void> = Promise.resolve();

  constructor(cluster: string, node: SimNode, startMs: number, network: Network) {
    this.#config = agentConfig(cluster, node);
    this.#node = node;
    this.#clock = createVirtualClock(startMs);
    this.ports = createSimulatedPorts(node, this.#clock, timeless(network));
  }

  /** One stretch of time, with a poll every minute of it and one at its end; returns how many. */
  async live(fromMs: number, toMs: number): Promise<number> {
    await this.#shipping;
    // The very first poll opens the history; every later stretch begins where one has just ended.
    let polls = this.#begun ? 0 : await this.#poll(fromMs);
    this.#begun = true;
    for (let atMs = fromMs; atMs < toMs; ) {
      atMs = Math.min(toMs, atMs + HISTORY_POLL_MS);
      polls += await this.#poll(atMs);
    }
    this.#shipping = this.#agent?.ship() ?? Promise.resolve();
    return polls;
  }

  /** 0 while the agent is off. */
  async #poll(atMs: number): Promise<number> {
    this.#clock.set(atMs);
    if (this.#node.agentOff.some((span) => within(span, atMs))) {
      await this.stop();
      return 0;
    }
    this.#agent ??= createAgent(this.#config, this.ports);
    await this.#agent.poll();
    return 1;
  }

  shipped(): Promise<void> {
    return this.#shipping;
  }

  /** As when it is told to stop: what it has is sent, and its spool remembers when that was. */
  async stop(): Promise<void> {
    await this.#shipping;
    await this.#agent?.stop();
    this.#agent = null;
  }
}

export function createHistory(options: HistoryOptions): History {
  const { cluster, startMs } = options;
  const driven = options.nodes.map((node) => new DrivenNode(cluster, node, startMs, options.networkOf(node)));
  let reachedMs = startMs;
  let polls = 0;
  return {
    polls: () => polls,
    reachedMs: () => reachedMs,
    spooled: (index) => driven[index]?.ports.spooled() ?? new Map(),
    async advance(toMs) {
      const stretchEnd = (fromMs: number): number =>
        Math.min(toMs, (Math.floor(fromMs / HOUR_MS) + 1) * HOUR_MS);
      const tell = (untilMs: number): Promise<void> => {
        const telling = options.feed.advance(untilMs);
        // Awaited a stretch later; until then a failure is nobody's.
        telling.catch(() => undefined);
        return telling;
      };
      let told = tell(stretchEnd(reachedMs));
      while (reachedMs < toMs) {
        const untilMs = stretchEnd(reachedMs);
        await told;
        // The feeds are one stretch ahead, so that nobody waits for anybody.
        if (untilMs < toMs) told = tell(stretchEnd(untilMs));
        for (const node of driven) {
          polls += await node.live(reachedMs, untilMs);
          options.onPolls?.(polls);
        }
        reachedMs = untilMs;
      }
      await Promise.all(driven.map((node) => node.shipped()));
    },
    async stop() {
      for (const node of driven) await node.stop();
    },
  };
}

/** The service lives now and the history then: what time it is there must not be told here. */
const timeless = (network: Network): Network => ({
  send: async (request) => {
    try {
      const { results, expectedSeq } = await network.send(request);
      return { results, expectedSeq };
    } catch (error) {
      throw error instanceof ShipError ? new ShipError(error.message, error.permanent) : error;
    }
  },
});

const agentConfig = (cluster: string, node: SimNode): AgentConfig => ({
  cluster,
  node: node.name,
  seed: `${cluster}/${node.name}`,
  spoolFolder: SIMULATED_PATHS.spool,
  spoolMaxBytes: SPOOL_BYTES,
  pollIntervalMs: HISTORY_POLL_MS,
  shipIntervalMs: HOUR_MS,
  windowMs: HISTORY_POLL_MS,
  nvidiaSmi: SIMULATED_PATHS.nvidiaSmi,
  procRoot: SIMULATED_PATHS.procRoot,
  passwdPath: SIMULATED_PATHS.passwd,
  inventoryIntervalMs: HOUR_MS,
});
