/** The index of process facts: written from each node-hour, read for ancestors that a later hour no longer reports. */
import { type ObservedProcess, type ProcessId, processId } from '../../domain/cell.ts';
import { MAX_ANCESTORS } from '../../domain/process.ts';
import { required, type Sqlite } from './connection.ts';

const KEPT_PROCESSES = 200_000;

/** What the newest hour that reports a process says of it. */
interface Description {
  readonly pid: number;
  readonly start_ticks: number | null;
  readonly started_ms: number | null;
  readonly uid: number | null;
  readonly login_uid: number | null;
  readonly session_id: number | null;
  readonly namespace_pid: number | null;
  readonly namespace_net: number | null;
  readonly namespace_mnt: number | null;
  readonly namespace_user: number | null;
  readonly comm: string;
  readonly executable_path: string | null;
  readonly executable_device: string | null;
  readonly executable_inode: string | null;
  readonly executable_deleted: number | null;
  readonly executable_file_system: string | null;
  readonly arguments_digest: string | null;
  readonly cgroup: string;
  readonly boundary: string | null;
  readonly personal: string | null;
  readonly exited_ms: number | null;
}
const DESCRIPTION = [
  ...['pid', 'start_ticks', 'started_ms', 'uid', 'login_uid', 'session_id', 'namespace_pid', 'namespace_net'],
  ...['namespace_mnt', 'namespace_user', 'comm', 'executable_path', 'executable_device', 'executable_inode'],
  ...['executable_deleted', 'executable_file_system', 'arguments_digest', 'cgroup', 'boundary', 'personal'],
  'exited_ms',
];

interface ProcessRow extends Description {
  readonly process: number;
  readonly boot_id: string;
  readonly key: string;
  readonly parent_key: string | null;
  readonly parent_hour_ms: number | null;
  readonly first_seen_ms: number;
  readonly last_hour_ms: number;
}

interface LineageRow extends ProcessRow {
  readonly user_name: string | null;
  readonly command_line: string | null;
}

export interface ProcessIndex {
  /**
   * Writes a process as an hour shows it; in whatever order hours come, the outcome is the same. `changed`: what other
   * hours read of it is no longer what it was.
   */
  write(
    node: number,
    process: ObservedProcess,
    boundaries: readonly string[],
    hourMs: number,
  ): { readonly process: number; readonly changed: boolean };
  /** The row number of a process; one that nobody described gets a row that says so. */
  number(node: number, id: ProcessId, hourMs: number): number;
  id(process: number): ProcessId;
  readLineages(node: number, ids: Iterable<ProcessId>): ObservedProcess[];
  /** Whether a process is here as an hour shows it, where that hour is the one that counts. */
  agrees(node: number, process: ObservedProcess, boundaries: readonly string[], hourMs: number): boolean;
  /** Hours that read a process from here: it or a descendant is in them, and they do not report it themselves. */
  hoursThatRead(process: number): number[];
}

export function createProcessIndex(sqlite: Sqlite): ProcessIndex {
  const rows = createRowWriter(sqlite);
  const selectId = sqlite.database.prepare<[number], { boot_id: string; key: string }>(
    'SELECT boot_id, key FROM processes WHERE process = ?',
  );
  const insertHour = sqlite.database.prepare(
    'INSERT OR IGNORE INTO process_hours (process, hour_ms) VALUES (?, ?)',
  );
  const insertBoundary = sqlite.database.prepare(
    'INSERT OR IGNORE INTO process_boundaries (process, boundary) VALUES (?, ?)',
  );
  const insertClaim = sqlite.database.prepare(
    'INSERT OR IGNORE INTO process_claims (process, ordinal, name, value) VALUES (?, ?, ?, ?)',
  );
  const removeUnreadable = sqlite.database.prepare('DELETE FROM process_unreadable WHERE process = ?');
  const insertUnreadable = sqlite.database.prepare(
    'INSERT OR REPLACE INTO process_unreadable (process, ordinal, what) VALUES (?, ?, ?)',
  );

  /** Row numbers and what was written last, so that an unchanged process costs nothing. */
  const known = new Map<string, { process: number; hourMs: number; text: string }>();
  const ids = new Map<number, ProcessId>();
  sqlite.onRollback(() => known.clear());

  return {
    write(node, one, boundaries, hourMs) {
      const key = `${node} ${one.id}`;
      const text = JSON.stringify(one);
      const before = known.get(key);
      if (before?.text === text && before.hourMs === hourMs)
        return { process: before.process, changed: false };
      const { process, changed, newest } = rows.write(node, one, boundaries[0] ?? null, hourMs);
      insertHour.run(process, hourMs);
      if (before?.text !== text) {
        for (const boundary of boundaries) insertBoundary.run(process, boundary);
        for (const [at, claim] of one.claims.entries()) insertClaim.run(process, at, claim.name, claim.value);
      }
      if (newest && before?.text !== text) {
        removeUnreadable.run(process);
        for (const [at, what] of one.unreadable.entries()) insertUnreadable.run(process, at, what);
      }
      if (known.size >= KEPT_PROCESSES) known.clear();
      known.set(key, { process, hourMs, text });
      return { process, changed };
    },
    number(node, id, hourMs) {
      const number = known.get(`${node} ${id}`)?.process;
      if (number !== undefined) return number;
      const slash = id.indexOf('/');
      return rows.number(node, id.slice(0, slash), id.slice(slash + 1), hourMs);
    },
    id(process) {
      const found = ids.get(process);
      if (found !== undefined) return found;
      const row = required(selectId.get(process));
      const id = processId(row.boot_id, row.key);
      if (ids.size >= KEPT_PROCESSES) ids.clear();
      ids.set(process, id);
      return id;
    },
    agrees: (node, one, boundaries, hourMs) => rows.agrees(node, one, boundaries[0] ?? null, hourMs),
    readLineages: createLineageReader(sqlite),
    hoursThatRead: createReaderHours(sqlite),
  };
}

