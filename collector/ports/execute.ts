/** Runs programs on the real machine: the agent's only place of child processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Execute, Executed } from '../ports.ts';
import { messageOf } from '../spool-files.ts';

/** How long a child that was killed may take to go before it is left behind: it is stuck in the driver. */
export const KILL_WAIT_MS = 2000;
/** How long the outputs of a program that has ended may stay open: something that it started holds them. */
const DRAIN_MS = 1000;
/** While so many could not be ended, no other is started on top of them. */
export const MAX_STUCK = 3;

const FAILURES: Record<string, Executed['failure']> = {
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  EACCES: 'not_permitted',
  EPERM: 'not_permitted',
};

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** What a program gets of the agent's environment: nothing that makes the dynamic linker load something else. */
export const cleanEnvironment = (): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], LC_ALL: 'C' });

/** With all that it started, as far as that is still in its group. */
export function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

const notRun = (failure: Executed['failure'], message: string): Executed => ({
  stdout: Buffer.alloc(0),
  stderr: Buffer.from(message),
  exitCode: null,
  failure,
  durationMs: 0,
});

export const stuckCalls = (count: number): Executed =>
  notRun('timeout', `${count} calls before this one are stuck and cannot be ended`);

/**
 * Programs run without a shell, with nothing on their standard input, an English locale, a clean environment and
 * a process group of their own.
 * `kill` ends one; it may fail to.
 */
export function createExecute(kill: (child: ChildProcess) => void = killGroup): Execute {
  const stuck = new Set<ChildProcess>();

  return (file, args, { timeoutMs, maxOutputBytes }) =>
    new Promise((resolve) => {
      if (stuck.size >= MAX_STUCK) {
        resolve(stuckCalls(stuck.size));
        return;
      }
      const startedMs = performance.now();
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      let bytes = 0;
      let failure: Executed['failure'] = null;
      let settled = false;
      const timers: NodeJS.Timeout[] = [];
      const later = (ms: number, act: () => void): void => void timers.push(setTimeout(act, ms));
      const finish = (exitCode: number | null): void => {
        if (settled) return;
        settled = true;
        for (const timer of timers) clearTimeout(timer);
        const durationMs = performance.now() - startedMs;
        const said = { stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) };
        resolve({ ...said, exitCode, failure, durationMs });
      };
      let child: ChildProcess;
      try {
        child = spawn(file, [...args], {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: cleanEnvironment(),
          shell: false,
          detached: true,
        });
      } catch (error) {
        resolve(notRun('failed', messageOf(error)));
        return;
      }
      child.on('error', (error) => {
        failure ??= FAILURES[codeOf(error)] ?? 'failed';
        if (failure === 'failed') stderr.push(Buffer.from(error.message));
        finish(null);
      });
      const letGo = (): void => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        child.unref();
      };
      const stop = (reason: 'timeout' | 'output_limit'): void => {
        if (settled || failure !== null) return;
        failure = reason;
        kill(child);
        later(KILL_WAIT_MS, () => {
          // Unkillable (D state): nothing may wait for it, neither this promise nor the end of the agent.
          failure = 'timeout';
          if (child.exitCode === null && child.signalCode === null) stuck.add(child);
          letGo();
          finish(null);
        });
      };
      later(timeoutMs, () => stop('timeout'));
      const collect = (into: Buffer[]) => (chunk: Buffer) => {
        const room = maxOutputBytes - bytes;
        if (chunk.length > room) stop('output_limit');
        if (room > 0) into.push(chunk.subarray(0, room));
        bytes += chunk.length;
      };
      // Without file descriptors to spare there are no pipes.
      child.stdout?.on('data', collect(stdout));
      child.stderr?.on('data', collect(stderr));
      child.on('exit', (code, signal) => {
        stuck.delete(child);
        if (settled) return;
        if (signal !== null) failure ??= 'killed';
        later(DRAIN_MS, () => {
          letGo();
          finish(code);
        });
      });
      child.on('close', (code) => finish(code));
    });
}

export const execute: Execute = createExecute();
