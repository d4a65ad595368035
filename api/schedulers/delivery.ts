/**
 * A source's words on their way to the service: one after the other, in bulk, again and again while the service is away.
 * A source that awaits is held back by it; nothing piles up here.
 */
import { createHash } from 'node:crypto';
import { SOURCE_LIMITS } from '../contract/sources.ts';
import { backoffMs, wait } from './backoff.ts';
import { ServiceAway, type SourceName, type SourceService, TooMuch } from './service.ts';
import type { Declaration, SourceProblem, SourceSink } from './source.ts';

/** Text of one request, at most: the service takes more, for jobs on very many nodes. */
const REQUEST_CHARS = 2 * 1024 * 1024;
/** Jobs whose last word is remembered, so that what a poll says again is not sent again. */
const REMEMBERED_JOBS = 100_000;
/** For so long: a service that was put back to an older state hears of them again. */
const REMEMBERED_MS = 60 * 60_000;

export interface DeliveryOptions {
  readonly name: SourceName;
  readonly service: SourceService;
  /** Aborts what waits for a service that is away. */
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  readonly problem: (problem: SourceProblem) => void;
  /** The scheduler has answered completely up to then, and the service has it all. */
  readonly completed: (completeToMs: number) => void;
}

/** The sink of one run of a source. */
export function createDelivery(options: DeliveryOptions): SourceSink {
  const { name, service, signal, nowMs, problem } = options;
  const remembered = new Map<string, { readonly digest: string; readonly atMs: number }>();
  let last: Promise<unknown> = Promise.resolve();
  let completeToMs = Number.NEGATIVE_INFINITY;

  /** In the order in which it was said, whether the source awaits or not. */
  function inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = last.then(act);
    last = turn.catch(() => undefined);
    return turn;
  }

  async function untilThere<T>(act: () => Promise<T>): Promise<T> {
    for (let failures = 1; ; failures += 1) {
      signal.throwIfAborted();
      try {
        return await act();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceAway)) throw error;
        problem({ subject: 'service', message: error.message });
        await wait(backoffMs(failures), signal);
      }
    }
  }

  const keyOf = (job: Declaration): string => `${job.externalId}\n${job.incarnation ?? 0}`;

  async function send(jobs: readonly Declaration[]): Promise<void> {
    try {
      const results = await untilThere(() => service.declare(jobs, signal));
      if (results.length !== jobs.length)
        throw new Error('the service answers for other jobs than were declared');
      for (const [at, { errors, result }] of results.entries()) {
        const job = jobs[at];
        if (result !== 'refused' || job === undefined) continue;
        const why = errors.map(({ field, message }) => (field === '' ? message : `${field} ${message}`));
        problem({ subject: `job ${job.externalId}`, message: `the service refuses it: ${why.join('; ')}` });
      }
    } catch (error) {
      if (!(error instanceof TooMuch)) throw error;
      const [only] = jobs;
      if (jobs.length > 1) {
        await send(jobs.slice(0, jobs.length / 2));
        await send(jobs.slice(jobs.length / 2));
      } else if (only !== undefined)
        problem({ subject: `job ${only.externalId}`, message: 'it is too large for one request' });
    }
  }

  async function declare(jobs: readonly Declaration[]): Promise<void> {
    let part: Declaration[] = [];
    let marks: [string, string][] = [];
    let chars = 0;
    const flush = async (): Promise<void> => {
      const [sent, known] = [part, marks];
      part = [];
      marks = [];
      chars = 0;
      if (sent.length === 0) return;
      await send(sent);
      for (const [key, digest] of known) remember(key, digest);
    };
    for (const job of jobs) {
      const own: Declaration = { ...job, source: name.source, sourceInstance: name.instance };
      const text = JSON.stringify(own);
      const digest = createHash('sha1').update(text).digest('base64');
      const before = remembered.get(keyOf(own));
      if (before?.digest === digest && nowMs() - before.atMs < REMEMBERED_MS) continue;
      if (
        part.length >= SOURCE_LIMITS.jobsPerRequest ||
        (part.length > 0 && chars + text.length > REQUEST_CHARS)
      )
        await flush();
      part.push(own);
      marks.push([keyOf(own), digest]);
      chars += text.length;
    }
    await flush();
  }

  function remember(key: string, digest: string): void {
    remembered.delete(key);
    remembered.set(key, { digest, atMs: nowMs() });
    for (const oldest of remembered.keys()) {
      if (remembered.size <= REMEMBERED_JOBS) break;
      remembered.delete(oldest);
    }
  }

  async function endMissing(running: ReadonlySet<string>, endMs: number): Promise<void> {
    const missing: string[] = [];
    await untilThere(async () => {
      missing.length = 0;
      for await (const page of service.openJobs(name, signal))
        for (const { id, externalId, startMs } of page)
          if (startMs <= endMs && !running.has(externalId)) missing.push(id);
    });
    for (const id of missing) await untilThere(() => service.end(id, endMs, signal));
    // What was said of an ended one before must count as new if it is said again.
    if (missing.length > 0) remembered.clear();
  }

  return {
    declare: (jobs) => inTurn(() => declare(jobs)),
    complete: (toMs) =>
      inTurn(async () => {
        if (!Number.isSafeInteger(toMs))
          throw new Error(`${toMs} is not a time up to which anything is complete`);
        if (toMs > completeToMs) await untilThere(() => service.complete(name, toMs, signal));
        completeToMs = Math.max(completeToMs, toMs);
        options.completed(toMs);
      }),
    endMissing: (running, endMs) => inTurn(() => endMissing(running, endMs)),
    conditions: (conditions) =>
      inTurn(async () => {
        for (let at = 0; at < conditions.length; at += SOURCE_LIMITS.conditions) {
          const part = conditions.slice(at, at + SOURCE_LIMITS.conditions);
          await untilThere(() => service.conditions(name, part, signal));
        }
      }),
    problem,
  };
}
