/**
 * Virtual time: agents sleep in it, and nothing passes but what they sleep. Whoever drives it lets everything that is
 * awake finish, then moves on to the next moment that somebody waits for.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AgentClock } from '../../collector/ports.ts';

interface Sleeper {
  readonly wakeMs: number;
  readonly wake: () => void;
}

/** A stretch in which the processes of a node do not run, as after SIGSTOP. */
export interface Frozen {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface ClockStep {
  readonly atMs: number;
  readonly byMs: number;
}

/** Turns of the event loop after which nothing more starts by itself. */
const QUIET_TURNS = 3;
const MAX_TURNS = 1_000_000;

export class World {
  nowMs: number;
  #busy = 0;
  #sleepers: Sleeper[] = [];

  constructor(startMs: number) {
    this.nowMs = startMs;
  }

  /**
   * Time does not move on before `work` has ended, so it may not sleep in it. What only takes turns of the event loop
   * needs no such care.
   */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    try {
      return await work();
    } finally {
      this.#busy -= 1;
    }
  }

  /** Everything that happens up to `untilMs`, then stands there. */
  async advance(untilMs: number): Promise<void> {
    for (;;) {
      await this.#settle();
      const next = this.#sleepers[0];
      if (next === undefined || next.wakeMs > untilMs) break;
      this.#sleepers.shift();
      this.nowMs = Math.max(this.nowMs, next.wakeMs);
      next.wake();
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  /** A node's clocks: the wall clock as it is set, the monotonic one since `bootMs`. */
  clockOf(bootMs: number, steps: readonly ClockStep[], frozen: readonly Frozen[]): AgentClock {
    return {
      wallMs: () =>
        Math.floor(steps.reduce((ms, { atMs, byMs }) => (this.nowMs >= atMs ? ms + byMs : ms), this.nowMs)),
      monotonicMs: () => this.nowMs - bootMs,
      sleep: (ms, signal) => {
        const wakeMs = this.nowMs + ms;
        const stopped = frozen.find(({ fromMs, toMs }) => wakeMs >= fromMs && wakeMs < toMs);
        return this.#sleep(stopped?.toMs ?? wakeMs, signal);
      },
    };
  }

  #sleep(wakeMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper: Sleeper = {
        wakeMs,
        wake: () => {
          signal.removeEventListener('abort', abort);
          resolve();
        },
      };
      const abort = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        sleeper.wake();
      };
      signal.addEventListener('abort', abort, { once: true });
      const at = this.#sleepers.findIndex((other) => other.wakeMs > wakeMs);
      this.#sleepers.splice(at < 0 ? this.#sleepers.length : at, 0, sleeper);
    });
  }

  async #settle(): Promise<void> {
    let quiet = 0;
    for (let turns = 0; quiet < QUIET_TURNS; turns += 1) {
      if (turns > MAX_TURNS) throw new Error('something neither sleeps nor ends');
      await nextTurn();
      quiet = this.#busy === 0 ? quiet + 1 : 0;
    }
  }
}
