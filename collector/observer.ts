/**
 * Watches the watching: the second road to the devices, processes that hide, and the tools of the reading. All of it at a
 * slow pace, and at most one of the slow looks in a poll.
 */
import { join } from 'node:path';
import {
  BATCH_LIMITS,
  type DeviceFact,
  type HolderFact,
  type IntegrityFact,
  type ToolFact,
} from '../api/contract/batch.ts';
import { DeviceHolders } from './device-holders.ts';
import { HiddenProcesses, type KnownProcesses } from './hidden-processes.ts';
import type { AgentClock, Ports } from './ports.ts';
import { type DeviceReading, isUnknown, type Reading } from './reading.ts';
import { messageOf } from './spool-files.ts';
import { bytesToText } from './text.ts';
import { parseToolState, toolStateText } from './tool-state.ts';
import { Tools } from './tools.ts';
import { drawsWorkingPower } from './working-power.ts';

/** From one look at mounts, members of jobs, or tools to the next of the same. */
const LOOK_MS = 60_000;
/**
 * Readings that many poll intervals apart are told of. They still measure the time between them, up to a limit; whoever can
 * stop the agent for just so long can do a lot in it.
 */
const LATE_POLLS = 2;
const LATE =
  'two readings were more than two polls apart: the agent or nvidia-smi was held up, and less was seen';
const CROWDED =
  `it has more than ${BATCH_LIMITS.tenantsPerTenancy} processes: ` +
  'those with the least of its work are left out, and the others get their time';
const STATE_BYTES = 256 * 1024;

export interface ObserverConfig {
  readonly spoolFolder: string;
  readonly nvidiaSmi: string;
  readonly procRoot: string;
  readonly pollIntervalMs: number;
}

export interface ObserverListener {
  observed(seen: { holders: readonly HolderFact[]; integrity: readonly IntegrityFact[] }): void;
  toolsChanged(): void;
  problem(source: string, message: string): void;
}

interface Look {
  readonly source: string;
  act(atMs: number, driverVersion: string | null): void;
  lastMs: number;
}

export class Observer {
  readonly #files: Ports['files'];
  readonly #statePath: string;
  readonly #listener: ObserverListener;
  readonly #holders: DeviceHolders;
  readonly #hidden: HiddenProcesses;
  readonly #tools: Tools;
  readonly #looks: Look[];
  /** What stands in the file, and what is to: put there a look later, when what it led to has been told. */
  #saved: string;
  #toSave: string | null = null;
  readonly #lateMs: number;
  #lastMs: number | null = null;

