/** What a process costs, as the kernel counts it. */
import { readFileSync } from 'node:fs';

/** Clock ticks of /proc/PID/stat (USER_HZ). */
const MS_PER_TICK = 10;
const KIB = 1024;

export interface Cpu {
  /** Of the process and all its threads, without children. */
  readonly ownMs: number;
  /** Of its children that have ended and been waited for, and of theirs. */
  readonly childrenMs: number;
}

export function cpuOf(pid: number): Cpu {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = (at: number): number => Number(fields[at] ?? Number.NaN) * MS_PER_TICK;
  return { ownMs: ticks(11) + ticks(12), childrenMs: ticks(13) + ticks(14) };
}

/** What a process's main thread has started and not waited for yet. */
export function childrenOf(pid: number): number[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  return pids === '' ? [] : pids.split(' ').map(Number);
}

export interface Memory {
  /** Everything resident, the shared pages of the program file included. */
  readonly rssBytes: number;
  /** Shared pages divided among those who share them. */
  readonly pssBytes: number;
  /** Heap, stacks and the like: what only this process has. */
  readonly anonymousBytes: number;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? Number.NaN) * KIB;
  return { rssBytes: bytes('Rss'), pssBytes: bytes('Pss'), anonymousBytes: bytes('Anonymous') };
}

/** Bytes that a process has caused to be written to disk, journals of the file system left out. */
export function writtenBytesOf(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? Number.NaN);
}
