/** Findings as lists show them: filters, orders, pages, and the time of each at its rates. */
import { MOMENTARY, RUNNING_SLACK_MS } from '../../../domain/finding.ts';
import { MAX_SCORE, SIGNALS } from '../../../domain/signals/registry.ts';
import { FULL } from '../../../domain/signals/signal.ts';
import type { FindingRow, FindingsQuestion, JobRefRow, PricedMs } from '../../finding-questions.ts';
import { likePart, listParameter, type Question, type Reader } from './reader.ts';

/** The number of the rate card that holds at `<hour>`. */
export const cardAt = (hour: string): string =>
  `(SELECT r.version FROM rate_cards r WHERE r.effective_from_ms <= ${hour}
    ORDER BY r.effective_from_ms DESC, r.version DESC LIMIT 1)`;
/** The rate of a model on a card, else the card's default, in millionths; null: none. */
export const rateOn = (card: string, model: string): string =>
  `coalesce((SELECT a.micros_per_gpu_hour FROM rates a WHERE a.version = ${card} AND a.model = ${model}),
    (SELECT a.micros_per_gpu_hour FROM rates a WHERE a.version = ${card} AND a.model = 'default'))`;

const MOMENTS = MOMENTARY.map((reason) => `'${reason}'`).join(', ');

/** Whether finding f of a node in state s is still running, see `runningSlackMs`. */
export const RUNNING = `(f.resolved_at_ms IS NULL
  AND f.last_seen_ms >= coalesce(s.complete_to_ms, 0)
    - CASE WHEN f.kind = 'network' THEN ${RUNNING_SLACK_MS.network}
      WHEN f.kind = 'integrity' AND f.reason NOT IN (${MOMENTS}) THEN ${RUNNING_SLACK_MS.integrity}
      ELSE ${RUNNING_SLACK_MS.usual} END
  AND coalesce(s.silent_to_ms, 0) <= coalesce(s.complete_to_ms, 0))`;

const SEVERITY = "CASE f.severity WHEN 'critical' THEN 2 WHEN 'warn' THEN 1 ELSE 0 END";
/** Only for ordering, and so a float will do: money itself is exact and computed elsewhere. */
const VALUE = `coalesce((SELECT sum(p.active_ms * CAST(${rateOn(cardAt('p.hour_ms'), 'v.model')} AS REAL))
  FROM finding_parts p JOIN devices v ON v.device = p.device WHERE p.finding = f.finding), 0)`;
/** The score of a finding, as `scoreOf` reckons it. */
const WEIGHT = `CASE s.signal ${SIGNALS.map(({ id, weight }) => `WHEN '${id}' THEN ${weight}`).join(' ')} ELSE 0 END`;
const SCORE = `min(${MAX_SCORE}, coalesce((SELECT sum(w.weight * w.strength) / ${FULL} FROM
  (SELECT ${WEIGHT} AS weight, max(s.strength) AS strength FROM finding_signals s
   WHERE s.finding = f.finding GROUP BY s.signal) w), 0))`;
const SORTS: Readonly<Record<FindingsQuestion['sort'], string>> = {
  lastSeen: 'f.last_seen_ms',
  firstSeen: 'f.first_seen_ms',
  activeMs: 'f.active_ms',
  residentMs: 'f.resident_ms',
  value: VALUE,
  severity: SEVERITY,
  rank: `(${SEVERITY}) * ${MAX_SCORE + 1} + ${SCORE}`,
};

const boundOf = (column: 'least_ms' | 'most_ms'): string =>
  `coalesce((SELECT sum(b.${column}) FROM finding_parts b WHERE b.finding = f.finding AND f.resolved_at_ms IS NULL), 0)`;

const COLUMNS = `f.finding, f.id, f.kind, f.severity, f.strength, f.state, ${RUNNING} AS running, g.mode,
  c.name AS cluster, n.name AS node, f.node AS nodeNumber, f.reason, f.evidence,
  j.id AS jobId, js.name AS jobSource, j.external_id AS jobExternalId, j.name AS jobName, j.account AS jobAccount,
  j.user_name AS jobUser,
  f.active_ms AS activeMs, f.resident_ms AS residentMs,
  ${boundOf('least_ms')} AS leastMs, ${boundOf('most_ms')} AS mostMs, f.provisional_ms AS provisionalMs,
  f.first_seen_ms AS firstSeenMs, f.last_seen_ms AS lastSeenMs, f.recorded_at_ms AS recordedAtMs,
  f.resolved_at_ms AS resolvedAtMs,
  f.device AS onlyDevice`;

