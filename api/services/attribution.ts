/** The worker that keeps the ledger up to date: takes node-hours that facts have touched and attributes them again. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { BatchBody } from '../contract/batch.ts';
import { canonicalJson } from '../contract/canonical.ts';
import { RULES_VERSION } from '../domain/cell.ts';
import { runningSlackMs } from '../domain/finding.ts';
import { DEFAULT_POLICY } from '../domain/policy.ts';
import type { NodeHourKey } from '../store/batches.ts';
import type { DirtyHour, FindingWrite, KnownFinding } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';
import { findingWrites } from './finding-state.ts';
import type { Live } from './live.ts';
import { loadHour } from './load-hour.ts';
import { boundariesOf, computeNodeHour, watermarksOf } from './node-hour.ts';

/** How often the passing of time alone is looked at: verdicts that await a record settle then. */
const TICK_MS = 1_000;
/** What arrives within this long of each other is attributed together: schedulers declare many jobs in a row. */
const TOGETHER_MS = 50;
const HOURS_PER_ROUND = 16;
const FIRST_RETRY_MS = 10_000;
const LAST_RETRY_MS = 3_600_000;
/** Text of batches whose decoded form is kept in memory. */
const KEPT_CHARS = 64 * 1024 * 1024;
const MAX_FAILURE_CHARS = 1_000;

/** Where failures are told; pino's logger fits. */
export interface AttributionLog {
  error(details: object, message: string): void;
}

export interface Attribution {
  start(): void;
  /** Resolves when the node-hour at hand is written. */
  stop(): Promise<void>;
  /** Resolves when nothing is left to do; what failed and waits for its next try does not count. */
  whenIdle(): Promise<void>;
}

export function createAttribution(store: Store, clock: Clock, live: Live, log: AttributionLog): Attribution {
  const worker = createWorker(store, clock, live);
  let running: Promise<void> | null = null;
  let stopping = false;
  let timer: NodeJS.Timeout | null = null;
  let soon: NodeJS.Timeout | null = null;
  let unsubscribe: (() => void) | null = null;
  let again = false;

  async function round(): Promise<boolean> {
    const waitMs = DEFAULT_POLICY.selfDeclarationWaitMs;
    await store.ledger.markSettled(clock.nowMs() - waitMs, waitMs, clock.nowMs());
    const hours = await store.ledger.listDirty(clock.nowMs(), HOURS_PER_ROUND);
    for (const hour of hours) {
      if (stopping) return false;
      await attempt(hour);
      await nextTurn();
      // Something urgent may have come meanwhile: look again rather than finish the old list.
      if (again && !hour.urgent) break;
    }
    return hours.length > 0;
  }

  async function attempt(hour: DirtyHour): Promise<void> {
    try {
      await worker.attribute(hour);
    } catch (error) {
      const failure = String(error instanceof Error ? error.message : error).slice(0, MAX_FAILURE_CHARS);
      log.error(
        { err: error, node: hour.nodeName, hourMs: hour.hourMs },
        'a node-hour could not be attributed',
      );
      const delayMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(hour.failures, 20));
      await store.ledger.postpone(hour, failure, clock.nowMs() + delayMs);
    }
  }

  async function drain(): Promise<void> {
    do {
      again = false;
      while (await round()) if (stopping) return;
    } while (again && !stopping);
    await worker.tell();
  }

  function wake(): Promise<void> {
    again = true;
    // Not at once: a drain writes, and a write wakes.
    running ??= Promise.resolve()
      .then(drain)
      .catch((error) => log.error({ err: error }, 'the attribution stopped for now'))
      .finally(() => {
        running = null;
      });
    return running;
  }

  return {
    start() {
      stopping = false;
      unsubscribe = store.onDirty(() => {
        again = true;
        soon ??= setTimeout(() => {
          soon = null;
          void wake();
        }, TOGETHER_MS);
      });
      timer = setInterval(() => void wake(), TICK_MS);
      void wake();
    },
    async stop() {
      stopping = true;
      if (timer !== null) clearInterval(timer);
      if (soon !== null) clearTimeout(soon);
      soon = null;
      unsubscribe?.();
      await running;
    },
    async whenIdle() {
      do await wake();
      while (!stopping && (await store.ledger.countDirty(clock.nowMs())).due > 0);
    },
  };
}

