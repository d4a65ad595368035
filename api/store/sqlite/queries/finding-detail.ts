/** What one finding is made of: processes with their lineage, connections, who was charged, what was said before. */
import { HOUR_MS } from '../../../contract/batch.ts';
import type {
  ChargedRow,
  ConnectionRow,
  DialRow,
  FindingHistoryRow,
  ProcessRow,
  SignalRow,
} from '../../finding-questions.ts';
import { cardAt, rateOn } from './finding-rows.ts';
import { listParameter, type Reader } from './reader.ts';

/** A lineage deeper than this is cut; a source with more descendants shows the busiest. */
const LINEAGE_MAX = 64;
const PROCESSES_MAX = 300;
const CONNECTIONS_MAX = 500;

/**
 * The finding's own processes (those with its time, else its root) and their descendants; their ancestors; what the
 * declared job runs on the node; and what stands beside them, so that the tree is whole.
 */
const FAMILY = `
  WITH RECURSIVE parts(process) AS (
    SELECT DISTINCT process FROM finding_parts WHERE finding = @finding AND process IS NOT NULL),
  own(process) AS (
    SELECT process FROM parts
    UNION SELECT process FROM findings WHERE finding = @finding AND process IS NOT NULL AND NOT EXISTS (SELECT 1 FROM parts)),
  up(process, depth) AS (
    SELECT process, 0 FROM own
    UNION SELECT q.process, u.depth + 1 FROM up u JOIN processes p ON p.process = u.process
      JOIN processes q ON q.node = p.node AND q.boot_id = p.boot_id AND q.key = p.parent_key
      WHERE u.depth < ${LINEAGE_MAX}),
  down(process, depth) AS (
    SELECT process, 0 FROM own
    UNION SELECT q.process, d.depth + 1 FROM down d JOIN processes p ON p.process = d.process
      JOIN processes q ON q.node = p.node AND q.boot_id = p.boot_id AND q.parent_key = p.key
      WHERE d.depth < ${LINEAGE_MAX}),
  siblings AS (
    SELECT q.process FROM findings f JOIN processes p ON p.process = f.process
      JOIN processes q ON q.node = p.node AND q.boot_id = p.boot_id AND q.parent_key IN (p.key, p.parent_key)
    WHERE f.finding = @finding LIMIT ${PROCESSES_MAX}),
  declared AS (
    SELECT DISTINCT e.process FROM findings f
      JOIN job_hours h ON h.job = f.job AND h.node = f.node AND h.hour_ms > f.first_seen_ms - ${HOUR_MS} AND h.hour_ms < f.last_seen_ms
      CROSS JOIN entries e ON e.node = h.node AND e.hour_ms = h.hour_ms AND e.job = h.job
    WHERE f.finding = @finding AND e.bucket = 'used' AND e.process IS NOT NULL
      AND e.to_ms > f.first_seen_ms AND e.from_ms < f.last_seen_ms LIMIT ${PROCESSES_MAX}),
  declared_up(process, depth) AS (
    SELECT process, 0 FROM declared
    UNION SELECT q.process, u.depth + 1 FROM declared_up u JOIN processes p ON p.process = u.process
      JOIN processes q ON q.node = p.node AND q.boot_id = p.boot_id AND q.key = p.parent_key
      WHERE u.depth < ${LINEAGE_MAX}),
  family(process, role) AS (
    SELECT process, 0 FROM own UNION ALL SELECT process, 0 FROM down
    UNION ALL SELECT process, 1 FROM up UNION ALL SELECT process, 2 FROM declared
    UNION ALL SELECT process, 3 FROM siblings UNION ALL SELECT process, 3 FROM declared_up)
  SELECT process, min(role) AS role FROM family GROUP BY process ORDER BY role, process LIMIT ${PROCESSES_MAX}`;

/** Which namespaces a process does not share with the first process of its machine; null: not known. */
const NAMESPACES = ['pid', 'net', 'mnt', 'user'] as const;
const OWN_NAMESPACES = NAMESPACES.map(
  (name) => `p.namespace_${name} <> i.namespace_${name} AS own_${name}`,
).join(', ');

