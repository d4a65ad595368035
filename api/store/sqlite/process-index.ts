/** The index of process facts: written from each node-hour, read for ancestors that a later hour no longer reports. */
import { type ObservedProcess, type ProcessId, processId } from '../../domain/cell.ts';
import { required, type Sqlite } from './connection.ts';

/** How far up a lineage is followed. */
const MAX_ANCESTORS = 256;
const KEPT_PROCESSES = 200_000;

interface ProcessRow {
  readonly process: number;
  readonly boot_id: string;
  readonly key: string;
  readonly pid: number;
  readonly start_ticks: number | null;
  readonly started_ms: number | null;
  readonly parent_key: string | null;
  readonly uid: number | null;
  readonly login_uid: number | null;
  readonly comm: string;
  readonly executable_path: string | null;
  readonly executable_device: string | null;
  readonly executable_inode: string | null;
  readonly executable_deleted: number | null;
  readonly cgroup: string;
  readonly personal: string | null;
  readonly first_seen_ms: number;
  readonly exited_ms: number | null;
  readonly user_name: string | null;
  readonly command_line: string | null;
}

export interface ProcessIndex {
  /** Writes a process as an hour shows it and returns its row number. Older hours never overwrite newer ones. */
  write(node: number, process: ObservedProcess, boundaries: readonly string[], hourMs: number): number;
  /** The row number of a process; one that nobody described gets a row that says so. */
  number(node: number, id: ProcessId, hourMs: number): number;
  id(process: number): ProcessId;
  readLineages(node: number, ids: Iterable<ProcessId>): ObservedProcess[];
}

export function createProcessIndex(sqlite: Sqlite): ProcessIndex {
  const { database } = sqlite;
  const upsert = database
    .prepare<[Record<string, string | number | null>], number>(
      `INSERT INTO processes (node, boot_id, key, pid, start_ticks, started_ms, parent_key, uid, login_uid, comm,
         executable_path, executable_device, executable_inode, executable_deleted, cgroup, boundary, personal,
         first_seen_ms, last_hour_ms, exited_ms)
       VALUES (:node, :bootId, :key, :pid, :startTicks, :startedMs, :parent, :uid, :loginUid, :comm,
         :path, :device, :inode, :deleted, :cgroup, :boundary, :personal, :firstSeenMs, :hourMs, :exitedMs)
       ON CONFLICT (node, boot_id, key) DO UPDATE SET
         start_ticks = coalesce(excluded.start_ticks, start_ticks), started_ms = coalesce(excluded.started_ms, started_ms),
         parent_key = coalesce(parent_key, excluded.parent_key), uid = coalesce(excluded.uid, uid),
         login_uid = coalesce(excluded.login_uid, login_uid), comm = excluded.comm,
         executable_path = coalesce(excluded.executable_path, executable_path),
         executable_device = coalesce(excluded.executable_device, executable_device),
         executable_inode = coalesce(excluded.executable_inode, executable_inode),
         executable_deleted = coalesce(excluded.executable_deleted, executable_deleted),
         cgroup = CASE excluded.cgroup WHEN '' THEN cgroup ELSE excluded.cgroup END,
         boundary = coalesce(excluded.boundary, boundary), personal = coalesce(excluded.personal, personal),
         first_seen_ms = min(first_seen_ms, excluded.first_seen_ms), last_hour_ms = excluded.last_hour_ms,
         exited_ms = coalesce(excluded.exited_ms, exited_ms)
       WHERE excluded.last_hour_ms >= last_hour_ms
       RETURNING process`,
    )
    .pluck();
  const select = database
    .prepare<[number, string, string], number>(
      'SELECT process FROM processes WHERE node = ? AND boot_id = ? AND key = ?',
    )
    .pluck();
  const selectId = database.prepare<[number], { boot_id: string; key: string }>(
    'SELECT boot_id, key FROM processes WHERE process = ?',
  );
  const insertHour = database.prepare('INSERT OR IGNORE INTO process_hours (process, hour_ms) VALUES (?, ?)');
  const insertBoundary = database.prepare(
    'INSERT OR IGNORE INTO process_boundaries (process, boundary) VALUES (?, ?)',
  );
  const insertClaim = database.prepare(
    'INSERT OR REPLACE INTO process_claims (process, ordinal, name, value) VALUES (?, ?, ?, ?)',
  );
  const insertUnreadable = database.prepare(
    'INSERT OR REPLACE INTO process_unreadable (process, ordinal, what) VALUES (?, ?, ?)',
  );
  const readLineage = createLineageReader(sqlite);

  /** Row numbers and what was written last, so that an unchanged process costs nothing. */
  const known = new Map<string, { number: number; hourMs: number; text: string }>();
  const ids = new Map<number, ProcessId>();
  sqlite.onRollback(() => known.clear());
  const remember = (key: string, number: number, hourMs: number, text: string): number => {
    if (known.size >= KEPT_PROCESSES) known.clear();
    known.set(key, { number, hourMs, text });
    return number;
  };

  function writeRow(node: number, one: ObservedProcess, boundary: string | null, hourMs: number): number {
    const { bootId, key, pid, startTicks, startedMs, parent, uid, loginUid, comm, executable, cgroup } = one;
    const written = upsert.get({
      ...{
        node,
        bootId,
        key,
        pid,
        startTicks,
        startedMs,
        parent,
        uid,
        loginUid,
        comm,
        cgroup,
        boundary,
        hourMs,
      },
      path: executable?.path ?? null,
      device: executable?.device ?? null,
      inode: executable?.inode ?? null,
      deleted: executable === null ? null : Number(executable.deleted),
      personal: one.personal,
      firstSeenMs: one.firstSeenMs,
      exitedMs: one.exitedMs,
    });
    return written ?? required(select.get(node, bootId, key));
  }

  return {
    write(node, process, boundaries, hourMs) {
      const key = `${node} ${process.id}`;
      const text = JSON.stringify(process);
      const before = known.get(key);
      if (before?.text === text && before.hourMs === hourMs) return before.number;
      const number =
        before?.text === text && before.hourMs > hourMs
          ? before.number
          : writeRow(node, process, boundaries[0] ?? null, hourMs);
      insertHour.run(number, hourMs);
      if (before?.text !== text) {
        for (const boundary of boundaries) insertBoundary.run(number, boundary);
        for (const [at, claim] of process.claims.entries())
          insertClaim.run(number, at, claim.name, claim.value);
        for (const [at, what] of process.unreadable.entries()) insertUnreadable.run(number, at, what);
      }
      return remember(key, number, hourMs, text);
    },
    number(node, id, hourMs) {
      const key = `${node} ${id}`;
      const slash = id.indexOf('/');
      const [bootId, own] = [id.slice(0, slash), id.slice(slash + 1)];
      const number = known.get(key)?.number ?? select.get(node, bootId, own);
      if (number !== undefined) return number;
      return writeRow(node, unknownProcess(bootId, own, hourMs), null, hourMs);
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
    readLineages: readLineage,
  };
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
    ...{ parent: null, parentId: null, uid: null, loginUid: null, comm: '?', executable: null, cgroup: '' },
    ...{ earlierCgroups: [], earlierExecutables: [], claims: [], unreadable: ['process: not reported'] },
    ...{ firstSeenMs: hourMs, exitedMs: null, personal: null, user: null, commandLine: null },
  };
}

