/**
 * On what kind of file system an executable lies, told by the mounts that its own process sees: of PID it reads
 * `mountinfo`. A program that runs from memory, or from a file system in memory, leaves nothing on a disk.
 */
import { BATCH_LIMITS, type ExecutableFact } from '../../api/contract/batch.ts';
import type { Files } from '../ports.ts';
import { bytesToText } from '../text.ts';
import { attempt } from './procfs.ts';

/** `ExecutableFact.fileSystem` of a program that was never in a folder. */
const MEMORY_FILE = 'memfd';
/** Hosts with thousands of containers have tables of a megabyte; what comes after that much is not known. */
const MOUNTINFO_BYTES = 2 * 1024 * 1024;
const MAX_MOUNTS = 16_384;
/** File systems remembered, of all mount namespaces together. */
const MAX_KNOWN = 1024;

export interface Mount {
  /** `major:minor` of its files, as far as one number stands for all of them. */
  readonly device: string;
  /** Where it is mounted, unescaped, a byte a character. */
  readonly point: string;
  readonly type: string;
}

/** The mounts in their order; of two at one point the later one is seen. Lines that are none are passed over. */
export function parseMounts(bytes: Buffer): Mount[] {
  const mounts: Mount[] = [];
  for (const line of bytes.toString('latin1').split('\n', MAX_MOUNTS)) {
    const fields = line.split(' ', 64);
    const dash = fields.indexOf('-', 6);
    const [, , device = '', , point = ''] = fields;
    const type = fields[dash + 1] ?? '';
    if (dash === -1 || !/^\d{1,10}:\d{1,10}$/.test(device) || !point.startsWith('/')) continue;
    if (/^[\w.+-]{1,64}$/.test(type)) mounts.push({ device, point: unescapeOctal(point), type });
  }
  return mounts;
}

/** The kernel writes space, tab, newline and backslash as `\040`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/**
 * Type of the file system of a file by its device. Overlays and btrfs give their files device numbers that no mount
 * has: then it is the innermost mount above the path.
 */
export function fileSystemOf(mounts: readonly Mount[], device: string | null, path: string): string | null {
  const byDevice = mounts.findLast((mount) => mount.device === device);
  if (byDevice !== undefined) return byDevice.type;
  let best: Mount | null = null;
  for (const mount of mounts) {
    const point = bytesToText(Buffer.from(mount.point, 'latin1'), BATCH_LIMITS.pathChars).text;
    const above = point === '/' ? path.startsWith('/') : path === point || path.startsWith(`${point}/`);
    if (above && mount.point.length >= (best?.point.length ?? 0)) best = mount;
  }
  return best?.type ?? null;
}

export class FileSystems {
  readonly #files: Files;
  readonly #root: string;
  /** By mount namespace and device; only what a device tells, since a path may lead elsewhere tomorrow. */
  readonly #known = new Map<string, string>();

  constructor(files: Files, root: string) {
    this.#files = files;
    this.#root = root;
  }

  /** `folder` is that of the process in /proc, `mountNamespace` the inode of its namespace. null: not known. */
  typeOf(folder: string, mountNamespace: number | null, executable: ExecutableFact): string | null {
    const { path, device, deleted } = executable;
    if (path.startsWith('/memfd:') && deleted) return MEMORY_FILE;
    const key = `${mountNamespace} ${device}`;
    const known = mountNamespace === null ? undefined : this.#known.get(key);
    if (known !== undefined) return known;
    const part = attempt(() => this.#files.read(`${this.#root}/${folder}/mountinfo`, MOUNTINFO_BYTES));
    if (!part.ok) return null;
    const { bytes, cut } = part.value;
    const mounts = parseMounts(cut ? bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1) : bytes);
    const type = fileSystemOf(mounts, device, path);
    if (type === null || mountNamespace === null) return type;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    if (mounts.some((mount) => mount.device === device)) this.#known.set(key, type);
    return type;
  }
}
