/** The questions of pages and reports, on a read-only connection of their own. */
import type { LedgerFactsRow, Questions } from '../../questions.ts';
import { openDatabase } from '../connection.ts';
import { createBookingSql } from './bookings.ts';
import { conflictQuestions } from './conflicts.ts';
import { financeQuestions } from './finance.ts';
import { findingDetailQuestions } from './finding-detail.ts';
import { findingQuestions } from './finding-rows.ts';
import { fleetQuestions } from './fleet.ts';
import { jobInsideQuestions } from './job-inside.ts';
import { jobQuestions } from './jobs.ts';
import { ledgerHoursQuestion, ledgerQuestion } from './ledger.ts';
import { nodeConditionQuestions } from './node-conditions.ts';
import { nodeFilesQuestions } from './node-files.ts';
import { progressQuestions } from './progress.ts';
import { createReader } from './reader.ts';
import { seriesQuestions } from './series.ts';
import { unaccountedQuestions } from './unaccounted.ts';

const HOUR_MS = 3_600_000;
const SERIES_MAX = 10_000;

/** Opens a database that has been migrated. Throws `StoreError`. */
export function openQuestions(file: string): Questions {
  const database = openDatabase({ file, readOnly: true, nowMs: 0 });
  const reader = createReader(database);
  const bookings = createBookingSql(database);
  const { progress, suspect } = progressQuestions(reader);
  const ledger = ledgerQuestion(reader, bookings);
  const ledgerHours = ledgerHoursQuestion(reader);
  const findings = findingQuestions(reader);
  const detail = findingDetailQuestions(reader);
  const jobs = jobQuestions(reader);
  const conflicts = conflictQuestions(reader);
  const inside = jobInsideQuestions(reader);
  const fleet = fleetQuestions(reader);
  const files = nodeFilesQuestions(reader);
  const conditions = nodeConditionQuestions(reader);
  const finance = financeQuestions(reader, bookings);
  const unaccounted = unaccountedQuestions(reader);
  const stories = seriesQuestions(reader);
  const ready = reader.question<{ one: number }>('SELECT 1 AS one FROM sequence');
  const devices = reader.question<{ count: number }>(
    'SELECT count(*) AS count FROM capacity WHERE to_ms IS NULL',
  );
  const dirty = reader.question<{ count: number }>('SELECT count(*) AS count FROM dirty_hours');

  /** One kind of group over full hours. */
  const series = (fromMs: number, toMs: number, group: 'hour' | 'day' | 'model'): LedgerFactsRow[] =>
    ledger({ fromMs, toMs, groups: [group], maxRows: SERIES_MAX });
  const hourAfter = (ms: number): number => Math.ceil(ms / HOUR_MS) * HOUR_MS;

  return {
    async ready() {
      if (ready.first({}) === null) throw new Error('the database is empty');
    },
    progress: async () => reader.snapshot(progress),
    suspects: async (asked) => reader.snapshot(() => asked.map((one) => suspect(one.number, one.sinceMs))),
    ledgerHours: async (asked) => ledgerHours(asked),
    ledger: async (asked) => reader.snapshot(() => ({ progress: progress(), rows: ledger(asked) })),
    overview: async (asked) =>
      reader.snapshot(() => ({
        progress: progress(),
        devices: devices.first({})?.count ?? 0,
        currency: finance.rateCards().find((card) => card.effectiveFromMs <= asked.nowMs)?.currency ?? null,
        series: series(asked.fromMs, asked.toMs, asked.series),
        range: unaccounted.active(asked.fromMs, asked.toMs),
        today: unaccounted.active(asked.todayMs, hourAfter(asked.nowMs)),
        month: unaccounted.active(asked.monthMs, hourAfter(asked.nowMs)),
        counts: unaccounted.counts(asked.newSinceMs),
        conflicts: conflicts.now(asked.nowMs).conflicts,
        worst: findings.list({
          accounts: null,
          fromMs: asked.fromMs,
          toMs: asked.toMs,
          kind: null,
          reason: null,
          state: null,
          running: null,
          mode: 'live',
          node: null,
          search: null,
          sort: 'rank',
          descending: true,
          after: null,
          limit: asked.worst,
        }),
      })),
    findings: async (asked) => reader.snapshot(() => findings.list(asked)),
    finding: async (id, { accounts }) =>
      reader.snapshot(() => {
        const row = findings.one(id, accounts);
        if (row === null) return null;
        const { rows, connections } = detail.processes(row.finding);
        return {
          row,
          processes: rows,
          connections,
          dials: detail.dials(row.finding),
          signals: detail.signals(row.finding),
          charged: detail.charged(row.finding),
          history: detail.history(row.finding),
        };
      }),
    findingTraits: async (asked) => reader.snapshot(() => stories.traits(asked)),
    series: async (numbers) =>
      reader.snapshot(() => ({
        rows: findings.some(numbers),
        activeHours: stories.activeHours(numbers),
      })),
    jobs: async (asked) => reader.snapshot(() => jobs.list(asked)),
    job: async (id, { accounts }) =>
      reader.snapshot(() => {
        const row = jobs.one(id, accounts);
        if (row === null) return null;
        return {
          row,
          versions: jobs.versions(row.job),
          beside: jobs.beside(row.job),
          mappings: bookings.mappings(),
          inside: inside.inside(row.job),
          usedInOthersMs: inside.usedInOthers(row.job),
          devices: inside.devices(row.job),
        };
      }),
    conflicts: async (asked) => reader.snapshot(() => conflicts.list(asked)),
    nodes: async (asked) => reader.snapshot(() => fleet.nodes(asked)),
    node: async (name, sinceMs) =>
      reader.snapshot(() => {
        const [row] = fleet.nodes({ name, search: null, after: null, limit: 1, sinceMs });
        if (row === undefined) return null;
        const why = {
          conditions: conditions.conditions(row.number),
          reasons: conditions.reasons(row.number, sinceMs),
        };
        return { row, files: files.files(name)[0] ?? null, host: files.host(row.number), ...why };
      }),
    devices: async (asked) => reader.snapshot(() => fleet.devices(asked)),
    nodeFiles: async () => reader.snapshot(() => files.files(null)),
    rateCards: async () => reader.snapshot(finance.rateCards),
    statement: async (fromMs, toMs) =>
      reader.snapshot(() => ({ progress: progress(), ...finance.charges(fromMs, toMs) })),
    moves: async (fromMs, toMs, trial) => reader.snapshot(() => finance.moves(fromMs, toMs, trial)),
    mappings: async () => reader.snapshot(bookings.mappings),
    metrics: async (monthMs, nowMs) =>
      reader.snapshot(() => ({
        progress: progress(),
        month: series(monthMs, hourAfter(nowMs), 'model'),
        findings: unaccounted.byState(),
        dirtyNodeHours: dirty.first({})?.count ?? 0,
        conflictingClaims: conflicts.now(nowMs).claims,
      })),
    close: async () => reader.close(),
  };
}
