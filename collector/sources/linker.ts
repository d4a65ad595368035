/**
 * Which files a program would get: by PATH as execvp looks for it, and a library as the dynamic linker does for a
 * program with a clean environment. It reads `/etc/ld.so.cache`, `/etc/ld.so.preload` and the agent's own environment.
 */
import type { Files } from '../ports.ts';
import { attempt } from './procfs.ts';

const CACHE = '/etc/ld.so.cache';
const PRELOAD = '/etc/ld.so.preload';
const CACHE_BYTES = 16 * 1024 * 1024;
const PRELOAD_BYTES = 64 * 1024;
const ENVIRON_BYTES = 1024 * 1024;
const MAX_FOUND = 4;
const MAX_PRELOADS = 16;
const MAX_PATH_FOLDERS = 64;
const MAX_NAME = 4096;
/** What the C library takes where no PATH is set. */
const DEFAULT_PATH = '/bin:/usr/bin';
const TRIPLETS: Readonly<Record<string, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
/** Flags of cache entries for libraries of the C library 6 of one machine. */
const CACHE_FLAGS: Readonly<Record<string, number>> = { x64: 0x0303, arm64: 0x0a03 };
const NEW_CACHE = 'glibc-ld.so.cache1.1';
const OLD_CACHE = 'ld.so-1.7.0';
const HEADER_BYTES = 48;
const ENTRY_BYTES = 24;
const OLD_HEADER_BYTES = 16;
const OLD_ENTRY_BYTES = 12;
/** Variables by which the dynamic linker loads something into a program. */
const LOADING = ['LD_PRELOAD', 'LD_AUDIT'] as const;

/** Paths that a cache gives for a library, in its order; none for a file that is no cache. */
export function findInCache(cache: Buffer, library: string, architecture: string): string[] {
  const start = newCacheAt(cache);
  if (start === null || cache.length < start + HEADER_BYTES) return [];
  const count = cache.readUInt32LE(start + NEW_CACHE.length);
  const found: string[] = [];
  for (let index = 0; index < count && found.length < MAX_FOUND; index += 1) {
    const at = start + HEADER_BYTES + index * ENTRY_BYTES;
    if (at + ENTRY_BYTES > cache.length) break;
    const flags = cache.readUInt32LE(at) & 0xffff;
    if (flags !== (CACHE_FLAGS[architecture] ?? flags)) continue;
    if (textAt(cache, start + cache.readUInt32LE(at + 4)) !== library) continue;
    const path = textAt(cache, start + cache.readUInt32LE(at + 8));
    if (path?.startsWith('/') && !found.includes(path)) found.push(path);
  }
  return found;
}

/** A cache may begin with one of the old form. */
function newCacheAt(cache: Buffer): number | null {
  if (startsWith(cache, 0, NEW_CACHE)) return 0;
  if (!startsWith(cache, 0, OLD_CACHE) || cache.length < OLD_HEADER_BYTES) return null;
  const end = OLD_HEADER_BYTES + cache.readUInt32LE(12) * OLD_ENTRY_BYTES;
  const at = Math.ceil(end / 8) * 8;
  return startsWith(cache, at, NEW_CACHE) ? at : null;
}

const startsWith = (cache: Buffer, at: number, text: string): boolean =>
  cache.toString('latin1', at, at + text.length) === text;

function textAt(cache: Buffer, at: number): string | null {
  if (at >= cache.length) return null;
  const end = cache.indexOf(0, at);
  return end === -1 || end - at > MAX_NAME ? null : cache.toString('utf8', at, end);
}

/** Libraries that a preload list names: between blanks and colons, comments left out. */
export function parsePreload(text: string): string[] {
  const names = text.split('\n').flatMap((line) => (line.split('#', 1)[0] ?? '').split(/[\s:]+/));
  return names.filter((name) => name !== '').slice(0, MAX_PRELOADS);
}

export interface Preload {
  /** Such as "/etc/ld.so.preload" or "LD_PRELOAD". */
  readonly source: string;
  readonly libraries: readonly string[];
}

export interface Linker {
  /** Where execvp finds a program; null: nowhere. */
  program(name: string): string | null;
  /** Which file a library is; null: none is found. */
  library(name: string): string | null;
  /** What is set to be loaded into programs, or into the agent. */
  preloads(): Preload[];
}

export function createLinker(files: Files, procRoot: string, architecture: string): Linker {
  const exists = (path: string): boolean => {
    const stat = attempt(() => files.stat(path));
    return stat.ok && stat.value.kind === 'file';
  };
  const environment = (): Map<string, string> => {
    const part = attempt(() => files.read(`${procRoot}/self/environ`, ENVIRON_BYTES).bytes.toString('utf8'));
    const entries = (part.ok ? part.value : '').split('\0').flatMap((entry): [string, string][] => {
      const equals = entry.indexOf('=');
      return equals > 0 ? [[entry.slice(0, equals), entry.slice(equals + 1)]] : [];
    });
    return new Map(entries);
  };
  let cached: { stamp: string; bytes: Buffer } = { stamp: '', bytes: Buffer.alloc(0) };
  const cache = (): Buffer => {
    const stat = attempt(() => files.stat(CACHE));
    const stamp = stat.ok ? `${stat.value.inode} ${stat.value.sizeBytes} ${stat.value.changedMs}` : '';
    if (stamp === cached.stamp) return cached.bytes;
    const part = attempt(() => files.read(CACHE, CACHE_BYTES).bytes);
    cached = { stamp, bytes: part.ok ? part.value : Buffer.alloc(0) };
    return cached.bytes;
  };
  const folders = (): string[] => {
    const triplet = TRIPLETS[architecture];
    const own = triplet === undefined ? [] : [`/lib/${triplet}`, `/usr/lib/${triplet}`];
    return [...own, '/lib64', '/usr/lib64', '/lib', '/usr/lib'];
  };
  return {
    program(name) {
      if (name.includes('/')) return exists(name) ? name : null;
      const path = environment().get('PATH') ?? DEFAULT_PATH;
      for (const folder of path.split(':').slice(0, MAX_PATH_FOLDERS)) {
        const candidate = `${folder === '' ? '.' : folder}/${name}`;
        const stat = attempt(() => files.stat(candidate));
        if (stat.ok && stat.value.kind === 'file' && (stat.value.mode & 0o111) !== 0) return candidate;
      }
      return null;
    },
    library(name) {
      const inFolders = folders().map((folder) => `${folder}/${name}`);
      return [...findInCache(cache(), name, architecture), ...inFolders].find(exists) ?? null;
    },
    preloads() {
      const list = attempt(() => files.read(PRELOAD, PRELOAD_BYTES).bytes.toString('utf8'));
      const own = environment();
      return [
        { source: PRELOAD, libraries: list.ok ? parsePreload(list.value) : [] },
        ...LOADING.map((name) => ({ source: name, libraries: parsePreload(own.get(name) ?? '') })),
      ].filter(({ libraries }) => libraries.length > 0);
    },
  };
}