export const FROM = `FROM findings f
  JOIN nodes n ON n.node = f.node JOIN clusters c ON c.cluster = n.cluster
  JOIN node_groups g ON g.node_group = n.node_group
  LEFT JOIN node_state s ON s.node = f.node
  LEFT JOIN jobs j ON j.job = f.job LEFT JOIN sources js ON js.source = j.source`;

export const SCOPE = '(@accounts IS NULL OR j.account IN (SELECT value FROM json_each(@accounts)))';

const FILTER = `WHERE f.resolved_at_ms IS NULL AND ${SCOPE}
  AND (@fromMs IS NULL OR f.last_seen_ms >= @fromMs) AND (@toMs IS NULL OR f.first_seen_ms < @toMs)
  AND (@kind IS NULL OR f.kind = @kind) AND (@state IS NULL OR f.state = @state)
  AND (@mode IS NULL OR g.mode = @mode) AND (@node IS NULL OR n.name = @node)
  AND (@running IS NULL OR ${RUNNING} = @running)
  AND (@reason IS NULL OR f.reason = @reason
    OR EXISTS (SELECT 1 FROM finding_parts r WHERE r.finding = f.finding AND r.reason = @reason))
  AND (@search IS NULL OR n.name LIKE @search ESCAPE '\\' OR j.external_id LIKE @search ESCAPE '\\'
    OR j.name LIKE @search ESCAPE '\\' OR j.account LIKE @search ESCAPE '\\'
    OR EXISTS (SELECT 1 FROM processes p LEFT JOIN personal u ON u.digest = p.personal
      WHERE (p.process = f.process OR p.process IN (SELECT q.process FROM finding_parts q WHERE q.finding = f.finding))
        AND (p.executable_path LIKE @search ESCAPE '\\' OR p.comm LIKE @search ESCAPE '\\'
          OR u.user_name LIKE @search ESCAPE '\\')))`;

function listSql(sort: FindingsQuestion['sort'], descending: boolean): string {
  const order = descending ? 'DESC' : 'ASC';
  const beyond = descending ? '<' : '>';
  return `SELECT * FROM (SELECT ${COLUMNS}, ${SORTS[sort]} AS sortKey ${FROM} ${FILTER})
    WHERE @afterFinding IS NULL OR sortKey ${beyond} @afterKey
      OR (sortKey = @afterKey AND finding ${beyond} @afterFinding)
    ORDER BY sortKey ${order}, finding ${order} LIMIT @limit`;
}

interface Row
  extends Omit<
    FindingRow,
    'running' | 'source' | 'insideJob' | 'reasons' | 'devices' | 'priced' | 'signals'
  > {
  readonly running: number;
  readonly jobId: string | null;
  readonly jobSource: string | null;
  readonly jobExternalId: string | null;
  readonly jobName: string | null;
  readonly jobAccount: string | null;
  readonly jobUser: string | null;
  readonly onlyDevice: number | null;
}

/** The process that a finding is called by: the busiest of it, else the root of its lineage. */
const SOURCES = `
  WITH busiest AS (
    SELECT q.finding, q.process, row_number() OVER (PARTITION BY q.finding
      ORDER BY sum(q.active_ms) DESC, sum(q.resident_ms) DESC, q.process) AS place
    FROM finding_parts q WHERE q.finding IN (SELECT value FROM json_each(@findings)) AND q.process IS NOT NULL
    GROUP BY q.finding, q.process)
  SELECT f.finding, p.boot_id || '/' || p.key AS process, p.pid, p.comm, p.executable_path AS executable,
    u.user_name AS user
  FROM findings f LEFT JOIN busiest b ON b.finding = f.finding AND b.place = 1
  JOIN processes p ON p.process = coalesce(b.process, f.process) LEFT JOIN personal u ON u.digest = p.personal
  WHERE f.finding IN (SELECT value FROM json_each(@findings))`;

const DETAILS = {
  reasons: `SELECT finding, reason, sum(active_ms + resident_ms) AS ms FROM finding_parts
    WHERE finding IN (SELECT value FROM json_each(@findings)) GROUP BY finding, reason ORDER BY ms DESC, reason`,
  devices: `SELECT DISTINCT p.finding, v.uuid, v.device_index AS "index", v.model
    FROM finding_parts p JOIN devices v ON v.device = p.device
    WHERE p.finding IN (SELECT value FROM json_each(@findings)) ORDER BY v.device_index, v.uuid`,
  signals: `SELECT finding, signal AS id, max(strength) AS strength FROM finding_signals
    WHERE finding IN (SELECT value FROM json_each(@findings)) GROUP BY finding, signal`,
  onlyDevice: 'SELECT uuid, device_index AS "index", model FROM devices WHERE device = @device',
  priced: `WITH parts AS (
      SELECT p.finding, v.model, ${cardAt('p.hour_ms')} AS card, p.active_ms
      FROM finding_parts p JOIN devices v ON v.device = p.device
      WHERE p.finding IN (SELECT value FROM json_each(@findings)))
    SELECT p.finding, sum(p.active_ms) AS ms, ${rateOn('p.card', 'p.model')} AS rateMicros,
      (SELECT currency FROM rate_cards WHERE version = p.card) AS currency
    FROM parts p GROUP BY p.finding, p.model, p.card`,
} as const;

