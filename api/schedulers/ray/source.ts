/**
 * Ray as a source: its jobs, inside of the job or the pods that Ray itself runs in. They refine that one and cover
 * nothing alone: the API of Ray takes anybody's word, so "declared by Ray" is a weak declaration.
 */
import { setTimeout as rest } from 'node:timers/promises';
import type { Declaration, Source, SourceCheck, SourceSink } from '../source.ts';
import { type AskDashboard, createDashboard, DashboardError } from './dashboard.ts';
import { actorsOf, BadRayJob, type RayActors, type RayJob, rayDeclaration, rayJobOf } from './ray-job.ts';
import { RaySettings } from './settings.ts';

export { RaySettings };

const JOBS = 'api/jobs/';
const ACTORS = 'api/v0/actors?limit=10000&detail=true';
/** Actors change often and say little. */
const ACTORS_MS = 60_000;
const BULK = 200;
/** Its times are whole milliseconds, and its clock may be another than ours. */
const LAG_MS = 5_000;
/** What ended so long before the service is complete is known to it. */
const OVERLAP_MS = 3_600_000;

export function createRaySource(settings: RaySettings, nowMs: () => number): Source {
  return {
    source: 'ray',
    instance: settings.instance,
    async follow(sinceMs: number | null, sink: SourceSink, signal: AbortSignal): Promise<void> {
      const follower = createFollower(settings, createDashboard(settings), sink, nowMs);
      while (!signal.aborted) {
        await follower.look(sinceMs, signal);
        await rest(settings.pollSeconds * 1000, undefined, { signal });
      }
    },
    async check(signal: AbortSignal): Promise<readonly SourceCheck[]> {
      try {
        const { value } = await createDashboard(settings)(JOBS, signal);
        if (!Array.isArray(value)) throw new DashboardError(0, 'it answers with what is no list of jobs');
        return [{ name: 'jobs', ok: true, message: `the dashboard lists ${value.length} jobs` }];
      } catch (error) {
        return [{ name: 'jobs', ok: false, message: error instanceof Error ? error.message : String(error) }];
      }
    },
  };
}

interface Follower {
  /** Asks once, and declares what is new. */
  look(sinceMs: number | null, signal: AbortSignal): Promise<void>;
}

function createFollower(
  settings: RaySettings,
  ask: AskDashboard,
  sink: SourceSink,
  nowMs: () => number,
): Follower {
  /** What was said of each job last. */
  let said = new Map<string, Declaration>();
  /** When a job was found ended that does not say when. */
  let noticed = new Map<string, number>();
  let isFirst = true;
  let actors = new Map<string, RayActors>();
  let actorsMs = Number.NEGATIVE_INFINITY;

  async function readActors(atMs: number, signal: AbortSignal): Promise<void> {
    if (atMs - actorsMs < ACTORS_MS) return;
    actorsMs = atMs;
    try {
      const now = actorsOf((await ask(ACTORS, signal)).value);
      if (now === null) throw new DashboardError(0, `${ACTORS} was answered with what is no list of actors`);
      actors = now;
    } catch (error) {
      if (!(error instanceof DashboardError)) throw error;
      // Older ones do not have it, and a job is a job without its actors.
      if (error.status !== 404) sink.problem({ subject: 'actors', message: error.message });
    }
  }

  /** The rows that can be used; of two of one job the submission's, which comes with more. */
  function rowsOf(value: readonly unknown[]): { jobs: RayJob[]; unread: Set<string> } {
    const jobs = new Map<string, RayJob>();
    const unread = new Set<string>();
    for (const row of value)
      try {
        const job = rayJobOf(row, (subject, message) => sink.problem({ subject, message }));
        const key = job === null ? '' : `${job.externalId} ${job.startMs}`;
        if (job !== null && (!jobs.has(key) || job.submissionId !== null)) jobs.set(key, job);
      } catch (error) {
        if (!(error instanceof BadRayJob)) throw error;
        sink.problem({ subject: error.subject, message: error.message });
        if (error.externalId !== null) unread.add(error.externalId);
      }
    return { jobs: [...jobs.values()], unread };
  }

  return {
    async look(sinceMs, signal) {
      const { value, atMs: theirMs } = await ask(JOBS, signal);
      if (!Array.isArray(value))
        throw new DashboardError(0, `${JOBS} was answered with what is no list of jobs`);
      const atMs = Math.min(theirMs ?? nowMs(), nowMs());
      await readActors(atMs, signal);
      const { jobs, unread } = rowsOf(value);
      const running = new Set(unread);
      const now = { said: new Map<string, Declaration>(), noticed: new Map<string, number>() };
      const pending: Declaration[] = [];
      for (const job of jobs) {
        const key = `${job.externalId} ${job.startMs}`;
        const end = endOf(job, key, atMs);
        if (end === 'unknown') continue;
        if (end === null) running.add(job.externalId);
        else if (sinceMs !== null && end < sinceMs - OVERLAP_MS && !said.has(key)) continue;
        if (job.endMs === 'unknown' && end !== null) now.noticed.set(key, end);
        const declaration = rayDeclaration(job, end, actors.get(job.externalId), settings);
        now.said.set(key, declaration);
        if (JSON.stringify(said.get(key)) !== JSON.stringify(declaration)) pending.push(declaration);
      }
      // Ray was restarted, and counts its jobs from the beginning: those that ran went with it.
      for (const [key, gone] of said) {
        if (now.said.has(key) || gone.end !== null) continue;
        // It is there, though it cannot be understood: it has not ended.
        if (unread.has(gone.externalId)) now.said.set(key, gone);
        // A submission has got its number, under which all of it is declared.
        else if (jobs.some((job) => job.submissionId === gone.externalId))
          pending.push({ ...gone, end: gone.start });
        else pending.push({ ...gone, end: new Date(Math.max(Date.parse(gone.start), atMs)).toISOString() });
      }
      for (let at = 0; at < pending.length; at += BULK) await sink.declare(pending.slice(at, at + BULK));
      if (isFirst) await sink.endMissing(running, atMs);
      isFirst = false;
      ({ said, noticed } = now);
      await sink.complete(atMs - LAG_MS);
    },
  };

  /** Of one that ended and does not say when: when that was noticed, if it was seen to run. */
  function endOf(job: RayJob, key: string, atMs: number): number | null | 'unknown' {
    if (job.endMs !== 'unknown') return job.endMs;
    const known = noticed.get(key);
    if (known !== undefined) return known;
    return said.get(key)?.end === null ? Math.max(job.startMs, atMs) : 'unknown';
  }
}
