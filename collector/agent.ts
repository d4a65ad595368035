/**
 * The agent: sole owner of control flow. A poll reads the devices and their processes, makes spans of them, and cuts
 * batches when they are due; shipping goes on beside it. Nothing that a tool, a disk or the service does ends it.
 */
import { randomUUID } from 'node:crypto';
import { HOUR_MS } from '../api/contract/batch.ts';
import { AccountingBook } from './accounting.ts';
import { Devices } from './devices.ts';
import { HostWatch } from './host-watch.ts';
import { AGENT_VERSION, newStreamId } from './identity.ts';
import { type AgentLog, StateLog } from './log.ts';
import { askTime, heldToService, type NodeClock, refusalOf } from './node-clock.ts';
import { Observer } from './observer.ts';
import type { Failure } from './occupancy.ts';
import type { StartOf } from './parts.ts';
import { PodDevices } from './pod-devices.ts';
import type { Ports } from './ports.ts';
import { restoreProcesses, saveProcesses } from './process-memory.ts';
import { createProcessTable, type ProcessTable } from './processes.ts';
import { seededRandom } from './random.ts';
import type { Reading } from './reading.ts';
import { Report } from './report.ts';
import { rest } from './rest.ts';
import { createShipper, type Shipper } from './shipper.ts';
import { openSigner } from './signer.ts';
import { BACKWARD_SEGMENT_MS, createSpanBuilder, type EndedTenants, type SpanBuilder } from './spans.ts';
import { openSpool, type Spool } from './spool.ts';
import { messageOf } from './spool-files.ts';

export interface AgentConfig {
  readonly cluster: string;
  readonly node: string;
  readonly spoolFolder: string;
  readonly spoolMaxBytes: number;
  /** 1000–60000. */
  readonly pollIntervalMs: number;
  /**
   * Batches are cut at multiples of it; up to two poll intervals, when it has passed. From ten minutes on nobody waits for
   * news, and none are cut early.
   */
  readonly shipIntervalMs: number;
  /** Spans are cut at multiples of it: 30 s, or the poll interval where that is longer. */
  readonly windowMs: number;
  readonly nvidiaSmi: string;
  readonly procRoot: string;
  readonly passwdPath: string;
  /** The kubelet's socket; where there is none, nothing is asked of it. Absent: not looked for. */
  readonly podResources?: string;
  readonly inventoryIntervalMs: number;
  /** Of the pace; random unless given, so that nobody can foresee when the next poll comes. */
  readonly seed?: string;
  /** Address ranges that count as the site's own, beside the private ones. */
  readonly internalRanges?: readonly string[];
  /** Further command-line options whose values are secret. */
  readonly secretOptions?: readonly string[];
}

export interface Agent {
  /** One poll; cuts batches as they are due. Failing tools, disks and services do not reject it. */
  poll(): Promise<void>;
  /** Sends what the spool holds until it is empty or a request fails. Never rejects. */
  ship(): Promise<void>;
  /** Polls at the interval, jittered, and ships, until the signal; then `stop` is still to be called. */
  run(signal: AbortSignal): Promise<void>;
  /** Writes the last batch and tries once to send it. */
  stop(): Promise<void>;
}

/** News go out at once, but not more often than this. */
const EARLY_BATCH_MS = 2000;
const EARLY_BATCHES_BELOW_MS = 600_000;
const STATE_SAVE_MS = 30_000;
/** Sockets are looked at this often; of agents that ship in long intervals, three times in each. */
const CONNECTIONS_MS = 10_000;
const CONNECTIONS_PER_SHIP = 3;
const POLL_JITTER = 0.1;
const MAX_REMEMBERED_STARTS = 16_384;
const MAX_CUTS = 1000;

