/**
 * Keeps sources going, side by side: one that fails is started again, later and later, and none of the others notices.
 * How each fares is told to the service every half minute and whenever that changes.
 */

import type { HealthIn } from '../contract/sources.ts';
import { backoffMs, wait } from './backoff.ts';
import { createDelivery } from './delivery.ts';
import { createProblems } from './problems.ts';
import type { SourceName, SourceService } from './service.ts';
import type { Source } from './source.ts';

const REPORT_EVERY_MS = 30_000;
/** A report is soon out of date: no long waiting for a service that is away. */
const REPORT_TIMEOUT_MS = 10_000;
/** How long a source may take to end once it is told to. */
const STOP_MS = 10_000;

export interface RunOptions {
  readonly service: SourceService;
  readonly nowMs: () => number;
  /** Told to stop. */
  readonly signal: AbortSignal;
  /** What is never shown, whatever says it. */
  readonly secrets: readonly string[];
  /** A line for the log. */
  readonly log: (name: SourceName, message: string) => void;
}

/** Resolves when `signal` has aborted and every source has ended or had its time to. */
export async function runSources(sources: readonly Source[], options: RunOptions): Promise<void> {
  await Promise.all(sources.map((source) => keepGoing(source, options)));
}

async function keepGoing(source: Source, options: RunOptions): Promise<void> {
  const { signal } = options;
  const name = { source: source.source, instance: source.instance };
  const health = createHealth(name, options);
  health.set('starting');
  for (let failures = 0; !signal.aborted; ) {
    const answered = await once(source, name, health, options);
    if (signal.aborted) break;
    failures = answered ? 1 : failures + 1;
    health.set('failing');
    await wait(backoffMs(failures), signal).catch(() => undefined);
  }
  await health.stop();
}

/** One run of a source, to its end. Whether its scheduler answered completely at least once. */
async function once(
  source: Source,
  name: SourceName,
  health: Health,
  { service, nowMs, signal }: RunOptions,
): Promise<boolean> {
  let answered = false;
  // What it still says once it has ended, or did not end in time, is not waited for.
  const run = new AbortController();
  const stop = (): void => run.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const sink = createDelivery({
    ...{ name, service, nowMs, signal: run.signal, problem: health.problem },
    completed: () => {
      answered = true;
      health.succeeded();
    },
  });
  const follow = async (): Promise<void> => {
    const sinceMs = await service.watermarkMs(name, run.signal);
    await source.follow(sinceMs, sink, run.signal);
    if (!signal.aborted) throw new Error('it ended by itself; it is started again');
  };
  try {
    await orAfter(follow(), signal);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (!signal.aborted) health.problem({ subject: null, message });
  } finally {
    signal.removeEventListener('abort', stop);
    run.abort();
  }
  return answered;
}

/** `work`, or a moment after `signal` has aborted: whoever does not listen to it is left behind. */
async function orAfter(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | null = null;
  let onAbort: (() => void) | null = null;
  const late = new Promise<void>((resolve) => {
    onAbort = () => {
      timer = setTimeout(resolve, STOP_MS);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([work, late]);
  } finally {
    if (timer !== null) clearTimeout(timer);
    if (onAbort !== null) signal.removeEventListener('abort', onAbort);
    work.catch(() => undefined);
  }
}

interface Health {
  set(state: 'starting' | 'failing'): void;
  succeeded(): void;
  readonly problem: (problem: { subject: string | null; message: string }) => void;
  /** Says that it has stopped. */
  stop(): Promise<void>;
}

function createHealth(name: SourceName, { service, nowMs, secrets, log }: RunOptions): Health {
  const problems = createProblems(secrets);
  let state: HealthIn['state'] = 'starting';
  let lastSuccessMs: number | null = null;
  let reporting: Promise<void> | null = null;
  let again = false;

  async function report(): Promise<void> {
    const { problems: newest, count } = problems.list(nowMs());
    const health: HealthIn = {
      state,
      lastSuccess: lastSuccessMs === null ? null : new Date(lastSuccessMs).toISOString(),
      problems: newest.map(({ atMs, ...one }) => ({ at: new Date(atMs).toISOString(), ...one })),
      problemCount: count,
    };
    // A service that is away hears the next one.
    await service.health(name, health, AbortSignal.timeout(REPORT_TIMEOUT_MS)).catch(() => undefined);
  }
  function soon(): Promise<void> {
    again = true;
    reporting ??= (async () => {
      while (again) {
        again = false;
        await report();
      }
    })().finally(() => {
      reporting = null;
    });
    return reporting;
  }
  const timer = setInterval(() => void soon(), REPORT_EVERY_MS);

  return {
    set(next) {
      if (next !== state) log(name, next === 'failing' ? 'fails, and is tried again' : next);
      state = next;
      void soon();
    },
    succeeded() {
      lastSuccessMs = nowMs();
      if (state === 'following') return;
      state = 'following';
      log(name, 'follows: its scheduler has answered completely');
      void soon();
    },
    problem(problem) {
      if (!problems.add(problem, nowMs())) return;
      const [newest] = problems.list(nowMs()).problems;
      log(name, [newest?.subject, newest?.message].filter((one) => one).join(': '));
    },
    async stop() {
      clearInterval(timer);
      state = 'stopped';
      await soon();
    },
  };
}