function createLineageReader(sqlite: Sqlite): (node: number, ids: Iterable<ProcessId>) => ObservedProcess[] {
  const { database } = sqlite;
  const select = database.prepare<[number, string, string], ProcessRow>(
    `SELECT p.process, p.boot_id, p.key, p.pid, p.start_ticks, p.started_ms, p.parent_key, p.uid, p.login_uid, p.comm,
       p.executable_path, p.executable_device, p.executable_inode, p.executable_deleted, p.cgroup, p.personal,
       p.first_seen_ms, p.exited_ms, u.user_name, u.command_line
     FROM processes p LEFT JOIN personal u ON u.digest = p.personal
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
        const row: ProcessRow | undefined = select.get(node, next.slice(0, slash), next.slice(slash + 1));
        if (row === undefined) break;
        const process = observed(row, claims.all(row.process));
        found.set(process.id, process);
        next = process.parentId;
      }
    }
    return [...found.values()];
  };
}

function observed(row: ProcessRow, claims: { name: string; value: string }[]): ObservedProcess {
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
    comm: row.comm,
    executable:
      row.executable_path === null
        ? null
        : {
            path: row.executable_path,
            device: row.executable_device,
            inode: row.executable_inode,
            deleted: row.executable_deleted === 1,
          },
    cgroup: row.cgroup,
    earlierCgroups: [],
    earlierExecutables: [],
    claims,
    unreadable: [],
    firstSeenMs: row.first_seen_ms,
    exitedMs: row.exited_ms,
    personal: row.personal,
    user: row.user_name,
    commandLine: row.command_line,
  };
}