const PROCESSES = `
  SELECT p.process AS number, p.boot_id || '/' || p.key AS id, p.boot_id AS bootId, p.pid, p.start_ticks AS startTicks,
    p.started_ms AS startedMs, p.exited_ms AS exitedMs, p.boot_id || '/' || p.parent_key AS parentId, u.user_name AS user,
    p.uid, p.comm, p.executable_path AS executablePath, p.executable_device AS executableDevice,
    p.executable_inode AS executableInode, p.executable_deleted AS executableDeleted,
    p.executable_file_system AS executableFileSystem, p.session_id AS sessionId, u.command_line AS commandLine,
    coalesce(u.command_line_cut, 0) AS commandLineCut, p.arguments_digest AS argumentsDigest, p.cgroup, p.boundary,
    ${OWN_NAMESPACES}
  FROM processes p
  LEFT JOIN processes i ON i.process = (SELECT max(process) FROM processes
    WHERE boot_id = p.boot_id AND pid = 1 AND node = p.node AND namespace_pid IS NOT NULL)
  LEFT JOIN personal u ON u.digest = p.personal
  WHERE p.process IN (SELECT value FROM json_each(@processes))`;
const CLAIMS = `SELECT process, name, value FROM process_claims
  WHERE process IN (SELECT value FROM json_each(@processes)) ORDER BY process, ordinal`;
const UNREADABLE = `SELECT process, what FROM process_unreadable
  WHERE process IN (SELECT value FROM json_each(@processes)) ORDER BY process, ordinal`;
const PROCESS_TIME = `
  WITH shown AS (
    SELECT process, hour_ms FROM process_hours WHERE process IN (SELECT value FROM json_each(@processes))
    UNION SELECT process, hour_ms FROM undescribed_hours WHERE process IN (SELECT value FROM json_each(@processes))),
  hours AS (SELECT DISTINCT p.node, s.hour_ms FROM shown s JOIN processes p ON p.process = s.process)
  SELECT e.process, v.uuid AS device, sum(CASE WHEN e.activity = 'active' THEN e.ms ELSE 0 END) AS activeMs,
    sum(CASE WHEN e.activity = 'active' THEN 0 ELSE e.ms END) AS residentMs
  FROM hours h CROSS JOIN entries e ON e.node = h.node AND e.hour_ms = h.hour_ms JOIN devices v ON v.device = e.device
  WHERE e.process IN (SELECT value FROM json_each(@processes)) GROUP BY e.process, v.uuid ORDER BY v.uuid`;
const CONNECTIONS = `
  SELECT p.boot_id || '/' || p.key AS process, p.pid, p.comm, c.kind, c.peer_class AS peerClass, c.local_port AS localPort,
    max(c.peers) AS peers, group_concat(u.peers, char(10)) AS examples, min(c.first_ms) AS firstMs, max(c.last_ms) AS lastMs
  FROM connections c JOIN processes p ON p.process = c.process LEFT JOIN personal u ON u.digest = c.personal
  WHERE c.process IN (SELECT value FROM json_each(@processes))
  GROUP BY c.process, c.kind, c.peer_class, c.local_port ORDER BY firstMs, p.pid LIMIT ${CONNECTIONS_MAX}`;
const NAMESPACES_MAX = 16;
const DIALS = `
  WITH own AS (
    SELECT process FROM finding_parts WHERE finding = @finding AND process IS NOT NULL
    UNION SELECT process FROM findings WHERE finding = @finding AND process IS NOT NULL),
  places AS (
    SELECT DISTINCT p.boot_id, p.namespace_net FROM own JOIN processes p ON p.process = own.process
    WHERE p.namespace_net IS NOT NULL)
  SELECT sum(d.attempts) AS attempts, sum(d.failed) AS failed, min(d.from_ms) AS fromMs, max(d.to_ms) AS toMs,
    max(CASE WHEN d.to_ms > d.from_ms THEN d.attempts * 60000 / (d.to_ms - d.from_ms) ELSE 0 END) AS mostAMinute,
    (SELECT max(i.namespace_net) FROM processes i WHERE i.boot_id = q.boot_id AND i.pid = 1 AND i.node = d.node)
      = d.net_namespace AS ofHost
  FROM findings f
  JOIN dials d ON d.node = f.node AND d.hour_ms BETWEEN f.first_seen_ms - ${HOUR_MS} AND f.last_seen_ms
    AND d.to_ms > f.first_seen_ms AND d.from_ms <= f.last_seen_ms
  JOIN processes q ON q.process = d.process
  JOIN places ON places.boot_id = q.boot_id AND places.namespace_net = d.net_namespace
  WHERE f.finding = @finding
  GROUP BY q.boot_id, d.net_namespace ORDER BY fromMs LIMIT ${NAMESPACES_MAX}`;
