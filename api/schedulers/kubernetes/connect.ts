/** The way to a Kubernetes API: sign in as its own clients do, and bounded reading of what it answers. */
import type { IncomingMessage, RequestOptions } from 'node:http';
import { performance } from 'node:perf_hooks';
import { isMembers, textOf } from '../json-values.ts';

/** An answer that has not begun, or stops in the middle, for so long is given up. */
const SILENCE_MS = 30_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_SAID_CHARS = 300;

/** The API refused, or could not be reached. `status` 0: there was no answer. */
export class ApiError extends Error {
  readonly status: number;
  /** How long it asks to be left alone; null: it does not say. */
  readonly retryAfterMs: number | null;
  constructor(status: number, message: string, retryAfterMs: number | null = null) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** An answer was larger than what is taken in at once. */
export class TooLarge extends Error {}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface KubernetesApi {
  /** Where it is, without credentials. */
  readonly address: string;
  /** The time by the clock of the API, as its last answer told and a steady clock here went on; never ahead of the clock here. */
  nowMs(): number;
  /** A JSON document. Throws `ApiError`, `TooLarge`, or what `signal` was aborted with. */
  get(path: string, query: Query, signal: AbortSignal): Promise<unknown>;
  /** The pieces of an endless answer, until it ends or is silent for `silenceMs`. Throws as `get` does. */
  stream(path: string, query: Query, silenceMs: number, signal: AbortSignal): AsyncGenerator<Buffer>;
}

export interface Access {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
}

/** Throws where there is no usable configuration. The client library is large: it is loaded here, when it is needed. */
export async function connect(access: Access, nowMs: () => number): Promise<KubernetesApi> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (access.kubeconfig !== undefined) config.loadFromFile(access.kubeconfig);
  else if (process.env['KUBERNETES_SERVICE_HOST'] !== undefined && process.env['KUBECONFIG'] === undefined)
    config.loadFromCluster();
  else config.loadFromDefault();
  if (access.context !== undefined) config.setCurrentContext(access.context);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error('the configuration names no cluster: is its context right?');
  const base = new URL(server.endsWith('/') ? server : `${server}/`);
  return createApi(base, nowMs, async () => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return options;
  });
}

function createApi(base: URL, hereMs: () => number, signIn: () => Promise<RequestOptions>): KubernetesApi {
  let clock: { readonly serverMs: number; readonly steadyMs: number } | null = null;

  async function open(
    path: string,
    query: Query,
    accept: string,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const url = new URL(path.replace(/^\//, ''), base);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const client = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
    const options = await signIn();
    const headers = { ...options.headers, accept, 'user-agent': 'gpuledger' };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = client.request(url, { ...options, headers, method: 'GET', signal }, resolve);
      request.setTimeout(SILENCE_MS, () => request.destroy(new Error('no answer in time')));
      request.on('error', reject);
      request.end();
    }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw new ApiError(0, `${base.host} cannot be reached: ${causeOf(error)}`);
    });
    const dateMs = Date.parse(response.headers.date ?? '');
    if (!Number.isNaN(dateMs)) clock = { serverMs: dateMs, steadyMs: performance.now() };
    if (response.statusCode === 200) return response;
    throw await refusal(response, path);
  }

  return {
    address: base.host,
    nowMs: () => {
      const theirsMs = clock === null ? hereMs() : clock.serverMs + performance.now() - clock.steadyMs;
      return Math.floor(Math.min(theirsMs, hereMs()));
    },
    async get(path, query, signal) {
      const accept = query['metadataOnly'] === true ? METADATA_ONLY : 'application/json';
      const response = await open(path, { ...query, metadataOnly: undefined }, accept, signal);
      const bytes = await readAll(response, signal);
      try {
        const value: unknown = JSON.parse(bytes.toString('utf8'));
        return value;
      } catch {
        throw new ApiError(0, `${path} was answered with what is no JSON: is ${base.host} a Kubernetes API?`);
      }
    },
    async *stream(path, query, silenceMs, signal) {
      const response = await open(path, query, 'application/json', signal);
      response.setTimeout(silenceMs, () => response.destroy(new Error('it went silent')));
      try {
        for await (const piece of response) if (Buffer.isBuffer(piece)) yield piece;
      } catch (error) {
        signal.throwIfAborted();
        throw new ApiError(0, `the answer of ${base.host} broke off: ${causeOf(error)}`);
      } finally {
        response.destroy();
      }
    },
  };
}

/** Of an object, only what names it. */
const METADATA_ONLY = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';

async function readAll(response: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of response) {
      if (!Buffer.isBuffer(piece)) continue;
      bytes += piece.length;
      if (bytes > MAX_ANSWER_BYTES) throw new TooLarge(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      pieces.push(piece);
    }
  } catch (error) {
    response.destroy();
    signal.throwIfAborted();
    if (error instanceof TooLarge) throw error;
    throw new ApiError(0, `an answer broke off: ${causeOf(error)}`);
  }
  return Buffer.concat(pieces);
}

const HINTS: Readonly<Record<number, string>> = {
  401: 'the credentials are not taken',
  403: 'the account may not read this: apply the rights of docs/deploy/kubernetes-source.yaml',
  404: 'there is nothing of that name',
};

async function refusal(response: IncomingMessage, path: string): Promise<ApiError> {
  const status = response.statusCode ?? 0;
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN);
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of response) {
      if (!Buffer.isBuffer(piece) || bytes > 64 * 1024) break;
      bytes += piece.length;
      pieces.push(piece);
    }
  } catch {
    // What it would have said is lost; its status is known.
  }
  response.destroy();
  const parts = [`HTTP ${status} for ${path}`, HINTS[status], saidIn(Buffer.concat(pieces).toString('utf8'))];
  return new ApiError(
    status,
    parts.filter((part) => part !== undefined && part !== '').join(': '),
    Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null,
  );
}

/** The message of a Status object; '' for a proxy's page. */
function saidIn(text: string): string {
  try {
    const status: unknown = JSON.parse(text);
    return isMembers(status) ? (textOf(status, 'message') ?? '').slice(0, MAX_SAID_CHARS) : '';
  } catch {
    return '';
  }
}

const causeOf = (error: unknown): string =>
  error instanceof Error
    ? error.message || ('code' in error ? String(error.code) : error.name)
    : String(error);
