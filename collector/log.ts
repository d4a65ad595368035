/** What the agent says on its log: each change of a thing's state once, however often it is looked at. */
import type { LogForm } from './config.ts';
import { bytesToText } from './text.ts';

type LogLevel = 'info' | 'warn';
/** `about` is the thing whose state changed: inventory, devices, spool, service, agent. */
export type AgentLog = (level: LogLevel, message: string, about: string) => void;

const MAX_LOG_CHARS = 500;
/** Changes of one thing that are told within an hour. One that comes and goes all the time would fill the log. */
const MAX_TELLINGS = 6;
const TELLING_WINDOW_MS = 3_600_000;

/** One line a message, safe for terminals and logs: text for people, or a JSON object with time, level, about, message. */
export function createLog(form: LogForm, wallMs: () => number, write: (line: string) => void): AgentLog {
  return (level, message, about) => {
    const time = new Date(wallMs()).toISOString();
    const text = bytesToText(Buffer.from(message), MAX_LOG_CHARS).text;
    if (form === 'text') write(`${time} gpuledger-agent ${level} ${text}\n`);
    else write(`${JSON.stringify({ time, level, program: 'gpuledger-agent', about, message: text })}\n`);
  };
}

interface Told {
  /** What was told last; null: that nothing is wrong. */
  wrong: string | null;
  readonly atMs: number[];
  /** It was said that it changes too often. */
  restless: boolean;
}

/** Tells of states, not of events: what stays as it was, or differs in numbers only, is not told again. */
export class StateLog {
  readonly #log: AgentLog;
  readonly #monotonicMs: () => number;
  readonly #told = new Map<string, Told>();

  constructor(log: AgentLog, monotonicMs: () => number) {
    this.#log = log;
    this.#monotonicMs = monotonicMs;
  }

  /** `wrong` says what is wrong with a thing, null that nothing is; `well` is told when it was wrong, or `first` asks for it. */
  tell(about: string, wrong: string | null, well: string, first = false): void {
    const before = this.#told.get(about);
    if (before === undefined) {
      const speaks = wrong !== null || first;
      this.#told.set(about, { wrong, atMs: speaks ? [this.#monotonicMs()] : [], restless: false });
      if (speaks) this.#say(about, wrong, well);
      return;
    }
    if (sense(before.wrong) === sense(wrong)) return;
    const nowMs = this.#monotonicMs();
    while (before.atMs[0] !== undefined && nowMs - before.atMs[0] >= TELLING_WINDOW_MS) before.atMs.shift();
    if (before.atMs.length >= MAX_TELLINGS) {
      if (!before.restless)
        this.#log('warn', `${about}: changes again and again; told less often now`, about);
      before.restless = true;
      return;
    }
    if (before.atMs.length === 0) before.restless = false;
    before.wrong = wrong;
    before.atMs.push(nowMs);
    this.#say(about, wrong, well);
  }

  #say(about: string, wrong: string | null, well: string): void {
    if (wrong === null) this.#log('info', well, about);
    else this.#log('warn', wrong, about);
  }
}

/** Counts of bytes and numbers of batches move all the time; what they are about stays. Names, such as UUIDs, count. */
const sense = (message: string | null): string | null =>
  message?.replace(/(?<![\w-])\d+(?![\w-])/g, '#') ?? null;
