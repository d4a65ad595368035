/** Connections as facts: sockets seen in one look after another, folded and reported sparingly. */
import {
  BATCH_LIMITS,
  type ConnectionFact,
  type ConnectionPersonal,
  HOUR_MS,
  type PeerClass,
  type PersonalRecord,
} from '../api/contract/batch.ts';
import { digestOf } from './process-record.ts';

/** Connections of one process to one class of peers that are facts of their own; further ones are folded into one. */
const MAX_SINGLE = 16;
const MAX_EXAMPLES = 16;
/** Distinct peers counted in one fact; a scan of more is reported as this many. */
const MAX_COUNTED_PEERS = 4096;
/** … and in all facts together. */
const MAX_COUNTED_IN_ALL = 131_072;
const REPORT_INTERVAL_MS = 60_000;
/** Not seen for this long, a connection has ended. */
const ENDED_AFTER_MS = 60_000;
/** Attempts come and go within a scan, which is one fact as long as it goes on. */
const ATTEMPTS_END_AFTER_MS = 10 * 60_000;

/** A socket of a known process. `peer` is `address:port`; null for a listener. */
export interface SeenSocket {
  readonly process: string;
  readonly kind: ConnectionFact['kind'];
  readonly peerClass: PeerClass;
  readonly localPort: number;
  readonly peer: string | null;
  readonly inbound: boolean;
}

interface Tracked {
  readonly fact: ConnectionFact;
  readonly salt: string;
  readonly group: string;
  readonly single: boolean;
  readonly peers: Set<string>;
  reportedMs: number;
  /** `peers` and `lastMs` at the last report. */
  reported: { peers: number; lastMs: number } | null;
}

export class ConnectionBook {
  readonly #tracked = new Map<string, Tracked>();
  /** Single facts of each process and peer class. */
  readonly #singles = new Map<string, number>();
  readonly #newSalt: () => string;
  #counted = 0;

  constructor(newSalt: () => string) {
    this.#newSalt = newSalt;
  }

  /**
   * Takes one look at the sockets and gives what is new, changed or ended; all of it once an hour; and each minute what
   * lasts to the outside, since whether a tunnel still stands is a question that people ask.
   */
  update(
    seen: readonly SeenSocket[],
    atMs: number,
    complain: (message: string) => void,
  ): { facts: ConnectionFact[]; personal: PersonalRecord[] } {
    let dropped = false;
    for (const socket of seen) if (!this.#see(socket, atMs)) dropped = true;
    if (dropped) complain(`connections not reported: more than ${BATCH_LIMITS.connections} at once`);
    const facts: ConnectionFact[] = [];
    const personal: PersonalRecord[] = [];
    for (const [key, tracked] of this.#tracked) {
      const ended = hasEnded(tracked, atMs);
      if (isDue(tracked, ended, atMs)) {
        const own = report(tracked, atMs);
        facts.push({ ...tracked.fact });
        if (own !== null) personal.push(own);
      }
      if (ended && tracked.reported?.lastMs === tracked.fact.lastMs) this.#forget(key, tracked);
    }
    return { facts, personal };
  }

  #see(socket: SeenSocket, atMs: number): boolean {
    const group = `${socket.process} ${socket.peerClass}`;
    const own = `${group} ${socket.kind} ${socket.localPort} ${socket.inbound ? 'in' : (socket.peer ?? '')}`;
    const folded = `${group} ${socket.kind}`;
    const single = socket.kind !== 'attempt' && this.#mayStandAlone(own, group, socket);
    const key = single ? own : folded;
    const tracked = this.#tracked.get(key) ?? this.#track(key, group, single, socket, atMs);
    if (tracked === null) return false;
    tracked.fact.lastMs = Math.max(atMs, tracked.fact.firstMs);
    const room = tracked.peers.size < MAX_COUNTED_PEERS && this.#counted < MAX_COUNTED_IN_ALL;
    if (socket.peer !== null && room && !tracked.peers.has(socket.peer)) {
      tracked.peers.add(socket.peer);
      this.#counted += 1;
    }
    tracked.fact.peers = tracked.peers.size;
    return true;
  }

  #mayStandAlone(own: string, group: string, socket: SeenSocket): boolean {
    if (socket.kind === 'listening' || socket.inbound || this.#tracked.has(own)) return true;
    return (this.#singles.get(group) ?? 0) < MAX_SINGLE;
  }

  #track(key: string, group: string, single: boolean, socket: SeenSocket, atMs: number): Tracked | null {
    if (this.#tracked.size >= BATCH_LIMITS.connections) return null;
    const fact: ConnectionFact = {
      process: socket.process,
      kind: socket.kind,
      peerClass: socket.peerClass,
      localPort: single ? socket.localPort : 0,
      firstMs: atMs,
      lastMs: atMs,
      peers: 0,
      personal: null,
    };
    const tracked: Tracked = {
      fact,
      salt: this.#newSalt(),
      group,
      single: single && socket.kind === 'established' && !socket.inbound,
      peers: new Set(),
      reportedMs: 0,
      reported: null,
    };
    this.#tracked.set(key, tracked);
    if (tracked.single) this.#singles.set(group, (this.#singles.get(group) ?? 0) + 1);
    return tracked;
  }

  #forget(key: string, tracked: Tracked): void {
    this.#tracked.delete(key);
    this.#counted -= tracked.peers.size;
    if (!tracked.single) return;
    const left = (this.#singles.get(tracked.group) ?? 1) - 1;
    if (left > 0) this.#singles.set(tracked.group, left);
    else this.#singles.delete(tracked.group);
  }
}

function hasEnded({ fact }: Tracked, atMs: number): boolean {
  return Math.abs(atMs - fact.lastMs) >= (fact.kind === 'attempt' ? ATTEMPTS_END_AFTER_MS : ENDED_AFTER_MS);
}

function isDue({ fact, reported, reportedMs }: Tracked, ended: boolean, atMs: number): boolean {
  if (reported === null) return true;
  const hourPassed = Math.floor(reportedMs / HOUR_MS) !== Math.floor(atMs / HOUR_MS);
  if (Math.abs(atMs - reportedMs) < REPORT_INTERVAL_MS && !hourPassed) return false;
  if (fact.lastMs === reported.lastMs) return false;
  const lasts = fact.kind === 'established' && fact.peerClass === 'external';
  return hourPassed || ended || lasts || fact.peers !== reported.peers;
}

/** Marks it as reported; gives the peers, if it has any, as the record that may be erased. */
function report(tracked: Tracked, atMs: number): PersonalRecord | null {
  const { fact, salt } = tracked;
  tracked.reportedMs = atMs;
  tracked.reported = { peers: fact.peers, lastMs: fact.lastMs };
  if (tracked.peers.size === 0) return null;
  const value: ConnectionPersonal = {
    kind: 'connection',
    peers: [...tracked.peers].slice(0, MAX_EXAMPLES),
  };
  fact.personal = digestOf(salt, value);
  return { digest: fact.personal, salt, value };
}
