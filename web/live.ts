/** Live updates: the service says what changed (server-sent events), and the pages ask again for just that. */
import type { QueryClient } from '@tanstack/react-query';
import type { LiveEvent } from '../api/contract/overview.ts';

/** `gone` since a moment: the service stopped answering and is being tried again. */
type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  | { readonly state: 'gone'; readonly sinceMs: number };

export interface Live {
  /** For React's useSyncExternalStore. */
  subscribe(listener: () => void): () => void;
  connection(): Connection;
  start(): void;
  stop(): void;
}

/** Bursts of events become one round of questions. */
const COALESCE_MS = 400;
/** A large site reports all the time: what only adds up is asked for no more often than this. */
const STEADY_MS = 3_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 15_000;

/** First members of the query keys that an event makes stale. */
const STALE: Readonly<Record<LiveEvent['type'], readonly string[]>> = {
  hello: [],
  ledger: ['overview', 'jobs', 'job', 'conflicts', 'nodes', 'node', 'devices', 'sources', 'statement'],
  finding: ['overview', 'findings', 'finding', 'job'],
  node: ['nodes', 'node', 'devices', 'overview'],
};

function isEventType(value: unknown): value is LiveEvent['type'] {
  return typeof value === 'string' && Object.hasOwn(STALE, value);
}

/** Marks queries as stale: those that an urgent event names within `COALESCE_MS`, others once per `STEADY_MS`. */
function createInvalidator(client: QueryClient): {
  add(keys: readonly string[], urgent: boolean): void;
  cancel(): void;
} {
  const due = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let timerAtMs = 0;
  let flushedAtMs = -STEADY_MS;
  const flush = () => {
    timer = null;
    flushedAtMs = performance.now();
    const keys = [...due];
    due.clear();
    for (const key of keys) void client.invalidateQueries({ queryKey: [key] });
  };
  return {
    add(keys, urgent) {
      for (const key of keys) due.add(key);
      if (due.size === 0) return;
      const nowMs = performance.now();
      const atMs = urgent ? nowMs + COALESCE_MS : Math.max(nowMs + COALESCE_MS, flushedAtMs + STEADY_MS);
      if (timer && timerAtMs <= atMs) return;
      if (timer) clearTimeout(timer);
      timerAtMs = atMs;
      timer = setTimeout(flush, atMs - nowMs);
    },
    cancel() {
      if (timer) clearTimeout(timer);
      timer = null;
    },
  };
}

/** Keeps one event stream open while started, and asks for everything again when it comes back after an outage. */
export function createLive(client: QueryClient, path = '/v1/live'): Live {
  const listeners = new Set<() => void>();
  const invalidator = createInvalidator(client);
  let connection: Connection = { state: 'connecting' };
  let stream: EventSource | null = null;
  let retry: ReturnType<typeof setTimeout> | null = null;
  let retryMs = RETRY_MIN_MS;
  /** When the stream broke; null while it has not, or is mended. */
  let brokenSinceMs: number | null = null;

  const become = (next: Connection) => {
    connection = next;
    for (const listener of listeners) listener();
  };
  const onMessage = (event: MessageEvent<string>) => {
    const message: { type?: unknown } = JSON.parse(event.data);
    if (isEventType(message.type)) invalidator.add(STALE[message.type], message.type === 'finding');
  };
  const onOpen = () => {
    // Events were missed: everything on the page may be old.
    if (brokenSinceMs !== null) void client.invalidateQueries();
    brokenSinceMs = null;
    retryMs = RETRY_MIN_MS;
    become({ state: 'live' });
  };
  const onError = () => {
    stream?.close();
    // The service ends a stream now and then; only when it cannot be opened again at once is the service gone.
    const firstBreak = brokenSinceMs === null && connection.state === 'live';
    brokenSinceMs ??= Date.now();
    become(firstBreak ? { state: 'connecting' } : { state: 'gone', sinceMs: brokenSinceMs });
    retry = setTimeout(open, firstBreak ? 0 : retryMs);
    if (!firstBreak) retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
  };
  function open() {
    stream = new EventSource(path);
    stream.onopen = onOpen;
    stream.onerror = onError;
    stream.onmessage = onMessage;
  }
  return {
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    connection: () => connection,
    start() {
      if (!stream) open();
    },
    stop() {
      stream?.close();
      stream = null;
      if (retry) clearTimeout(retry);
      invalidator.cancel();
    },
  };
}