class PollingAgent implements Agent {
  readonly #config: AgentConfig;
  readonly #ports: Ports & { readonly clock: NodeClock };
  readonly #log: AgentLog;
  readonly #states: StateLog;
  readonly #random: () => number;
  readonly #spool: Spool;
  readonly #shipper: Shipper;
  readonly #table: ProcessTable;
  readonly #accounting: AccountingBook;
  readonly #devices: Devices;
  readonly #host: HostWatch;
  readonly #pods: PodDevices;
  readonly #builder: SpanBuilder;
  readonly #report: Report;
  readonly #observer: Observer;
  #startedMs = new Map<string, number | null>();
  /** Place of the newest reading with news that has not been reported. */
  #newsMs: number | null = null;
  #begun = false;
  #earlyMs = Number.NEGATIVE_INFINITY;
  #connectionsMs = Number.NEGATIVE_INFINITY;
  #stateMs = Number.NEGATIVE_INFINITY;
  constructor(config: AgentConfig, raw: Ports, log: AgentLog) {
    this.#config = config;
    const ports = heldToService(raw, config.procRoot);
    this.#ports = ports;
    this.#log = log;
    this.#states = new StateLog(log, () => ports.clock.monotonicMs());
    this.#random = seededRandom(config.seed ?? randomUUID());
    this.#spool = openSpool(ports.files, {
      folder: config.spoolFolder,
      maxBytes: config.spoolMaxBytes,
      newStream: newStreamId,
      sender: config,
    });
    const signer = openSigner(ports.files, config.spoolFolder);
    this.#shipper = createShipper(this.#spool, ports, this.#random, signer);
    this.#table = createProcessTable(ports, config, () => ports.clock.repairedMs);
    restoreProcesses(ports.files, config.spoolFolder, this.#table);
    this.#accounting = new AccountingBook(this.#table);
    this.#devices = new Devices(config, this.#table.bootId(), ports, {
      problem: ({ source, device, message }) =>
        this.#report.addProblem(
          ports.clock.wallMs(),
          source,
          device === null ? message : `${device}: ${message}`,
        ),
      inventoryChanged: () => this.#report.inventoryChanged(),
      state: (thing, wrong, well) => this.#tell(thing, wrong, well),
    });
    this.#builder = createSpanBuilder({ ...config, notBeforeMs: this.#notBeforeMs() });
    this.#report = new Report(this.#spool, {
      sender: () => ({
        cluster: config.cluster,
        node: config.node,
        bootId: this.#table.bootId(),
        agentVersion: AGENT_VERSION,
        driverVersion: this.#devices.driverVersion,
        pollIntervalMs: config.pollIntervalMs,
      }),
      inventory: () => this.#devices.inventory,
      liveFacts: () => this.#table.liveFacts(),
      tools: () => this.#observer.tools(),
      host: () => this.#host.fact(),
      grants: () => this.#pods.fact(),
    });
    if (signer.problem !== null) this.#report.addProblem(ports.clock.wallMs(), 'key', signer.problem);
    this.#host = new HostWatch(ports, {
      processes: () => (config.procRoot === '/proc' ? this.#table.countAll() : null),
      problem: (message) => this.#report.addProblem(ports.clock.wallMs(), 'host', message),
    });
    this.#pods = new PodDevices(config.podResources ?? '', ports, {
      changed: () => this.#report.grantsChanged(),
      state: (wrong) => this.#tellOf('kubelet', wrong, 'the kubelet says whose devices are whose'),
    });
    this.#observer = new Observer(config, ports.files, this.#table.known, {
      observed: (seen) => this.#report.addObservations(seen),
      toolsChanged: () => this.#report.toolsChanged(),
      problem: (source, message) => this.#report.addProblem(ports.clock.wallMs(), source, message),
    });
  }

  async poll(): Promise<void> {
    const wasBlind = this.#devices.blind;
    this.#observer.before(this.#ports.clock, this.#devices.driverVersion);
    const { reading, keys } = this.#identify(await this.#devices.read());
    const startOf = (key: string): number | null => this.#startedMs.get(key) ?? null;
    const ended = this.#account(reading, keys, startOf);
    const { changed, news, atMs } = this.#builder.add(reading, keys, startOf, ended, (key) =>
      this.#table.endOf(key),
    );
    if (news) this.#newsMs = atMs;
    void this.#pods.lookIfDue(changed);
    if (!this.#begun) this.#begin(atMs);
    // The stretch before the first good reading belongs to the time without one.
    if (wasBlind !== null && this.#devices.blind === null) this.#cut(atMs, wasBlind);
    this.#readConnections(reading, changed);
    this.#cutIfDue();
    // After the cut: what is seen in an hour is told in that hour.
    this.#observer.observe(reading, keys, this.#devices.inventory, this.#devices.driverVersion);
    this.#tell('spool', this.#report.refusal, 'the spool takes batches again');
  }

  async ship(): Promise<void> {
    await this.#shipper.ship();
    const failure = this.#shipper.failure();
    this.#tell(
      'service',
      failure === null ? null : `batches cannot be sent: ${failure}`,
      'batches are being sent again',
    );
    if (failure !== null) this.#report.addProblem(this.#ports.clock.wallMs(), 'shipper', failure);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    await askTime(this.#ports, signal);
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      await this.#survive(() => this.poll());
      if (this.#shipper.due()) void this.ship();
      void this.#survive(() => this.#host.lookIfDue());
      const jitter = 1 + POLL_JITTER * (2 * this.#random() - 1);
      const pauseMs = this.#config.pollIntervalMs * jitter - (clock.monotonicMs() - startedMs);
      await rest(
        clock,
        pauseMs,
        signal,
        this.#startedMs.size === 0 ? null : () => this.#table.noticeEnds(clock.wallMs()),
      );
    }
  }

  /** A fault of ours must not end the measuring; the time it costs becomes a gap by itself. */
  async #survive(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (this.#report.addProblem(this.#ports.clock.wallMs(), 'agent', message))
        this.#log('warn', message, 'agent');
    }
  }

  async stop(): Promise<void> {
    const pending = this.#builder.pending();
    if (pending !== null) this.#cut(pending.toMs, this.#devices.blind);
    this.#saveProcesses();
    const stoppedAtMs = Math.round(this.#ports.clock.wallMs());
    this.#spool.markStopped(stoppedAtMs);
    await this.ship();
    this.#spool.markStopped(stoppedAtMs);
  }

  /** Adds the process keys by pid; new processes go to the next batch. */
  #identify(reading: Reading): { reading: Reading; keys: ReadonlyMap<number, string> } {
    const pids: number[] = [];
    for (const device of reading.devices)
      if (device.ok) for (const { pid } of device.processes) pids.push(pid);
    try {
      const keys = this.#table.observe(pids, reading.wallMs);
      for (const key of keys.values()) {
        if (this.#startedMs.has(key)) continue;
        this.#takeFacts();
        if (!this.#startedMs.has(key)) this.#startedMs.set(key, null);
      }
      return { reading, keys };
    } catch (error) {
      const failure = { ok: false, reason: 'processes_unreadable', detail: messageOf(error) } as const;
      const devices = reading.devices.map((device) =>
        device.ok && device.processes.length > 0 ? { uuid: device.uuid, ...failure } : device,
      );
      return { reading: { ...reading, devices }, keys: new Map() };
    }
  }

  /** By device, who ended since the reading before and has time that readings do not show. */
  #account(reading: Reading, keys: ReadonlyMap<number, string>, startOf: StartOf): EndedTenants {
    const { facts, ended, lost } = this.#accounting.take(reading, keys, startOf);
    this.#report.addObservations({ accounted: facts });
    if (lost > 0)
      this.#report.addProblem(
        reading.wallMs,
        'accounting',
        `${lost} more processes ended than one poll takes in`,
      );
    return ended;
  }

  #takeFacts(): void {
    const changed = this.#table.changedFacts();
    this.#report.addFacts(changed);
    if (this.#startedMs.size > MAX_REMEMBERED_STARTS) this.#startedMs.clear();
    for (const fact of changed.facts) {
      if (fact.exitedMs === null) this.#startedMs.set(fact.key, fact.startedMs);
      else this.#startedMs.delete(fact.key);
    }
  }

  #readConnections(reading: Reading, changed: boolean): void {
    const nowMs = reading.monotonicMs;
    const { shipIntervalMs } = this.#config;
    const dueMs = this.#connectionsMs + Math.max(CONNECTIONS_MS, shipIntervalMs / CONNECTIONS_PER_SHIP);
    if (this.#startedMs.size === 0 || !(nowMs >= dueMs || (changed && this.#cutsEarly()))) return;
    this.#connectionsMs = nowMs;
    const { facts, personal, dials } = this.#table.readConnections(reading.wallMs);
    this.#report.addObservations({ connections: facts, dials }, personal);
  }

  /** The first reading: tells of the time since the earlier run, and that the agent is there. */
  #begin(atMs: number): void {
    this.#begun = true;
    const { lastToMs, stoppedAtMs } = this.#spool.earlier;
    if (lastToMs !== null && stoppedAtMs !== null && lastToMs < atMs)
      this.#report.owe(lastToMs, atMs, 'agent_stopped', 'the agent was stopped');
    this.#takeTroubles(atMs);
    this.#report.write({ fromMs: atMs, toMs: atMs, tenancies: [], gaps: [], clockSteps: [] });
  }

  #takeTroubles(atMs: number): void {
    const { lost, problems } = this.#spool.takeTroubles();
    for (const { fromMs, toMs } of lost)
      if (fromMs < (toMs ?? atMs))
        this.#report.owe(fromMs, toMs ?? atMs, 'spool_corrupt', 'batches on disk were damaged');
    for (const problem of problems) {
      if (this.#report.addProblem(atMs, 'spool', problem)) this.#log('warn', `spool: ${problem}`, 'spool');
    }
  }

  #cutsEarly(): boolean {
    return this.#config.shipIntervalMs < EARLY_BATCHES_BELOW_MS;
  }

  #cutIfDue(): void {
    const { shipIntervalMs, pollIntervalMs } = this.#config;
    for (let cuts = 0; cuts < MAX_CUTS; cuts += 1) {
      const pending = this.#builder.pending();
      if (pending === null) return;
      if (pending.closed) {
        this.#cut(pending.toMs, this.#devices.blind);
        continue;
      }
      const { fromMs, toMs } = pending;
      if (toMs <= fromMs) return;
      const nowMs = this.#ports.clock.monotonicMs();
      const news = this.#newsMs !== null && this.#newsMs <= toMs && this.#cutsEarly();
      if (news && nowMs - this.#earlyMs >= EARLY_BATCH_MS) {
        this.#earlyMs = nowMs;
        this.#newsMs = null;
        this.#cut(toMs, this.#devices.blind);
        return;
      }
      // Polls are jittered: what is due before the next one comes is due now.
      if (shipIntervalMs <= 2 * pollIntervalMs && toMs - fromMs >= shipIntervalMs - pollIntervalMs / 2) {
        this.#cut(toMs, this.#devices.blind);
        return;
      }
      const edgeMs = Math.max(
        Math.floor(toMs / shipIntervalMs) * shipIntervalMs,
        Math.floor(toMs / HOUR_MS) * HOUR_MS,
      );
      if (edgeMs > fromMs) this.#cut(edgeMs, this.#devices.blind);
      return;
    }
  }

  /** Takes everything up to `untilMs`, hour by hour, and writes it to the spool. */
  #cut(untilMs: number, blind: Failure | null): void {
    this.#takeTroubles(untilMs);
    this.#takeFacts();
    for (const { atMs, source, message } of this.#table.takeProblems())
      this.#report.addProblem(atMs, source, message);
    for (let cuts = 0; cuts < MAX_CUTS; cuts += 1) {
      const taken = this.#builder.take(untilMs);
      if (taken === null) break;
      const { fromMs, toMs } = taken;
      if (blind !== null) taken.gaps.push({ device: null, fromMs, toMs, ...blind });
      for (const step of this.#ports.clock.takeRefused(toMs)) {
        taken.clockSteps.push(step);
        this.#report.addProblem(step.atMs, 'clock', refusalOf(step));
      }
      this.#report.write(taken);
      if (toMs >= untilMs) break;
    }
    if (this.#ports.clock.monotonicMs() - this.#stateMs >= STATE_SAVE_MS) this.#saveProcesses();
  }

  #notBeforeMs(): number {
    const { lastToMs } = this.#spool.earlier;
    const aheadMs = lastToMs === null ? 0 : lastToMs - this.#ports.clock.wallMs();
    return lastToMs === null || aheadMs > BACKWARD_SEGMENT_MS ? 0 : lastToMs;
  }

  #saveProcesses(): void {
    this.#stateMs = this.#ports.clock.monotonicMs();
    try {
      saveProcesses(this.#ports.files, this.#config.spoolFolder, this.#table);
    } catch (error) {
      this.#report.addProblem(this.#ports.clock.wallMs(), 'spool', `processes.json: ${messageOf(error)}`);
    }
  }

  /** Logs and reports it. */
  #tellOf(thing: string, wrong: string | null, well: string): void {
    this.#tell(thing, wrong, well);
    if (wrong !== null) this.#report.addProblem(this.#ports.clock.wallMs(), thing, wrong);
  }

  /** Logs when the state of a thing changes: `wrong` says what is wrong with it, null that nothing is. */
  #tell(thing: string, wrong: string | null, well: string): void {
    this.#states.tell(thing, wrong, well, thing === 'inventory');
  }
}

/** Throws `SpoolError` when the spool folder cannot be used. */
export function createAgent(config: AgentConfig, ports: Ports, log: AgentLog = () => undefined): Agent {
  return new PollingAgent(config, ports, log);
}