  constructor(
    config: ObserverConfig,
    files: Ports['files'],
    known: KnownProcesses,
    listener: ObserverListener,
  ) {
    this.#files = files;
    this.#statePath = join(config.spoolFolder, 'tools.json');
    this.#listener = listener;
    this.#lateMs = LATE_POLLS * config.pollIntervalMs;
    this.#holders = new DeviceHolders(files, config.procRoot, (pid, atMs) => known.adopt(pid, atMs));
    this.#hidden = new HiddenProcesses(files, config.procRoot, known);
    this.#saved = this.#readState();
    const architecture = process.arch;
    this.#tools = new Tools(files, { ...config, architecture }, parseToolState(this.#saved));
    const lastMs = Number.NEGATIVE_INFINITY;
    this.#looks = [
      { source: 'tools', act: (atMs, version) => this.#lookAtTools(atMs, version), lastMs },
      { source: 'mounts', act: (atMs) => this.#hidden.lookAtMounts(atMs), lastMs },
      { source: 'members', act: (atMs) => this.#hidden.lookAtMembers(atMs), lastMs },
    ];
  }

  /** As of the latest look; null: there was none yet. */
  tools(): readonly ToolFact[] | null {
    return this.#tools.tools;
  }

  /**
   * Before a poll's reading. The tools are looked at here, as somebody who gives the agent another nvidia-smi can put the right
   * one back when it has run, and cannot know when it will be wanted next.
   */
  before(clock: Pick<AgentClock, 'wallMs' | 'monotonicMs'>, driverVersion: string | null): void {
    const nowMs = clock.monotonicMs();
    const due = this.#due(nowMs);
    // The first look waits for a reading, which says what the driver's version is.
    if (due?.source === 'tools' && due.lastMs > Number.NEGATIVE_INFINITY)
      this.#look(due, Math.round(clock.wallMs()), nowMs, driverVersion);
  }

  /** A poll's part. `keys` are those of the processes of this reading. Never throws. */
  observe(
    reading: Reading,
    keys: ReadonlyMap<number, string>,
    devices: readonly DeviceFact[],
    driverVersion: string | null,
  ): void {
    const atMs = Math.round(reading.wallMs);
    const nowMs = reading.monotonicMs;
    if (nowMs - (this.#lastMs ?? nowMs) > this.#lateMs) this.#listener.problem('polls', LATE);
    this.#lastMs = nowMs;
    for (const device of reading.devices)
      if (device.ok && device.processes.length > BATCH_LIMITS.tenantsPerTenancy)
        this.#listener.problem('devices', `${device.uuid}: ${CROWDED}`);
    this.#attempt('hidden', () => this.#hidden.follow(reading, keys));
    const urgent = reading.devices.some(worksAlone);
    this.#attempt('holders', () => this.#holders.step(reading, devices, urgent));
    const due = this.#due(nowMs);
    if (due !== undefined && (due.source !== 'tools' || due.lastMs === Number.NEGATIVE_INFINITY))
      this.#look(due, atMs, nowMs, driverVersion);
    for (const trouble of this.#holders.troubles) this.#listener.problem('holders', trouble);
    for (const trouble of this.#hidden.troubles) this.#listener.problem('hidden', trouble);
    const holders = this.#holders.due(atMs);
    const integrity = [...this.#hidden.due(atMs), ...this.#tools.due(atMs)].map(inert);
    if (holders.length > 0 || integrity.length > 0) this.#listener.observed({ holders, integrity });
  }

  #due(nowMs: number): Look | undefined {
    return this.#looks.find(({ lastMs }) => nowMs - lastMs >= LOOK_MS);
  }

  #look(look: Look, atMs: number, nowMs: number, driverVersion: string | null): void {
    look.lastMs = nowMs;
    this.#attempt(look.source, () => look.act(atMs, driverVersion));
  }

  #lookAtTools(atMs: number, driverVersion: string | null): void {
    const toSave = this.#toSave;
    if (this.#tools.look(atMs, driverVersion)) this.#listener.toolsChanged();
    const { state } = this.#tools;
    this.#toSave = state === null ? null : toolStateText(state);
    if (toSave === null || toSave === this.#saved) return;
    this.#files.writeDurably(this.#statePath, Buffer.from(toSave));
    this.#saved = toSave;
  }

  #readState(): string {
    try {
      return this.#files.read(this.#statePath, STATE_BYTES).bytes.toString('utf8');
    } catch {
      return '';
    }
  }

  #attempt(source: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#listener.problem(source, messageOf(error));
    }
  }
}

/** Something uses it, and the driver names nobody. */
function worksAlone(device: DeviceReading): boolean {
  if (!device.ok || device.processes.length > 0) return false;
  const { utilisationPercent, powerMilliwatts, powerLimitMilliwatts } = device;
  return (
    (!isUnknown(utilisationPercent) && utilisationPercent > 0) ||
    drawsWorkingPower(powerMilliwatts, powerLimitMilliwatts)
  );
}

/** Paths in a detail may be anybody's. */
function inert(fact: IntegrityFact): IntegrityFact {
  return { ...fact, detail: bytesToText(Buffer.from(fact.detail), BATCH_LIMITS.detailChars).text };
}
