/** The agent's way to the service: one request at a time by HTTP or HTTPS, and what its answers mean. */
import type { IncomingMessage } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { BatchRequest, BatchResponse, BatchStatus } from '../../api/contract/batch.ts';
import { type Network, ShipError } from '../ports.ts';

const REQUEST_TIMEOUT_MS = 30_000;
/** Requests below this are not worth compressing. */
const GZIP_FROM_BYTES = 2048;
const MAX_ANSWER_BYTES = 1024 * 1024;
/** Fields of a problem that its message names. */
const MAX_NAMED_FIELDS = 3;

export interface Service {
  /** Such as http://ledger:8470. */
  readonly apiUrl: string;
  /** Asked before each request, so that a token can be replaced while the agent runs. Throws `ShipError` when there is none. */
  readonly token: () => string;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Of its `Date`, which has whole seconds: the middle of that one. null: it has none. */
  readonly atMs: number | null;
}

/** What can pass by itself: too many requests, a time-out, a service that is starting or failing. */
const isPassing = (status: number): boolean =>
  status === 408 || status === 425 || status === 429 || status >= 500;
const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

const HINTS: Record<number, string> = {
  401: 'the service does not know this token. Make one with: gpuledger token create --role agent --node NAME',
  403: 'this token may not write for this node',
  404: 'nothing answers there: is the address of the service right (--api)?',
};

type Members = Readonly<Record<string, unknown>>;
const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const STATUSES: Readonly<Record<BatchStatus, true>> = {
  stored: true,
  duplicate: true,
  quarantined: true,
  out_of_order: true,
};
const isResult = (value: unknown): boolean =>
  isMembers(value) &&
  Number.isSafeInteger(value['seq']) &&
  Object.hasOwn(STATUSES, textOf(value['status'])) &&
  (value['message'] === null || typeof value['message'] === 'string');
/** By hand: a validation library would take a quarter of the memory that the whole agent may have. */
const isBatchResponse = (value: unknown): value is BatchResponse =>
  isMembers(value) &&
  Number.isSafeInteger(value['expectedSeq']) &&
  (value['serviceTimeMs'] === undefined || Number.isSafeInteger(value['serviceTimeMs'])) &&
  Array.isArray(value['results']) &&
  value['results'].every(isResult);

/** The service's own words; '' for what is not one of its answers, such as a proxy's page. */
function saidIn(text: string): string {
  try {
    const problem: unknown = JSON.parse(text);
    if (!isMembers(problem)) return '';
    const errors: readonly unknown[] = Array.isArray(problem['errors']) ? problem['errors'] : [];
    const fields = errors
      .filter(isMembers)
      .slice(0, MAX_NAMED_FIELDS)
      .map(({ field, message }) => `${textOf(field)} ${textOf(message)}`.trim());
    const said = textOf(problem['detail']) || textOf(problem['title']);
    return [said, ...fields].filter((part) => part !== '').join('; ');
  } catch {
    return '';
  }
}

const problemOf = ({ status, text }: Answer): string =>
  [`HTTP ${status}`, HINTS[status], saidIn(text)]
    .filter((part) => part !== undefined && part !== '')
    .join(': ');

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new ShipError('the answer of the service is too long', false);
    chunks.push(chunk);
  }
  const dateMs = Date.parse(response.headers.date ?? '');
  const atMs = Number.isNaN(dateMs) ? null : dateMs + 500;
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8'), atMs };
}

function causeOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return `no answer within ${REQUEST_TIMEOUT_MS / 1000} s`;
  if (!(error instanceof Error)) return String(error);
  return error.message || ('code' in error ? String(error.code) : error.name);
}

/**
 * Asked for here and not imported: an import of `node:http` also makes what that module only offers, WebSockets and all
 * that they need, which is 15 MB more resident memory than a client takes.
 */
function clientFor(url: URL) {
  const client = process.getBuiltinModule(url.protocol === 'https:' ? 'node:https' : 'node:http');
  const agent = new client.Agent({ keepAlive: true, maxSockets: 1 });
  return (headers: Record<string, string | number>, body: Buffer, signal: AbortSignal) =>
    new Promise<Answer>((resolve, reject) => {
      const request = client.request(url, { method: 'POST', headers, agent, signal }, (response) => {
        readAnswer(response).then(resolve, (error: unknown) => {
          request.destroy();
          reject(error);
        });
      });
      request.on('error', reject);
      request.end(body);
    });
}

export function createNetwork({ apiUrl, token }: Service): Network {
  const url = new URL('v1/batches', apiUrl.endsWith('/') ? apiUrl : `${apiUrl}/`);
  let post: ReturnType<typeof clientFor> | null = null;
  return {
    async send(request: BatchRequest): Promise<BatchResponse> {
      const authorization = `Bearer ${token()}`;
      const json = Buffer.from(JSON.stringify(request));
      const zipped = json.length >= GZIP_FROM_BYTES;
      const body = zipped ? gzipSync(json) : json;
      const headers = {
        authorization,
        'content-type': 'application/json',
        'content-length': body.length,
        ...(zipped ? { 'content-encoding': 'gzip' } : {}),
      };
      post ??= clientFor(url);
      const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
      const answer = await post(headers, body, signal).catch((error: unknown) => {
        if (error instanceof ShipError) throw error;
        throw new ShipError(`${url.origin} cannot be reached: ${causeOf(error, signal)}`, false);
      });
      if (isRedirect(answer.status))
        throw new ShipError(`${url.origin} cannot be reached: it redirects to another address`, false);
      if (answer.status < 200 || answer.status > 299)
        throw new ShipError(
          problemOf(answer),
          !isPassing(answer.status),
          // A proxy's clock is not the service's.
          saidIn(answer.text) === '' ? null : answer.atMs,
        );
      try {
        const parsed: unknown = JSON.parse(answer.text);
        if (isBatchResponse(parsed)) return parsed;
      } catch {
        // Told below, as any other answer that is not one to batches.
      }
      throw new ShipError(`${url.origin} answered what is not an answer to batches: is it gpuledger?`, true);
    },
  };
}
