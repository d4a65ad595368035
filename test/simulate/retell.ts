/**
 * Tells a second service the same facts in another order: every declaration before or after the batches, nodes shuffled
 * into one another, some of it twice, all of it late. The ledger must be the same, to the byte.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { createApp } from '../../api/app.ts';
import { DATABASE_NAME } from '../../api/config.ts';
import type { Caller } from '../../api/domain/caller.ts';
import { createSilence } from '../../api/services/silence.ts';
import { derivedOf } from '../property/ledger-play.ts';
import type { Built } from '../replay/build.ts';
import { SOURCE_INSTANCE } from '../replay/build-jobs.ts';
import { importFleet, MEMORY, type Played, type Told } from '../replay/play.ts';
import { CLUSTER } from '../replay/play-node.ts';
import { createRandom, type Random } from '../simulator/random.ts';
import type { Failure } from './judge.ts';

const ADMIN: Caller = { name: 'replay', role: 'admin', node: null, accounts: null };
const SCHEDULER: Caller = { name: 'scheduler', role: 'scheduler', node: null, accounts: null };
/** What is derived from facts alone, whenever they came. */
const COMPARED = ['cells', 'entries', 'hours', 'days', 'findings', 'parts', 'bindings', 'capacity'] as const;
/** Of what differs, so many lines are said. */
const LINES = 3;

export async function retell(
  built: Built,
  played: Played,
  told: readonly Told[],
  order: number,
): Promise<Failure[]> {
  const folder = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'gpuledger-retell-'));
  let nowMs = built.startMs;
  const clock = { nowMs: () => nowMs };
  const complaints: string[] = [];
  const log = { error: (_details: object, message: string) => void complaints.push(message) };
  const app = await createApp({ dataFolder: folder, host: '127.0.0.1', port: 0, clock, cluster: CLUSTER });
  try {
    const { ingest, declarations, policies } = app.services;
    await importFleet(app, built);
    const heard = lastHeard(told);
    for (const one of shuffled(told, createRandom(order))) {
      nowMs = Math.floor(one.kind === 'batches' ? (heard.get(one.node) ?? one.atMs) : one.atMs);
      if (one.kind === 'policy') await policies.put(ADMIN, one.policy);
      else if (one.kind === 'job') await declarations.declareJob(SCHEDULER, one.job);
      else await ingest.accept({ ...ADMIN, role: 'agent', node: one.node }, structuredClone(one.request));
    }
    nowMs = played.endedMs;
    for (const { name, completeToMs } of played.complete)
      await declarations.putSource(SCHEDULER, name, SOURCE_INSTANCE, completeToMs);
    app.attribution.start();
    nowMs = played.tickedMs;
    await createSilence(app.store, clock, app.services.live, log).tick();
    nowMs = played.endedMs;
    await app.attribution.whenIdle();
    return [
      ...complaints.map((text): Failure => ({ rule: 'order', text })),
      ...differences(join(played.folder, DATABASE_NAME), join(folder, DATABASE_NAME)),
    ];
  } finally {
    await app.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** When each node was last heard: nobody may be late by more, since a node that fell silent must be silent here too. */
function lastHeard(told: readonly Told[]): Map<string, number> {
  const heard = new Map<string, number>();
  for (const one of told)
    if (one.kind === 'batches') heard.set(one.node, Math.max(heard.get(one.node) ?? 0, one.atMs));
  return heard;
}

/** Facts of one node, and versions of one job, in their order; everything else in any, batches now and then twice. */
function shuffled(told: readonly Told[], random: Random): Told[] {
  const lanes = new Map<string, Told[]>();
  for (const one of told) {
    const lane =
      one.kind === 'batches'
        ? `node ${one.node}`
        : one.kind === 'job'
          ? `job ${one.job.source} ${one.job.externalId} ${one.job.incarnation}`
          : 'policy';
    lanes.set(lane, [...(lanes.get(lane) ?? []), one]);
  }
  const mixed: Told[] = [];
  for (let open = [...lanes.values()]; open.length > 0; open = open.filter((lane) => lane.length > 0)) {
    const next = random.pick(open).shift();
    if (next === undefined) continue;
    mixed.push(next);
    if (next.kind === 'batches' && random.chance(0.1)) mixed.push(next);
  }
  return mixed;
}

function differences(first: string, second: string): Failure[] {
  const [was, is] = [first, second].map((file) => {
    const reader = new Database(file, { readonly: true });
    try {
      return derivedOf({ rows: (sql) => reader.prepare<[], Record<string, unknown>>(sql).all() });
    } finally {
      reader.close();
    }
  });
  if (was === undefined || is === undefined) return [];
  return COMPARED.flatMap((name) => {
    const [a, b] = [new Set(was[name]), new Set(is[name])];
    const lines = [
      ...was[name]
        .filter((line) => !b.has(line))
        .slice(0, LINES)
        .map((line) => `as it came ${line}`),
      ...is[name]
        .filter((line) => !a.has(line))
        .slice(0, LINES)
        .map((line) => `told again ${line}`),
    ];
    return lines.map((line): Failure => ({ rule: 'order', text: `${name}: ${line}` }));
  });
}
