/** The worker that keeps the ledger up to date: takes node-hours that facts have touched and attributes them again. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { canonicalJson } from '../contract/canonical.ts';
import { RULES_VERSION } from '../domain/cell.ts';
import { runningSlackMs } from '../domain/finding.ts';
import { DEFAULT_POLICY } from '../domain/policy.ts';
import type { DirtyHour, FindingWrite, HourFacts, KnownFinding, LedgerWriter } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';
import { findingWrites, type HourOutcome } from './finding-state.ts';
import { createHourCache } from './hour-cache.ts';
import type { Live } from './live.ts';
import { completeHour } from './load-hour.ts';
import { boundariesOf, computeNodeHour } from './node-hour.ts';
import { createShared, type Shared } from './shared-hours.ts';

/** How often the passing of time alone is looked at: verdicts that await a record settle then. */
const TICK_MS = 1_000;
/** What arrives within this long of each other is attributed together: schedulers declare many jobs in a row. */
const TOGETHER_MS = 50;
/**
 * What only goes on with what was there waits this long for more of the same: agents post every two polls, and each post
 * would have its hour attributed. What begins or ends, and what verdicts follow, waits for nothing.
 */
const QUIET_MS = 20_000;
const HOURS_PER_ROUND = 48;
/** Spans and processes of what one transaction attributes: beyond this, batches and pages would wait for long. */
const MAX_WEIGHT = 25_000;
const FIRST_RETRY_MS = 10_000;
const LAST_RETRY_MS = 3_600_000;
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
  /** How many wait until nothing is left to do, whatever may wait. */
  let inFull = 0;

  async function round(): Promise<boolean> {
    const waitMs = DEFAULT_POLICY.selfDeclarationWaitMs;
    await store.ledger.markSettled(clock.nowMs() - waitMs, waitMs, clock.nowMs());
    const hours = await store.ledger.listDirty(clock.nowMs(), inFull > 0 ? 0 : QUIET_MS, HOURS_PER_ROUND);
    const groups = Map.groupBy(hours, (hour) => `${hour.urgent} ${hour.node}`);
    for (const group of groups.values()) {
      for await (const part of inParts(group)) {
        if (stopping) return false;
        await attempt(part);
        await nextTurn();
        // Something urgent may have come meanwhile: look again rather than finish the old list.
        if (again && part.every((hour) => !hour.urgent)) return true;
      }
    }
    return hours.length > 0;
  }

  /** Hours of one node, as many at a time as one transaction should hold. */
  async function* inParts(hours: readonly DirtyHour[]): AsyncGenerator<readonly DirtyHour[]> {
    let part: DirtyHour[] = [];
    let weight = 0;
    for (const hour of hours) {
      // What it is made of is read before the transaction: batches and pages need not wait for that.
      const own = await worker.weigh(hour).catch(() => MAX_WEIGHT);
      await nextTurn();
      if (stopping) return;
      if (part.length > 0 && weight + own > MAX_WEIGHT) {
        yield part;
        part = [];
        weight = 0;
      }
      part.push(hour);
      weight += own;
    }
    if (part.length > 0) yield part;
  }

  async function attempt(hours: readonly DirtyHour[]): Promise<void> {
    try {
      await worker.attribute(hours);
    } catch (error) {
      const [hour] = hours;
      if (hour === undefined) return;
      // One hour must not keep the others back.
      if (hours.length > 1) for (const one of hours) await attempt([one]);
      else await putOff(hour, error);
    }
  }

  async function putOff(hour: DirtyHour, error: unknown): Promise<void> {
    const failure = String(error instanceof Error ? error.message : error).slice(0, MAX_FAILURE_CHARS);
    log.error(
      { err: error, node: hour.nodeName, hourMs: hour.hourMs },
      'a node-hour could not be attributed',
    );
    const delayMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(hour.failures, 20));
    await store.ledger.postpone(hour, failure, clock.nowMs() + delayMs);
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
      inFull += 1;
      try {
        do await wake();
        while (!stopping && (await store.ledger.countDirty(clock.nowMs())).due > 0);
      } finally {
        inFull -= 1;
      }
    },
  };
}

interface Worker {
  /** How much there is to look at in an hour, which is in memory then. */
  weigh(hour: DirtyHour): Promise<number>;
  /** Attributes hours of one node in one transaction. */
  attribute(hours: readonly DirtyHour[]): Promise<void>;
  /** Publishes that the books moved, if they did. */
  tell(): Promise<void>;
}

interface HourDone {
  readonly outcome: HourOutcome;
  readonly facts: HourFacts;
  /** To be called when it is stored. */
  readonly settle: () => void;
}

function createWorker(store: Store, clock: Clock, live: Live): Worker {
  const cache = createHourCache();
  let moved = false;

  function attributeHour(writer: LedgerWriter, hour: DirtyHour, nowMs: number, shared: Shared): HourDone {
    const facts = writer.readFacts(hour);
    const reported = cache.read(writer, hour);
    const loaded = completeHour(writer, hour, reported.decoded, facts, shared.loadProcesses);
    const inputs = { ...loaded, sources: shared.sourcesOf(facts) };
    const result = computeNodeHour(inputs, shared.place(inputs));
    const { connections, dials } = result;
    // What a policy says of addresses is a part of what is stored of connections.
    const stored = connections === reported.decoded.connections ? 'as reported' : null;
    const isStored = stored !== null && reported.stored === stored;
    writer.writeHour({
      ...{ node: hour.node, hourMs: hour.hourMs, factsSeq: facts.seq, nowMs, boundariesOf },
      ...{ rulesVersion: RULES_VERSION, policyVersion: facts.policy.version, cells: result.cells },
      reported: isStored ? null : { processes: loaded.decoded.processes.values(), connections, dials },
      describes: (process) => reported.decoded.processes.has(process),
      ...{ firstSeen: result.firstSeen, conflicts: result.conflicts },
    });
    return {
      outcome: { hourMs: hour.hourMs, result },
      facts,
      settle: () => {
        reported.stored = stored;
      },
    };
  }

  return {
    weigh: (hour) => store.ledger.read((reader) => cache.read(reader, hour).weight),
    async attribute(hours) {
      const [first] = hours;
      if (first === undefined) return;
      const { node } = first;
      const nowMs = clock.nowMs();
      const { done, known, findings } = await store.ledger.write((writer) => {
        const shared = createShared(writer, nowMs);
        const done = hours.map((hour) => attributeHour(writer, hour, nowMs, shared));
        const outcomes = done.map((one) => one.outcome);
        const ids = outcomes.flatMap(({ result }) =>
          [...result.findings, ...result.observations].map((finding) => finding.id),
        );
        const times = hours.map((hour) => hour.hourMs);
        const known = writer.readFindings(node, times, new Set(ids));
        const writes = findingWrites(outcomes, known);
        writer.writeFindings({ node, factsSeq: done[0]?.facts.seq ?? 0, nowMs, ...writes });
        return { done, known, findings: writes.findings };
      });
      moved = true;
      for (const { settle } of done) settle();
      const bookedToMs = done[0]?.facts.bookedToMs ?? 0;
      for (const finding of findings)
        if (hasMoved(finding, known.get(finding.id))) publish(finding, bookedToMs);
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
