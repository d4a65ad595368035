/**
 * Control groups as the kernel lists them: which processes each folder of a hierarchy holds. It reads `mountinfo` of the
 * agent itself, and `cgroup.procs`, `cgroup.threads` and `tasks` below the mount points that it names.
 */
import type { Files } from '../ports.ts';
import { attempt } from './procfs.ts';

const MOUNTINFO_BYTES = 4 * 1024 * 1024;
/** Sixteen thousand pids and more. */
const LIST_BYTES = 128 * 1024;
const MAX_PID = 2 ** 31 - 1;
const MAX_CHILDREN = 8192;

/** One mounted hierarchy. `controllers` is as in /proc/PID/cgroup, and empty for version 2. */
export interface Hierarchy {
  readonly controllers: string;
  readonly point: string;
  /** Path of the control group that the mount point shows; "" for the root. */
  readonly root: string;
}

/** Flags of the mount that are no controllers. */
const NO_CONTROLLERS = new Set(['rw', 'ro', 'none', 'clone_children', 'noprefix', 'xattr', 'all']);

/** The hierarchies of a `mountinfo`, version 2 first. Points with blanks in them are passed over. */
export function parseHierarchies(bytes: Buffer): Hierarchy[] {
  const found: Hierarchy[] = [];
  for (const line of bytes.toString('latin1').split('\n')) {
    const [before = '', after = ''] = line.split(' - ', 2);
    const [, , , root = '', point = ''] = before.split(' ');
    const [type = '', , options = ''] = after.split(' ');
    if (!root.startsWith('/') || !point.startsWith('/') || `${root}${point}`.includes('\\')) continue;
    const controllers = options
      .split(',')
      .filter((one) => !NO_CONTROLLERS.has(one) && (!one.includes('=') || one.startsWith('name=')))
      .join(',');
    if (type === 'cgroup2') found.unshift({ controllers: '', point, root: root === '/' ? '' : root });
    if (type === 'cgroup' && controllers !== '')
      found.push({ controllers, point, root: root === '/' ? '' : root });
  }
  return found;
}

export interface Cgroupfs {
  hierarchies(): Hierarchy[];
  /** Pids of the processes in one control group, as the agent's pid namespace numbers them. */
  processes(folder: string): number[];
  /** Ids of the threads in it. */
  threads(folder: string): number[];
  /** Folders right below one. */
  children(folder: string): string[];
  /** Where the control group of a line of /proc/PID/cgroup is; null where no mount shows it. */
  folderOf(hierarchies: readonly Hierarchy[], controllers: string, path: string): string | null;
}

export function createCgroupfs(files: Files, procRoot: string): Cgroupfs {
  const pids = (path: string): number[] => {
    const list = attempt(() => files.read(path, LIST_BYTES));
    if (!list.ok) return [];
    const { bytes, cut } = list.value;
    const lines = bytes.toString('latin1').split('\n');
    if (cut) lines.pop();
    // 0 stands for a process of another pid namespace.
    return lines.flatMap((line) =>
      /^[1-9]\d{0,9}$/.test(line) && Number(line) <= MAX_PID ? Number(line) : [],
    );
  };
  return {
    hierarchies() {
      const part = attempt(() => files.read(`${procRoot}/self/mountinfo`, MOUNTINFO_BYTES));
      return part.ok ? parseHierarchies(part.value.bytes) : [];
    },
    processes: (folder) => pids(`${folder}/cgroup.procs`),
    threads(folder) {
      const threads = pids(`${folder}/cgroup.threads`);
      return threads.length > 0 ? threads : pids(`${folder}/tasks`);
    },
    children(folder) {
      const names = attempt(() => files.list(folder, MAX_CHILDREN));
      if (!names.ok) return [];
      // Files of a control group have a dot in their names, but for a few; folders of jobs may have one too.
      return names.value.filter((name) => !isFile(name)).map((name) => `${folder}/${name}`);
    },
    folderOf(hierarchies, controllers, path) {
      const own = hierarchies.find((one) => one.controllers === controllers);
      if (own === undefined || !`${path}/`.startsWith(`${own.root}/`) || `/${path}/`.includes('/../'))
        return null;
      return `${own.point}${path.slice(own.root.length)}`.replace(/\/$/, '');
    },
  };
}

const CONTROLLERS =
  'cgroup|cpu|cpuacct|cpuset|memory|io|blkio|pids|devices|freezer|hugetlb|rdma|misc|net_cls|net_prio|perf_event|irq|dmem';
const INTERFACE = new RegExp(`^(?:(?:${CONTROLLERS})\\.[\\w.-]+|tasks|notify_on_release|release_agent)$`);
/** Interface files of controllers: "memory.current", "cgroup.procs", "tasks". */
const isFile = (name: string): boolean => INTERFACE.test(name);
