/**
 * Plays a scenario: the real agents and the real service, in one process, on a virtual clock. Declarations arrive when
 * their sources say them, faults happen when they are due, and after every report the findings are looked at, so that
 * it is known when each could first be seen.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type App, createApp } from '../../api/app.ts';
import type { BatchRequest } from '../../api/contract/batch.ts';
import { FindingsQuery } from '../../api/contract/findings.ts';
import type { JobIn } from '../../api/contract/jobs.ts';
import { PolicyIn } from '../../api/contract/policy.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { createSilence } from '../../api/services/silence.ts';
import { type Network, ShipError } from '../../collector/ports.ts';
import type { Boot, Built } from './build.ts';
import { SOURCE_INSTANCE } from './build-jobs.ts';
import { CLUSTER, type Due, PlayedNode } from './play-node.ts';
import { World } from './world.ts';

/** What is played needs to outlive no power cut. */
export const MEMORY = '/dev/shm';
/** How often sources say how far they are complete, and silence is looked for. */
const TICK_MS = 30_000;
const ADMIN: Caller = { name: 'replay', role: 'admin', node: null, accounts: null };
const SCHEDULER: Caller = { name: 'scheduler', role: 'scheduler', node: null, accounts: null };

/** When a finding was first to be seen, by its id. */
type FirstSeen = ReadonlyMap<string, number>;

export interface Played {
  readonly app: App;
  readonly firstSeenMs: FirstSeen;
  readonly polls: number;
  /** What a service or an agent complained of. */
  readonly complaints: readonly string[];
  /** Where the service keeps its data, until `close`. */
  readonly folder: string;
  /** When it was played to, and how far sources had said in the end that they are complete. */
  readonly endedMs: number;
  /** When silent nodes were last looked for. */
  readonly tickedMs: number;
  readonly complete: readonly { readonly name: string; readonly completeToMs: number }[];
  /** Closes the service and removes its data. */
  close(): Promise<void>;
}

/** The service, which a scenario may start anew: always ask it for what runs now. */
interface Service {
  app: App;
}

/** Something that the service was told, so that it can be told again in another order. */
export type Told =
  | { readonly kind: 'batches'; readonly atMs: number; readonly node: string; readonly request: BatchRequest }
  | { readonly kind: 'job'; readonly atMs: number; readonly job: JobIn }
  | { readonly kind: 'policy'; readonly atMs: number; readonly policy: PolicyIn };

