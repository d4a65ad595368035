/** Asks accounting for a span that nobody watched, window by window, in bounded memory. */
import { ProgramError } from '../program.ts';
import { type Identity, OtherCluster } from './answers.ts';
import { declarationOf, runKey } from './declare.ts';
import { createBatch, type Following, messageOf, runsIn, termsOf } from './following.ts';
import { createProblemBook } from './problems.ts';

/** A span of which not everything has been declared. */
export interface Gap {
  /** Everything before has been declared. */
  readonly fromMs: number;
  /** What ran after has been seen by the controller. */
  readonly toMs: number;
  /** Of the start: what the service has open and nobody knows any more ends with it. */
  readonly first: boolean;
  /** Whether a part of it has been declared already, so that what began before it has been too. */
  readonly begun?: boolean;
  /** How much time is asked for at once, as the answers so far allow; absent: not tried yet. */
  readonly windowMs?: number;
  /** When accounting may be asked again after it did not answer. */
  readonly notBeforeMs?: number;
}

const MIN_WINDOW_MS = 600_000;
/** A window that takes longer is halved, one that takes less than a quarter of it doubled. */
const WINDOW_TIME_MS = 20_000;
const RETRY_MS = 60_000;
/** What ended just before an outage may have reached accounting after it; runs that were completing had ended earlier. */
const OVERLAP_MS = 3_600_000;

/**
 * Declares every run that had ended by now, from the gap's beginning, until `untilMs`; what goes on is the controller's
 * to say. Resolves with what is left of the gap, null: nothing.
 */
export async function catchUp(
  following: Following,
  identity: Identity,
  gap: Gap,
  untilMs: number,
): Promise<Gap | null> {
  const { settings, memory, sink, signal, nowMs } = following;
  const maxWindowMs = settings.windowHours * 3_600_000;
  let windowMs = Math.min(gap.windowMs ?? maxWindowMs, maxWindowMs);
  let { fromMs, begun = false } = gap;
  if (!identity.hasAccounting)
    sink.problem({
      subject: 'accounting',
      message: 'is not kept by this cluster: what ran while nobody watched is not known',
    });
  else if ((gap.notBeforeMs ?? 0) > nowMs()) return gap;
  else
    while (fromMs < gap.toMs) {
      if (signal.aborted || nowMs() >= untilMs) return { ...gap, fromMs, begun, windowMs };
      const toMs = Math.min(fromMs + windowMs, gap.toMs);
      const startedMs = nowMs();
      try {
        await declareWindow(following, { fromMs, toMs, isFirst: !begun });
      } catch (error) {
        if (error instanceof OtherCluster || signal.aborted) throw error;
        if (isTooMuch(error) && windowMs > MIN_WINDOW_MS) {
          windowMs = Math.max(MIN_WINDOW_MS, windowMs / 2);
          continue;
        }
        sink.problem({ subject: 'accounting', message: `cannot be asked: ${messageOf(error)}` });
        return { ...gap, fromMs, begun, windowMs, notBeforeMs: nowMs() + RETRY_MS };
      }
      fromMs = toMs;
      begun = true;
      if (fromMs < gap.toMs) await sink.complete(fromMs);
      const tookMs = nowMs() - startedMs;
      if (tookMs > WINDOW_TIME_MS) windowMs = Math.max(MIN_WINDOW_MS, windowMs / 2);
      else if (tookMs < WINDOW_TIME_MS / 4) windowMs = Math.min(maxWindowMs, windowMs * 2);
    }
  if (gap.first) {
    const running = new Set([...memory.live.values()].map(({ job }) => String(job.jobId)));
    await sink.endMissing(running, gap.toMs);
  }
  return null;
}

const isTooMuch = (error: unknown): boolean =>
  error instanceof ProgramError && (error.failure === 'silent' || error.failure === 'too_large');

interface Window {
  readonly fromMs: number;
  readonly toMs: number;
  readonly isFirst: boolean;
}

/** A run that reaches over several windows is declared in the one in which it began, or in the first. */
async function declareWindow(following: Following, { fromMs, toMs, isFirst }: Window): Promise<void> {
  const { slurm, memory, sink, signal } = following;
  const problems = createProblemBook();
  const batch = createBatch(sink);
  const terms = termsOf(following);
  try {
    const wanted = { fromMs: isFirst ? fromMs - OVERLAP_MS : fromMs, toMs };
    for await (const job of runsIn(
      following,
      await slurm.runs(wanted, signal),
      'accounting',
      problems.note,
    )) {
      const isHere = job.startMs < toMs && (isFirst || job.startMs >= fromMs);
      const key = runKey(job);
      // What accounting has without an end is running, and the controller's to say, or was forgotten by both.
      if (job.phase !== 'ended' || !isHere || memory.live.has(key) || memory.done.has(key)) continue;
      const { declaration, problems: wrong } = declarationOf(job, terms);
      for (const problem of wrong) problems.note(problem);
      await batch.add(declaration);
    }
    await batch.flush();
  } catch (error) {
    if (!(error instanceof OtherCluster)) await batch.flush();
    throw error;
  } finally {
    problems.tell((problem) => sink.problem(problem));
  }
}
