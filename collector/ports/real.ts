/** The agent's four ports on the real machine: the only place of child processes, the clock and the network in it. */
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
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { z } from 'zod';
import type { BatchRequest, BatchResponse } from '../../api/contract/batch.ts';
import {
  type AgentClock,
  type Execute,
  type Executed,
  type Files,
  type Network,
  type Ports,
  ShipError,
} from '../ports.ts';

/** How long a child that was killed may take to go before it is left behind: it is stuck in the driver. */
const KILL_WAIT_MS = 2000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Requests below this are not worth compressing. */
const GZIP_FROM_BYTES = 2048;
const MAX_ANSWER_BYTES = 1024 * 1024;
const READ_CHUNK_BYTES = 64 * 1024;

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

function read(path: string, maxBytes: number): { bytes: Buffer; cut: boolean } {
  const file = openSync(path, 'r');
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    // Files of /proc have no size: read until there is no more, one byte beyond the limit to know of a cut.
    while (length <= maxBytes) {
      const chunk = Buffer.allocUnsafe(Math.min(READ_CHUNK_BYTES, maxBytes + 1 - length));
      const count = readSync(file, chunk, 0, chunk.length, null);
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
      length += count;
    }
    const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length);
    return { bytes: bytes.subarray(0, maxBytes), cut: length > maxBytes };
  } finally {
    closeSync(file);
  }
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
  readLink: (path) => readlinkSync(path, { encoding: 'buffer' }),
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

export interface Service {
  /** Such as http://ledger:8470. */
  readonly apiUrl: string;
  /** Asked before each request, so that a token can be replaced while the agent runs. Throws `ShipError` when there is none. */
  readonly token: () => string;
}

const Answer = z.object({
  results: z.array(
    z.object({
      seq: z.int(),
      status: z.enum(['stored', 'duplicate', 'quarantined', 'out_of_order']),
      message: z.string().nullable(),
    }),
  ),
  expectedSeq: z.int(),
});
const ProblemAnswer = z.object({
  title: z.string().optional(),
  detail: z.string().optional(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
});

/** What can pass by itself: too many requests, a time-out, a service that is starting or failing. */
const isPassing = (status: number): boolean =>
  status === 408 || status === 425 || status === 429 || status >= 500;

const HINTS: Record<number, string> = {
  401: 'the service does not know this token. Make one with: gpuledger token create --role agent --node NAME',
  403: 'this token may not write for this node',
  404: 'nothing answers there: is the address of the service right (--api)?',
};

function problemOf(status: number, text: string): string {
  let said = '';
  try {
    const problem = ProblemAnswer.parse(JSON.parse(text));
    const fields = (problem.errors ?? []).slice(0, 3).map(({ field, message }) => `${field} ${message}`);
    said = [problem.detail ?? problem.title ?? '', ...fields].filter((part) => part !== '').join('; ');
  } catch {
    // Not one of our answers, such as a proxy's page: the status says enough.
  }
  return [`HTTP ${status}`, HINTS[status], said]
    .filter((part) => part !== undefined && part !== '')
    .join(': ');
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new ShipError('the answer of the service is too long', false);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const causeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${REQUEST_TIMEOUT_MS / 1000} s`;
  return error.cause instanceof Error ? error.cause.message || codeOf(error.cause) : error.message;
};

export function createNetwork({ apiUrl, token }: Service): Network {
  const url = new URL('v1/batches', apiUrl.endsWith('/') ? apiUrl : `${apiUrl}/`);
  return {
    async send(request: BatchRequest): Promise<BatchResponse> {
      let response: Response;
      let text: string;
      const authorization = `Bearer ${token()}`;
      try {
        const json = Buffer.from(JSON.stringify(request));
        const zipped = json.length >= GZIP_FROM_BYTES;
        response = await fetch(url, {
          method: 'POST',
          headers: {
            authorization,
            'content-type': 'application/json',
            ...(zipped ? { 'content-encoding': 'gzip' } : {}),
          },
          body: new Uint8Array(zipped ? await promisify(gzip)(json) : json),
          redirect: 'error',
          signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        });
        text = await textOf(response);
      } catch (error) {
        if (error instanceof ShipError) throw error;
        throw new ShipError(`${url.origin} cannot be reached: ${causeOf(error)}`, false);
      }
      if (!response.ok) throw new ShipError(problemOf(response.status, text), !isPassing(response.status));
      try {
        return Answer.parse(JSON.parse(text));
      } catch {
        throw new ShipError(
          `${url.origin} answered what is not an answer to batches: is it gpuledger?`,
          true,
        );
      }
    },
  };
}

export const createPorts = (service: Service): Ports => ({
  execute,
  files,
  clock,
  network: createNetwork(service),
});
