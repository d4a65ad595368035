/**
 * Plays a scenario: the real agents and the real service, in one process, on a virtual clock. Declarations arrive when
 * their sources say them, faults happen when they are due, and after every report the findings are looked at, so that
 * it is known when each could first be seen.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type App, createApp } from '../../api/app.ts';
import { FindingsQuery } from '../../api/contract/findings.ts';
import { PolicyIn } from '../../api/contract/policy.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { createSilence } from '../../api/services/silence.ts';
import { type Agent, type AgentConfig, createAgent } from '../../collector/agent.ts';
import { type AgentClock, type Network, ShipError } from '../../collector/ports.ts';
import type { SimNode } from '../simulator/model.ts';
import { createSimulatedPorts, SIMULATED_PATHS, type SimulatedPorts } from '../simulator/ports.ts';
import type { Built } from './build.ts';
import { SOURCE_INSTANCE } from './build-jobs.ts';
import type { ScenarioFault } from './format.ts';
import { type Frozen, World } from './world.ts';

export const CLUSTER = 'main';
const SHIP_MS = 30_000;
const WINDOW_MS = 30_000;
const SPOOL_BYTES = 256 * 1024 * 1024;
const HOUR_MS = 3_600_000;
/** What is played needs to outlive no power cut. */
const MEMORY = '/dev/shm';
/** How often sources say how far they are complete, and silence is looked for. */
const TICK_MS = 30_000;
/** Played on after the end, so that everything that awaits a record has it. */
export const AFTER_MS = 900_000;
const ADMIN: Caller = { name: 'replay', role: 'admin', node: null, accounts: null };
const SCHEDULER: Caller = { name: 'scheduler', role: 'scheduler', node: null, accounts: null };

/** When a finding was first to be seen, by its id. */
export type FirstSeen = ReadonlyMap<string, number>;

export interface Played {
  readonly app: App;
  readonly firstSeenMs: FirstSeen;
  readonly polls: number;
  /** What a service or an agent complained of. */
  readonly complaints: readonly string[];
  /** Closes the service and removes its data. */
  close(): Promise<void>;
}

interface Due {
  readonly atMs: number;
  readonly act: () => Promise<void>;
}

