/**
 * The agent: sole owner of control flow. A poll reads the devices and their processes, makes spans of them, and cuts
 * batches when they are due; shipping goes on beside it. Nothing that a tool, a disk or the service does ends it.
 */
import { join } from 'node:path';
import { BATCH_LIMITS, type DeviceFact, HOUR_MS } from '../api/contract/batch.ts';
import { AGENT_VERSION, newStreamId } from './identity.ts';
import type { Failure } from './occupancy.ts';
import type { Ports } from './ports.ts';
import { createProcessTable, type ProcessTable } from './processes.ts';
import { seededRandom } from './random.ts';
import type { DeviceReading, Inventory, Reading } from './reading.ts';
import { Report } from './report.ts';
import { createShipper, type Shipper } from './shipper.ts';
import { createDevicePoller, type DevicePoller, readInventory } from './sources/nvidia-smi.ts';
import { BACKWARD_SEGMENT_MS, createSpanBuilder, type SpanBuilder } from './spans.ts';
import { openSpool, type Spool } from './spool.ts';
import { messageOf } from './spool-files.ts';

export interface AgentConfig {
  readonly cluster: string;
  readonly node: string;
  readonly spoolFolder: string;
  readonly spoolMaxBytes: number;
  /** 1000–60000. */
  readonly pollIntervalMs: number;
  /** Batches are cut at multiples of it. From ten minutes on nobody waits for news, and none are cut early. */
  readonly shipIntervalMs: number;
  /** Spans are cut at multiples of it: 30 s, or the poll interval where that is longer. */
  readonly windowMs: number;
  readonly nvidiaSmi: string;
  readonly procRoot: string;
  readonly passwdPath: string;
  readonly inventoryIntervalMs: number;
  /** Address ranges that count as the site's own, beside the private ones. */
  readonly internalRanges?: readonly string[];
}

export interface Agent {
  /** One poll; cuts batches as they are due. Never rejects. */
  poll(): Promise<void>;
  /** Sends what the spool holds until it is empty or a request fails. Never rejects. */
  ship(): Promise<void>;
  /** Polls at the interval, jittered, and ships, until the signal; then `stop` is still to be called. */
  run(signal: AbortSignal): Promise<void>;
  /** Writes the last batch and tries once to send it. */
  stop(): Promise<void>;
}

export type LogLevel = 'info' | 'warn';
/** Told when the agent's state changes, never for a single poll. */
export type AgentLog = (level: LogLevel, message: string) => void;

/** An inventory that failed, or found nothing, is tried again after this long; so is one that news asked for. */
const INVENTORY_RETRY_MS = 60_000;
/** After the set of processes changed a batch goes out at once, but not more often than this. */
const EARLY_BATCH_MS = 2000;
const EARLY_BATCHES_BELOW_MS = 600_000;
const STATE_SAVE_MS = 30_000;
const MAX_STATE_BYTES = 64 * 1024 * 1024;
const CONNECTIONS_PER_SHIP = 3;
const POLL_JITTER = 0.1;
const MIN_PAUSE_MS = 50;
const MAX_REMEMBERED_STARTS = 16_384;
const MAX_CUTS = 1000;

class PollingAgent implements Agent {
  readonly #config: AgentConfig;
  readonly #ports: Ports;
  readonly #log: AgentLog;
  readonly #random: () => number;
  readonly #spool: Spool;
  readonly #shipper: Shipper;
  readonly #table: ProcessTable;
  readonly #poller: DevicePoller;
  readonly #builder: SpanBuilder;
  readonly #report: Report;
  /** Every device that this run has seen, by UUID: one that vanishes is missing, not gone. */
  #devices = new Map<string, DeviceFact>();
  #inventory: readonly DeviceFact[] = [];
  #driverVersion: string | null = null;
  /** Why no device is known at all; null when the inventory could be read. */
  #blind: Failure | null = null;
  #nextInventoryMs = Number.NEGATIVE_INFINITY;
  #lastInventoryMs = Number.NEGATIVE_INFINITY;
  #failedDevices = '';
  #startedMs = new Map<string, number | null>();
  /** Place of the newest reading with a changed set of processes that has not been reported. */
  #newsMs: number | null = null;
  #begun = false;
  #earlyMs = Number.NEGATIVE_INFINITY;
  #connectionsMs = Number.NEGATIVE_INFINITY;
  #stateMs = Number.NEGATIVE_INFINITY;
  #states = new Map<string, string | null>();

