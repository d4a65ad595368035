// Plays facts on the real services over a real database, and writes down everything that came out of them, by name.
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import Database from 'better-sqlite3';
import { periodInterval } from '../../api/domain/period.ts';
import { createAttribution } from '../../api/services/attribution.ts';
import { createDeclarations } from '../../api/services/declarations.ts';
import { ServiceError } from '../../api/services/errors.ts';
import { createIngest } from '../../api/services/ingest.ts';
import { createLive } from '../../api/services/live.ts';
import { createSealer } from '../../api/services/seal.ts';
import { createSilence } from '../../api/services/silence.ts';
import { type VerifyReport, verify } from '../../api/services/verify.ts';
import type { LedgerFactsRow, LedgerGroup, Questions } from '../../api/store/questions.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import { openQuestions } from '../../api/store/sqlite/queries/open.ts';
import { agentOf, CLUSTER, caller, HOUR, handClock, MINUTE, post, temporaryFolder } from '../store/site.ts';
import { END, type Fact, type Plan, START, type Turn } from './ledger-plan.ts';

/** When everything has come and been said: nothing waits for a record any more. */
const LATE = END + 4 * HOUR;

export interface Ledger {
  tell(fact: Fact): Promise<void>;
  /** Lets time pass: nodes may fall silent, hours may be sealed. Never backwards. */
  wait(untilMs: number): Promise<void>;
  seal(): Promise<void>;
  /** Stops the service wherever it is, and starts it again on what it has kept. */
  restart(): Promise<void>;
  attribute(): Promise<void>;
  /** Attributes every node-hour again, from the facts alone. */
  again(): Promise<void>;
  rows(sql: string): Record<string, unknown>[];
  ask(groups: readonly LedgerGroup[]): Promise<readonly LedgerFactsRow[]>;
  statement(period: string): ReturnType<Questions['statement']>;
  verify(): Promise<VerifyReport>;
  close(): Promise<void>;
}

export function openLedger(): Ledger {
  const file = join(temporaryFolder(), 'gpuledger.sqlite');
  const reader = new Database(file);
  const clock = handClock(START);
  // When a batch comes late is nobody's business; when a job was declared is part of the declaration.
  const arrival = handClock(START);
  const declared = handClock(START);
  const failures: string[] = [];
  const log = { error: (details: object, text: string) => void failures.push(`${text} ${inspect(details)}`) };
  const start = () => {
    const store = openSqlite({ file });
    const live = createLive();
    return {
      store,
      questions: openQuestions(file),
      ingest: createIngest(store, arrival, live, CLUSTER),
      declarations: createDeclarations(store, declared, CLUSTER),
      attribution: createAttribution(store, clock, live, log),
      silence: createSilence(store, clock, live, log),
      sealer: createSealer(store, clock, log),
    };
  };
  const stop = async (): Promise<void> => {
    await service.attribution.stop();
    await service.questions.close();
    await service.store.close();
  };
  let service = start();
  const jobIds = new Map<object, string>();

  async function attribute(): Promise<void> {
    await service.attribution.whenIdle();
    if (failures.length > 0) throw new Error(failures.join('\n'));
  }

  async function tell(fact: Fact): Promise<void> {
    if (fact.kind === 'post') {
      const newestMs = Math.max(...fact.batches.map((batch) => batch.body.toMs));
      arrival.set(Math.max(clock.nowMs(), newestMs));
      const { results } = await service.ingest.accept(agentOf(fact.node), post(...fact.batches));
      const bad = results.find((one) => one.status !== 'stored' && one.status !== 'duplicate');
      if (bad !== undefined) throw new Error(`not stored: ${JSON.stringify(bad)}`);
    } else if (fact.kind === 'watermark') {
      declared.set(Math.max(LATE, fact.completeToMs));
      await service.declarations.putSource(caller('scheduler'), fact.source, 'default', fact.completeToMs);
    } else if (fact.kind === 'fleet') {
      declared.set(LATE);
      await service.declarations.putFleet(caller('admin'), fact.fleet);
    } else {
      declared.set(fact.recordedAtMs);
      if (fact.kind === 'declare')
        jobIds.set(fact.job, (await service.declarations.declareJob(caller('admin'), fact.job)).job.id);
      else await service.declarations.patchJob(caller('admin'), jobIds.get(fact.job) ?? '', fact.patch);
    }
  }

  return {
    async tell(fact) {
      try {
        await tell(fact);
      } catch (error) {
        // A contradictory correction is refused, whenever it comes.
        if (!(error instanceof ServiceError && error.code === 'invalid')) throw error;
      }
    },
    async wait(untilMs) {
      clock.set(Math.max(clock.nowMs(), untilMs));
      await service.silence.tick();
    },
    async restart() {
      await stop();
      service = start();
    },
    seal: async () => void (await service.sealer.tick()),
    attribute,
    async again() {
      reader.exec(
        'INSERT OR IGNORE INTO dirty_hours (node, hour_ms, urgent, seq, since_ms) SELECT DISTINCT node, hour_ms, 0, 0, 0 FROM cells',
      );
      await attribute();
    },
    rows: (sql) => reader.prepare<[], Record<string, unknown>>(sql).all(),
    ask: async (groups) =>
      (
        await service.questions.ledger({
          fromMs: START - 24 * HOUR,
          toMs: LATE + 24 * HOUR,
          groups,
          maxRows: 10_000,
        })
      ).rows,
    statement(period) {
      const { fromMs, toMs } = periodInterval(period);
      return service.questions.statement(fromMs, toMs);
    },
    async verify() {
      const copy = openSqlite({ file, readOnly: true });
      const report = await verify(copy, () => undefined);
      await copy.close();
      return report;
    },
    async close() {
      reader.close();
      await stop();
      rmSync(dirname(file), { recursive: true });
    },
  };
}

