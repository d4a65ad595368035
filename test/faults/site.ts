/**
 * A node with a fault and the ledger that says what became of its time: the real agent, its clocks in the test's hand,
 * and the real service on a real database. What the agent reaches goes through `Faults`, which a test may change at any
 * moment.
 */
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import Database from 'better-sqlite3';
import { createAttribution } from '../../api/services/attribution.ts';
import { ServiceError } from '../../api/services/errors.ts';
import { createIngest, type Ingest } from '../../api/services/ingest.ts';
import { createLive } from '../../api/services/live.ts';
import { createSilence } from '../../api/services/silence.ts';
import { verify } from '../../api/services/verify.ts';
import { openSqlite } from '../../api/store/sqlite/open.ts';
import type { AgentConfig } from '../../collector/agent.ts';
import { files as realFiles } from '../../collector/ports/real.ts';
import { type Execute, type Files, type Network, type Ports, ShipError } from '../../collector/ports.ts';
import { Node, START_MS, uuidOf } from '../collector/agent-fixture.ts';
import { agentOf, CLUSTER, handClock, temporaryFolder } from '../store/site.ts';

export { START_MS, uuidOf };
export const NODE = 'n1';
export const POLL_MS = 5000;

/** What stands between the agent and its ports; null: nothing. */
export interface Faults {
  execute: ((real: Execute) => Execute) | null;
  files: ((real: Files) => Files) | null;
  network: ((real: Network) => Network) | null;
}

/** Time of one device that nobody measured for one cause, within one hour or touching: `ms` of it from first to last. */
export interface Dark {
  readonly fromMs: number;
  readonly toMs: number;
  readonly ms: number;
  readonly cause: string;
}

export class FaultSite {
  readonly folder = temporaryFolder();
  readonly faults: Faults = { execute: null, files: null, network: null };
  readonly node: Node;
  readonly failures: string[] = [];
  /** Goes by true time, whatever the node's clock says. */
  readonly clock = handClock(START_MS);
  readonly ingest: Ingest;
  #caller = agentOf(NODE);
  readonly #file = join(temporaryFolder(), 'gpuledger.sqlite');
  readonly #store = openSqlite({ file: this.#file });
  readonly #reader = new Database(this.#file);
  readonly #silence;
  readonly #attribution;

  constructor(config: Partial<AgentConfig> = {}) {
    const log = {
      error: (details: object, text: string) => void this.failures.push(`${text} ${inspect(details)}`),
    };
    const live = createLive();
    this.ingest = createIngest(this.#store, this.clock, live, CLUSTER);
    this.#silence = createSilence(this.#store, this.clock, live, log);
    this.#attribution = createAttribution(this.#store, this.clock, live, log);
    const node = { cluster: CLUSTER, node: NODE, ...config };
    this.node = new Node(this.folder, realFiles, node, (ports) => this.#between(ports));
  }

  /** Polls, each after `everyMs`; what is to be sent is sent after each. */
  async pass(polls: number, everyMs = POLL_MS): Promise<void> {
    for (let i = 0; i < polls; i += 1) {
      this.clock.set(this.clock.nowMs() + everyMs);
      await this.node.pass(1, everyMs);
      await this.node.agent.ship();
    }
  }

  /** Time passes, and the agent does nothing: it is stopped, or there is none. The wall clock goes on. */
  away(ms: number, monotonicMs = ms): void {
    this.clock.set(this.clock.nowMs() + ms);
    this.node.wallMs += ms;
    this.node.monotonicMs += monotonicMs;
  }

  /** An agent of a new process on the same spool, as after SIGKILL. */
  kill(): void {
    this.node.start();
  }

  /** The same with another name, and the token that was made for it. */
  rename(name: string): void {
    this.#caller = agentOf(name);
    this.node.start({ node: name });
  }

  /** The agent stops in order; the service's books are brought up to date with the true time. */
  async end(): Promise<void> {
    await this.node.agent.stop();
    await this.settle();
  }

  async settle(): Promise<void> {
    await this.#silence.tick();
    await this.#attribution.whenIdle();
    if (this.failures.length > 0) throw new Error(this.failures.join('\n'));
  }

  /** Milliseconds of a device by bucket; what was not measured by cause ("unobserved tool_timeout"). They are all it has. */
  booked(uuid = uuidOf(0)): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { bucket, cause, ms } of this.#entries(uuid)) {
      const name = cause === null ? bucket : `${bucket} ${cause}`;
      sums[name] = (sums[name] ?? 0) + ms;
    }
    return sums;
  }

