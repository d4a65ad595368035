/** Which member of a job holds which socket. Descriptors are looked through only when a socket has no known owner. */
import type { SocketRow, SocketSource } from './sources/sockets.ts';

/** Descriptors looked at in one call, of all processes together, and of one. */
const MAX_DESCRIPTORS = 32_768;
const MAX_DESCRIPTORS_OF_ONE = 8192;
/** Sockets of processes that are no members are asked for again this often: a member may have been handed one. */
const CALLS_UNTIL_FORGOTTEN = 8;

const CROWDED = `a process has more than ${MAX_DESCRIPTORS_OF_ONE} descriptors: sockets among the others are not seen`;
const IN_TURNS =
  'the members of the jobs have so many descriptors that their sockets are looked for in turns';

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
  /** Where the next look through descriptors begins: the latest ended there for want of room. */
  #next: number | null = null;

  constructor(source: SocketSource) {
    this.#source = source;
  }

  /**
   * Sockets of interest that `pids` hold; the first of several holders counts. `whole`: these are all the members.
   * `complain` hears what could not be read.
   */
  read(pids: readonly number[], whole: boolean, complain: (message: string) => void): OwnedSocket[] {
    this.#calls += 1;
    const tables = this.#tables(pids, complain);
    const present = new Set(tables.flatMap((rows) => rows.map((row) => row.inode)));
    this.#forget(present, new Set(pids));
    const unknown = new Set([...present].filter((inode) => !this.#owners.has(inode)));
    if (this.#find(pids, unknown, complain) && whole)
      for (const inode of unknown) this.#owners.set(inode, null);
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

  /** Takes out of `wanted` what it finds. True: it has looked everywhere, so nobody here holds the rest. */
  #find(pids: readonly number[], wanted: Set<string>, complain: (message: string) => void): boolean {
    let room = MAX_DESCRIPTORS;
    let complete = true;
    const at = Math.max(0, this.#next === null ? 0 : pids.indexOf(this.#next));
    this.#next = null;
    for (const pid of [...pids.slice(at), ...pids.slice(0, at)]) {
      if (wanted.size === 0) return true;
      if (room === 0) {
        this.#next = pid;
        complete = false;
        break;
      }
      const held = this.#source.held(pid, Math.min(room, MAX_DESCRIPTORS_OF_ONE));
      if (!held.ok) {
        if (!held.gone) complain(`descriptors of some processes: ${held.why}`);
        continue;
      }
      const { inodes, looked, complete: all } = held.value;
      // There was room for a part of them only: the next look begins here.
      if (!all && looked < MAX_DESCRIPTORS_OF_ONE) this.#next = pid;
      else if (!all) complain(CROWDED);
      room -= looked;
      complete &&= all;
      for (const inode of inodes) if (wanted.delete(inode)) this.#owners.set(inode, pid);
      if (this.#next !== null) break;
    }
    if (this.#next !== null) complain(IN_TURNS);
    return complete;
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