const PROCESS = (column: string): string =>
  `(SELECT q.boot_id || '/' || q.key FROM processes q WHERE q.process = ${column})`;
const JOB = (column: string): string => `(SELECT j.id FROM jobs j WHERE j.job = ${column})`;
const DEVICE = (column: string): string => `(SELECT v.uuid FROM devices v WHERE v.device = ${column})`;
const NODE = (column: string): string => `(SELECT m.name FROM nodes m WHERE m.node = ${column})`;

/** Everything derived, with names in place of row numbers and without when it was computed. */
const DERIVED = {
  cells: `SELECT hour_ms, ${NODE('t.node')} AS n, ${DEVICE('t.device')} AS d, from_ms, to_ms, booked_to_ms, capacity_ms,
    rules_version, policy_version, settles_at_ms FROM cells t ORDER BY 1, 2, 3`,
  entries: `SELECT hour_ms, ${NODE('t.node')} AS n, ${DEVICE('t.device')} AS d, ordinal, from_ms, to_ms, bucket, reason, cause,
    activity, ${JOB('t.holder')} AS h, ${JOB('t.job')} AS j, ${PROCESS('t.process')} AS p, evidence, provisional, suspicious, ms
    FROM entries t ORDER BY 1, 2, 3, 4`,
  hours: `SELECT t.*, ${NODE('t.node')} AS n, ${DEVICE('t.device')} AS d, ${JOB('t.holder')} AS h, 0 AS node, 0 AS device,
    0 AS holder FROM ledger_hours t ORDER BY hour_ms, n, d, h`,
  days: `SELECT t.*, ${NODE('t.node')} AS n, 0 AS node FROM ledger_days t ORDER BY day_ms, n, model, account, user_name`,
  findings: `SELECT id, ${NODE('t.node')} AS n, kind, severity, strength, state, ${PROCESS('t.process')} AS p,
    ${DEVICE('t.device')} AS d, reason, evidence, ${JOB('t.job')} AS j, active_ms, resident_ms, provisional_ms, first_seen_ms,
    last_seen_ms FROM findings t WHERE resolved_at_ms IS NULL ORDER BY id`,
  parts: `SELECT hour_ms, ${NODE('t.node')} AS n, ordinal, (SELECT f.id FROM findings f WHERE f.finding = t.finding) AS f,
    ${DEVICE('t.device')} AS d, reason, ${PROCESS('t.process')} AS p, evidence, ${JOB('t.job')} AS j, ${JOB('t.holder')} AS h,
    active_ms, resident_ms, provisional_ms, provisional_active_ms, first_ms, last_ms FROM finding_parts t ORDER BY 1, 2, 3`,
  bindings: `SELECT hour_ms, ${NODE('t.node')} AS n, ${JOB('t.job')} AS j, ${DEVICE('t.device')} AS d, first_seen_ms
    FROM bindings t ORDER BY 1, 2, 3, 4`,
  capacity: `SELECT ${DEVICE('t.device')} AS d, from_ms, to_ms, ${NODE('t.node')} AS n FROM capacity t ORDER BY 1, 2`,
  processes: `SELECT ${NODE('t.node')} AS n, boot_id, key, pid, start_ticks, started_ms, parent_key, uid, login_uid, comm,
    executable_path, cgroup, boundary, first_seen_ms, exited_ms FROM processes t ORDER BY 1, 2, 3`,
  open: 'SELECT * FROM dirty_hours',
} as const;

