/**
 * How often TCP connections are tried: the kernel's own counters of each network namespace. They also hold what began
 * and failed between two looks at the sockets, but not who tried: in the host's namespace that can be anybody.
 */
import type { DialFact } from '../api/contract/batch.ts';
import type { SocketSource } from './sources/sockets.ts';

/** Counters are read this often, and a namespace gives at most one fact in this time. */
const LOOK_INTERVAL_MS = 60_000;
/** Namespaces that are followed; further ones are not. */
const MAX_NAMESPACES = 256;

interface Followed {
  readonly atMs: number;
  readonly attempts: number;
  readonly failed: number;
}

export class DialBook {
  readonly #source: SocketSource;
  #followed = new Map<number, Followed>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(source: SocketSource) {
    this.#source = source;
  }

  /**
   * What was tried since the look before, in the namespaces of `pids`. A namespace seen for the first time gives nothing
   * yet. `keyOf` names the process that stands for its namespace: the first of `pids` in it that has a key.
   */
  look(
    pids: readonly number[],
    atMs: number,
    keyOf: (pid: number) => string | null,
    complain: (message: string) => void,
  ): DialFact[] {
    if (Math.abs(atMs - this.#lookedMs) < LOOK_INTERVAL_MS) return [];
    this.#lookedMs = atMs;
    const before = this.#followed;
    this.#followed = new Map();
    const facts: DialFact[] = [];
    for (const pid of pids) {
      const link = this.#source.namespace(pid);
      const netNamespace = link.ok
        ? Number(/^net:\[(\d{1,10})\]$/.exec(link.value)?.[1] ?? Number.NaN)
        : null;
      if (netNamespace === null || Number.isNaN(netNamespace) || this.#followed.has(netNamespace)) continue;
      if (this.#followed.size >= MAX_NAMESPACES) break;
      const counters = this.#source.dials(pid);
      if (!counters.ok) {
        if (!counters.gone) complain(`connection counters of some processes: ${counters.why}`);
        continue;
      }
      const now = { ...counters.value, atMs: Math.round(atMs) };
      this.#followed.set(netNamespace, now);
      const tried = since(before.get(netNamespace), now);
      const process = tried === null ? null : keyOf(pid);
      if (tried !== null && process !== null) facts.push({ process, netNamespace, ...tried });
    }
    return facts;
  }
}

/** Null where nothing was tried, the clock went back, or the counters are those of another namespace. */
function since(
  before: Followed | undefined,
  now: Followed,
): Omit<DialFact, 'process' | 'netNamespace'> | null {
  if (before === undefined || now.atMs <= before.atMs) return null;
  const attempts = now.attempts - before.attempts;
  const failed = now.failed - before.failed;
  if (attempts < 0 || failed < 0 || attempts + failed === 0) return null;
  return { attempts, failed, fromMs: before.atMs, toMs: now.atMs };
}