  /** What was not measured of a device, by hour and cause; over the end of an hour they join. */
  dark(uuid = uuidOf(0)): Dark[] {
    const dark: Dark[] = [];
    for (const { cause, fromMs, toMs, ms } of this.#entries(uuid)) {
      if (cause === null) continue;
      const last = dark.at(-1);
      if (last?.toMs === fromMs && last.cause === cause)
        dark[dark.length - 1] = { ...last, toMs, ms: last.ms + ms };
      else dark.push({ fromMs, toMs, ms, cause });
    }
    return dark;
  }

  /** From now on the service does not tell its time, as one of before it did. */
  tellNoTime(): void {
    this.faults.network = (real) => ({
      send: async (request) => {
        const { serviceTimeMs: _, ...answer } = await real.send(request);
        return answer;
      },
    });
  }

  problems(): string[] {
    return this.rows('SELECT source, message FROM node_problems ORDER BY 1, 2').map(
      ({ source, message }) => `${String(source)}: ${String(message)}`,
    );
  }

  rows(sql: string): Record<string, unknown>[] {
    return this.#reader.prepare<[], Record<string, unknown>>(sql).all();
  }

  /** The books balance and say what the reports say: differences in words, none when all is well. */
  async differences(): Promise<string[]> {
    const copy = openSqlite({ file: this.#file, readOnly: true });
    const { ok, differences, chain } = await verify(copy, () => undefined);
    await copy.close();
    const said = [...differences.map(({ where, what }) => `${where} ${what}`), ...chain];
    return ok ? said : [...said, 'not ok'];
  }

  async close(): Promise<void> {
    await this.#attribution.stop();
    this.#reader.close();
    await this.#store.close();
    this.node.proc.destroy();
    rmSync(dirname(this.#file), { recursive: true });
    rmSync(this.folder, { recursive: true });
  }

  #entries(
    uuid: string,
  ): { bucket: string; cause: string | null; fromMs: number; toMs: number; ms: number }[] {
    return this.rows(
      `SELECT e.bucket, e.cause, e.from_ms, e.to_ms, e.ms FROM entries e JOIN devices d ON d.device = e.device
       WHERE d.uuid = '${uuid}' ORDER BY e.from_ms, e.ordinal`,
    ).map((row) => ({
      bucket: String(row['bucket']),
      cause: row['cause'] === null ? null : String(row['cause']),
      ...{ fromMs: Number(row['from_ms']), toMs: Number(row['to_ms']), ms: Number(row['ms']) },
    }));
  }

  #between(ports: Ports): Ports {
    const { faults } = this;
    // Asked at each call, so that a fault can come and go under a running agent.
    return {
      ...ports,
      execute: (...call) => (faults.execute?.(ports.execute) ?? ports.execute)(...call),
      files: each(() => faults.files?.(ports.files) ?? ports.files),
      network: { send: (request) => (faults.network?.(this.#service) ?? this.#service).send(request) },
    };
  }

  readonly #service: Network = {
    send: async (request) => {
      try {
        return await this.ingest.accept(this.#caller, structuredClone(request));
      } catch (error) {
        if (error instanceof ServiceError) {
          const fields = error.errors.map(({ field, message }) => `${field} ${message}`);
          throw new ShipError([error.message, ...fields].join('; '), error.code !== 'unavailable');
        }
        throw error;
      }
    },
  };
}

/** Files whose every call goes to whatever `now` gives at that moment. */
function each(now: () => Files): Files {
  return {
    read: (...call) => now().read(...call),
    hold: (...call) => now().hold(...call),
    readLink: (...call) => now().readLink(...call),
    list: (...call) => now().list(...call),
    identify: (...call) => now().identify(...call),
    sizeBytes: (...call) => now().sizeBytes(...call),
    stat: (...call) => now().stat(...call),
    realPath: (...call) => now().realPath(...call),
    digest: (...call) => now().digest(...call),
    makeFolder: (...call) => now().makeFolder(...call),
    writeDurably: (...call) => now().writeDurably(...call),
    rename: (...call) => now().rename(...call),
    remove: (...call) => now().remove(...call),
  };
}

/** An error as the kernel gives it. */
export const errno = (code: string): Error => Object.assign(new Error(`${code}: planted`), { code });
