/**
 * Follows a Slurm cluster. The controller is asked for all that it knows every few seconds: who holds devices, and which,
 * while it lasts; accounting only for what nobody watched: the time before the first start, an outage, and the end of a
 * run that the controller has forgotten or requeued.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Identity, OtherCluster } from './answers.ts';
import { catchUp, type Gap } from './catch-up.ts';
import { declarationOf, runKey, shortName } from './declare.ts';
import { createBatch, type Following, type Live, messageOf, runsIn, termsOf } from './following.ts';
import type { SlurmJob } from './job.ts';
import { readNode, type SlurmNode } from './nodes.ts';
import { createProblemBook } from './problems.ts';

const NODES_EVERY_MS = 60_000;
/** Slurm's times are cut to the second: a job that starts now is said to have started before. */
const MARGIN_MS = 1000;
/** After so long without an answer, less if MinJobAge is less, jobs may have come and gone unseen. */
const MAX_GAP_MS = 120_000;
/** So long the end of a run that has vanished is looked for in accounting. */
const LOST_AFTER_MS = 300_000;
const IDS_AT_ONCE = 200;
/** Accounting's first row of a run can be as old as this before the run was seen. */
const DAY_MS = 86_400_000;

export async function followSlurm(following: Following, sinceMs: number | null): Promise<void> {
  const { slurm, settings, sink, signal, nowMs } = following;
  const identity = await slurm.identify(signal);
  const gapMs = Math.min(MAX_GAP_MS, (identity.remembersMs ?? MAX_GAP_MS) / 2);
  const beginMs = nowMs() - settings.backfillDays * DAY_MS;
  let nodesMs = 0;
  const at: { gap: Gap | null; polledMs: number | null } = { gap: null, polledMs: null };
  while (!signal.aborted) {
    const startedMs = nowMs();
    const nextMs = startedMs + settings.pollSeconds * 1000;
    if (startedMs - nodesMs >= NODES_EVERY_MS) {
      await lookAtNodes(following);
      nodesMs = startedMs;
    }
    await lookAtJobs(following, startedMs);
    const heldBackMs = await resolveVanished(following, identity, startedMs);
    const { gap, polledMs } = at;
    if (polledMs === null) at.gap = { fromMs: sinceMs ?? beginMs, toMs: startedMs, first: true };
    else if (startedMs - polledMs > gapMs)
      at.gap = { first: false, fromMs: polledMs, ...gap, toMs: startedMs };
    at.polledMs = startedMs;
    if (at.gap !== null) at.gap = await catchUp(following, identity, at.gap, nextMs);
    if (at.gap === null) await sink.complete(Math.min(heldBackMs, floorSecond(startedMs) - MARGIN_MS));
    const leftMs = nextMs - nowMs();
    if (leftMs > 0) await sleep(leftMs, undefined, { signal }).catch(() => undefined);
  }
}

const floorSecond = (ms: number): number => Math.floor(ms / 1000) * 1000;

/** All jobs that the controller knows: what holds devices is declared where it has changed, what has ended once. */
async function lookAtJobs(following: Following, atMs: number): Promise<void> {
  const { slurm, memory, sink, signal } = following;
  const { live } = memory;
  const terms = termsOf(following);
  const problems = createProblemBook();
  const ended = new Set<string>();
  const seen = new Set<string>();
  const batch = createBatch(sink);
  try {
    for await (const job of runsIn(following, await slurm.jobs(signal), 'controller', problems.note)) {
      const key = runKey(job);
      seen.add(key);
      const before = live.get(key);
      // While a requeued run is being ended, its row has the start of what is to come already.
      if (job.completing && before !== undefined) {
        live.set(key, { ...before, seenMs: atMs, missingSinceMs: null });
        continue;
      }
      if (job.completing && (job.restarts ?? 0) > 0) continue;
      const { declaration, problems: wrong } = declarationOf(job, terms, before?.job.gres ?? null);
      let declared = (): void => void live.delete(key);
      if (job.phase === 'holding') {
        const text = JSON.stringify(declaration);
        const gres = job.gres ?? before?.job.gres ?? null;
        const run = { job: { ...job, gres }, said: before?.said ?? null, seenMs: atMs, missingSinceMs: null };
        live.set(key, run);
        if (text === run.said) continue;
        declared = () => void live.set(key, { ...run, said: text });
      } else {
        ended.add(key);
        if (memory.done.has(key)) continue;
      }
      for (const problem of wrong) problems.note(problem);
      await batch.add(declaration, declared);
    }
    await batch.flush();
  } catch (error) {
    // Half an answer is good for its rows, one of another cluster for nothing.
    if (!(error instanceof OtherCluster)) await batch.flush();
    throw error;
  } finally {
    problems.tell((problem) => sink.problem(problem));
  }
  memory.done = ended;
  for (const [key, run] of live)
    if (!seen.has(key) && run.missingSinceMs === null) live.set(key, { ...run, missingSinceMs: atMs });
}