/** The service stays open for questions: `close` must be called. `hear` is told whatever the service is told. */
export async function play(built: Built, hear: (told: Told) => void = () => undefined): Promise<Played> {
  const folder = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'gpuledger-replay-'));
  const world = new World(built.startMs);
  const clock = { nowMs: () => Math.floor(world.nowMs) };
  const complaints: string[] = [];
  const firstSeenMs = new Map<string, number>();
  const complete = new Map<string, number>();
  let moved = false;
  const open = async (): Promise<App> => {
    const app = await createApp({ dataFolder: folder, host: '127.0.0.1', port: 0, clock, cluster: CLUSTER });
    app.services.live.subscribe((event) => {
      moved ||= event.type === 'finding';
    });
    app.attribution.start();
    return app;
  };
  const service: Service = { app: await open() };
  await importFleet(service.app, built);

  const look = async (): Promise<void> => {
    const { app } = service;
    await app.attribution.whenIdle();
    if (!moved) return;
    moved = false;
    const { items } = await app.services.queries.findings(ADMIN, FindingsQuery.parse({ limit: 500 }));
    for (const { id } of items) if (!firstSeenMs.has(id)) firstSeenMs.set(id, world.nowMs);
  };
  let tickedMs = built.startMs;
  const tick = async (): Promise<void> => {
    tickedMs = clock.nowMs();
    const { store, services } = service.app;
    const log = { error: (_details: object, message: string) => void complaints.push(message) };
    await createSilence(store, clock, services.live, log).tick();
    await look();
  };
  const nodes = [...built.boots.values()].map(
    (boots, index) =>
      new PlayedNode(built, boots, index, world, networkOf(service, built, boots, world, look, hear)),
  );
  const lastMs = built.endMs + built.scenario.after;
  const due: Due[] = [
    ...policiesDue(service, built, hear),
    ...declarationsDue(service, built, hear),
    ...restartsDue(service, built, open),
    ...ticksDue(service, built, world, tick, complete),
    ...nodes.flatMap((node) => node.due()),
  ]
    .filter(({ atMs }) => atMs <= lastMs)
    .sort((a, b) => a.atMs - b.atMs);
  for (const { atMs, act } of due) {
    await world.advance(atMs);
    await world.during(act);
  }
  await world.advance(lastMs);
  for (const node of nodes) await node.stop();
  await look();
  return {
    ...{ app: service.app, firstSeenMs, complaints, folder, endedMs: Math.floor(world.nowMs), tickedMs },
    complete: [...complete].map(([name, completeToMs]) => ({ name, completeToMs })),
    polls: nodes.reduce((sum, node) => sum + node.polls, 0),
    async close() {
      await service.app.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function importFleet(app: App, built: Built): Promise<void> {
  await app.services.declarations.putFleet(ADMIN, {
    dryRun: false,
    nodes: [...built.nodes.values()].map((node) => ({
      ...{
        node: node.name,
        group: 'default',
        mode: built.scenario.nodes[node.name]?.mode ?? 'live',
        to: null,
      },
      from: new Date(built.startMs).toISOString(),
      devices: node.devices.map(({ uuid, model, index }) => ({ uuid, model: model.name, index })),
    })),
  });
}

/** When the service does not answer, since the start. */
const awayOf = ({ scenario }: Built): readonly { readonly from: number; readonly to: number }[] =>
  scenario.faults.flatMap((fault) => {
    if (fault.kind === 'service_away') return [fault];
    return fault.kind === 'service_restarted' ? [{ from: fault.at, to: fault.at + fault.for }] : [];
  });

function networkOf(
  service: Service,
  built: Built,
  [boot]: readonly Boot[],
  world: World,
  look: () => Promise<void>,
  hear: (told: Told) => void,
): Network {
  const away = awayOf(built);
  const lost = built.scenario.faults.flatMap((fault) => (fault.kind === 'answers_lost' ? [fault] : []));
  const node = boot?.node.name ?? '';
  const caller: Caller = { name: node, role: 'agent', node, accounts: null };
  return {
    send: (request) =>
      world.during(async () => {
        const sinceMs = world.nowMs - built.startMs;
        if (away.some(({ from, to }) => sinceMs >= from && sinceMs < to))
          throw new ShipError('connection refused', false);
        hear({ kind: 'batches', atMs: world.nowMs, node, request });
        const answer = await service.app.services.ingest.accept(caller, structuredClone(request));
        await look();
        if (lost.some(({ from, to }) => sinceMs >= from && sinceMs < to))
          throw new ShipError('the connection was closed before the answer', false);
        return answer;
      }),
  };
}

/** It ends, and another one begins on what it left. */
function restartsDue(service: Service, { scenario, startMs }: Built, open: () => Promise<App>): Due[] {
  return scenario.faults.flatMap((fault) =>
    fault.kind === 'service_restarted'
      ? [
          {
            atMs: startMs + fault.at,
            act: async () => {
              await service.app.stop();
              service.app = await open();
            },
          },
        ]
      : [],
  );
}

function policiesDue(service: Service, { scenario, startMs }: Built, hear: (told: Told) => void): Due[] {
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
      hear({ kind: 'policy', atMs: startMs + at, policy });
      await service.app.services.policies.put(ADMIN, policy);
    },
  }));
}

function declarationsDue(service: Service, built: Built, hear: (told: Told) => void): Due[] {
  return built.declarations.map(({ atMs, job }) => ({
    atMs: Math.max(atMs, built.startMs),
    act: async () => {
      hear({ kind: 'job', atMs: Math.max(atMs, built.startMs), job });
      await service.app.services.declarations.declareJob(SCHEDULER, job);
    },
  }));
}

/** Sources say up to when they are complete, each behind by its lag, and not while they are down. */
function ticksDue(
  service: Service,
  built: Built,
  world: World,
  tick: () => Promise<void>,
  complete: Map<string, number>,
): Due[] {
  const { jobs, feeds, length, after } = built.scenario;
  const sources = new Set([...Object.values(jobs).map((job) => job.source), ...Object.keys(feeds)]);
  const due: Due[] = [];
  for (let sinceMs = 0; sinceMs <= length + after; sinceMs += TICK_MS) {
    due.push({
      atMs: built.startMs + sinceMs,
      act: async () => {
        for (const source of sources) {
          const { lag = 0, down = [] } = feeds[source] ?? {};
          if (source === 'api' || down.some(({ from, to }) => sinceMs >= from && sinceMs < to)) continue;
          const toMs = Math.floor(world.nowMs) - lag;
          complete.set(source, toMs);
          await service.app.services.declarations.putSource(SCHEDULER, source, SOURCE_INSTANCE, toMs);
        }
        await tick();
      },
    });
  }
  return due;
}