interface RowWriter {
  write(
    node: number,
    process: ObservedProcess,
    boundary: string | null,
    hourMs: number,
  ): { readonly process: number; readonly changed: boolean; readonly newest: boolean };
  number(node: number, bootId: string, key: string, hourMs: number): number;
  agrees(node: number, process: ObservedProcess, boundary: string | null, hourMs: number): boolean;
}

function createRowWriter(sqlite: Sqlite): RowWriter {
  const { database } = sqlite;
  const select = database.prepare<[number, string, string], ProcessRow>(
    `SELECT process, boot_id, key, parent_key, parent_hour_ms, first_seen_ms, last_hour_ms, ${DESCRIPTION.join(', ')}
     FROM processes WHERE node = ? AND boot_id = ? AND key = ?`,
  );
  const columns = ['parent_key', 'parent_hour_ms', 'first_seen_ms', 'last_hour_ms', ...DESCRIPTION];
  const put = database
    .prepare<[Record<string, string | number | null>], number>(
      `INSERT INTO processes (node, boot_id, key, ${columns.join(', ')})
       VALUES (:node, :boot_id, :key, ${columns.map((column) => `:${column}`).join(', ')})
       ON CONFLICT (node, boot_id, key) DO UPDATE SET
         ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}
       RETURNING process`,
    )
    .pluck();

  return {
    write(node, one, boundary, hourMs) {
      const before = select.get(node, one.bootId, one.key);
      const newest = before === undefined || hourMs >= before.last_hour_ms;
      const earliest = one.parent !== null && hourMs <= (before?.parent_hour_ms ?? hourMs);
      const description = newest ? descriptionOf(one, boundary) : before;
      const seenMs =
        before === undefined || before.last_hour_ms === 0 ? one.firstSeenMs : before.first_seen_ms;
      const after = {
        ...pick(description),
        parent_key: earliest ? one.parent : (before?.parent_key ?? null),
        parent_hour_ms: earliest ? hourMs : (before?.parent_hour_ms ?? null),
        first_seen_ms: Math.min(one.firstSeenMs, seenMs),
        last_hour_ms: Math.max(hourMs, before?.last_hour_ms ?? hourMs),
      };
      const process = required(put.get({ node, boot_id: one.bootId, key: one.key, ...after }));
      const changed =
        before === undefined ||
        before.parent_key !== after.parent_key ||
        JSON.stringify(pick(before)) !== JSON.stringify(pick(description));
      return { process, changed, newest };
    },
    agrees(node, one, boundary, hourMs) {
      const row = select.get(node, one.bootId, one.key);
      if (row === undefined || row.last_hour_ms < hourMs || row.first_seen_ms > one.firstSeenMs) return false;
      if (row.parent_hour_ms === hourMs && row.parent_key !== one.parent) return false;
      if (one.parent !== null && (row.parent_hour_ms ?? Infinity) > hourMs) return false;
      return (
        row.last_hour_ms > hourMs ||
        JSON.stringify(pick(row)) === JSON.stringify(pick(descriptionOf(one, boundary)))
      );
    },
    number(node, bootId, key, hourMs) {
      const known = select.get(node, bootId, key);
      if (known !== undefined) return known.process;
      const nobody = descriptionOf(unknownProcess(bootId, key, hourMs), null);
      const never = { parent_key: null, parent_hour_ms: null, first_seen_ms: hourMs, last_hour_ms: 0 };
      return required(put.get({ node, boot_id: bootId, key, ...never, ...nobody }));
    },
  };
}

function descriptionOf(one: ObservedProcess, boundary: string | null): Description {
  const { executable, namespaces } = one;
  return {
    pid: one.pid,
    start_ticks: one.startTicks,
    started_ms: one.startedMs,
    uid: one.uid,
    login_uid: one.loginUid,
    session_id: one.sessionId,
    namespace_pid: namespaces?.pid ?? null,
    namespace_net: namespaces?.net ?? null,
    namespace_mnt: namespaces?.mnt ?? null,
    namespace_user: namespaces?.user ?? null,
    comm: one.comm,
    executable_path: executable?.path ?? null,
    executable_device: executable?.device ?? null,
    executable_inode: executable?.inode ?? null,
    executable_deleted: executable === null ? null : Number(executable.deleted),
    executable_file_system: executable?.fileSystem ?? null,
    arguments_digest: one.argumentsDigest,
    cgroup: one.cgroup,
    boundary,
    personal: one.personal,
    exited_ms: one.exitedMs,
  };
}

