/**
 * The file that says which schedulers are followed: YAML, checked strictly. Each kind of source brings its own part; a new
 * kind is one line here. Credentials never stand in it: settings name files and variables that hold them.
 */
import { readFileSync, statSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { ConfigError } from '../config.ts';
import { CommandSettings, createCommandSource } from '../schedulers/command.ts';
import { ContainersSettings, createContainersSource } from '../schedulers/containers.ts';
import { createKubernetesSource, KubernetesSettings } from '../schedulers/kubernetes/source.ts';
import { createRaySource, RaySettings } from '../schedulers/ray/source.ts';
import { createSlurmSource, SlurmSettings } from '../schedulers/slurm/source.ts';
import type { Source } from '../schedulers/source.ts';

const MAX_FILE_BYTES = 1024 * 1024;
const MAX_SOURCES = 64;
const MAX_NAMED = 20;

interface Kind {
  readonly settings: z.ZodType;
  /** What it reads, and what it must be allowed to. */
  readonly reads: string;
  open(settings: unknown, nowMs: () => number): Source;
}

function kind<T>(
  settings: z.ZodType<T>,
  reads: string,
  create: (settings: T, nowMs: () => number) => Source,
): Kind {
  return { settings, reads, open: (given, nowMs) => create(settings.parse(given), nowMs) };
}

export const SOURCE_KINDS: Readonly<Record<string, Kind>> = {
  slurm: kind(
    SlurmSettings,
    'squeue, sacct, scontrol and sinfo, or slurmrestd; an ordinary operator suffices',
    createSlurmSource,
  ),
  kubernetes: kind(
    KubernetesSettings,
    'pods, their owners, namespaces and nodes through the API; get, list and watch suffice',
    createKubernetesSource,
  ),
  ray: kind(
    RaySettings,
    'jobs and actors that the dashboard of a Ray cluster lists; it asks for no rights',
    createRaySource,
  ),
  containers: kind(
    ContainersSettings,
    "containers with a label, through the engine's socket on this machine; it must be allowed to use that",
    createContainersSource,
  ),
  command: kind(
    CommandSettings,
    "what a program of the site's own prints, one declaration a line; it has the rights of this process",
    createCommandSource,
  ),
};

const File = z.strictObject({
  service: z
    .strictObject({ url: z.url(), tokenFile: z.string().min(1).max(4096) })
    .partial()
    .default({}),
  sources: z
    .array(z.looseObject({ kind: z.string() }))
    .min(1)
    .max(MAX_SOURCES),
});

interface Configured {
  readonly kind: string;
  readonly reads: string;
  /** With defaults. */
  readonly settings: unknown;
  readonly source: Source;
}

export interface SourcesFile {
  readonly service: { readonly url?: string | undefined; readonly tokenFile?: string | undefined };
  readonly sources: readonly Configured[];
  /** Values that may never be shown. */
  readonly secrets: readonly string[];
}

/** Throws `ConfigError`, which names each member that is wrong and what it may be. */
export function readSourcesFile(file: string, nowMs: () => number): SourcesFile {
  const { service, sources } = check(File, parse(file), file, []);
  const opened = sources.map(({ kind: name, ...given }, at): Configured => {
    const known = Object.hasOwn(SOURCE_KINDS, name) ? SOURCE_KINDS[name] : undefined;
    if (known === undefined) {
      const kinds = Object.keys(SOURCE_KINDS).join(', ');
      throw new ConfigError(
        `${file}: sources.${at}.kind: there is no kind ${JSON.stringify(name)}; give one of ${kinds}`,
      );
    }
    const settings = check(known.settings, given, file, ['sources', at]);
    return { kind: name, reads: known.reads, settings, source: known.open(given, nowMs) };
  });
  const names = opened.map(({ source: { source, instance } }) => `${source}/${instance}`);
  const twice = names.findIndex((name, at) => names.indexOf(name) !== at);
  if (twice !== -1)
    throw new ConfigError(
      `${file}: sources.${twice}: ${names[twice]} is there already; give it another instance`,
    );
  return { service, sources: opened, secrets: secretsOf([service, ...opened.map((one) => one.settings)]) };
}

function parse(file: string): unknown {
  let text: string;
  try {
    if (statSync(file).size > MAX_FILE_BYTES)
      throw new ConfigError(`${file} is larger than ${MAX_FILE_BYTES} bytes: is it the file of sources?`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${file} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw new ConfigError(`${file} is no YAML: ${error.message.split('\n')[0]}`);
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return value;
  } catch (failure) {
    throw new ConfigError(`${file} is no YAML: ${failure instanceof Error ? failure.message : failure}`);
  }
}

function check<T>(schema: z.ZodType<T>, value: unknown, file: string, at: readonly (string | number)[]): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.slice(0, MAX_NAMED).map(({ path, message }) => {
    const name = [...at, ...path].map(String).join('.');
    return name === '' ? message : `${name}: ${message}`;
  });
  throw new ConfigError(`${file}: ${wrong.join('; ')}. docs/SOURCES.md has every setting`);
}

const SECRET_NAME = /token|secret|passw|credential|jwt|key/i;
/** Shorter ones would blank ordinary words. */
const SECRET_MIN_CHARS = 8;

/** Settings that name a variable which holds a credential, whatever its name. */
const VARIABLE_SETTING = /Env$|^environment$/;

/** What variables with such names hold, those that settings name, and the files that settings with such names point to. */
function secretsOf(settings: readonly unknown[]): string[] {
  const found = Object.entries(process.env).flatMap(([name, value]) =>
    SECRET_NAME.test(name) ? [value ?? ''] : [],
  );
  const ofVariables = (names: unknown): void => {
    for (const name of Array.isArray(names) ? names : [names])
      if (typeof name === 'string') found.push(process.env[name] ?? '');
  };
  const look = (value: unknown, name: string): void => {
    if (typeof value === 'object' && value !== null)
      for (const [member, inner] of Object.entries(value)) {
        if (VARIABLE_SETTING.test(member)) ofVariables(inner);
        look(inner, member);
      }
    else if (typeof value === 'string' && SECRET_NAME.test(name) && value !== '')
      found.push(contentOf(value));
  };
  for (const one of settings) look(one, '');
  return found
    .map((one) => one.trim())
    .filter((one) => one.length >= SECRET_MIN_CHARS && !one.startsWith('/'));
}

function contentOf(file: string): string {
  try {
    return statSync(file).size > MAX_FILE_BYTES ? '' : readFileSync(file, 'utf8');
  } catch {
    // Whoever needs it says so.
    return '';
  }
}
