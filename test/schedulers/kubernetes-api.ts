/**
 * A Kubernetes API for tests: real HTTP, lists in pages, watches with bookmarks, versions that expire, and whatever a
 * connection can do wrong. Objects are what a test puts in, as an API would give them.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Json = Record<string, unknown>;

interface Change {
  readonly version: number;
  readonly type: string;
  readonly object: Json;
}

interface Watcher {
  readonly collection: string;
  readonly response: ServerResponse;
}

export class FakeKubernetes {
  readonly requests: string[] = [];
  /** Every way in which somebody signed in. */
  readonly credentials = new Set<string>();
  /** Bookmarks and the ends of watches come this often: an API's minutes in little time. */
  watchMs = 40;
  /** Statuses to answer with next, by a part of the path. */
  readonly refusals: { match: string; status: number; headers?: Record<string, string>; times: number }[] =
    [];
  /** Text to send as an event at the next opening of a watch. */
  garbage: string | null = null;
  readonly #objects = new Map<string, Map<string, Json>>();
  #changes: Change[] = [];
  #watchers = new Set<Watcher>();
  #version = 100;
  #forgottenTo = 0;
  readonly #server = createServer((request, response) => this.#answer(request, response));

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Adds or changes the object at its path, such as `/api/v1/namespaces/team/pods/llm-0`; watchers hear of it. */
  put(path: string, object: Json): void {
    this.#version += 1;
    const { collection, name } = split(path);
    const at = this.#objects.get(collection) ?? new Map<string, Json>();
    this.#objects.set(collection, at);
    const metadata = { ...(object['metadata'] as Json), resourceVersion: String(this.#version) };
    const whole = { ...object, metadata };
    this.#tell(
      { version: this.#version, type: at.has(name) ? 'MODIFIED' : 'ADDED', object: whole },
      collection,
    );
    at.set(name, whole);
  }

  remove(path: string, last?: Json): void {
    this.#version += 1;
    const { collection, name } = split(path);
    const object = last ?? this.#objects.get(collection)?.get(name);
    this.#objects.get(collection)?.delete(name);
    if (object === undefined) throw new Error(`nothing at ${path}`);
    const metadata = { ...(object['metadata'] as Json), resourceVersion: String(this.#version) };
    this.#tell({ version: this.#version, type: 'DELETED', object: { ...object, metadata } }, collection);
  }

  /** Without telling anybody, and as if it had been compacted away: who asks for an earlier version gets a 410. */
  forget(): void {
    this.#version += 1;
    this.#forgottenTo = this.#version;
    this.#changes = [];
  }

  /** Cuts every watch in the middle of a line. */
  cut(): void {
    for (const { response } of this.#watchers) {
      response.write('{"type":"MODIFIED","object":{"metadata":{"na');
      response.destroy();
    }
    this.#watchers.clear();
  }

  /** Sends an event as it is written here. */
  say(text: string): void {
    for (const { response } of this.#watchers) response.write(text);
  }

  get watching(): number {
    return this.#watchers.size;
  }

  #tell(change: Change, collection: string): void {
    this.#changes.push({ ...change, object: { ...change.object, '#': collection } });
    for (const watcher of this.#watchers)
      if (covers(watcher.collection, collection)) watcher.response.write(line(change.type, change.object));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://api');
    this.credentials.add(request.headers.authorization ?? '');
    this.requests.push(`${url.pathname}${url.search}`);
    const refusal = this.refusals.find(
      ({ match, times }) => times > 0 && `${url.pathname}${url.search}`.includes(match),
    );
    if (refusal !== undefined) {
      refusal.times -= 1;
      response.writeHead(refusal.status, { 'content-type': 'application/json', ...refusal.headers });
      response.end(
        JSON.stringify({ kind: 'Status', code: refusal.status, message: `refused: ${refusal.status}` }),
      );
      return;
    }
    if (url.searchParams.get('watch') === 'true') this.#watch(url, response);
    else this.#get(url, response);
  }

  #get(url: URL, response: ServerResponse): void {
    const value = this.#valueOf(url);
    const status = value['kind'] === 'Status' ? Number(value['code']) : 200;
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  }

  #valueOf(url: URL): Json {
    if (url.pathname === '/version') return { gitVersion: 'v1.34.1' };
    const { collection, name } = split(url.pathname);
    const single = this.#objects.get(collection)?.get(name);
    if (single !== undefined) return single;
    const resources = this.#resourcesOf(url.pathname);
    if (resources.length > 0) return { kind: 'APIResourceList', resources };
    if (!/(pods|nodes)$/.test(url.pathname)) return { kind: 'Status', code: 404, message: 'not found' };
    const [version, from] = (url.searchParams.get('continue') ?? `${this.#version}:0`).split(':').map(Number);
    if ((version ?? 0) < this.#forgottenTo) return { kind: 'Status', code: 410, message: 'expired' };
    const all = [...this.#objects].flatMap(([at, objects]) =>
      covers(url.pathname, at) ? [...objects.values()] : [],
    );
    const limit = Number(url.searchParams.get('limit') ?? all.length);
    const next = (from ?? 0) + limit;
    const metadata = {
      resourceVersion: String(version),
      ...(next < all.length ? { continue: `${version}:${next}` } : {}),
    };
    return { kind: 'List', metadata, items: all.slice(from, next) };
  }

  /** The kinds of `/apis/group/version` or `/api/version` that there are objects of. */
  #resourcesOf(path: string): Json[] {
    const found: Json[] = [];
    for (const [collection, objects] of this.#objects) {
      const [, root, plural] =
        /^(\/apis\/[^/]+\/[^/]+|\/api\/[^/]+)(?:\/namespaces\/[^/]+)?\/([^/]+)$/.exec(collection) ?? [];
      const kind = [...objects.values()][0]?.['kind'];
      if (root === path) found.push({ name: plural, kind }, { name: `${plural}/status`, kind });
    }
    return found;
  }

  #watch(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (this.garbage !== null) {
      response.write(this.garbage);
      this.garbage = null;
    }
    if (from < this.#forgottenTo) {
      response.end(line('ERROR', { kind: 'Status', code: 410, message: 'too old resource version' }));
      return;
    }
    for (const { version, type, object } of this.#changes) {
      const { '#': collection, ...rest } = object;
      if (version > from && covers(url.pathname, String(collection))) response.write(line(type, rest));
    }
    const watcher = { collection: url.pathname, response };
    this.#watchers.add(watcher);
    const timer = setTimeout(() => {
      const metadata = { resourceVersion: String(this.#version) };
      response.end(line('BOOKMARK', { kind: 'Pod', metadata }));
    }, this.watchMs);
    response.on('close', () => {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    });
  }
}

const line = (type: string, object: Json): string => `${JSON.stringify({ type, object })}\n`;

function split(path: string): { collection: string; name: string } {
  const at = path.lastIndexOf('/');
  return { collection: path.slice(0, at), name: path.slice(at + 1) };
}

/** `/api/v1/pods` covers the pods of every namespace. */
const covers = (asked: string, collection: string): boolean =>
  asked === collection || asked === collection.replace(/\/namespaces\/[^/]+/, '');