/** The service stays open for questions: `close` must be called. */
export async function play(built: Built): Promise<Played> {
  const folder = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'gpuledger-replay-'));
  const world = new World(built.startMs);
  const clock = { nowMs: () => Math.floor(world.nowMs) };
  const app = await createApp({ dataFolder: folder, host: '127.0.0.1', port: 0, clock, cluster: CLUSTER });
  const complaints: string[] = [];
  const firstSeenMs = new Map<string, number>();
  const silence = createSilence(app.store, clock, app.services.live, {
    error: (_details, message) => void complaints.push(message),
  });
  app.attribution.start();
  await importFleet(app, built);

  let moved = false;
  app.services.live.subscribe((event) => {
    moved ||= event.type === 'finding';
  });
  const look = async (): Promise<void> => {
    await app.attribution.whenIdle();
    if (!moved) return;
    moved = false;
    const { items } = await app.services.queries.findings(ADMIN, FindingsQuery.parse({ limit: 500 }));
    for (const { id } of items) if (!firstSeenMs.has(id)) firstSeenMs.set(id, world.nowMs);
  };
  const nodes = [...built.nodes.values()].map(
    (node, index) => new PlayedNode(built, node, index, world, networkOf(app, built, node, world, look)),
  );
  const due: Due[] = [
    ...policiesDue(app, built),
    ...declarationsDue(app, built),
    ...ticksDue(app, built, world, async () => {
      await silence.tick();
      await look();
    }),
    ...nodes.flatMap((node) => node.due()),
  ].sort((a, b) => a.atMs - b.atMs);
  for (const { atMs, act } of due) {
    await world.advance(atMs);
    await world.during(act);
  }
  await world.advance(built.endMs + AFTER_MS);
  for (const node of nodes) await node.stop();
  await look();
  return {
    ...{ app, firstSeenMs, complaints },
    polls: nodes.reduce((sum, node) => sum + node.polls, 0),
    async close() {
      await app.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function importFleet(app: App, built: Built): Promise<void> {
  await app.services.declarations.putFleet(ADMIN, {
    dryRun: false,
    nodes: [...built.nodes.values()].map((node) => ({
      ...{ node: node.name, group: 'default', mode: 'live' as const, to: null },
      from: new Date(built.startMs).toISOString(),
      devices: node.devices.map(({ uuid, model, index }) => ({ uuid, model: model.name, index })),
    })),
  });
}

function networkOf(app: App, built: Built, node: SimNode, world: World, look: () => Promise<void>): Network {
  const away = built.scenario.faults.filter((fault) => fault.kind === 'service_away');
  const caller: Caller = { name: node.name, role: 'agent', node: node.name, accounts: null };
  return {
    send: (request) =>
      world.during(async () => {
        const sinceMs = world.nowMs - built.startMs;
        if (away.some(({ from, to }) => sinceMs >= from && sinceMs < to))
          throw new ShipError('connection refused', false);
        const answer = await app.services.ingest.accept(caller, structuredClone(request));
        await look();
        return answer;
      }),
  };
}

function policiesDue(app: App, { scenario, startMs }: Built): Due[] {
  const time = (offset: number): string => new Date(startMs + offset).toISOString();
  return [scenario.policy].flat().map(({ at, exemptions, ...rules }) => ({
    atMs: startMs + at,
    act: async () => {
      const policy = PolicyIn.parse({
        ...rules,
        exemptions: exemptions.map(({ until, match, ...one }) => ({
          ...{ ...one, until: time(until) },
          match: {
            ...match,
            windows: match.windows.map(({ from, to }) => ({ from: time(from), to: time(to) })),
          },
        })),
      });
      await app.services.policies.put(ADMIN, policy);
    },
  }));
}

function declarationsDue(app: App, built: Built): Due[] {
  return built.declarations.map(({ atMs, job }) => ({
    atMs: Math.max(atMs, built.startMs),
    act: async () => {
      await app.services.declarations.declareJob(SCHEDULER, job);
    },
  }));
}

/** Sources say up to when they are complete, each behind by its lag, and not while they are down. */
function ticksDue(app: App, built: Built, world: World, tick: () => Promise<void>): Due[] {
  const { jobs, feeds, length } = built.scenario;
  const sources = new Set([...Object.values(jobs).map((job) => job.source), ...Object.keys(feeds)]);
  const due: Due[] = [];
  for (let sinceMs = 0; sinceMs <= length + AFTER_MS; sinceMs += TICK_MS) {
    due.push({
      atMs: built.startMs + sinceMs,
      act: async () => {
        for (const source of sources) {
          const { lag = 0, down = [] } = feeds[source] ?? {};
          if (source === 'api' || down.some(({ from, to }) => sinceMs >= from && sinceMs < to)) continue;
          await app.services.declarations.putSource(
            SCHEDULER,
            source,
            SOURCE_INSTANCE,
            Math.floor(world.nowMs) - lag,
          );
        }
        await tick();
      },
    });
  }
  return due;
}

/** A node with its agent, through the agent's starts and ends. */
class PlayedNode {
  readonly #built: Built;
  readonly #world: World;
  readonly #config: AgentConfig;
  readonly #clock: AgentClock;
  readonly #ports: SimulatedPorts;
  readonly #faults: readonly ScenarioFault[];
  #running: { readonly agent: Agent; readonly abort: AbortController; readonly ended: Promise<void> } | null =
    null;
  polls = 0;

  constructor(built: Built, node: SimNode, index: number, world: World, network: Network) {
    this.#built = built;
    this.#world = world;
    this.#faults = built.scenario.faults.filter(
      (fault) => !('node' in fault) || (fault.node === undefined ? index === 0 : fault.node === node.name),
    );
    const steps = this.#faults.flatMap((fault) =>
      fault.kind === 'clock_step' ? [{ atMs: built.startMs + fault.at, byMs: fault.by }] : [],
    );
    const frozen = this.#spans('agent_frozen');
    this.#clock = world.clockOf(node.bootMs, steps, frozen);
    this.#ports = createSimulatedPorts(node, this.#clock, network, () => world.nowMs);
    this.#config = configOf(built, node);
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
    const start = async (): Promise<void> => this.#start();
    return [
      { atMs: this.#built.startMs, act: start },
      ...this.#spans('agent_killed').flatMap(({ fromMs, toMs }) => [
        { atMs: fromMs, act: async () => this.#kill() },
        { atMs: toMs, act: start },
      ]),
      ...this.#spans('agent_stopped').flatMap(({ fromMs, toMs }) => [
        { atMs: fromMs, act: () => this.stop() },
        { atMs: toMs, act: start },
      ]),
    ];
  }

  #start(): void {
    const abort = new AbortController();
    const agent = createAgent(this.#config, {
      ...this.#ports,
      execute: (file, args, options) => {
        if (args[0]?.startsWith('--query-gpu=') === true) this.polls += 1;
        return this.#ports.execute(file, args, options);
      },
    });
    const ended = this.#world.during(() => agent.run(abort.signal));
    this.#running = { agent, abort, ended };
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

const configOf = (built: Built, node: SimNode): AgentConfig => ({
  ...{ cluster: CLUSTER, node: node.name, spoolFolder: SIMULATED_PATHS.spool, spoolMaxBytes: SPOOL_BYTES },
  seed: `${built.scenario.id} ${node.name}`,
  pollIntervalMs: built.scenario.poll,
  shipIntervalMs: SHIP_MS,
  windowMs: Math.max(WINDOW_MS, built.scenario.poll),
  nvidiaSmi: SIMULATED_PATHS.nvidiaSmi,
  procRoot: SIMULATED_PATHS.procRoot,
  passwdPath: SIMULATED_PATHS.passwd,
  inventoryIntervalMs: HOUR_MS / 6,
});
