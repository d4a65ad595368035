/** The real service on a port of its own, over a temporary data folder, and a short way to ask it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type App, type AppOptions, createApp, createLog } from '../../api/app.ts';
import type { Role } from '../../api/contract/primitives.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed, where it is JSON. */
  readonly json: unknown;
}

export interface Service {
  readonly app: App;
  readonly url: string;
  readonly folder: string;
  tokenFor(role: Role, more?: { node?: string; accounts?: string[] }): Promise<string>;
  ask(method: string, path: string, more?: Ask): Promise<Answer>;
  stop(): Promise<void>;
}

interface Ask {
  readonly token?: string;
  readonly body?: unknown;
  /** A body that is sent as it is. */
  readonly raw?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Record<string, string>;
}

export async function startService(options: Partial<AppOptions> = {}): Promise<Service> {
  const folder = mkdtempSync(join(tmpdir(), 'gpuledger-http-'));
  const app = await createApp({
    dataFolder: folder,
    host: '127.0.0.1',
    port: 0,
    log: createLog('silent'),
    ...options,
  });
  const { url } = await app.start();
  return {
    app,
    url,
    folder,
    async tokenFor(role, { node, accounts } = {}) {
      const { text } = await app.services.tokens.create({
        name: `${role} token`,
        role,
        node: role === 'agent' ? (node ?? 'n1') : null,
        accounts: role === 'owner' ? (accounts ?? ['research']) : null,
      });
      return text;
    },
    async ask(method, path, { token, body, raw, headers = {} } = {}) {
      const response = await fetch(url + path, {
        method,
        redirect: 'manual',
        headers: {
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(body === undefined && raw === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(raw === undefined ? (body === undefined ? {} : { body: JSON.stringify(body) }) : { body: raw }),
      });
      const text = await response.text();
      const isJson = /json/.test(response.headers.get('content-type') ?? '');
      return {
        status: response.status,
        headers: response.headers,
        text,
        json: isJson ? JSON.parse(text) : undefined,
      };
    },
    async stop() {
      await app.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