export type Derived = Record<keyof typeof DERIVED, readonly string[]>;

/** One line of text a row, so that a difference can be read. */
export function derivedOf(ledger: Pick<Ledger, 'rows'>): Derived {
  const lines = (name: keyof typeof DERIVED) => ledger.rows(DERIVED[name]).map((row) => JSON.stringify(row));
  return {
    cells: lines('cells'),
    entries: lines('entries'),
    hours: lines('hours'),
    days: lines('days'),
    findings: lines('findings'),
    parts: lines('parts'),
    bindings: lines('bindings'),
    capacity: lines('capacity'),
    processes: lines('processes'),
    open: lines('open'),
  };
}

/** Each node-hour, as `<node> <hour>`: the newest fact that it was computed from, and what it holds. */
export function hoursOf(ledger: Ledger): Map<string, { readonly seq: unknown; readonly text: string }> {
  const texts = new Map<string, string>();
  for (const row of [...ledger.rows(DERIVED.entries), ...ledger.rows(DERIVED.hours)]) {
    const key = `${row['n']} ${row['hour_ms']}`;
    texts.set(key, `${texts.get(key) ?? ''}${JSON.stringify(row)}\n`);
  }
  const rows = ledger.rows(
    `SELECT ${NODE('t.node')} AS n, hour_ms, max(facts_seq) AS seq FROM cells t GROUP BY t.node, hour_ms`,
  );
  return new Map(
    rows.map((row) => {
      const key = `${row['n']} ${row['hour_ms']}`;
      return [key, { seq: row['seq'], text: texts.get(key) ?? '' }];
    }),
  );
}

async function settle(ledger: Ledger): Promise<Derived> {
  await ledger.wait(LATE);
  await ledger.attribute();
  return derivedOf(ledger);
}

/** Lane after lane, each fact once, and nothing attributed before the last. */
export async function inOrder(ledger: Ledger, plan: Plan): Promise<Derived> {
  for (const fact of plan.lanes.flat()) await ledger.tell(fact);
  return settle(ledger);
}

/** The lanes shuffled into one another; attribution, silence, seals and restarts strike anywhere; facts come again. */
export async function shuffled(ledger: Ledger, plan: Plan, script: readonly Turn[]): Promise<Derived> {
  const lanes = plan.lanes.map((lane) => [...lane]);
  const told: Fact[] = [];
  let nowMs = START;
  for (const turn of script) {
    const open = lanes.filter((lane) => lane.length > 0);
    const next = open[turn.lane % Math.max(1, open.length)]?.shift();
    if (next !== undefined) {
      await ledger.tell(next);
      told.push(next);
    }
    if (turn.next === 'attribute') await ledger.attribute();
    if (turn.next === 'wait') {
      nowMs += turn.minutes * MINUTE;
      await ledger.wait(Math.min(nowMs, LATE - HOUR));
    }
    if (turn.next === 'seal') await ledger.seal();
    if (turn.next === 'restart') await ledger.restart();
    const again = told[turn.minutes % Math.max(1, told.length)];
    if (turn.next === 'again' && again?.kind === 'post') await ledger.tell(again);
  }
  for (const fact of lanes.flat()) await ledger.tell(fact);
  return settle(ledger);
}
