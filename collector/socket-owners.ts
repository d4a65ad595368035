/** Which member of a job holds which socket. Descriptors are looked through only when a socket has no known owner. */
import type { SocketRow, SocketSource } from './sources/sockets.ts';

/** Descriptors looked at in one call, of all processes together, and of one. */
const MAX_DESCRIPTORS = 32_768;
const MAX_DESCRIPTORS_OF_ONE = 8192;
/** Sockets of processes that are no members are asked for again this often: a member may have been handed one. */
const CALLS_UNTIL_FORGOTTEN = 8;

export interface OwnedSocket {
  readonly pid: number;
  readonly row: SocketRow;
  /** Somebody in the same namespace listens on the local port, so the peer came to us. */
  readonly inbound: boolean;
}

export class SocketOwners {
  readonly #source: SocketSource;
  /** Owner of each inode; null: no member. */
  #owners = new Map<string, number | null>();
  #calls = 0;

  constructor(source: SocketSource) {
    this.#source = source;
  }

  /** Sockets of interest that `pids` hold; the first of several holders counts. `complain` hears what could not be read. */
  read(pids: readonly number[], complain: (message: string) => void): OwnedSocket[] {
    this.#calls += 1;
    const tables = this.#tables(pids, complain);
    const present = new Set(tables.flatMap((rows) => rows.map((row) => row.inode)));
    this.#forget(present, new Set(pids));
    this.#find(pids, new Set([...present].filter((inode) => !this.#owners.has(inode))), complain);
    return tables.flatMap((rows) => this.#owned(rows));
  }

  /** One table for each network namespace. */
  #tables(pids: readonly number[], complain: (message: string) => void): SocketRow[][] {
    const seen = new Set<string>();
    const tables: SocketRow[][] = [];
    for (const pid of pids) {
      const namespace = this.#source.namespace(pid);
      if (!namespace.ok) {
        if (!namespace.gone) complain(`network namespaces of some processes: ${namespace.why}`);
        continue;
      }
      if (seen.has(namespace.value)) continue;
      const table = this.#source.table(pid);
      if (table.ok) {
        seen.add(namespace.value);
        tables.push(table.value);
      } else if (!table.gone) complain(`socket tables of some processes: ${table.why}`);
    }
    return tables;
  }

  #forget(present: ReadonlySet<string>, pids: ReadonlySet<number>): void {
    const all = this.#calls % CALLS_UNTIL_FORGOTTEN === 0;
    for (const [inode, pid] of this.#owners) {
      if (!present.has(inode) || (pid === null ? all : !pids.has(pid))) this.#owners.delete(inode);
    }
  }

  #find(pids: readonly number[], wanted: Set<string>, complain: (message: string) => void): void {
    let room = MAX_DESCRIPTORS;
    let complete = true;
    for (const pid of pids) {
      if (wanted.size === 0) return;
      const held = this.#source.held(pid, Math.min(room, MAX_DESCRIPTORS_OF_ONE));
      if (!held.ok) {
        if (!held.gone) complain(`descriptors of some processes: ${held.why}`);
        continue;
      }
      room -= held.value.looked;
      complete &&= held.value.complete;
      for (const inode of held.value.inodes) if (wanted.delete(inode)) this.#owners.set(inode, pid);
    }
    // Only who has looked everywhere may say that nobody here holds it.
    if (complete) for (const inode of wanted) this.#owners.set(inode, null);
  }

  #owned(rows: readonly SocketRow[]): OwnedSocket[] {
    const listening = new Set(rows.filter((row) => row.kind === 'listening').map((row) => portOf(row.local)));
    return rows.flatMap((row) => {
      const pid = this.#owners.get(row.inode) ?? null;
      if (pid === null) return [];
      return [{ pid, row, inbound: row.kind === 'established' && listening.has(portOf(row.local)) }];
    });
  }
}

function portOf(endpoint: string): string {
  return endpoint.slice(endpoint.indexOf(':') + 1);
}
