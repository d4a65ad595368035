/** Asks the dashboard of a Ray cluster. Whoever reaches it can start jobs there, so nothing that it says is trusted far. */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { RaySettings } from './settings.ts';

const SILENCE_MS = 30_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_TOKEN_CHARS = 65_536;

/** The dashboard refused. `status` 0: it did not answer, or with something else. */
export class DashboardError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = 'DashboardError';
    this.status = status;
  }
}

interface DashboardAnswer {
  readonly value: unknown;
  /** When it answered, by its own clock; null: it does not tell. */
  readonly atMs: number | null;
}

export type AskDashboard = (path: string, signal: AbortSignal) => Promise<DashboardAnswer>;

/** Throws `DashboardError`, or what `signal` was aborted with. */
export function createDashboard({ url, tokenFile }: Pick<RaySettings, 'url' | 'tokenFile'>): AskDashboard {
  const base = new URL(url.endsWith('/') ? url : `${url}/`);
  return async (path, signal) => {
    const client = await (base.protocol === 'https:' ? import('node:https') : import('node:http'));
    const token = tokenFile === undefined ? null : await tokenIn(tokenFile);
    const headers = {
      accept: 'application/json',
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
    };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = client.request(new URL(path, base), { headers, signal }, resolve);
      request.setTimeout(SILENCE_MS, () => request.destroy(new Error('no answer in time')));
      request.on('error', reject);
      request.end();
    }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw new DashboardError(0, `${base.host} cannot be reached: ${causeOf(error)}`);
    });
    const status = response.statusCode ?? 0;
    if (status !== 200) {
      response.destroy();
      throw new DashboardError(
        status,
        `HTTP ${status} for ${path}${status === 401 || status === 403 ? REFUSED : ''}`,
      );
    }
    const dateMs = Date.parse(response.headers.date ?? '');
    const text = await readAll(response, signal);
    try {
      return { value: JSON.parse(text), atMs: Number.isNaN(dateMs) ? null : dateMs };
    } catch {
      throw new DashboardError(
        0,
        `${path} was answered with what is no JSON: is ${base.host} a dashboard of Ray?`,
      );
    }
  };
}

const REFUSED = ': it asks for a token (tokenFile)';

async function tokenIn(file: string): Promise<string> {
  const token = (await readFile(file, 'utf8')).slice(0, MAX_TOKEN_CHARS).trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Error(`${file} holds no token: one word`);
  return token;
}

async function readAll(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of response) {
      if (!Buffer.isBuffer(piece)) continue;
      bytes += piece.length;
      if (bytes > MAX_ANSWER_BYTES)
        throw new DashboardError(0, `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      pieces.push(piece);
    }
  } catch (error) {
    response.destroy();
    signal.throwIfAborted();
    if (error instanceof DashboardError) throw error;
    throw new DashboardError(0, `an answer broke off: ${causeOf(error)}`);
  }
  return Buffer.concat(pieces).toString('utf8');
}

const causeOf = (error: unknown): string =>
  error instanceof Error
    ? error.message || ('code' in error ? String(error.code) : error.name)
    : String(error);
