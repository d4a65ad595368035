/** The agent's ports on the real machine (the network: `network.ts`): its only place of child processes and the clock. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { AgentClock, Execute, Executed, Files, HeldFile, Ports } from '../ports.ts';
import { createNetwork, type Service } from './network.ts';

/** How long a child that was killed may take to go before it is left behind: it is stuck in the driver. */
const KILL_WAIT_MS = 2000;
const READ_CHUNK_BYTES = 64 * 1024;
/** PROC_SUPER_MAGIC of linux/magic.h. */
const PROCFS_MAGIC = 0x9fa0;

const FAILURES: Record<string, Executed['failure']> = {
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  EACCES: 'not_permitted',
  EPERM: 'not_permitted',
};

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

/** Runs a program without a shell, with nothing on its standard input and an English locale. */
export const execute: Execute = (file, args, { timeoutMs, maxOutputBytes }) =>
  new Promise((resolve) => {
    const startedMs = performance.now();
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let bytes = 0;
    let failure: Executed['failure'] = null;
    let settled = false;
    let killTimer: NodeJS.Timeout | undefined;
    const finish = (exitCode: number | null): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      clearTimeout(killTimer);
      const durationMs = performance.now() - startedMs;
      resolve({
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr),
        exitCode,
        failure,
        durationMs,
      });
    };
    const child = spawn(file, [...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C' },
      shell: false,
    });
    const stop = (reason: 'timeout' | 'output_limit'): void => {
      if (settled || failure !== null) return;
      failure = reason;
      child.kill('SIGKILL');
      killTimer = setTimeout(() => {
        // Unkillable (D state): nothing may wait for it, neither this promise nor the end of the agent.
        failure = 'timeout';
        child.stdout.destroy();
        child.stderr.destroy();
        child.unref();
        finish(null);
      }, KILL_WAIT_MS);
    };
    const timer = setTimeout(() => stop('timeout'), timeoutMs);
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      const room = maxOutputBytes - bytes;
      if (chunk.length > room) stop('output_limit');
      if (room > 0) into.push(chunk.subarray(0, room));
      bytes += chunk.length;
    };
    child.stdout.on('data', collect(stdout));
    child.stderr.on('data', collect(stderr));
    child.on('error', (error) => {
      failure ??= FAILURES[codeOf(error)] ?? 'failed';
      finish(null);
    });
    child.on('close', (code, signal) => {
      if (signal !== null) failure ??= 'killed';
      finish(code);
    });
  });

/** What is read lands here first, so that thousands of small files a minute do not each leave a large buffer behind. */
const landing = Buffer.allocUnsafeSlow(READ_CHUNK_BYTES);

function read(path: string, maxBytes: number): { bytes: Buffer; cut: boolean } {
  const file = openSync(path, 'r');
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    let landed = 0;
    // Files of /proc have no size: read until there is no more, one byte beyond the limit to know of a cut.
    while (length <= maxBytes) {
      const room = Math.min(landing.length - landed, maxBytes + 1 - length);
      const count = readSync(file, landing, landed, room, null);
      if (count === 0) break;
      landed += count;
      length += count;
      if (landed === landing.length) {
        chunks.push(Buffer.from(landing));
        landed = 0;
      }
    }
    const rest = Buffer.from(landing.subarray(0, landed));
    const bytes = chunks.length === 0 ? rest : Buffer.concat([...chunks, rest], length);
    return { bytes: bytes.subarray(0, maxBytes), cut: length > maxBytes };
  } finally {
    closeSync(file);
  }
}

function hold(path: string): HeldFile {
  const file = openSync(path, 'r');
  try {
    if (statfsSync(path).type !== PROCFS_MAGIC)
      throw Object.assign(new Error(`not a file of /proc: ${path}`), { code: 'EOPNOTSUPP' });
  } catch (error) {
    closeSync(file);
    throw error;
  }
  return {
    read: (maxBytes) => {
      const room = Math.min(maxBytes, landing.length);
      return landing.subarray(0, readSync(file, landing, 0, room, 0));
    },
    close: () => closeSync(file),
  };
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function writeDurably(path: string, bytes: Buffer): void {
  const temporary = `${path}.tmp`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } catch (error) {
    closeSync(file);
    removeQuietly(temporary);
    throw error;
  }
  closeSync(file);
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // A leftover that the next write replaces.
  }
}

/** Major and minor number as Linux packs them into `st_dev`. */
function deviceName(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

export const files: Files = {
  read,
  hold,
  // By way of a text of single bytes, which loses nothing: a buffer of its own for each link costs more to throw away.
  readLink: (path) => Buffer.from(readlinkSync(path, { encoding: 'latin1' }), 'latin1'),
  list: (path) => readdirSync(path),
  identify(path) {
    const { dev, ino } = statSync(path, { bigint: true });
    return { device: deviceName(dev), inode: String(ino) };
  },
  sizeBytes: (path) => statSync(path).size,
  makeFolder(path) {
    const made = mkdirSync(path, { recursive: true, mode: 0o700 });
    if (made !== undefined) syncFolder(dirname(made));
  },
  writeDurably,
  rename(from, to) {
    renameSync(from, to);
    syncFolder(dirname(to));
  },
  remove(path) {
    if (statSync(path).isDirectory()) rmdirSync(path);
    else unlinkSync(path);
  },
};

export const clock: AgentClock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', wake);
    }),
};

export const createPorts = (service: Service): Ports => ({
  execute,
  files,
  clock,
  network: createNetwork(service),
});
