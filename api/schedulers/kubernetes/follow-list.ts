/**
 * A list of objects and everything that changes in it: read page by page, then watched from there on. Watches are short:
 * one that ends as agreed shows that nothing was missed up to then, and a dead connection is noticed. Where the API has
 * forgotten what came after the last version (410), the list is read again.
 */
import { setTimeout as rest } from 'node:timers/promises';
import { isMembers, listOf, type Members, membersAt, textOf } from '../json-values.ts';
import { ApiError, type KubernetesApi, type Query, TooLarge } from './connect.ts';

const PAGE = 500;
const WATCH_SECONDS = 20;
const WATCH_SILENCE_MS = (WATCH_SECONDS + 15) * 1000;
/** Of one event; an object of Kubernetes has at most 1.5 MiB. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;
/** Failures in a row after which the source gives up and is started again from the beginning. */
const MAX_FAILURES = 8;
const FIRST_PAUSE_MS = 250;
/** A watch that ends sooner is not begun again at once: a proxy may end all of them. */
const SHORTEST_WATCH_MS = 200;
const LAST_PAUSE_MS = 30_000;
const NEWLINE = 0x0a;

export interface ListHandler {
  /** The list is read from its beginning: what is not seen until `listed` is gone. */
  listing(): void;
  /** An object as it is, or as it last was. Awaited one by one. */
  object(value: Members, removed: boolean): Promise<void>;
  listed(): Promise<void>;
  /** Everything up to now has been seen. False: the list is to be read again all the same. */
  caughtUp(): Promise<boolean>;
  problem(message: string): void;
}

export interface Listed {
  readonly path: string;
  readonly fieldSelector?: string;
}

/** The API no longer knows the version that was asked for. */
class Expired extends Error {}
/** An event that is none: what it told is lost. */
class BrokenEvent extends Error {}

/** Until `signal` aborts. Throws where it cannot go on: it may not read the list, or nothing answers for long. */
export async function followList(
  api: KubernetesApi,
  { path, fieldSelector }: Listed,
  handler: ListHandler,
  signal: AbortSignal,
): Promise<void> {
  let version: string | null = null;
  let failures = 0;
  while (!signal.aborted) {
    try {
      if (version === null) {
        version = await readList(api, path, { fieldSelector }, handler, signal);
        await handler.caughtUp();
      }
      const watched = await watch(api, path, { fieldSelector }, version, handler, signal, () => {
        failures = 0;
      });
      version = (await handler.caughtUp()) ? watched : null;
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error)) throw error;
      failures += 1;
      if (failures > MAX_FAILURES) throw error;
      if (error instanceof Expired || error instanceof BrokenEvent) version = null;
      else if (error instanceof WatchBroke) version = error.version;
      const told = error instanceof WatchBroke ? error.cause : error;
      // That a watch is cut or a version forgotten is everyday life; what happens again and again is told.
      if (error instanceof BrokenEvent || failures > 2)
        handler.problem(`${path}: ${told instanceof Error ? told.message : String(told)}`);
      const asked = told instanceof ApiError ? told.retryAfterMs : null;
      const pauseMs = Math.min(LAST_PAUSE_MS, asked ?? FIRST_PAUSE_MS * 2 ** (failures - 1));
      await rest(pauseMs, undefined, { signal });
    }
  }
}

/** How far a watch came before it broke off. */
class WatchBroke extends Error {
  readonly version: string;
  constructor(version: string, cause: unknown) {
    super('the watch broke off', { cause });
    this.version = version;
  }
}

/** What may be over when it is tried again. */
function isPassing(error: unknown): boolean {
  const cause = error instanceof WatchBroke ? error.cause : error;
  if (!(cause instanceof ApiError)) return cause instanceof Expired || cause instanceof BrokenEvent;
  return cause.status === 0 || cause.status === 408 || cause.status === 429 || cause.status >= 500;
}

