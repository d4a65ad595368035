/** How commands reach the service: address and token from flags, environment or the local token file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { DEFAULT_DATA_FOLDER, DEFAULT_HOST, DEFAULT_PORT } from '../config.ts';
import { Problem } from '../contract/primitives.ts';
import { CliError, EXIT } from './exit.ts';

/** `start` and `serve` leave an admin token here, for whoever may read the data folder. */
export const CLI_TOKEN_NAME = 'cli-token';
const TIMEOUT_MS = 30_000;

const ClientOptions = z.object({
  url: z.string().optional(),
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  data: z.string().optional(),
});
type ClientOptions = z.infer<typeof ClientOptions>;

/** Adds the flags that every command of this kind has. */
export const withClient = (command: Command): Command =>
  command
    .option(
      '--url <url>',
      `address of the service (GPULEDGER_URL, default http://${DEFAULT_HOST}:${DEFAULT_PORT})`,
    )
    .option('--token <token>', 'token to send (GPULEDGER_TOKEN; a command line can be seen by others)')
    .option('--token-file <file>', 'file that holds the token (GPULEDGER_TOKEN_FILE)')
    .option('--data <folder>', `data folder of a service on this machine, for its ${CLI_TOKEN_NAME}`);

export const withJson = (command: Command): Command => command.option('--json', 'print JSON for programs');

/** The service could not be reached at all, broke off, or is too busy. */
export class Unreachable extends CliError {}

/** The service says no. */
export class Refused extends CliError {
  readonly status: number;
  constructor(message: string, status: number) {
    super(message);
    this.name = 'Refused';
    this.status = status;
  }
}

export interface Client {
  readonly url: string;
  /** Sends a request and checks the answer. Throws `CliError` with what the problem says, or `Unreachable`. */
  ask<T>(
    schema: z.ZodType<T>,
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<T>;
  text(path: string): Promise<string>;
}

function readToken(file: string, required: boolean): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (!required) return null;
    throw new CliError(
      `the token file ${file} cannot be read: ${error instanceof Error ? error.message : error}`,
      EXIT.usage,
    );
  }
}

function findToken(options: ClientOptions): string | null {
  const given = options.token ?? process.env['GPULEDGER_TOKEN'];
  if (given) return given;
  const file = options.tokenFile ?? process.env['GPULEDGER_TOKEN_FILE'];
  if (file) return readToken(file, true);
  const folder = options.data ?? process.env['GPULEDGER_DATA'] ?? DEFAULT_DATA_FOLDER;
  return readToken(join(folder, CLI_TOKEN_NAME), false);
}

async function problemOf(response: Response, url: string): Promise<Refused> {
  const refused = (message: string): Refused => new Refused(message, response.status);
  const text = await response.text();
  let parsed: unknown = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Not one of our problems: a proxy, or another service on that port.
  }
  const problem = Problem.safeParse(parsed);
  if (!problem.success) return refused(`${url} answered ${response.status}: is it a gpuledger service?`);
  const { detail, errors = [] } = problem.data;
  const fields = errors.map((one) => `${one.field}: ${one.message}`).join('; ');
  const remedy =
    response.status === 401
      ? '. Give a token with --token-file or GPULEDGER_TOKEN; make one with: gpuledger token create'
      : '';
  return refused(fields === '' ? `${detail}${remedy}` : `${detail} (${fields})`);
}

export function createClient(flags: unknown): Client {
  const options = ClientOptions.parse(flags);
  const url = (
    options.url ??
    process.env['GPULEDGER_URL'] ??
    `http://${DEFAULT_HOST}:${DEFAULT_PORT}`
  ).replace(/\/+$/, '');
  if (!URL.canParse(url))
    throw new CliError(`--url ${url} is not an address such as http://127.0.0.1:8470`, EXIT.usage);
  const token = findToken(options);

  async function send(method: string, path: string, body?: unknown, stop?: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(url + path, {
        method,
        signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(stop === undefined ? [] : [stop])]),
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      stop?.throwIfAborted();
      const cause =
        error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
      throw new Unreachable(
        `the service at ${url} does not answer (${cause}). Start it with: gpuledger serve`,
      );
    }
    if (!response.ok) {
      const problem = await problemOf(response, url);
      throw response.status >= 500 || response.status === 429 ? new Unreachable(problem.message) : problem;
    }
    return response;
  }

  return {
    url,
    async ask(schema, method, path, body, signal) {
      const response = await send(method, path, body, signal);
      const answer = schema.safeParse(await response.json().catch(() => null));
      if (!answer.success)
        throw new CliError(`${url} gave an answer of something else, or of another version of gpuledger`);
      return answer.data;
    },
    text: async (path) => (await send('GET', path)).text(),
  };
}

/** Query parameters without those that were not given. */
export function withQuery(
  path: string,
  query: Readonly<Record<string, string | number | undefined>>,
): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text === '' ? path : `${path}?${text}`;
}
