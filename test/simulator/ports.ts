/**
 * The agent's ports on a simulated node: its tool and its /proc are rendered for the virtual moment, its spool lives in
 * memory, its clock stands where it is put. The network is the caller's.
 */
import { createHash } from 'node:crypto';
import type { AgentClock, Executed, Files, Network, Ports } from '../../collector/ports.ts';
import { bytesOf } from './bytes.ts';
import { createMachineFiles } from './machine-files.ts';
import type { SimNode } from './model.ts';
import { renderNvidiaSmi } from './render-nvidia-smi.ts';
import type { ProcRenderer } from './render-proc.ts';
import { createProcRenderer } from './render-proc.ts';
import type { NodeState, NodeView } from './snapshot.ts';
import { createNodeView } from './snapshot.ts';

/** Where a simulated agent finds things; its configuration names these. */
export const SIMULATED_PATHS = {
  nvidiaSmi: '/usr/bin/nvidia-smi',
  procRoot: '/proc',
  passwd: '/etc/passwd',
  spool: '/var/lib/gpuledger-agent',
} as const;

export interface VirtualClock extends AgentClock {
  set(atMs: number): void;
}

export function createVirtualClock(startMs: number): VirtualClock {
  let nowMs = startMs;
  return {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs - startMs,
    // Whoever drives the agent moves the clock; an agent that sleeps here only yields.
    sleep: async () => {},
    set: (atMs) => {
      nowMs = atMs;
    },
  };
}

export type Spooled = ReadonlyMap<string, Buffer | null>;

export interface SimulatedPorts extends Ports {
  /** What the agent has stored, by path below its spool folder; null is a folder. */
  spooled(): Spooled;
}

/** `worldMs` is when it really is; the node's wall clock may say something else. `memory` outlives a reboot. */
export function createSimulatedPorts(
  node: SimNode,
  clock: AgentClock,
  network: Network,
  worldMs: () => number = () => clock.wallMs(),
  memory: Map<string, Buffer | null> = new Map(),
): SimulatedPorts {
  const view = createNodeView(node);
  return {
    clock,
    network,
    files: createSimulatedFiles(node, view, worldMs, memory),
    spooled: () => {
      const folder = `${SIMULATED_PATHS.spool}/`;
      const below = [...memory].filter(([path]) => path.startsWith(folder));
      return new Map(below.map(([path, bytes]) => [path.slice(folder.length), bytes]));
    },
    execute: async (file, args, { timeoutMs, maxOutputBytes }) =>
      file === process.execPath
        ? described(view.at(worldMs()))
        : executed(view.at(worldMs()), args, timeoutMs, maxOutputBytes),
  };
}

const NOTHING = Buffer.alloc(0);

/** What the agent's own program says of the machine, and how many processes it counts. */
function described({ node, alive }: NodeState): Executed {
  const fact = {
    ...{
      operatingSystem: 'Ubuntu 24.04.3 LTS',
      kernel: '6.8.0-79-generic',
      processor: 'Intel Xeon Platinum 8480+',
    },
    ...{ cores: 112, memoryBytes: 2_164_118_163_456, virtualisation: null },
  };
  const stdout = Buffer.from(`${JSON.stringify(fact)}\n${node.countedProcesses ?? alive.size}\n`);
  return { stdout, stderr: NOTHING, exitCode: 0, failure: null, durationMs: 0 };
}

function executed(state: NodeState, args: readonly string[], timeoutMs: number, maxBytes: number): Executed {
  const { stdout, exitCode, hang } = renderNvidiaSmi(state, args);
  if (hang)
    return { stdout: NOTHING, stderr: NOTHING, exitCode: null, failure: 'timeout', durationMs: timeoutMs };
  const bytes = bytesOf(stdout);
  const whole = bytes.length <= maxBytes;
  return {
    stdout: whole ? bytes : bytes.subarray(0, maxBytes),
    stderr: NOTHING,
    exitCode: whole ? exitCode : null,
    failure: whole ? null : 'output_limit',
    durationMs: 0,
  };
}

const PROC = `${SIMULATED_PATHS.procRoot}/`;

