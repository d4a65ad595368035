/** Sums that the database holds of its own rows, checked by whole statements. */
import type { Capacity } from './capacity.ts';
import type { Sqlite } from './connection.ts';
import { SUM_COLUMNS } from './day-sums.ts';

const MAX_DIFFERENCES = 1_000;

/** Days that are not the sum of their hours. */
const DAYS = `
  WITH wanted AS (
    SELECT h.hour_ms - h.hour_ms % 86400000 AS day_ms, h.node, d.model, h.account, h.user_name,
      ${SUM_COLUMNS.map((column) => `sum(h.${column}) AS ${column}`).join(', ')}
    FROM ledger_hours h JOIN devices d ON d.device = h.device GROUP BY 1, 2, 3, 4, 5)
  SELECT 'ledger_days ' || date(day_ms / 1000, 'unixepoch') || ' node ' || node || ' account "' || account || '"' AS what
  FROM (SELECT * FROM (SELECT * FROM wanted EXCEPT SELECT * FROM ledger_days)
    UNION ALL SELECT * FROM (SELECT * FROM ledger_days EXCEPT SELECT * FROM wanted))
  GROUP BY day_ms, node, model, account, user_name LIMIT ${MAX_DIFFERENCES}`;

/** Sums of hours that belong to no cell. */
const ORPHANS = `
  SELECT 'ledger_hours without a cell: node ' || h.node || ' hour ' || h.hour_ms || ' device ' || h.device AS what
  FROM ledger_hours h WHERE NOT EXISTS (
    SELECT 1 FROM cells c WHERE c.hour_ms = h.hour_ms AND c.node = h.node AND c.device = h.device)
  LIMIT ${MAX_DIFFERENCES}`;

/** Conflicts of node-hours without a cell: those with one are compared with it. */
const CONFLICTS = `
  SELECT 'node ' || coalesce(n.name, r.node) || ', ' ||
    coalesce(strftime('%Y-%m-%dT%H:%M:%S.000Z', r.hour_ms / 1000, 'unixepoch'), r.hour_ms) || ', conflict ' || r.id AS what
  FROM claim_conflicts r LEFT JOIN nodes n ON n.node = r.node WHERE NOT EXISTS (
    SELECT 1 FROM cells c WHERE c.node = r.node AND c.hour_ms = r.hour_ms)
  LIMIT ${MAX_DIFFERENCES}`;

/** Findings that are not the sum of their parts. */
const FINDINGS = `
  SELECT 'finding ' || f.id AS what FROM findings f
  LEFT JOIN (SELECT finding, sum(active_ms) AS active_ms, sum(resident_ms) AS resident_ms,
    sum(provisional_ms) AS provisional_ms, min(first_ms) AS first_ms, max(last_ms) AS last_ms
    FROM finding_parts GROUP BY finding) p ON p.finding = f.finding
  WHERE f.active_ms <> coalesce(p.active_ms, 0) OR f.resident_ms <> coalesce(p.resident_ms, 0)
    OR f.provisional_ms <> coalesce(p.provisional_ms, 0)
    OR (f.resolved_at_ms IS NULL) <> (p.finding IS NOT NULL)
    OR f.first_seen_ms <> coalesce(p.first_ms, f.first_seen_ms) OR f.last_seen_ms <> coalesce(p.last_ms, f.last_seen_ms)
  LIMIT ${MAX_DIFFERENCES}`;

export function createSumChecks(sqlite: Sqlite, capacity: Capacity): () => Promise<string[]> {
  const checks = [DAYS, ORPHANS, CONFLICTS, FINDINGS].map((sql) =>
    sqlite.database.prepare<[], string>(sql).pluck(),
  );
  const devices = sqlite.database.prepare<[], { device: number; uuid: string }>(
    'SELECT device, uuid FROM devices',
  );
  return async () => {
    const wrong = devices.all().filter(({ device }) => !capacity.agrees(device));
    return [
      ...checks.flatMap((check) => check.all()),
      ...wrong.slice(0, MAX_DIFFERENCES).map(({ uuid }) => `capacity of ${uuid}`),
    ];
  };
}
