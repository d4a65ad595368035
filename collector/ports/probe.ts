/** What only the doctor needs of the real machine: a look at the service and at a folder's file system. Changes nothing. */
import { accessSync, constants, realpathSync, statfsSync, statSync } from 'node:fs';

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 256 * 1024;

/** `atMs`: the service's clock by its Date header, in whole seconds; null where it sent none. */
type Probed =
  | { readonly ok: true; readonly status: number; readonly text: string; readonly atMs: number | null }
  | { readonly ok: false; readonly why: string };

export interface Probe {
  /** One GET; redirects are not followed, so that a token goes nowhere else. Never rejects. */
  get(url: URL, token: string | null): Promise<Probed>;
  /** Free bytes for this account on the file system of a path. Throws what the disk throws. */
  freeBytes(path: string): number;
  /** Throws where this process may not make files in the folder. */
  checkWritable(path: string): void;
  /** Permission bits. Throws where there is no such file. */
  mode(path: string): number;
  realPath(path: string): string;
  readonly uid: number;
}

export const probe: Probe = {
  async get(url, token) {
    try {
      const response = await fetch(url, {
        headers: token === null ? {} : { authorization: `Bearer ${token}` },
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const date = Date.parse(response.headers.get('date') ?? '');
      return {
        ok: true,
        status: response.status,
        text: await textOf(response),
        atMs: Number.isNaN(date) ? null : date,
      };
    } catch (error) {
      return { ok: false, why: whyOf(error) };
    }
  },
  freeBytes(path) {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  },
  checkWritable: (path) => accessSync(path, constants.W_OK | constants.X_OK),
  mode: (path) => statSync(path).mode & 0o7777,
  realPath: (path) => realpathSync(path),
  uid: process.geteuid?.() ?? -1,
};

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    chunks.push(chunk);
    if (length > MAX_ANSWER_BYTES) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  const cause = error.cause instanceof Error ? error.cause : error;
  const code = 'code' in cause ? String(cause.code) : '';
  return cause.message || code || error.message;
}