const CHARGED = `
  WITH parts AS (
    SELECT q.holder, v.model, ${cardAt('q.hour_ms')} AS card, q.active_ms + q.resident_ms AS ms
    FROM finding_parts q JOIN devices v ON v.device = q.device WHERE q.finding = @finding AND q.holder IS NOT NULL)
  SELECT j.id, s.name AS source, j.external_id AS externalId, j.name, j.account, j.user_name AS user, sum(p.ms) AS ms,
    ${rateOn('p.card', 'p.model')} AS rateMicros, (SELECT currency FROM rate_cards WHERE version = p.card) AS currency
  FROM parts p JOIN jobs j ON j.job = p.holder JOIN sources s ON s.source = j.source
  GROUP BY p.holder, p.model, p.card ORDER BY ms DESC`;
/** SQLite takes `detail` from the row with the greatest value. */
const SIGNALS = `SELECT signal AS id, strength, detail FROM (
    SELECT signal, strength, detail, max(strength * 1e14 + hour_ms) FROM finding_signals
    WHERE finding = @finding GROUP BY signal) ORDER BY signal`;
const HISTORY = 'SELECT at_ms AS atMs, text FROM finding_history WHERE finding = @finding ORDER BY ordinal';

const ROLES = ['source', 'ancestor', 'declared', 'sibling'] as const;

type ProcessColumns = Omit<
  ProcessRow,
  'role' | 'claims' | 'unreadable' | 'time' | 'commandLineCut' | 'executableDeleted' | 'ownNamespaces'
> & { number: number; commandLineCut: number; executableDeleted: number | null } & OwnColumns;
/** 0 or 1; null where one of both could not be read. */
type OwnColumns = { readonly [Name in `own_${(typeof NAMESPACES)[number]}`]: number | null };

const ownNamespaces = (row: OwnColumns): ProcessRow['ownNamespaces'] =>
  row.own_pid === null ? null : NAMESPACES.filter((name) => row[`own_${name}`] === 1);

export interface FindingDetailQuestions {
  processes(finding: number): { rows: ProcessRow[]; connections: ConnectionRow[] };
  dials(finding: number): DialRow[];
  signals(finding: number): SignalRow[];
  charged(finding: number): ChargedRow[];
  history(finding: number): FindingHistoryRow[];
}

export function findingDetailQuestions(reader: Reader): FindingDetailQuestions {
  const family = reader.question<{ process: number; role: number }>(FAMILY);
  const processRows = reader.question<ProcessColumns>(PROCESSES);
  const claims = reader.question<{ process: number; name: string; value: string }>(CLAIMS);
  const unreadable = reader.question<{ process: number; what: string }>(UNREADABLE);
  const time = reader.question<{ process: number } & ProcessRow['time'][number]>(PROCESS_TIME);
  const connections = reader.question<ConnectionRow>(CONNECTIONS);
  const dials = reader.question<DialRow>(DIALS);
  const charged = reader.question<ChargedRow>(CHARGED);
  const signals = reader.question<SignalRow>(SIGNALS);
  const history = reader.question<FindingHistoryRow>(HISTORY);
  return {
    processes(finding) {
      const roles = new Map(
        family.all({ finding }).map((row) => [row.process, ROLES[row.role] ?? 'sibling']),
      );
      const processes = listParameter([...roles.keys()]);
      const claimsOf = Map.groupBy(claims.all({ processes }), (row) => row.process);
      const unreadableOf = Map.groupBy(unreadable.all({ processes }), (row) => row.process);
      const timeOf = Map.groupBy(time.all({ processes }), (row) => row.process);
      const rows = processRows.all({ processes }).map(
        ({ number, own_pid, own_net, own_mnt, own_user, ...row }): ProcessRow => ({
          ...row,
          ownNamespaces: ownNamespaces({ own_pid, own_net, own_mnt, own_user }),
          commandLineCut: row.commandLineCut === 1,
          executableDeleted: row.executableDeleted === 1,
          role: roles.get(number) ?? 'sibling',
          claims: (claimsOf.get(number) ?? []).map(({ name, value }) => ({ name, value })),
          unreadable: (unreadableOf.get(number) ?? []).map((one) => one.what),
          time: timeOf.get(number) ?? [],
        }),
      );
      return { rows, connections: connections.all({ processes }) };
    },
    dials: (finding) => dials.all({ finding }),
    signals: (finding) => signals.all({ finding }),
    charged: (finding) => charged.all({ finding }),
    history: (finding) => history.all({ finding }),
  };
}