/**
 * Runs that the controller does not list any more, or lists under a newer submission: accounting knows how they ended.
 * What it does not know in five minutes is ended when it was seen last. Resolves with the moment up to which everything
 * is known all the same.
 */
async function resolveVanished(following: Following, identity: Identity, atMs: number): Promise<number> {
  const { memory, sink } = following;
  const gone = [...memory.live].filter(([, run]) => run.missingSinceMs !== null);
  if (gone.length === 0) return Number.POSITIVE_INFINITY;
  const problems = createProblemBook();
  const batch = createBatch(sink);
  const end = async (key: string, run: Live, endMs: number, startMs: number): Promise<void> => {
    const job: SlurmJob = { ...run.job, phase: 'ended', startMs, endMs: Math.max(endMs, startMs) };
    await batch.add(declarationOf(job, termsOf(following)).declaration, () => memory.live.delete(key));
  };
  const found: SlurmJob[] = [];
  if (identity.hasAccounting)
    try {
      for (let at = 0; at < gone.length; at += IDS_AT_ONCE)
        for await (const job of askFor(following, gone.slice(at, at + IDS_AT_ONCE), problems.note))
          if (job.phase === 'ended') found.push(job);
    } catch (error) {
      if (error instanceof OtherCluster || following.signal.aborted) throw error;
      problems.note({ subject: 'accounting', message: `cannot be asked: ${messageOf(error)}` });
    }
  for (const job of found) {
    const run = memory.live.get(runKey(job));
    if (run !== undefined && run.missingSinceMs !== null)
      await end(runKey(job), run, job.endMs ?? run.seenMs, job.startMs);
  }
  await batch.flush();
  let heldBackMs = Number.POSITIVE_INFINITY;
  for (const [key, run] of memory.live) {
    if (run.missingSinceMs === null) continue;
    if (identity.hasAccounting && atMs - run.missingSinceMs < LOST_AFTER_MS) {
      heldBackMs = Math.min(heldBackMs, floorSecond(run.seenMs) - MARGIN_MS);
      continue;
    }
    const subject = `job ${run.job.jobId}`;
    if (identity.hasAccounting)
      problems.note({
        subject,
        message: 'vanished, and accounting has no end of it: it ended when it was seen last',
      });
    await end(key, run, floorSecond(run.seenMs), run.job.startMs);
  }
  await batch.flush();
  problems.tell((problem) => sink.problem(problem));
  return heldBackMs;
}

async function* askFor(
  following: Following,
  gone: readonly (readonly [string, Live])[],
  note: (problem: { subject: string; message: string }) => void,
): AsyncGenerator<SlurmJob> {
  const jobIds = [...new Set(gone.map(([, { job }]) => job.jobId))];
  const sinceMs = Math.min(...gone.map(([, { job }]) => job.submitMs)) - DAY_MS;
  const answer = await following.slurm.runs({ jobIds, sinceMs }, following.signal);
  yield* runsIn(following, answer, 'accounting', note);
}

/** What the nodes have, and which take no jobs; a failure costs that, and nothing else. */
async function lookAtNodes(following: Following): Promise<void> {
  const { slurm, settings, memory, sink, signal, nowMs } = following;
  const problems = createProblemBook();
  const nodes: SlurmNode[] = [];
  try {
    for await (const row of (await slurm.nodes(signal)).rows) {
      const node = readNode(row, problems.note);
      if (node === null) continue;
      memory.nodes.set(node.name, node.resources);
      nodes.push(settings.shortNodeNames ? { ...node, name: shortName(node.name) } : node);
    }
  } catch (error) {
    if (error instanceof OtherCluster || signal.aborted) throw error;
    problems.note({ subject: 'nodes', message: `cannot be asked for: ${messageOf(error)}` });
  }
  problems.tell((problem) => sink.problem(problem));
  const changes = memory.conditions(nodes, nowMs());
  if (changes.length > 0) await sink.conditions(changes);
}
