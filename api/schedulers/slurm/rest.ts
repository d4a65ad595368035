/** Asks Slurm through slurmrestd: over HTTP, or a unix socket on the same machine. */
import { readFile } from 'node:fs/promises';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { type RowsOf, rowsOf, type Slurm, SlurmRefusal } from './answers.ts';
import type { SlurmSettings } from './settings.ts';

const SILENCE_MS = 300_000;
/** The API's versions that are tried, the newest first: of 26.05 down to 20.11. */
const VERSIONS: readonly string[] = Array.from({ length: 16 }, (_, at) => `v0.0.${50 - at}`);
/** `v0.0.40`, of Slurm 23.11. */
const DUPLICATES_SINCE = 40;
const MAX_ERROR_BYTES = 16_384;
const MAX_TOKEN_CHARS = 65_536;

type Rest = NonNullable<SlurmSettings['rest']>;

export function createRest(settings: SlurmSettings, rest: Rest): Slurm {
  const { cluster } = settings;
  let version = rest.version ?? null;

  const get = async (path: string, signal: AbortSignal): Promise<RowsOf> => {
    const response = await ask(rest, path, signal);
    const key = path.includes('/nodes') ? 'nodes' : 'jobs';
    return { rows: rowsOf(response, [key], cluster), zoneless: false };
  };

  /** The newest that it answers, unless one is configured. */
  async function versionOf(signal: AbortSignal): Promise<string> {
    if (version !== null) return version;
    let last: unknown = null;
    for (const one of VERSIONS)
      try {
        (await ask(rest, `/slurm/${one}/ping`, signal)).resume();
        version = one;
        return one;
      } catch (error) {
        if (!(error instanceof NotThere)) throw error;
        last = error;
      }
    throw last;
  }

  /** Whether it knows a path; one that it refuses for another reason is there. */
  const isThere = async (path: string, signal: AbortSignal): Promise<boolean> => {
    try {
      const nothing = new URLSearchParams({ start_time: 'uts1', end_time: 'uts2' });
      (await ask(rest, `${path}?${nothing}`, signal)).destroy();
      return true;
    } catch (error) {
      return !(error instanceof NotThere);
    }
  };

  return {
    jobs: async (signal) => get(`/slurm/${await versionOf(signal)}/jobs/`, signal),
    nodes: async (signal) => get(`/slurm/${await versionOf(signal)}/nodes/`, signal),
    runs: async (wanted, signal) => {
      const usable = await versionOf(signal);
      const query = new URLSearchParams({ skip_steps: 'true' });
      // Before, runs before a requeue are always shown, and the word is refused.
      if (Number(usable.split('.').at(-1)) >= DUPLICATES_SINCE) query.set('show_duplicates', 'true');
      if ('jobIds' in wanted) {
        query.set('step', wanted.jobIds.join(','));
        query.set('start_time', seconds(wanted.sinceMs));
      } else {
        query.set('start_time', seconds(wanted.fromMs));
        query.set('end_time', seconds(wanted.toMs));
      }
      // It answers for all clusters of its database.
      return { ...(await get(`/slurmdb/${usable}/jobs/?${query}`, signal)), shared: true };
    },
    async identify(signal) {
      const usable = await versionOf(signal);
      // 23.11 and later say with each answer of which cluster it is; before, each job does.
      for await (const _ of rowsOf(await ask(rest, `/slurm/${usable}/ping`, signal), ['pings'], cluster))
        break;
      const hasAccounting = settings.accounting && (await isThere(`/slurmdb/${usable}/jobs/`, signal));
      return { cluster: null, version: usable, privateData: null, remembersMs: null, hasAccounting };
    },
  };
}

/** Seconds since 1970, as Slurm writes them where text is expected. */
const seconds = (ms: number): string => `uts${Math.floor(ms / 1000)}`;

/** That version of the API, or all of it, is not there. */
class NotThere extends Error {
  constructor(path: string) {
    super(`slurmrestd does not know ${path}: state rest.version as it serves it`);
    this.name = 'NotThere';
  }
}

async function tokenOf({ tokenFile, tokenEnv }: Rest): Promise<string | null> {
  const text = tokenFile === undefined ? process.env[tokenEnv] : await readFile(tokenFile, 'utf8');
  const token = (text ?? '').slice(0, MAX_TOKEN_CHARS).trim();
  // `scontrol token` prints it as an assignment.
  const value = token.replace(/^SLURM_JWT=/, '');
  if (!/^[\x21-\x7e]*$/.test(value)) throw new Error('the token of slurmrestd is more than one word');
  return value === '' ? null : value;
}

async function ask(rest: Rest, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const token = await tokenOf(rest);
  const headers: Record<string, string> = { accept: 'application/json' };
  if (token !== null) headers['x-slurm-user-token'] = token;
  if (rest.user !== undefined) headers['x-slurm-user-name'] = rest.user;
  const socketPath = /^unix:(\/.*)$/.exec(rest.url)?.[1];
  const url = new URL(
    socketPath === undefined ? rest.url.replace(/\/+$/, '') + path : `http://localhost${path}`,
  );
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = { headers, signal, ...(socketPath === undefined ? {} : { socketPath }) };
    const request = send(url, options, resolve);
    request.setTimeout(SILENCE_MS, () =>
      request.destroy(new Error('slurmrestd said nothing for five minutes')),
    );
    request.once('error', reject);
    request.end();
  });
  const { statusCode = 0 } = response;
  if (statusCode === 200) return response;
  const said = await beginningOf(response);
  if (statusCode === 404) throw new NotThere(path.split('?', 1)[0] ?? path);
  if (statusCode === 401 || statusCode === 403)
    throw new SlurmRefusal(
      `slurmrestd does not accept the token (${statusCode}): renew it, or state rest.user`,
    );
  throw new SlurmRefusal(`slurmrestd answered ${statusCode}${said === '' ? '' : `: ${said}`}`);
}

async function beginningOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > MAX_ERROR_BYTES) break;
  }
  response.destroy();
  const found = /"(?:error|description)"\s*:\s*"([^"]{1,200})/.exec(text)?.[1] ?? text.slice(0, 200);
  return found.replace(/[\p{Cc}\p{Cs}]/gu, ' ').trim();
}
