/**
 * A simulated node's /proc as a folder, for an agent that is a process of its own (`--proc`). Each update touches only
 * what changed. The executables behind the links do not exist on this machine, so their inodes cannot be read there.
 */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createProcRenderer, HOST_FILES, NAMESPACES, PROCESS_FILES } from './render-proc.ts';
import type { NodeState } from './snapshot.ts';

export interface ProcFolder {
  update(state: NodeState): void;
}

export function createProcFolder(folder: string): ProcFolder {
  const proc = createProcRenderer();
  /** What stands in each file, by path below the folder. */
  const written = new Map<string, Buffer>();
  const links = new Map<string, string>();
  const present = new Map<number, number>();
  mkdirSync(folder, { recursive: true });

  const put = (state: NodeState, path: string): void => {
    const bytes = proc.read(state, path.split('/'));
    if (bytes === null || written.get(path)?.equals(bytes) === true) return;
    const target = join(folder, path);
    if (!written.has(path)) mkdirSync(dirname(target), { recursive: true });
    // A reader must never see half a file.
    const temporary = join(folder, '.next');
    writeFileSync(temporary, bytes);
    renameSync(temporary, target);
    written.set(path, bytes);
  };
  const link = (state: NodeState, path: string): void => {
    const target = proc.readLink(state, path.split('/'))?.toString() ?? null;
    if (target === null || links.get(path) === target) return;
    const place = join(folder, path);
    mkdirSync(dirname(place), { recursive: true });
    rmSync(place, { force: true });
    symlinkSync(target, place);
    links.set(path, target);
  };
  const remove = (path: string): void => {
    rmSync(join(folder, path), { recursive: true, force: true });
    for (const known of [written, links])
      for (const key of known.keys()) if (key === path || key.startsWith(`${path}/`)) known.delete(key);
  };

  return {
    update(state) {
      for (const file of HOST_FILES) put(state, file);
      for (const [pid, startMs] of present) {
        if (state.alive.get(pid)?.startMs === startMs) continue;
        remove(String(pid));
        present.delete(pid);
      }
      for (const [pid, process] of state.alive) {
        present.set(pid, process.startMs);
        for (const file of PROCESS_FILES) put(state, `${pid}/${file}`);
        put(state, `${pid}/net/tcp`);
        put(state, `${pid}/net/tcp6`);
        link(state, `${pid}/exe`);
        for (const name of NAMESPACES) link(state, `${pid}/ns/${name}`);
        if (process.sockets.length === 0) continue;
        const open = proc.list(state, [String(pid), 'fd']) ?? [];
        for (const fd of open) link(state, `${pid}/fd/${fd}`);
        for (const path of [...links.keys()])
          if (path.startsWith(`${pid}/fd/`) && !open.includes(path.slice(path.lastIndexOf('/') + 1)))
            remove(path);
      }
    },
  };
}
