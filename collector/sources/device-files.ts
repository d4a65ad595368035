/**
 * Who has the file of a GPU open: of PID it reads the links in `fd`. The name that a link shows decides; a device that
 * somebody with the right to make or mount device files opens under another name is not recognised.
 */
import type { Files } from '../ports.ts';
import { descriptorsIn } from './descriptors.ts';
import { attempt, type Part, threadFolder } from './procfs.ts';

/** In a container or below a changed root, the folder stands at the end of a longer path. */
const DEVICE = /(?:^|\/)dev\/nvidia(\d{1,4})(?: \(deleted\))?$/;
/** Descriptors of one process that are followed. */
export const MAX_DESCRIPTORS_OF_ONE = 8192;

/** The number of the GPU whose file a descriptor leads to; null for anything else, also nvidiactl and nvidia-uvm. */
export function minorOf(link: string): number | null {
  const digits = DEVICE.exec(link)?.[1];
  return digits === undefined ? null : Number(digits);
}

/** Anybody may call a file of his own "…/dev/nvidia0", and get somebody else's program to read it. */
function isDevice(files: Files, path: string): boolean {
  const stat = attempt(() => files.stat(path));
  return !stat.ok || stat.value.kind === 'other';
}

export interface OpenDevices {
  readonly minors: readonly number[];
  /** Descriptors that were followed. */
  readonly descriptors: number;
  /** There were more. */
  readonly cut: boolean;
}

export function openDevices(files: Files, procRoot: string, pid: number): Part<OpenDevices> {
  const own = devicesIn(files, `${procRoot}/${pid}`);
  if (!own.ok || own.value.descriptors > 0) return own;
  const thread = threadFolder(files, procRoot, pid);
  return thread === null ? own : devicesIn(files, `${procRoot}/${thread}`);
}

function devicesIn(files: Files, processFolder: string): Part<OpenDevices> {
  const open = descriptorsIn(files, processFolder, MAX_DESCRIPTORS_OF_ONE);
  if (!open.ok) return open;
  const { links, paths, looked, cut } = open.value;
  const minors = new Set<number>();
  for (const [index, link] of links.entries()) {
    const minor = minorOf(link);
    if (minor !== null && isDevice(files, paths[index] ?? '')) minors.add(minor);
  }
  return { ok: true, value: { minors: [...minors], descriptors: looked, cut } };
}
