/** What the agent's /proc can show at all, and what somebody has mounted over parts of it. */
import type { Files } from '../ports.ts';
import { parseMounts } from './mounts.ts';
import { attempt } from './procfs.ts';

const MOUNTINFO_BYTES = 4 * 1024 * 1024;
/** Link of the machine's first pid namespace: a constant of the kernel. */
export const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

/**
 * Whether it shows the processes of the whole machine: else a pid that is missing there says nothing. Kernel threads live
 * in the first namespace only, and everybody may read their names unless the mount hides processes.
 */
export function showsWholeMachine(files: Files, root: string): boolean {
  const kernel = attempt(() => files.read(`${root}/2/comm`, 64).bytes.toString('latin1').trim());
  if (kernel.ok && kernel.value === 'kthreadd') return true;
  const first = attempt(() => files.readLink(`${root}/1/ns/pid`).toString('latin1'));
  return first.ok && first.value === FIRST_PID_NAMESPACE;
}

export interface Cover {
  readonly pid: number;
  /** Type of what was mounted: "tmpfs", or "proc" for the folder of another process. */
  readonly type: string;
  readonly point: string;
}

/** Mounts over folders of processes, as the agent itself sees them and as pid 1 does. */
export function coversOf(files: Files, root: string): Cover[] {
  const real = attempt(() => files.realPath(root));
  const covers = new Map<string, Cover>();
  for (const [reader, prefix] of [
    ['self', real.ok ? real.value : root],
    ['1', '/proc'],
  ] as const) {
    const part = attempt(() => files.read(`${root}/${reader}/mountinfo`, MOUNTINFO_BYTES));
    if (!part.ok) continue;
    for (const { point, type } of parseMounts(part.value.bytes)) {
      const pid = point.startsWith(`${prefix}/`)
        ? /^[1-9]\d{0,9}(?=\/|$)/.exec(point.slice(prefix.length + 1))
        : null;
      if (pid !== null) covers.set(point, { pid: Number(pid[0]), type, point });
    }
  }
  return [...covers.values()];
}
