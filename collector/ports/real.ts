/** The agent's ports on the real machine (programs: `execute.ts`, the network: `network.ts`): its only place of the clock. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  opendirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { AgentClock, FileStat, Files, HeldFile, Ports } from '../ports.ts';
import { execute } from './execute.ts';
import { callLocal } from './local-call.ts';
import { createNetwork, type Service } from './network.ts';

const READ_CHUNK_BYTES = 64 * 1024;
/** The kernel gives lines of a table as long as a page has room for another, on machines with larger pages more. */
const PAGE_BYTES = 4096;
/** Entries of a folder that are asked for at once. */
const LIST_BATCH = 1024;
/** PROC_SUPER_MAGIC of linux/magic.h. */
const PROCFS_MAGIC = 0x9fa0;

/** What is read lands here first, so that thousands of small files a minute do not each leave a large buffer behind. */
const landing = Buffer.allocUnsafeSlow(READ_CHUNK_BYTES);

function read(path: string, maxBytes: number, lineBytes = PAGE_BYTES): { bytes: Buffer; cut: boolean } {
  // Opening a pipe that nobody writes to would wait for ever.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    let landed = 0;
    // Files of /proc have no size: read until there is no more, one byte beyond the limit to know of a cut.
    while (length <= maxBytes) {
      const room = Math.min(landing.length - landed, maxBytes + 1 - length);
      const count = readSync(file, landing, landed, room, null);
      landed += count;
      length += count;
      if (count === 0 || count < PAGE_BYTES - lineBytes) break;
      if (landed === landing.length) {
        chunks.push(Buffer.from(landing));
        landed = 0;
      }
    }
    const rest = Buffer.from(landing.subarray(0, landed));
    const bytes = chunks.length === 0 ? rest : Buffer.concat([...chunks, rest], length);
    return { bytes: bytes.subarray(0, maxBytes), cut: length > maxBytes };
  } finally {
    closeSync(file);
  }
}

function hold(path: string): HeldFile {
  const file = openSync(path, 'r');
  try {
    if (statfsSync(path).type !== PROCFS_MAGIC)
      throw Object.assign(new Error(`not a file of /proc: ${path}`), { code: 'EOPNOTSUPP' });
  } catch (error) {
    closeSync(file);
    throw error;
  }
  return {
    read: (maxBytes) => {
      const room = Math.min(maxBytes, landing.length);
      return landing.subarray(0, readSync(file, landing, 0, room, 0));
    },
    close: () => closeSync(file),
  };
}

function listSome(path: string, atMost: number): string[] {
  const folder = opendirSync(path, { bufferSize: LIST_BATCH });
  try {
    const names: string[] = [];
    while (names.length < atMost) {
      const entry = folder.readSync();
      if (entry === null) break;
      names.push(entry.name);
    }
    return names;
  } finally {
    folder.closeSync();
  }
}

function stat(path: string): FileStat {
  const found = statSync(path, { bigint: true });
  return {
    device: deviceName(found.dev),
    inode: String(found.ino),
    ownerUid: Number(found.uid),
    mode: Number(found.mode & 0o7777n),
    sizeBytes: Number(found.size),
    changedMs: Number(found.ctimeMs),
    kind: found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other',
  };
}

function digest(path: string, maxBytes: number): string {
  // As above.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const refuse = (code: string): Error => Object.assign(new Error(`${code}: ${path}`), { code });
    if (!fstatSync(file).isFile()) throw refuse('EINVAL');
    const hash = createHash('sha256');
    for (let left = maxBytes; ; ) {
      const count = readSync(file, landing, 0, landing.length, null);
      if (count === 0) return hash.digest('hex');
      left -= count;
      if (left < 0) throw refuse('EFBIG');
      hash.update(landing.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function writeDurably(path: string, bytes: Buffer): void {
  const temporary = `${path}.tmp`;
  removeQuietly(temporary);
  // A file of its own: where others can write, a link may wait there that leads to another file.
  const file = openSync(temporary, 'wx', 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } catch (error) {
    closeSync(file);
    removeQuietly(temporary);
    throw error;
  }
  closeSync(file);
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // A leftover that the next write replaces.
  }
}

/** Major and minor number as Linux packs them into `st_dev`. */
function deviceName(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

export const files: Files = {
  read,
  hold,
  // By way of a text of single bytes, which loses nothing: a buffer of its own for each link costs more to throw away.
  readLink: (path) => Buffer.from(readlinkSync(path, { encoding: 'latin1' }), 'latin1'),
  list: (path, atMost) => (atMost === undefined ? readdirSync(path) : listSome(path, atMost)),
  identify(path) {
    const { dev, ino } = statSync(path, { bigint: true });
    return { device: deviceName(dev), inode: String(ino) };
  },
  sizeBytes: (path) => statSync(path).size,
  stat,
  realPath: (path) => realpathSync(path),
  digest,
  makeFolder(path) {
    const made = mkdirSync(path, { recursive: true, mode: 0o700 });
    if (made !== undefined) syncFolder(dirname(made));
  },
  writeDurably,
  rename(from, to) {
    renameSync(from, to);
    syncFolder(dirname(to));
  },
  remove(path) {
    if (statSync(path).isDirectory()) rmdirSync(path);
    else unlinkSync(path);
  },
};

export const clock: AgentClock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', wake);
    }),
};

export const createPorts = (service: Service): Ports => ({
  execute,
  files,
  clock,
  network: createNetwork(service),
  callLocal,
});
