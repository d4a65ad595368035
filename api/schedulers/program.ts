/** Runs a scheduler's programs: no shell, a clean environment in UTC, a process group of its own, bounded in time and size. */
import { type ChildProcess, spawn } from 'node:child_process';

export interface ProgramCall {
  readonly file: string;
  readonly args: readonly string[];
  /** Beside PATH, LC_ALL=C and TZ=UTC: nothing else of this process's environment is handed on. */
  readonly environment?: Readonly<Record<string, string>>;
  /** So long it may say nothing while it is waited for. */
  readonly silenceMs: number;
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
}

/** How it failed: it is not there, may not be run, said nothing for too long, said too much, or said no itself. */
type ProgramFailure = 'missing' | 'not_permitted' | 'silent' | 'too_large' | 'stopped' | 'failed';

export class ProgramError extends Error {
  readonly failure: ProgramFailure;
  /** The first characters of what it wrote to its standard error. */
  readonly said: string;
  constructor(message: string, failure: ProgramFailure, said = '') {
    super(message);
    this.name = 'ProgramError';
    this.failure = failure;
    this.said = said;
  }
}

const SAID_CHARS = 2000;
/** How long the end of a program that has closed its output is waited for. */
const EXIT_WAIT_MS = 5000;
const FAILURES: Readonly<Record<string, ProgramFailure>> = {
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  EACCES: 'not_permitted',
  EPERM: 'not_permitted',
};

/** With all that it started, as far as that is still in its group. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

/**
 * What the program writes, as it writes it: one that is read slowly waits. Throws `ProgramError` at the end where it did
 * not end well; what came before that is as good as the reader makes of it. A reader that stops ends the program.
 */
export async function* runProgram(call: ProgramCall): AsyncGenerator<Buffer> {
  const { file, args, silenceMs, maxBytes, signal } = call;
  if (signal?.aborted === true) throw new ProgramError(`${file} was not started`, 'stopped');
  const child = spawn(file, [...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC', ...call.environment },
    shell: false,
    detached: true,
  });
  let failure: ProgramError | null = null;
  let said = '';
  const stop = (error: ProgramError): void => {
    failure ??= error;
    killGroup(child);
    child.stdout.destroy();
  };
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
      stop(new ProgramError(`${file} cannot be started: ${error.message}`, FAILURES[code] ?? 'failed'));
      resolve();
    });
    child.once('exit', () => resolve());
  });
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < SAID_CHARS) said = (said + chunk.toString('utf8')).slice(0, SAID_CHARS);
  });
  const onAbort = (): void => stop(new ProgramError(`${file} was stopped`, 'stopped'));
  signal?.addEventListener('abort', onAbort, { once: true });
  const silent = (): void =>
    stop(new ProgramError(`${file} said nothing for ${Math.round(silenceMs / 1000)} s`, 'silent'));
  let timer = setTimeout(silent, silenceMs);
  let bytes = 0;
  try {
    try {
      for await (const part of child.stdout) {
        const chunk: Buffer = part;
        clearTimeout(timer);
        bytes += chunk.length;
        if (bytes > maxBytes) stop(new ProgramError(`${file} said more than ${maxBytes} bytes`, 'too_large'));
        if (failure !== null) break;
        yield chunk;
        timer = setTimeout(silent, silenceMs);
      }
    } catch (error) {
      // Destroyed under the reader's hands: the reason is the failure.
      if (failure === null) throw error;
    }
    clearTimeout(timer);
    if (failure === null) {
      timer = setTimeout(silent, EXIT_WAIT_MS);
      await ended;
    }
    if (failure !== null) throw failure;
    if (child.exitCode !== 0) {
      const how = child.signalCode ?? `exit code ${child.exitCode}`;
      throw new ProgramError(
        `${file} failed (${how})${said === '' ? '' : `: ${lineOf(said)}`}`,
        'failed',
        said,
      );
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    if (child.exitCode === null && child.signalCode === null) killGroup(child);
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** The first line with words, without control characters: for a person. */
const lineOf = (text: string): string =>
  (text.split('\n').find((line) => line.trim() !== '') ?? '').replace(/\p{Cc}/gu, '?').slice(0, 300);