interface Worker {
  attribute(hour: DirtyHour): Promise<void>;
  /** Publishes that the books moved, if they did. */
  tell(): Promise<void>;
}

function createWorker(store: Store, clock: Clock, live: Live): Worker {
  const batches = createBatchCache(store);
  let moved = false;

  return {
    async attribute(hour) {
      const facts = await store.ledger.readFacts(hour);
      const nowMs = clock.nowMs();
      const loaded = await loadHour(store, hour, await batches.read(hour), facts);
      const { decoded } = loaded;
      const result = computeNodeHour({
        ...loaded,
        sources: watermarksOf(facts.sources, facts.policy, nowMs),
      });
      const ids = [...result.findings, ...result.observations].map((finding) => finding.id);
      const known = await store.ledger.readFindings(hour, ids);
      const findings = findingWrites(result, known);
      await store.ledger.apply({
        ...{ node: hour.node, hourMs: hour.hourMs, factsSeq: facts.seq, nowMs, boundariesOf, findings },
        ...{ rulesVersion: RULES_VERSION, policyVersion: facts.policy.version, cells: result.cells },
        ...{
          processes: decoded.processes.values(),
          connections: result.connections,
          dials: result.dials,
          firstSeen: result.firstSeen,
        },
      });
      moved = true;
      for (const finding of findings)
        if (hasMoved(finding, known.get(finding.id))) publish(finding, facts.bookedToMs ?? 0);
    },
    async tell() {
      if (!moved) return;
      moved = false;
      const completeToMs = await store.ledger.readCompleteToMs();
      live.publish({
        type: 'ledger',
        completeTo: completeToMs === null ? null : new Date(completeToMs).toISOString(),
      });
    },
  };

  function publish({ id, state }: FindingWrite, bookedToMs: number): void {
    if (state === null) live.publish({ type: 'finding', id, state: 'settled', running: false });
    else
      live.publish({
        type: 'finding',
        id,
        state: state.state,
        running: state.lastMs >= bookedToMs - runningSlackMs(state),
      });
  }
}

/** Whether a page that shows the finding would show something else now. */
function hasMoved({ state }: FindingWrite, known: KnownFinding | undefined): boolean {
  if (known === undefined || state === null || known.resolved)
    return state !== null || known?.resolved === false;
  return canonicalJson(state) !== canonicalJson(known.state);
}

/** Decoded batches of the node-hours used last, so that a new batch of the hour costs only itself. */
function createBatchCache(store: Store): { read(key: NodeHourKey): Promise<readonly BatchBody[]> } {
  const kept = new Map<string, { seq: number; chars: number; bodies: BatchBody[] }>();
  let chars = 0;
  const forget = (name: string): void => {
    chars -= kept.get(name)?.chars ?? 0;
    kept.delete(name);
  };
  return {
    async read(key) {
      const name = `${key.node} ${key.hourMs}`;
      const known = kept.get(name);
      const more = known === undefined ? null : await store.batches.readHourSince(key, known.seq);
      const entry = more === null || known === undefined ? { seq: 0, chars: 0, bodies: [] } : known;
      forget(name);
      for (const batch of more ?? (await store.batches.readHour(key))) {
        const body: BatchBody = JSON.parse(batch.body);
        entry.bodies.push(body);
        entry.seq = Math.max(entry.seq, batch.seq);
        entry.chars += batch.body.length;
      }
      kept.set(name, entry);
      chars += entry.chars;
      for (const oldest of kept.keys()) {
        if (chars <= KEPT_CHARS || oldest === name) break;
        forget(oldest);
      }
      return entry.bodies;
    },
  };
}
