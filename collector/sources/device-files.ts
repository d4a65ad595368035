/**
 * Who has the file of a GPU open: of PID it reads the links in `fd`. The name that a link shows decides; a device that
 * somebody with the right to make or mount device files opens under another name is not recognised.
 */
import type { Files } from '../ports.ts';
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

export interface OpenDevices {
  readonly minors: readonly number[];
  /** Descriptors that were followed. */
  readonly descriptors: number;
  /** There were more. */
  readonly cut: boolean;
}

export function openDevices(files: Files, procRoot: string, pid: number): Part<OpenDevices> {
  const own = devicesIn(files, `${procRoot}/${pid}/fd`);
  if (!own.ok || own.value.descriptors > 0) return own;
  const thread = threadFolder(files, procRoot, pid);
  return thread === null ? own : devicesIn(files, `${procRoot}/${thread}/fd`);
}

function devicesIn(files: Files, folder: string): Part<OpenDevices> {
  // Anybody can open a million. Since 6.2 the kernel tells how many there are, and all of few are listed more quickly.
  const count = attempt(() => files.sizeBytes(folder));
  const few = count.ok && count.value > 0 && count.value <= MAX_DESCRIPTORS_OF_ONE;
  const names = attempt(() => (few ? files.list(folder) : files.list(folder, MAX_DESCRIPTORS_OF_ONE + 1)));
  if (!names.ok) return names;
  const followed = names.value.slice(0, MAX_DESCRIPTORS_OF_ONE);
  const minors = new Set<number>();
  for (const name of followed) {
    const link = attempt(() => files.readLink(`${folder}/${name}`).toString('latin1'));
    const minor = link.ok ? minorOf(link.value) : null;
    if (minor !== null) minors.add(minor);
  }
  const cut = followed.length < names.value.length;
  return { ok: true, value: { minors: [...minors], descriptors: followed.length, cut } };
}