/** The members of a description, in one order. */
const pick = (row: Description): Record<string, string | number | null> =>
  Object.fromEntries(
    Object.entries(row)
      .filter(([name]) => DESCRIPTION.includes(name))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

function createReaderHours(sqlite: Sqlite): (process: number) => number[] {
  const hours = sqlite.database
    .prepare<[{ process: number }], number>(
      `WITH RECURSIVE tree (process, node, boot_id, key, depth) AS (
         SELECT process, node, boot_id, key, 0 FROM processes WHERE process = :process
         UNION
         SELECT p.process, p.node, p.boot_id, p.key, t.depth + 1 FROM tree t
         JOIN processes p ON p.node = t.node AND p.boot_id = t.boot_id AND p.parent_key = t.key
         WHERE t.depth < ${MAX_ANCESTORS}
       )
       SELECT hour_ms FROM (
         SELECT h.hour_ms FROM tree t JOIN process_hours h ON h.process = t.process WHERE t.process <> :process
         UNION SELECT hour_ms FROM undescribed_hours WHERE process = :process
         UNION SELECT c.hour_ms FROM connections c WHERE c.process = :process)
       WHERE hour_ms NOT IN (SELECT hour_ms FROM process_hours WHERE process = :process)`,
    )
    .pluck();
  return (process) => hours.all({ process });
}

/** A process that uses a device but that no batch described. */
function unknownProcess(bootId: string, key: string, hourMs: number): ObservedProcess {
  return {
    ...{
      id: processId(bootId, key),
      bootId,
      key,
      pid: Number.parseInt(key, 10),
      startTicks: null,
      startedMs: null,
    },
    ...{
      parent: null,
      parentId: null,
      uid: null,
      loginUid: null,
      sessionId: null,
      namespaces: null,
      comm: '?',
      executable: null,
      cgroup: '',
    },
    ...{
      earlierCgroups: [],
      earlierExecutables: [],
      claims: [],
      argumentsDigest: null,
      unreadable: ['process: not reported'],
    },
    ...{ firstSeenMs: hourMs, exitedMs: null, personal: null, user: null, commandLine: null },
  };
}

function createLineageReader(sqlite: Sqlite): (node: number, ids: Iterable<ProcessId>) => ObservedProcess[] {
  const { database } = sqlite;
  const select = database.prepare<[number, string, string], LineageRow>(
    `SELECT p.*, u.user_name, u.command_line FROM processes p LEFT JOIN personal u ON u.digest = p.personal
     WHERE p.node = ? AND p.boot_id = ? AND p.key = ?`,
  );
  const claims = database.prepare<[number], { name: string; value: string }>(
    'SELECT name, value FROM process_claims WHERE process = ? ORDER BY ordinal',
  );
  return (node, ids) => {
    const found = new Map<ProcessId, ObservedProcess>();
    for (const id of ids) {
      let next: ProcessId | null = id;
      for (let depth = 0; next !== null && !found.has(next) && depth < MAX_ANCESTORS; depth += 1) {
        const slash: number = next.indexOf('/');
        const row: LineageRow | undefined = select.get(node, next.slice(0, slash), next.slice(slash + 1));
        if (row === undefined) break;
        const process = observed(row, claims.all(row.process));
        found.set(process.id, process);
        next = process.parentId;
      }
    }
    return [...found.values()];
  };
}

function observed(row: LineageRow, claims: { name: string; value: string }[]): ObservedProcess {
  return {
    id: processId(row.boot_id, row.key),
    bootId: row.boot_id,
    key: row.key,
    pid: row.pid,
    startTicks: row.start_ticks,
    startedMs: row.started_ms,
    parent: row.parent_key,
    parentId: row.parent_key === null ? null : processId(row.boot_id, row.parent_key),
    uid: row.uid,
    loginUid: row.login_uid,
    sessionId: row.session_id,
    namespaces: namespacesOf(row),
    comm: row.comm,
    executable:
      row.executable_path === null
        ? null
        : {
            path: row.executable_path,
            device: row.executable_device,
            inode: row.executable_inode,
            deleted: row.executable_deleted === 1,
            fileSystem: row.executable_file_system,
          },
    cgroup: row.cgroup,
    earlierCgroups: [],
    earlierExecutables: [],
    claims,
    argumentsDigest: row.arguments_digest,
    unreadable: [],
    firstSeenMs: row.first_seen_ms,
    exitedMs: row.exited_ms,
    personal: row.personal,
    user: row.user_name,
    commandLine: row.command_line,
  };
}

function namespacesOf(row: Description): ObservedProcess['namespaces'] {
  const { namespace_pid: pid, namespace_net: net, namespace_mnt: mnt, namespace_user: user } = row;
  return pid === null || net === null || mnt === null || user === null ? null : { pid, net, mnt, user };
}
