/** Starts the product's own programs as processes of their own, as a site would, and waits for what they show. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('../../', import.meta.url));
const OUTPUT_CHARS = 200_000;

export function temporaryFolder(name: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `gpuledger-${name}-`));
  return {
    path,
    remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
  };
}

export interface Program {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Everything printed so far, both streams. */
  output(): string;
  /** Resolves with the exit code, or with the signal's name. */
  ended(): Promise<number | string>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

/** Runs one of our entry points (`api/cli/main.ts`, `collector/cli/main.ts`) on this test's own Node. */
export function startProgram(
  entry: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Program {
  return startCommand(process.execPath, [join(top, entry), ...args], env);
}

export function startCommand(
  file: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Program {
  const child = spawn(file, args, {
    cwd: top,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-OUTPUT_CHARS);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  if (child.pid === undefined) throw new Error(`could not start ${file}`);
  return {
    pid: child.pid,
    child,
    output: () => output,
    ended: () => ended,
    kill: async (signal) => {
      child.kill(signal);
      await ended;
    },
  };
}

/** Asks again until the answer is not null or undefined; fails with what `describe` says after `timeoutMs`. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | null | undefined> | T | null | undefined,
  timeoutMs = 30_000,
  describe: () => string = () => '',
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown = null;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== null && answer !== undefined) return answer;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline)
      throw new Error(`waited ${timeoutMs} ms for ${what}\n${lastError ?? ''}\n${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
