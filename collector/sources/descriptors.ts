/** What a process has open: the names in its `fd` folder, and where each leads. */
import type { Files } from '../ports.ts';
import { attempt, type Part } from './procfs.ts';

export interface Descriptors {
  /** What the links lead to; those that were closed meanwhile are left out. */
  readonly links: readonly string[];
  /** The path of each of these links. */
  readonly paths: readonly string[];
  /** Descriptors that were followed. */
  readonly looked: number;
  /** There were more than that. */
  readonly cut: boolean;
}

/** Follows at most `max` descriptors of the process or thread with this folder. */
export function descriptorsIn(files: Files, processFolder: string, max: number): Part<Descriptors> {
  const folder = `${processFolder}/fd`;
  // Anybody can open a million. Since 6.2 the kernel tells how many there are, and all of few are listed more quickly.
  const count = attempt(() => files.sizeBytes(folder));
  const few = count.ok && count.value > 0 && count.value <= max;
  const names = attempt(() => (few ? files.list(folder) : files.list(folder, max + 1)));
  if (!names.ok) return names;
  const followed = names.value.length > max ? names.value.slice(0, max) : names.value;
  const links: string[] = [];
  const paths: string[] = [];
  for (const name of followed) {
    const path = `${folder}/${name}`;
    const link = attempt(() => files.readLink(path));
    if (!link.ok) continue;
    links.push(link.value.toString('latin1'));
    paths.push(path);
  }
  return {
    ok: true,
    value: { links, paths, looked: followed.length, cut: followed.length < names.value.length },
  };
}
