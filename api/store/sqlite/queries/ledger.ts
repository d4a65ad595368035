/** GPU time by account, user, job, node, model, device, hour, day: from the hourly and daily sums only. */
import type { LedgerFactsRow, LedgerGroup, LedgerQuestion } from '../../questions.ts';
import { BOOKING_JOINS, type BookingSql, bookingCall } from './bookings.ts';
import type { Question, Reader } from './reader.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The sums of `Sums`, over rows called `l`. */
export const SUM_COLUMNS = `
  coalesce(sum(l.capacity_ms), 0) AS capacityMs, coalesce(sum(l.used_ms), 0) AS usedMs,
  coalesce(sum(l.held_ms), 0) AS heldMs, coalesce(sum(l.unaccounted_ms), 0) AS unaccountedMs,
  coalesce(sum(l.idle_ms), 0) AS idleMs, coalesce(sum(l.unobserved_ms), 0) AS unobservedMs,
  coalesce(sum(l.allocated_ms), 0) AS allocatedMs,
  coalesce(sum(l.unaccounted_active_ms), 0) AS unaccountedActiveMs,
  coalesce(sum(l.unaccounted_provisional_ms), 0) AS unaccountedProvisionalMs,
  coalesce(sum(l.unaccounted_inside_ms), 0) AS unaccountedInsideMs,
  coalesce(sum(l.unobserved_inside_ms), 0) AS unobservedInsideMs`;

const PLAIN_COLUMNS = `capacity_ms, used_ms, held_ms, unaccounted_ms, idle_ms, unobserved_ms, allocated_ms,
  unaccounted_active_ms, unaccounted_provisional_ms, unaccounted_inside_ms, unobserved_inside_ms`;

/** Hours of the question that no full UTC day holds, and days; together they cover it once. */
const COARSE_ROWS = `
  SELECT day_ms, node, model, account, user_name, ${PLAIN_COLUMNS}
  FROM ledger_days WHERE day_ms >= @dayFromMs AND day_ms < @dayToMs
  UNION ALL
  SELECT h.hour_ms - h.hour_ms % 86400000, h.node, v.model, h.account, h.user_name, ${PLAIN_COLUMNS}
  FROM ledger_hours h JOIN devices v ON v.device = h.device
  WHERE (h.hour_ms >= @fromMs AND h.hour_ms < min(@dayFromMs, @toMs))
     OR (h.hour_ms >= max(@dayToMs, @fromMs) AND h.hour_ms < @toMs)`;

const FINE_ROWS = `
  SELECT h.hour_ms, h.hour_ms - h.hour_ms % 86400000 AS day_ms, h.node, h.device, v.uuid, v.model, h.holder,
    h.account, h.user_name, ${PLAIN_COLUMNS}
  FROM ledger_hours h JOIN devices v ON v.device = h.device
  WHERE h.hour_ms >= @fromMs AND h.hour_ms < @toMs`;

/** What each group selects from a row `l`. */
const GROUP_SQL: Readonly<Record<LedgerGroup, string>> = {
  account: "nullif(l.account, '')",
  user: "nullif(l.user_name, '')",
  job: '(SELECT j.id FROM jobs j WHERE j.job = l.holder)',
  node: '(SELECT n.name FROM nodes n WHERE n.node = l.node)',
  model: 'l.model',
  device: 'l.uuid',
  hour: 'l.hour_ms',
  day: 'l.day_ms',
  charged_account: 'b.account_charged',
  project: 'b.project',
  cost_centre: 'b.cost_centre',
};
const BOOKED_GROUPS: readonly LedgerGroup[] = ['charged_account', 'project', 'cost_centre'];
const FINE_GROUPS: ReadonlySet<LedgerGroup> = new Set(['job', 'device', 'hour', ...BOOKED_GROUPS]);

/** What the mapping says of each job that held something on a day. */
const BOOKED = `
  WITH numbered AS MATERIALIZED (
    SELECT h.holder, h.account, h.day_ms, ${bookingCall('h.day_ms')} AS booked
    FROM (SELECT DISTINCT holder, account, hour_ms - hour_ms % 86400000 AS day_ms FROM ledger_hours
      WHERE hour_ms >= @fromMs AND hour_ms < @toMs AND holder <> 0) h ${BOOKING_JOINS}),
  booked AS MATERIALIZED (
    SELECT holder, account, day_ms, booking_part(booked, 'account') AS account_charged,
      booking_part(booked, 'project') AS project, booking_part(booked, 'costCentre') AS cost_centre FROM numbered)`;
const BOOKED_JOIN =
  'LEFT JOIN booked b ON b.holder = l.holder AND b.account = l.account AND b.day_ms = l.day_ms';

const isFine = (groups: readonly LedgerGroup[]): boolean => groups.some((group) => FINE_GROUPS.has(group));

/** Every device has a row for each of its hours, and a few have more: several jobs in one hour. */
const EXTENT = `SELECT min(hour_ms) AS firstMs, max(hour_ms) AS lastMs, (SELECT count(*) FROM devices) AS devices
  FROM (SELECT min(hour_ms) AS hour_ms FROM ledger_hours UNION ALL SELECT max(hour_ms) FROM ledger_hours)`;

export function ledgerHoursQuestion(
  reader: Reader,
): (asked: Pick<LedgerQuestion, 'fromMs' | 'toMs' | 'groups'>) => number {
  const extent = reader.question<{ firstMs: number | null; lastMs: number | null; devices: number }>(EXTENT);
  return ({ fromMs, toMs, groups }) => {
    const row = isFine(groups) ? extent.first({}) : null;
    if (row === null || row.firstMs === null || row.lastMs === null) return 0;
    const hours = (Math.min(toMs, row.lastMs + HOUR_MS) - Math.max(fromMs, row.firstMs)) / HOUR_MS;
    return Math.max(0, hours) * row.devices;
  };
}

function statementFor(groups: readonly LedgerGroup[]): string {
  const fine = isFine(groups);
  const booked = groups.some((group) => BOOKED_GROUPS.includes(group));
  const keys = groups.map((group, index) => `${GROUP_SQL[group]} AS g${index}`);
  const places = groups.map((_, index) => String(index + 1)).join(', ');
  return `${booked ? BOOKED : ''} SELECT ${keys.join(', ')}, ${SUM_COLUMNS}
    FROM (${fine ? FINE_ROWS : COARSE_ROWS}) l ${booked ? BOOKED_JOIN : ''}
    GROUP BY ${places} ORDER BY ${places} LIMIT @limit`;
}

type GroupValue = string | number | null;
type Row = Omit<LedgerFactsRow, 'group'> & { g0: GroupValue; g1?: GroupValue; g2?: GroupValue };

export function ledgerQuestion(
  reader: Reader,
  bookings: BookingSql,
): (asked: LedgerQuestion) => LedgerFactsRow[] {
  const prepared = new Map<string, Question<Row>>();
  return ({ fromMs, toMs, groups, maxRows }) => {
    const sql = statementFor(groups);
    const question = prepared.get(sql) ?? reader.question<Row>(sql);
    prepared.set(sql, question);
    const dayFromMs = Math.ceil(fromMs / DAY_MS) * DAY_MS;
    const dayToMs = Math.max(dayFromMs, Math.floor(toMs / DAY_MS) * DAY_MS);
    return bookings
      .inForce(() => question.all({ fromMs, toMs, dayFromMs, dayToMs, limit: maxRows + 1 }))
      .map(({ g0, g1 = null, g2 = null, ...sums }) => ({
        ...sums,
        group: [g0, g1, g2].slice(0, groups.length),
      }));
  };
}
