/** What the agent knows of the node's devices: the inventory, kept fresh slowly, and one reading a poll. */
import { BATCH_LIMITS, type DeviceFact } from '../api/contract/batch.ts';
import { restoreDevices, saveDevices } from './device-memory.ts';
import type { Failure } from './occupancy.ts';
import type { Ports } from './ports.ts';
import type { DeviceReading, Inventory, Reading, ReadingProblem } from './reading.ts';
import { createDevicePoller, type DevicePoller, readInventory } from './sources/nvidia-smi.ts';
import { messageOf } from './spool-files.ts';

/** An inventory that failed, or found nothing, is tried again after this long; so is one that a reading asks for. */
const INVENTORY_RETRY_MS = 60_000;

export interface DeviceListener {
  problem(problem: ReadingProblem): void;
  inventoryChanged(): void;
  /** `wrong` says what is wrong with a thing, null that nothing is; `well` what to say then. */
  state(thing: string, wrong: string | null, well: string): void;
}

export interface DevicesConfig {
  readonly spoolFolder: string;
  readonly nvidiaSmi: string;
  readonly procRoot: string;
  readonly inventoryIntervalMs: number;
}

export class Devices {
  readonly #config: DevicesConfig;
  readonly #bootId: string;
  readonly #ports: Pick<Ports, 'execute' | 'files' | 'clock'>;
  readonly #listener: DeviceListener;
  readonly #poller: DevicePoller;
  /** Every device that this run has seen, or one before it since the machine started, by UUID: one that vanishes is missing, not gone. */
  readonly #known = new Map<string, DeviceFact>();
  #inventory: readonly DeviceFact[] = [];
  #driverVersion: string | null = null;
  #blind: Failure | null = null;
  #nextMs = Number.NEGATIVE_INFINITY;
  #lastMs = Number.NEGATIVE_INFINITY;
  #failed = '';

  constructor(
    config: DevicesConfig,
    bootId: string,
    ports: Pick<Ports, 'execute' | 'files' | 'clock'>,
    listener: DeviceListener,
  ) {
    this.#bootId = bootId;
    this.#inventory = restoreDevices(ports.files, config.spoolFolder, bootId);
    for (const device of this.#inventory) this.#known.set(device.uuid, device);
    this.#config = config;
    this.#ports = ports;
    this.#listener = listener;
    this.#poller = createDevicePoller(ports, config);
  }

  get inventory(): readonly DeviceFact[] {
    return this.#inventory;
  }

  get driverVersion(): string | null {
    return this.#driverVersion;
  }

  /** Why no device is known at all; null once an inventory could be read, even an empty one. */
  get blind(): Failure | null {
    return this.#blind;
  }

  /** One poll, after an inventory if that is due. Never rejects. */
  async read(): Promise<Reading> {
    const { clock } = this.#ports;
    if (clock.monotonicMs() >= this.#nextMs) await this.#refresh();
    if (this.#inventory.length === 0) return this.#without([]);
    try {
      const reading = await this.#poller.poll(this.#inventory);
      for (const problem of reading.problems) this.#listener.problem(problem);
      this.#watch(reading);
      return reading;
    } catch (error) {
      const failure = { ok: false, reason: 'tool_failed', detail: messageOf(error) } as const;
      return this.#without(this.#inventory.map(({ uuid }) => ({ uuid, ...failure })));
    }
  }

  #without(devices: readonly DeviceReading[]): Reading {
    const { clock } = this.#ports;
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs(), devices, ended: [], problems: [] };
  }

  async #refresh(): Promise<void> {
    const inventory = await this.#readInventory();
    const { devices, driverVersion, failure, problems } = inventory;
    const found = devices?.length ?? 0;
    this.#lastMs = this.#ports.clock.monotonicMs();
    this.#nextMs = this.#lastMs + (found > 0 ? this.#config.inventoryIntervalMs : INVENTORY_RETRY_MS);
    for (const problem of problems) this.#listener.problem(problem);
    if (devices === null) {
      const { reason, detail: said } = failure ?? { reason: 'tool_failed', detail: 'no inventory' };
      const detail = (reason === 'device_missing' ? this.#hidden(0) : null) ?? said;
      this.#listener.problem({ source: 'inventory', device: null, message: detail });
      this.#listener.state('inventory', `no inventory of the GPUs: ${detail}`, '');
      // Once devices are known they stay known: their readings tell how they fare.
      if (this.#known.size === 0) this.#blind = { reason, detail };
      return;
    }
    this.#blind = null;
    this.#poller.inventoried(inventory);
    this.#driverVersion = driverVersion ?? this.#driverVersion;
    for (const device of devices)
      if (this.#known.has(device.uuid) || this.#known.size < BATCH_LIMITS.devices)
        this.#known.set(device.uuid, device);
    const before = JSON.stringify(this.#inventory);
    this.#inventory = [...this.#known.values()];
    if (JSON.stringify(this.#inventory) !== before) {
      this.#listener.inventoryChanged();
      this.#save();
    }
    const none = found === 0 ? 'nvidia-smi shows no GPU on this node' : null;
    const hidden = this.#hidden(found);
    if (hidden !== null) this.#listener.problem({ source: 'inventory', device: null, message: hidden });
    this.#listener.state('inventory', hidden ?? none, `watching ${found} GPUs`);
  }

  #save(): void {
    try {
      saveDevices(this.#ports.files, this.#config.spoolFolder, this.#bootId, this.#inventory);
    } catch (error) {
      this.#listener.problem({ source: 'spool', device: null, message: `devices.json: ${messageOf(error)}` });
    }
  }

  /** A device control group keeps GPUs from nvidia-smi, though not from the driver's own list. Null: none is missing. */
  #hidden(found: number): string | null {
    const count = this.#driverCount();
    if (count <= found) return null;
    if (found === 0)
      return `nvidia-smi finds no devices, though the driver has ${count}: a device control group hides them from the agent`;
    const others = 'the others are lost, or a device control group hides them from the agent';
    return `nvidia-smi shows ${found} of the ${count} GPUs that the driver has: ${others}`;
  }

  #driverCount(): number {
    try {
      return this.#ports.files.list(`${this.#config.procRoot}/driver/nvidia/gpus`).length;
    } catch {
      return 0;
    }
  }

  async #readInventory(): Promise<Inventory> {
    try {
      return await readInventory(this.#ports, this.#config);
    } catch (error) {
      return {
        devices: null,
        driverVersion: null,
        accountingMode: { unknown: 'no inventory' },
        cost: null,
        failure: { reason: 'tool_failed', detail: messageOf(error) },
        problems: [],
      };
    }
  }

  /** A device that fails or comes back asks for the inventory, though not at every poll. */
  #watch(reading: Reading): void {
    const failed = reading.devices.flatMap((device) => (device.ok ? [] : [device]));
    const wrong = failed.map(({ uuid, detail }) => `${uuid}: ${detail}`).join('; ');
    this.#listener.state(
      'devices',
      wrong === '' ? null : `not measured: ${wrong}`,
      'all GPUs are measured again',
    );
    for (const message of new Set(failed.map(({ detail }) => detail)))
      this.#listener.problem({ source: 'nvidia-smi', device: null, message });
    const uuids = failed.map(({ uuid }) => uuid).join(' ');
    if (uuids === this.#failed) return;
    this.#failed = uuids;
    this.#nextMs = Math.min(this.#nextMs, this.#lastMs + INVENTORY_RETRY_MS);
  }
}
