/** Files of a simulated node outside of /proc: control groups as the kernel lists them, and what stands in `files`. */
import { createHash } from 'node:crypto';
import type { FileStat } from '../../collector/ports.ts';
import { bytesOf } from './bytes.ts';
import { latest, type SimFile, type SimNode } from './model.ts';
import type { NodeState } from './snapshot.ts';

const CGROUPS = '/sys/fs/cgroup';
const FIRST_INODE = 5000;
const ROOT_DEVICE = '259:2';

/** Everything gives null for what is not there. */
export interface MachineFiles {
  has(path: string): boolean;
  read(state: NodeState, path: string): Buffer | null;
  list(state: NodeState, path: string): string[] | null;
  stat(state: NodeState, path: string): FileStat | null;
  digest(state: NodeState, path: string): string | null;
}

export function createMachineFiles(node: SimNode): MachineFiles {
  const files = node.files ?? [];
  const paths = new Set(files.map(({ path }) => path));
  const fileAt = (state: NodeState, path: string): SimFile | null =>
    files.findLast((file) => file.path === path && file.fromMs <= state.atMs) ?? null;
  return {
    has: (path) => paths.has(path) || path === CGROUPS || path.startsWith(`${CGROUPS}/`),
    read(state, path) {
      const file = fileAt(state, path);
      if (file !== null) return bytesOf(file.content);
      const name = path.slice(path.lastIndexOf('/') + 1);
      const folder = path.slice(CGROUPS.length, path.length - name.length - 1);
      if (name !== 'cgroup.procs' && name !== 'cgroup.threads') return null;
      const pids = membersBelow(state).get(folder);
      return pids === undefined ? null : Buffer.from(pids.map((pid) => `${pid}\n`).join(''));
    },
    list(state, path) {
      if (path !== CGROUPS && !path.startsWith(`${CGROUPS}/`)) return null;
      const folder = path.slice(CGROUPS.length);
      const below = [...membersBelow(state).keys()].filter((one) => one.startsWith(`${folder}/`));
      return [
        'cgroup.procs',
        'cgroup.threads',
        ...new Set(below.map((one) => one.slice(folder.length + 1).split('/')[0] ?? '')),
      ];
    },
    stat(state, path) {
      const file = fileAt(state, path);
      if (file === null) return null;
      return {
        ...{ device: ROOT_DEVICE, inode: String(FIRST_INODE + files.indexOf(file)), kind: 'file' },
        ...{ ownerUid: file.ownerUid, mode: file.mode, changedMs: file.fromMs },
        sizeBytes: bytesOf(file.content).length,
      };
    },
    digest(state, path) {
      const file = fileAt(state, path);
      return file === null ? null : createHash('sha256').update(bytesOf(file.content)).digest('hex');
    },
  };
}

/** Pids by the path of their control group, and none for the folders above. */
function membersBelow(state: NodeState): Map<string, number[]> {
  const members = new Map<string, number[]>();
  for (const process of state.alive.values()) {
    const line = /^0::(\/.*)$/m.exec(latest(process.cgroups, state.atMs).text)?.[1];
    if (line === undefined) continue;
    const path = line === '/' ? '' : line;
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      const above = path.slice(0, end);
      if (!members.has(above)) members.set(above, []);
    }
    const own = members.get(path) ?? [];
    own.push(process.pid);
    members.set(path, own);
  }
  return members;
}
