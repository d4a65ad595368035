/**
 * The node's clock, held to the service's. Every answer of the service tells its time, and the monotonic clock carries
 * that on. A step of the wall clock that leads away from it is not followed: readings stay where they belong, and the step
 * is told. A step towards it is followed; so is every step while the service's time is not known.
 */
import {
  BATCH_LIMITS,
  type BatchRequest,
  type BatchResponse,
  type ClockStep,
} from '../api/contract/batch.ts';
import { type AgentClock, type Ports, ShipError } from './ports.ts';
import { createProcfs } from './sources/procfs.ts';

/** Clocks may part by this much from one look to the next before it counts as a step. */
const STEP_MS = 1000;
/** An answer that took longer tells too little of the time. */
const MAX_ROUND_TRIP_MS = 10_000;
/** A clock that is further off than this is put right; less may be anybody's fault, and matters little. */
const MAX_APART_MS = 60_000;

/** How long the first reading waits for the service to tell the time. */
const GREETING_MS = 2000;

export class NodeClock implements AgentClock {
  readonly #clock: AgentClock;
  readonly #uptimeMs: () => number | null;
  /** What is added to the wall clock, and how much of that puts right what was wrong from the start. */
  #correctionMs = 0;
  #repairedMs = 0;
  /** The latest look at both clocks. */
  #wallMs: number;
  #monotonicMs: number;
  /** Uptime less monotonic clock: grows while the machine is suspended. null: not known. */
  #suspendedMs: number | null;
  /** The service's time less the monotonic clock, and how wrong that may be. */
  #service: { readonly offsetMs: number; readonly errorMs: number } | null = null;
  #refused: ClockStep[] = [];

  /** `uptimeMs`: since the machine started, suspended time included; null where nobody says. */
  constructor(clock: AgentClock, uptimeMs: () => number | null) {
    this.#clock = clock;
    this.#uptimeMs = uptimeMs;
    this.#wallMs = clock.wallMs();
    this.#monotonicMs = clock.monotonicMs();
    this.#suspendedMs = this.#lookSuspended();
  }

  /** How much later than the wall clock said the machine started, by what was put right. */
  get repairedMs(): number {
    return this.#repairedMs;
  }

  wallMs(): number {
    const wallMs = this.#clock.wallMs();
    const monotonicMs = this.#clock.monotonicMs();
    const expectedMs = this.#wallMs + (monotonicMs - this.#monotonicMs);
    const stepMs = wallMs - expectedMs;
    if (Math.abs(stepMs) > STEP_MS) this.#judge(stepMs, expectedMs + this.#correctionMs, monotonicMs);
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
    return wallMs + this.#correctionMs;
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return this.#clock.sleep(ms, signal);
  }

  /** Takes the service's time, told between two moments of the monotonic clock. */
  heard(serviceMs: number, sentMs: number, receivedMs: number): void {
    const errorMs = (receivedMs - sentMs) / 2;
    if (!Number.isSafeInteger(serviceMs) || serviceMs < 0 || receivedMs - sentMs > MAX_ROUND_TRIP_MS) return;
    const offsetMs = serviceMs - (sentMs + receivedMs) / 2;
    // A step that nobody has looked at yet is not what the clock is off by.
    const apartMs = offsetMs + this.#clock.monotonicMs() - this.wallMs();
    this.#service = { offsetMs, errorMs };
    this.#suspendedMs = this.#lookSuspended();
    if (Math.abs(apartMs) <= MAX_APART_MS + errorMs) return;
    this.#correctionMs += Math.round(apartMs);
    this.#repairedMs += Math.round(apartMs);
  }

  /** Steps that were not followed, up to `toMs`, each once; placed where readings are. */
  takeRefused(toMs: number): ClockStep[] {
    const taken = this.#refused.filter(({ atMs }) => atMs <= toMs);
    this.#refused = this.#refused.filter(({ atMs }) => atMs > toMs);
    return taken;
  }

  #judge(stepMs: number, hereMs: number, monotonicMs: number): void {
    if (this.#service === null) return;
    const suspendedMs = this.#lookSuspended();
    // The wall clock goes on while a machine is suspended, and the monotonic one does not. Where nothing tells that from
    // a clock that was set forward, the next answer does.
    const rawMs = hereMs - this.#correctionMs + stepMs;
    const right = Math.abs(rawMs - (this.#service.offsetMs + monotonicMs)) <= STEP_MS + this.#service.errorMs;
    if (stepMs > 0 && !right && (suspendedMs === null || this.#suspendedMs === null)) {
      this.#service = null;
      return;
    }
    const sleptMs = (suspendedMs ?? 0) - (this.#suspendedMs ?? 0);
    this.#suspendedMs = suspendedMs;
    if (sleptMs > STEP_MS) {
      this.#service = { ...this.#service, offsetMs: this.#service.offsetMs + sleptMs };
      if (Math.abs(stepMs - sleptMs) <= STEP_MS) return;
    }
    const serviceMs = this.#service.offsetMs + monotonicMs;
    const before = Math.abs(hereMs + sleptMs - serviceMs);
    const after = Math.abs(hereMs + stepMs - serviceMs);
    if (after <= before + this.#service.errorMs) return;
    const refusedMs = Math.round(stepMs - sleptMs);
    this.#correctionMs -= refusedMs;
    if (this.#refused.length < BATCH_LIMITS.problems)
      this.#refused.push({ atMs: Math.round(hereMs + sleptMs), stepMs: refusedMs });
  }

  #lookSuspended(): number | null {
    const uptimeMs = this.#uptimeMs();
    return uptimeMs === null ? null : uptimeMs - this.#clock.monotonicMs();
  }
}

/** What is to be said of a step that was not followed. */
export const refusalOf = ({ stepMs }: ClockStep): string =>
  `was set by ${(stepMs / 1000).toFixed(1)} s, away from the service's clock: readings stay where they belong`;

/** Ports whose clock hears the time that each answer of the service tells. */
export function heldToService(ports: Ports, procRoot: string): Ports & { readonly clock: NodeClock } {
  const procfs = createProcfs(ports.files, procRoot);
  const clock = new NodeClock(ports.clock, () => procfs.uptimeMs());
  const send = async (request: BatchRequest): Promise<BatchResponse> => {
    const sentMs = clock.monotonicMs();
    const hear = (serviceMs: number | null | undefined): void => {
      if (serviceMs !== null && serviceMs !== undefined) clock.heard(serviceMs, sentMs, clock.monotonicMs());
    };
    try {
      const answer = await ports.network.send(request);
      hear(answer.serviceTimeMs);
      return answer;
    } catch (error) {
      if (error instanceof ShipError) hear(error.serviceTimeMs);
      throw error;
    }
  };
  return { ...ports, clock, network: { send } };
}

/** Asks the service for the time, so that a node whose clock is wrong from the start begins at the right one all the same. */
export async function askTime({ clock, network }: Ports, signal: AbortSignal): Promise<void> {
  const asked = new AbortController();
  const answered = network
    .send({ batches: [] })
    .then(
      () => undefined,
      () => undefined,
    )
    .finally(() => asked.abort());
  await Promise.race([answered, clock.sleep(GREETING_MS, AbortSignal.any([signal, asked.signal]))]);
}