function createSimulatedFiles(
  node: SimNode,
  view: NodeView,
  worldMs: () => number,
  memory: Map<string, Buffer | null>,
): Files {
  const proc = createProcRenderer();
  const stored = createMemoryFiles(memory);
  stored.writeDurably(SIMULATED_PATHS.passwd, Buffer.from(renderPasswd(node)));
  const ask = <T>(
    path: string,
    of: (renderer: ProcRenderer, state: NodeState, parts: readonly string[]) => T | null,
  ): T => {
    const parts = path === SIMULATED_PATHS.procRoot ? [] : path.slice(PROC.length).split('/');
    const found = of(proc, view.at(worldMs()), parts);
    if (found === null) throw fileError('ENOENT', path);
    return found;
  };
  const inProc = (path: string): boolean => path.startsWith(PROC) || path === SIMULATED_PATHS.procRoot;
  const machine = createMachineFiles(node);
  const present = <T>(path: string, found: T | null): T => {
    if (found === null) throw fileError('ENOENT', path);
    return found;
  };
  return {
    ...stored,
    read: (path, maxBytes) =>
      inProc(path)
        ? limited(
            ask(path, (renderer, state, parts) => renderer.read(state, parts)),
            maxBytes,
          )
        : machine.has(path)
          ? limited(present(path, machine.read(view.at(worldMs()), path)), maxBytes)
          : stored.read(path, maxBytes),
    stat: (path) =>
      machine.has(path) ? present(path, machine.stat(view.at(worldMs()), path)) : stored.stat(path),
    realPath: (path) => (inProc(path) || machine.has(path) ? path : stored.realPath(path)),
    digest: (path, maxBytes) =>
      machine.has(path)
        ? present(path, machine.digest(view.at(worldMs()), path))
        : stored.digest(path, maxBytes),
    sizeBytes: (path) => (inProc(path) ? 0 : stored.sizeBytes(path)),
    hold: (path) => {
      if (!inProc(path)) return stored.hold(path);
      const process = view.at(worldMs()).alive.get(Number(path.slice(PROC.length).split('/')[0]));
      const read = (): Buffer => {
        const now = view.at(worldMs()).alive.get(process?.pid ?? 0);
        if (now !== process) throw fileError('ESRCH', path);
        return ask(path, (renderer, state, parts) => renderer.read(state, parts));
      };
      read();
      return { read: (maxBytes) => limited(read(), maxBytes).bytes, close: () => undefined };
    },
    readLink: (path) =>
      inProc(path)
        ? ask(path, (renderer, state, parts) => renderer.readLink(state, parts))
        : stored.readLink(path),
    list: (path) =>
      inProc(path)
        ? ask(path, (renderer, state, parts) => renderer.list(state, parts))
        : machine.has(path)
          ? present(path, machine.list(view.at(worldMs()), path))
          : stored.list(path),
    identify: (path) =>
      inProc(path)
        ? ask(path, (renderer, state, parts) => renderer.identify(state, parts))
        : stored.identify(path),
  };
}

export function renderPasswd(node: SimNode): string {
  const people = node.users.map(({ name, uid }) => `${name}:x:${uid}:${uid}::/home/${name}:/bin/bash\n`);
  return `root:x:0:0:root:/root:/bin/bash\n${people.join('')}`;
}

const limited = (bytes: Buffer, maxBytes: number): { bytes: Buffer; cut: boolean } =>
  bytes.length <= maxBytes ? { bytes, cut: false } : { bytes: bytes.subarray(0, maxBytes), cut: true };

function fileError(code: 'ENOENT' | 'EISDIR' | 'ESRCH' | 'EOPNOTSUPP', path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

/** Files (and folders, as null) that nobody else sees; folders need not be made before something is put in. */
function createMemoryFiles(stored: Map<string, Buffer | null>): Files {
  const get = (path: string): Buffer => {
    const bytes = stored.get(path);
    if (bytes === undefined) throw fileError('ENOENT', path);
    if (bytes === null) throw fileError('EISDIR', path);
    return bytes;
  };
  const below = (folder: string): string[] =>
    [...stored.keys()].filter((path) => path.startsWith(`${folder}/`));
  return {
    read: (path, maxBytes) => limited(get(path), maxBytes),
    hold: (path) => {
      throw fileError('EOPNOTSUPP', path);
    },
    readLink: (path) => {
      throw fileError('ENOENT', path);
    },
    list: (path) => {
      const names = below(path).map((found) => found.slice(path.length + 1).split('/')[0] ?? '');
      if (names.length === 0 && !stored.has(path)) throw fileError('ENOENT', path);
      return [...new Set(names)];
    },
    identify: (path) => {
      get(path);
      return { device: '0:1', inode: '1' };
    },
    sizeBytes: (path) => get(path).length,
    stat: (path) => {
      const own = { device: '0:1', inode: '1', ownerUid: 0, mode: 0o600, changedMs: 0 };
      return { ...own, sizeBytes: get(path).length, kind: 'file' };
    },
    realPath: (path) => {
      get(path);
      return path;
    },
    digest: (path) => createHash('sha256').update(get(path)).digest('hex'),
    makeFolder: (path) => {
      if (!stored.has(path)) stored.set(path, null);
    },
    writeDurably: (path, bytes) => {
      stored.set(path, bytes);
    },
    rename: (from, to) => {
      for (const path of [from, ...below(from)]) {
        const bytes = stored.get(path);
        if (bytes === undefined) continue;
        stored.delete(path);
        stored.set(to + path.slice(from.length), bytes);
      }
    },
    remove: (path) => {
      for (const found of [path, ...below(path)]) stored.delete(found);
    },
  };
}
