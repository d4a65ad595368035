/** How the service is set up: flags and environment, checked in one place. */
import { z } from 'zod';

export const DEFAULT_PORT = 8470;
export const DEFAULT_HOST = '127.0.0.1';
export const DEFAULT_DATA_FOLDER = './data';
export const DEFAULT_CLUSTER = 'main';
/** The database's file in a data folder. */
export const DATABASE_NAME = 'gpuledger.sqlite';
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

/** Settings of `start` and `serve`. A flag wins over its variable. */
export const ServiceConfig = z.object({
  data: z.string().min(1, 'must name a folder').default(DEFAULT_DATA_FOLDER),
  host: z
    .string()
    .regex(/^[A-Za-z0-9.:-]{1,253}$/, 'must be an address or a host name')
    .default(DEFAULT_HOST),
  port: z.coerce
    .number('must be a number from 0 to 65535')
    .int('must be a number from 0 to 65535')
    .min(0, 'must be a number from 0 to 65535')
    .max(65_535, 'must be a number from 0 to 65535')
    .default(DEFAULT_PORT),
  cluster: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'must be letters, digits, dots, dashes and underscores')
    .default(DEFAULT_CLUSTER),
  logLevel: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('warn'),
});
export type ServiceConfig = z.infer<typeof ServiceConfig>;

const VARIABLES: Readonly<Record<keyof ServiceConfig, string>> = {
  data: 'GPULEDGER_DATA',
  host: 'GPULEDGER_HOST',
  port: 'GPULEDGER_PORT',
  cluster: 'GPULEDGER_CLUSTER',
  logLevel: 'GPULEDGER_LOG_LEVEL',
};

/** A setting that cannot be used; `message` names the flag and its variable. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

const flagOf = (name: string): string =>
  `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** `flags` as the command line parsed them; undefined members were not given. Throws `ConfigError`. */
export function readConfig(
  flags: Readonly<Partial<Record<keyof ServiceConfig, unknown>>>,
  environment: Readonly<Record<string, string | undefined>>,
): ServiceConfig {
  const given: Record<string, unknown> = {};
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = Object.entries(flags).find(([flag]) => flag === name)?.[1] ?? environment[variable];
    if (value !== undefined) given[name] = value;
  }
  const result = ServiceConfig.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const name = String(issue?.path[0] ?? '');
  const variable = Object.entries(VARIABLES).find(([setting]) => setting === name)?.[1];
  throw new ConfigError(`${flagOf(name)} (or ${variable}) ${issue?.message ?? 'is not valid'}`);
}

/** Whether a service on this address can be reached from this machine only. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