const NO_SOURCE = { process: null, pid: null, comm: null, executable: null, user: null };

function insideJob(row: Row): JobRefRow | null {
  if (row.jobId === null) return null;
  return {
    id: row.jobId,
    source: row.jobSource ?? '',
    externalId: row.jobExternalId ?? '',
    name: row.jobName ?? '',
    account: row.jobAccount ?? '',
    user: row.jobUser,
  };
}

export interface FindingQuestions {
  /** In no order; those that are not there are left out. */
  some(findings: readonly number[]): FindingRow[];
  list(asked: FindingsQuestion): FindingRow[];
  one(id: string, accounts: readonly string[] | null): FindingRow | null;
}

export function findingQuestions(reader: Reader): FindingQuestions {
  const lists = new Map<string, Question<Row>>();
  const single = reader.question<Row>(
    `SELECT ${COLUMNS}, f.last_seen_ms AS sortKey ${FROM} WHERE f.id = @id AND ${SCOPE}`,
  );
  const sources = reader.question<{ finding: number } & FindingRow['source']>(SOURCES);
  const reasons = reader.question<{ finding: number; reason: string }>(DETAILS.reasons);
  const devices = reader.question<{ finding: number } & FindingRow['devices'][number]>(DETAILS.devices);
  const signals = reader.question<{ finding: number } & FindingRow['signals'][number]>(DETAILS.signals);
  const onlyDevice = reader.question<FindingRow['devices'][number]>(DETAILS.onlyDevice);
  const priced = reader.question<{ finding: number } & PricedMs>(DETAILS.priced);

  function complete(rows: readonly Row[]): FindingRow[] {
    const findings = listParameter(rows.map((row) => row.finding));
    const byFinding = <T extends { finding: number }>(question: Question<T>): Map<number, T[]> =>
      Map.groupBy(question.all({ findings }), (one) => one.finding);
    const sourcesOf = byFinding(sources);
    const reasonsOf = byFinding(reasons);
    const devicesOf = byFinding(devices);
    const pricedOf = byFinding(priced);
    const signalsOf = byFinding(signals);
    return rows.map((row) => {
      const { onlyDevice: device, ...rest } = row;
      const on = devicesOf.get(row.finding) ?? [];
      const { process, pid, comm, executable, user } = sourcesOf.get(row.finding)?.[0] ?? NO_SOURCE;
      return {
        ...rest,
        running: row.running === 1,
        source: { process, pid, comm, executable, user },
        insideJob: insideJob(row),
        reasons: (reasonsOf.get(row.finding) ?? [row]).map((one) => one.reason),
        devices: on.length === 0 && device !== null ? onlyDevice.all({ device }) : on,
        priced: pricedOf.get(row.finding) ?? [],
        signals: (signalsOf.get(row.finding) ?? []).map(({ id, strength }) => ({ id, strength })),
      };
    });
  }

  const several = reader.question<Row>(
    `SELECT ${COLUMNS}, f.last_seen_ms AS sortKey ${FROM} WHERE f.finding IN (SELECT value FROM json_each(@findings))`,
  );

  return {
    some: (numbers) => complete(several.all({ findings: listParameter(numbers) })),
    list(asked) {
      const sql = listSql(asked.sort, asked.descending);
      const question = lists.get(sql) ?? reader.question<Row>(sql);
      lists.set(sql, question);
      const { fromMs, toMs, kind, reason, state, mode, node, limit } = asked;
      return complete(
        question.all({
          ...{ fromMs, toMs, kind, reason, state, mode, node, limit },
          accounts: asked.accounts === null ? null : listParameter(asked.accounts),
          running: asked.running === null ? null : Number(asked.running),
          search: asked.search === null ? null : likePart(asked.search),
          afterKey: asked.after?.sortKey ?? null,
          afterFinding: asked.after?.finding ?? null,
        }),
      );
    },
    one(id, accounts) {
      const row = single.first({ id, accounts: accounts === null ? null : listParameter(accounts) });
      return row === null ? null : (complete([row])[0] ?? null);
    },
  };
}
