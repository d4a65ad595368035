/**
 * From the program that reads settings to the one that watches for years. Commands, validation and the compiler that
 * Node reads TypeScript with take 40 MB that are never needed again, so `run` replaces itself (execve: the same process,
 * pid and output) with a program that loads only what watching takes, from code that was compiled before.
 */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AgentSettings } from '../config.ts';

/**
 * What V8 is asked for. The agent lives on small things that die young: left alone, V8 makes room for 16 MB of them before
 * it looks what has died. And it works some milliseconds in five seconds, most of them in the kernel: compilers take
 * 12 MB and more time than they ever save.
 */
export const LEAN_FLAGS = [
  '--max-semi-space-size=1',
  '--no-opt',
  '--no-maglev',
  '--no-sparkplug',
  '--optimize-for-size',
  '--expose-gc',
  '--no-flush-bytecode',
] as const;
/** The C library keeps an arena for each thread otherwise. */
const ARENAS = 'MALLOC_ARENA_MAX';
const HANDED_OVER = 'GPULEDGER_AGENT_SETTINGS';
const SECOND_TRY = 'GPULEDGER_AGENT_COMPILED';
const CACHE = 'NODE_COMPILE_CACHE';
/** Beside the code where that may be written, as whoever may write there can change the code anyway; else in the spool. */
const BESIDE = fileURLToPath(new URL('../../node_modules/', import.meta.url));
const WATCHING = fileURLToPath(new URL('./watching.ts', import.meta.url));

type Environment = Record<string, string>;
interface HandedOver {
  readonly settings: AgentSettings;
  /** Variables that were not there before. */
  readonly added: readonly string[];
}

/** Does not return, unless this system has no execve: then the caller goes on by itself. */
export function handOver(settings: AgentSettings): void {
  const additions: Environment = {};
  if (process.env[CACHE] === undefined) additions[CACHE] = cacheFolder(settings.agent.spoolFolder);
  if (process.env[ARENAS] === undefined) additions[ARENAS] = '1';
  const handedOver: HandedOver = { settings, added: Object.keys(additions) };
  replace({ ...additions, [HANDED_OVER]: JSON.stringify(handedOver) });
}

/**
 * What was handed over. When the code had to be compiled first, which only the first start after an installation has
 * to, it does not return but starts once more, without the compiler.
 */
export function takeOver(loadedMs: number): AgentSettings {
  if (process.env[SECOND_TRY] === undefined && wasCompiled(loadedMs)) replace({ [SECOND_TRY]: '1' });
  // Programs that the agent runs have no use for these.
  const { settings, added }: HandedOver = JSON.parse(process.env[HANDED_OVER] ?? '');
  for (const name of [HANDED_OVER, SECOND_TRY, ...added]) delete process.env[name];
  return settings;
}

/** Whether something was added to the compiled code since then. */
function wasCompiled(sinceMs: number): boolean {
  const folder = getCompileCacheDir();
  if (folder === undefined) return false;
  try {
    flushCompileCache();
    return statSync(folder).mtimeMs >= sinceMs;
  } catch {
    return false;
  }
}

function replace(additions: Environment): void {
  const env: Environment = {};
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) env[name] = value;
  const flags: readonly string[] = LEAN_FLAGS;
  const kept = process.execArgv.filter((flag) => !flags.includes(flag));
  // What the process was started with stays visible to those who list processes.
  const args = [process.execPath, ...kept, ...flags, WATCHING, ...process.argv.slice(2)];
  process.execve?.(process.execPath, args, { ...env, ...additions });
}

function cacheFolder(spoolFolder: string): string {
  try {
    accessSync(BESIDE, constants.W_OK);
    return join(BESIDE, '.cache', 'gpuledger-agent');
  } catch {
    try {
      mkdirSync(spoolFolder, { recursive: true, mode: 0o700 });
    } catch {
      // Whoever uses the spool will say so.
    }
    return join(spoolFolder, 'compiled');
  }
}
