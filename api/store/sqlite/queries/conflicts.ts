/** Where jobs claim more than there is: the list, and what goes on now. Rows of hours that follow each other are one. */
import type { ConflictRow, ConflictsQuestion } from '../../conflict-questions.ts';
import { listParameter, type Reader } from './reader.ts';

const HOUR_MS = 3_600_000;
/** How far the booking of a node may be behind the present for a conflict at its end to count as running. */
const RUNNING_HOURS = 2;

/** It reaches the end of what is booked of its node; of a node whose books no longer go on, it does not. */
const isRunning = (row: string, hour: string): string =>
  `(${hour} >= @newestMs AND NOT EXISTS (SELECT 1 FROM cells c
    WHERE c.node = ${row}.node AND c.hour_ms >= ${hour} AND c.booked_to_ms > ${row}.to_ms))`;

const ROWS = `
  SELECT r.id, r.node, r.claims, min(r.from_ms) AS from_ms, max(r.to_ms) AS to_ms, sum(r.ms) AS ms, max(r.hour_ms) AS last_ms
  FROM claim_conflicts r
  WHERE r.hour_ms >= @fromMs AND r.hour_ms < @toMs
    AND (@node IS NULL OR r.node IN (SELECT n.node FROM nodes n WHERE n.name = @node))
    AND (coalesce(@mine, @account, @source) IS NULL OR EXISTS (
      SELECT 1 FROM json_each(r.claims) e JOIN jobs j ON j.job = e.value JOIN sources s ON s.source = j.source
      WHERE (@mine IS NULL OR j.account IN (SELECT value FROM json_each(@mine)))
        AND (@account IS NULL OR j.account = @account) AND (@source IS NULL OR s.name = @source)))
  GROUP BY r.id, r.node, r.claims`;

const LIST = `
  WITH whole AS (${ROWS}), told AS (SELECT w.*, ${isRunning('w', 'w.last_ms')} AS running FROM whole w)
  SELECT t.id, n.name AS node, t.claims, t.from_ms AS fromMs, t.to_ms AS toMs, t.ms, t.running
  FROM told t JOIN nodes n ON n.node = t.node
  WHERE (@running IS NULL OR t.running = @running)
    AND (@afterId IS NULL OR (-t.running, -t.from_ms, t.id) > (-@afterRunning, -@afterFromMs, @afterId))
  ORDER BY -t.running, -t.from_ms, t.id LIMIT @limit`;

const DEVICES = `
  SELECT DISTINCT r.id, d.uuid AS device, d.device_index AS "index"
  FROM claim_conflicts r, json_each(r.devices) e JOIN devices d ON d.device = e.value
  WHERE r.id IN (SELECT value FROM json_each(@ids)) AND r.hour_ms >= @fromMs AND r.hour_ms < @toMs
  ORDER BY d.device_index, d.uuid`;
const JOBS = `
  SELECT j.job, j.id, s.name AS source, j.external_id AS externalId, j.name, j.account, j.user_name AS user
  FROM jobs j JOIN sources s ON s.source = j.source WHERE j.job IN (SELECT value FROM json_each(@jobs))`;
const NOW = `
  SELECT count(DISTINCT r.id) AS conflicts, count(DISTINCT e.value) AS claims
  FROM claim_conflicts r, json_each(r.claims) e WHERE r.hour_ms >= @newestMs AND ${isRunning('r', 'r.hour_ms')}`;

interface Columns extends Omit<ConflictRow, 'devices' | 'claims' | 'running'> {
  readonly claims: string;
  readonly running: number;
}
type Device = ConflictRow['devices'][number];
type Claim = ConflictRow['claims'][number];

const numbersOf = (text: string): number[] => {
  const value: unknown = JSON.parse(text);
  return Array.isArray(value) ? value.filter((one) => typeof one === 'number') : [];
};
const newestMsOf = (nowMs: number): number => (Math.floor(nowMs / HOUR_MS) - RUNNING_HOURS) * HOUR_MS;

export interface ConflictQuestions {
  list(asked: ConflictsQuestion): ConflictRow[];
  /** Those that go on, and the jobs that take part in them. */
  now(nowMs: number): { readonly conflicts: number; readonly claims: number };
}

export function conflictQuestions(reader: Reader): ConflictQuestions {
  const list = reader.question<Columns>(LIST);
  const deviceRows = reader.question<Device & { id: string }>(DEVICES);
  const jobRows = reader.question<Claim & { job: number }>(JOBS);
  const nowRow = reader.question<{ conflicts: number; claims: number }>(NOW);
  return {
    list({ accounts, running, after, nowMs, claimsMax, ...asked }) {
      const rows = list.all({
        ...asked,
        mine: accounts === null ? null : listParameter(accounts),
        running: running === null ? null : Number(running),
        newestMs: newestMsOf(nowMs),
        afterRunning: after === null ? null : Number(after.running),
        afterFromMs: after?.fromMs ?? null,
        afterId: after?.id ?? null,
      });
      const { fromMs, toMs } = asked;
      const ids = listParameter(rows.map((row) => row.id));
      const devices = Map.groupBy(deviceRows.all({ ids, fromMs, toMs }), (row) => row.id);
      const claims = rows.map((row) => numbersOf(row.claims));
      const jobs = new Map(
        jobRows.all({ jobs: listParameter([...new Set(claims.flat())]) }).map((row) => [row.job, row]),
      );
      return rows.map((row, at) => {
        const all = claims[at] ?? [];
        const seen = all
          .flatMap((job) => jobs.get(job) ?? [])
          .filter((job) => accounts === null || accounts.includes(job.account))
          .slice(0, claimsMax)
          .map(({ job: _number, ...ref }) => ref);
        return {
          ...{ id: row.id, node: row.node, fromMs: row.fromMs, toMs: row.toMs, ms: row.ms },
          running: row.running === 1,
          devices: (devices.get(row.id) ?? []).map(({ device, index }) => ({ device, index })),
          ...{ claims: seen, moreClaims: all.length - seen.length },
        };
      });
    },
    now: (nowMs) => nowRow.first({ newestMs: newestMsOf(nowMs) }) ?? { conflicts: 0, claims: 0 },
  };
}