async function readList(
  api: KubernetesApi,
  path: string,
  query: Query,
  handler: ListHandler,
  signal: AbortSignal,
): Promise<string> {
  let limit = PAGE;
  let at: string | undefined;
  handler.listing();
  for (;;) {
    let page: unknown;
    try {
      page = await api.get(path, { ...query, limit, continue: at }, signal);
    } catch (error) {
      if (error instanceof TooLarge && limit > 1) {
        limit = Math.max(1, Math.floor(limit / 4));
        continue;
      }
      throw error instanceof ApiError && error.status === 410 ? new Expired(error.message) : error;
    }
    const metadata = membersAt(page, 'metadata');
    if (!isMembers(page) || !Array.isArray(page['items']))
      throw new ApiError(0, `${path} was answered with what is no list: is ${api.address} a Kubernetes API?`);
    for (const item of listOf(page, 'items')) {
      if (isMembers(item)) await handler.object(item, false);
      else handler.problem(`${path}: an item of the list is no object`);
    }
    const next = textOf(metadata, 'continue');
    if (next === null) {
      const version = textOf(metadata, 'resourceVersion');
      if (version === null) throw new ApiError(0, `${path}: the list states no resourceVersion`);
      await handler.listed();
      return version;
    }
    if (next === at) throw new ApiError(0, `${path}: the list goes on where it began`);
    at = next;
  }
}

/** Watches until the API ends it as agreed; the version to go on from. */
async function watch(
  api: KubernetesApi,
  path: string,
  query: Query,
  from: string,
  handler: ListHandler,
  signal: AbortSignal,
  goesWell: () => void,
): Promise<string> {
  let version = from;
  const wanted = { watch: true, allowWatchBookmarks: true, timeoutSeconds: WATCH_SECONDS };
  const beganMs = performance.now();
  try {
    const pieces = api.stream(path, { ...query, ...wanted, resourceVersion: from }, WATCH_SILENCE_MS, signal);
    for await (const lines of linesOf(pieces)) {
      for (const line of lines) {
        const next = await takeEvent(line, handler);
        if (next !== null) version = next;
      }
      goesWell();
      await handler.caughtUp();
    }
    goesWell();
  } catch (error) {
    if (error instanceof ApiError && error.status !== 410 && error.status !== 400)
      throw new WatchBroke(version, error);
    if (error instanceof ApiError) throw new Expired(error.message);
    throw error;
  }
  const leftMs = SHORTEST_WATCH_MS - (performance.now() - beganMs);
  if (leftMs > 0) await rest(leftMs, undefined, { signal });
  return version;
}

/** The version that it brings; null: none. */
async function takeEvent(line: Buffer, handler: ListHandler): Promise<string | null> {
  let event: unknown;
  try {
    event = JSON.parse(line.toString('utf8'));
  } catch {
    throw new BrokenEvent('an event is no JSON: the list is read again');
  }
  const object = membersAt(event, 'object');
  const type = isMembers(event) ? event['type'] : undefined;
  if (type === 'ERROR') {
    const message = textOf(object, 'message') ?? 'the watch failed';
    const code = typeof object['code'] === 'number' ? object['code'] : 0;
    throw code === 410 || object['reason'] === 'Expired' || object['reason'] === 'Gone'
      ? new Expired(message)
      : new ApiError(code, message);
  }
  if (type === 'ADDED' || type === 'MODIFIED') await handler.object(object, false);
  else if (type === 'DELETED') await handler.object(object, true);
  else if (type !== 'BOOKMARK') throw new BrokenEvent('an event is of no known type: the list is read again');
  return textOf(membersAt(object, 'metadata'), 'resourceVersion');
}

/** Whole lines of pieces; what a broken connection leaves of the last one is dropped. */
async function* linesOf(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const piece of pieces) {
    const lines: Buffer[] = [];
    let from = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, from)) {
      const tail = piece.subarray(from, end);
      const line = restBytes === 0 ? tail : Buffer.concat([...rest, tail]);
      rest = [];
      restBytes = 0;
      from = end + 1;
      if (line.length > 0) lines.push(line);
    }
    if (from < piece.length) {
      rest.push(piece.subarray(from));
      restBytes += piece.length - from;
    }
    if (restBytes > MAX_LINE_BYTES) throw new BrokenEvent('an event has no end: the list is read again');
    if (lines.length > 0) yield lines;
  }
}
