/**
 * Who has the file of a GPU open: of PID it reads the links in `fd`. The name that a link shows decides; a device that
 * somebody with the right to make or mount device files opens under another name is not recognised.
 */
import type { Files } from '../ports.ts';
import { attempt, type Part } from './procfs.ts';

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
  /** Descriptors that were there. */
  readonly descriptors: number;
}

export function openDevices(files: Files, procRoot: string, pid: number): Part<OpenDevices> {
  const folder = `${procRoot}/${pid}/fd`;
  const names = attempt(() => files.list(folder));
  if (!names.ok) return names;
  const minors = new Set<number>();
  for (const name of names.value.slice(0, MAX_DESCRIPTORS_OF_ONE)) {
    const link = attempt(() => files.readLink(`${folder}/${name}`).toString('latin1'));
    const minor = link.ok ? minorOf(link.value) : null;
    if (minor !== null) minors.add(minor);
  }
  return { ok: true, value: { minors: [...minors], descriptors: names.value.length } };
}
