/** Sends what the spool holds to the service, oldest first, and forgets only what the service says is safe. */
import { BATCH_LIMITS, type Batch, type BatchResponse } from '../api/contract/batch.ts';
import { type AgentClock, type Network, ShipError } from './ports.ts';
import type { Signer } from './signer.ts';
import type { Spool } from './spool.ts';

/** Well under what the service takes in one request. */
const REQUEST_BYTES = 8 * 1024 * 1024;
const FIRST_RETRY_MS = 1000;
export const LAST_RETRY_MS = 60_000;
/** Requests that one call makes at most: a full spool of small batches takes several calls. */
const MAX_REQUESTS = 1000;

export interface Shipper {
  /** Sends until the spool is empty or a request fails. Calls at the same time share one run. Never rejects. */
  ship(): Promise<void>;
  /** Whether there is something to send and the time to try (again) has come. */
  due(): boolean;
  /** Why the last try failed, in words; null after one that worked. */
  failure(): string | null;
}

export function createShipper(
  spool: Spool,
  ports: { readonly network: Network; readonly clock: AgentClock },
  random: () => number,
  signer: Pick<Signer, 'sign'>,
): Shipper {
  let running: Promise<void> | null = null;
  let failures = 0;
  let notBeforeMs = Number.NEGATIVE_INFINITY;
  let failure: string | null = null;

  const failed = (message: string, permanent: boolean): void => {
    failures += 1;
    failure = message;
    const backOffMs = permanent
      ? LAST_RETRY_MS
      : Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 10));
    // Half of it is random, so that a fleet does not come back in step.
    notBeforeMs = ports.clock.monotonicMs() + backOffMs * (0.5 + random() / 2);
  };

  /** True when the next request may follow. */
  const shipOnce = async (): Promise<boolean> => {
    const batches = spool.oldest(BATCH_LIMITS.batchesPerRequest, REQUEST_BYTES);
    if (batches.length === 0) return false;
    try {
      const answer = await ports.network.send({ batches: batches.map(signer.sign) });
      const wrong = settle(spool, batches, answer);
      if (wrong !== null) {
        failed(wrong, true);
        return false;
      }
      failures = 0;
      failure = null;
      notBeforeMs = Number.NEGATIVE_INFINITY;
      return true;
    } catch (error) {
      const known = error instanceof ShipError;
      failed(error instanceof Error ? error.message : String(error), known && error.permanent);
      return false;
    }
  };
  const run = async (): Promise<void> => {
    for (let requests = 0; requests < MAX_REQUESTS; requests += 1) if (!(await shipOnce())) return;
  };

  return {
    ship() {
      running ??= run().finally(() => {
        running = null;
      });
      return running;
    },
    due: () => running === null && spool.count() > 0 && ports.clock.monotonicMs() >= notBeforeMs,
    failure: () => failure,
  };
}

/** Does what the service's answer asks for. Null when that is progress; else what is wrong. */
function settle(spool: Spool, batches: readonly Batch[], answer: BatchResponse): string | null {
  const sent = new Set(batches.map((batch) => batch.body.seq));
  const safe: number[] = [];
  let diverged = false;
  let outOfOrder = false;
  for (const { seq, status } of answer.results) {
    if (!sent.has(seq)) continue;
    if (status === 'out_of_order') outOfOrder = true;
    else safe.push(seq);
    if (status === 'quarantined') diverged = true;
  }
  spool.remove(safe);
  // The service has another chain under this name, or lacks a link that is gone here: what is left starts a new one.
  const lacksLink = outOfOrder && safe.length === 0 && !spool.has(answer.expectedSeq);
  if (diverged || lacksLink)
    return spool.restart()
      ? null
      : 'the service cannot continue this stream, and a new one cannot be written';
  if (safe.length > 0) return null;
  // It expects one that is here: the next request starts with the oldest, which is that one or stands before it.
  return outOfOrder && batches[0]?.body.seq === answer.expectedSeq
    ? 'the service refuses the very batch that it expects'
    : outOfOrder
      ? `the service expects batch ${answer.expectedSeq}`
      : 'the service answered without saying what became of the batches';
}