  constructor(config: AgentConfig, ports: Ports, log: AgentLog) {
    this.#config = config;
    this.#ports = ports;
    this.#log = log;
    this.#random = seededRandom(`${config.cluster}/${config.node}`);
    this.#spool = openSpool(ports.files, {
      folder: config.spoolFolder,
      maxBytes: config.spoolMaxBytes,
      newStream: newStreamId,
    });
    this.#shipper = createShipper(this.#spool, ports, this.#random);
    this.#table = createProcessTable(ports, config);
    this.#restoreProcesses();
    this.#poller = createDevicePoller(ports, config);
    this.#builder = createSpanBuilder({ ...config, notBeforeMs: this.#notBeforeMs() });
    this.#report = new Report(this.#spool, {
      sender: () => ({
        cluster: config.cluster,
        node: config.node,
        bootId: this.#table.bootId(),
        agentVersion: AGENT_VERSION,
        driverVersion: this.#driverVersion,
        pollIntervalMs: config.pollIntervalMs,
      }),
      inventory: () => this.#inventory,
      liveFacts: () => this.#table.liveFacts(),
    });
  }

  async poll(): Promise<void> {
    const { clock } = this.#ports;
    const wasBlind = this.#blind;
    if (clock.monotonicMs() >= this.#nextInventoryMs) await this.#readInventory();
    const reading = await this.#read();
    const keys = this.#identify(reading);
    const { changed, atMs } = this.#builder.add(reading, keys, (key) => this.#startedMs.get(key) ?? null);
    if (changed) this.#newsMs = atMs;
    for (const { source, device, message } of reading.problems)
      this.#report.addProblem(reading.wallMs, source, device === null ? message : `${device}: ${message}`);
    this.#watchDevices(reading);
    if (!this.#begun) this.#begin(atMs);
    // The stretch before the first good reading belongs to the time without one.
    if (wasBlind !== null && this.#blind === null) this.#cut(atMs, wasBlind);
    this.#readConnections(reading, changed);
    this.#cutIfDue();
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
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      await this.poll();
      if (this.#shipper.due()) void this.ship();
      const jitter = 1 + POLL_JITTER * (2 * this.#random() - 1);
      const pauseMs = this.#config.pollIntervalMs * jitter - (clock.monotonicMs() - startedMs);
      await clock.sleep(Math.max(MIN_PAUSE_MS, pauseMs), signal);
    }
  }

  async stop(): Promise<void> {
    const pending = this.#builder.pending();
    if (pending !== null) this.#cut(pending.toMs, this.#blind);
    this.#saveProcesses();
    const stoppedAtMs = Math.round(this.#ports.clock.wallMs());
    this.#spool.markStopped(stoppedAtMs);
    await this.ship();
    this.#spool.markStopped(stoppedAtMs);
  }

  async #readInventory(): Promise<void> {
    const { clock } = this.#ports;
    let inventory: Inventory;
    try {
      inventory = await readInventory(this.#ports, this.#config);
    } catch (error) {
      const failure = { reason: 'tool_failed', detail: messageOf(error) } as const;
      inventory = {
        devices: null,
        driverVersion: null,
        accountingMode: { unknown: 'no inventory' },
        failure,
        problems: [],
      };
    }
    this.#lastInventoryMs = clock.monotonicMs();
    const found = inventory.devices?.length ?? 0;
    this.#nextInventoryMs =
      this.#lastInventoryMs + (found > 0 ? this.#config.inventoryIntervalMs : INVENTORY_RETRY_MS);
    for (const { source, device, message } of inventory.problems)
      this.#report.addProblem(clock.wallMs(), source, device === null ? message : `${device}: ${message}`);
    if (inventory.devices === null) {
      const failure = inventory.failure ?? { reason: 'tool_failed', detail: 'no inventory' };
      this.#report.addProblem(clock.wallMs(), 'inventory', failure.detail);
      if (this.#devices.size === 0) this.#blind = failure;
      this.#tell('inventory', `no inventory of the GPUs: ${failure.detail}`, '');
      return;
    }
    this.#blind = null;
    this.#driverVersion = inventory.driverVersion ?? this.#driverVersion;
    for (const device of inventory.devices)
      if (this.#devices.has(device.uuid) || this.#devices.size < BATCH_LIMITS.devices)
        this.#devices.set(device.uuid, device);
    const known = [...this.#devices.values()];
    if (JSON.stringify(known) !== JSON.stringify(this.#inventory)) this.#report.inventoryChanged();
    this.#inventory = known;
    this.#tell(
      'inventory',
      found === 0 ? 'nvidia-smi shows no GPU on this node' : null,
      `watching ${found} GPUs`,
    );
  }

  async #read(): Promise<Reading> {
    const { clock } = this.#ports;
    const none = (devices: readonly DeviceReading[]): Reading => ({
      wallMs: clock.wallMs(),
      monotonicMs: clock.monotonicMs(),
      devices,
      problems: [],
    });
    if (this.#inventory.length === 0) return none([]);
    try {
      return await this.#poller.poll(this.#inventory);
    } catch (error) {
      const failure = { ok: false, reason: 'tool_failed', detail: messageOf(error) } as const;
      return none(this.#inventory.map(({ uuid }) => ({ uuid, ...failure })));
    }
  }

  /** Process keys by pid; new processes go to the next batch. */
  #identify(reading: Reading): ReadonlyMap<number, string> {
    const pids: number[] = [];
    for (const device of reading.devices)
      if (device.ok) for (const { pid } of device.processes) pids.push(pid);
    const keys = this.#table.observe(pids, reading.wallMs);
    for (const key of keys.values()) {
      if (this.#startedMs.has(key)) continue;
      this.#takeFacts();
      if (!this.#startedMs.has(key)) this.#startedMs.set(key, null);
    }
    return keys;
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

  /** A device that fails or comes back asks for the inventory, though not at every poll. */
  #watchDevices(reading: Reading): void {
    const failed = reading.devices.flatMap((device) =>
      device.ok ? [] : [`${device.uuid}: ${device.detail}`],
    );
    const uuids = reading.devices.flatMap((device) => (device.ok ? [] : [device.uuid])).join(' ');
    if (uuids === this.#failedDevices) return;
    this.#failedDevices = uuids;
    this.#nextInventoryMs = Math.min(this.#nextInventoryMs, this.#lastInventoryMs + INVENTORY_RETRY_MS);
    this.#tell(
      'devices',
      failed[0] === undefined ? null : `not measured: ${failed.join('; ')}`,
      'all GPUs are measured again',
    );
  }

  #readConnections(reading: Reading, changed: boolean): void {
    const nowMs = reading.monotonicMs;
    const dueMs = this.#connectionsMs + this.#config.shipIntervalMs / CONNECTIONS_PER_SHIP;
    if (this.#startedMs.size === 0 || !(nowMs >= dueMs || (changed && this.#cutsEarly()))) return;
    this.#connectionsMs = nowMs;
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
      this.#report.addProblem(atMs, 'spool', problem);
      this.#log('warn', `spool: ${problem}`);
    }
  }

  #cutsEarly(): boolean {
    return this.#config.shipIntervalMs < EARLY_BATCHES_BELOW_MS;
  }

  #cutIfDue(): void {
    const { shipIntervalMs } = this.#config;
    for (let cuts = 0; cuts < MAX_CUTS; cuts += 1) {
      const pending = this.#builder.pending();
      if (pending === null) return;
      if (pending.closed) {
        this.#cut(pending.toMs, this.#blind);
        continue;
      }
      const { fromMs, toMs } = pending;
      const nowMs = this.#ports.clock.monotonicMs();
      const news = this.#newsMs !== null && this.#newsMs <= toMs && this.#cutsEarly();
      if (news && nowMs - this.#earlyMs >= EARLY_BATCH_MS) {
        this.#earlyMs = nowMs;
        this.#newsMs = null;
        this.#cut(toMs, this.#blind);
        return;
      }
      const edgeMs = Math.max(
        Math.floor(toMs / shipIntervalMs) * shipIntervalMs,
        Math.floor(toMs / HOUR_MS) * HOUR_MS,
      );
      if (edgeMs > fromMs) this.#cut(edgeMs, this.#blind);
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

  #statePath(): string {
    return join(this.#config.spoolFolder, 'processes.json');
  }

  #saveProcesses(): void {
    this.#stateMs = this.#ports.clock.monotonicMs();
  }

  #restoreProcesses(): void {
    try {
      const { bytes, cut } = this.#ports.files.read(this.#statePath(), MAX_STATE_BYTES);
      if (!cut) JSON.parse(bytes.toString('utf8'));
    } catch {
      // The first run, or a damaged file: evidence starts afresh, which /proc mostly gives again.
    }
  }

  /** Logs when the state of a thing changes: `wrong` says what is wrong with it, null that nothing is. */
  #tell(thing: string, wrong: string | null, well: string): void {
    const before = this.#states.get(thing);
    if (before === wrong) return;
    this.#states.set(thing, wrong);
    if (wrong !== null) this.#log('warn', wrong);
    else if (before !== undefined || thing === 'inventory') this.#log('info', well);
  }
}

/** Throws `SpoolError` when the spool folder cannot be used. */
export function createAgent(config: AgentConfig, ports: Ports, log: AgentLog = () => undefined): Agent {
  return new PollingAgent(config, ports, log);
}
