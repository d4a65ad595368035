/**
 * The bytes of /proc on a simulated node at a moment. Paths come without the root: `['4711', 'stat']`. What does not
 * exist gives null. Bytes of a process are kept between readings, since most of them never change.
 */
import { bytesOf } from './bytes.ts';
import type { Image, SimNode, SimProcess, SimSocket } from './model.ts';
import { latest, startTicks, within } from './model.ts';
import type { NodeState } from './snapshot.ts';

export interface ProcRenderer {
  read(state: NodeState, parts: readonly string[]): Buffer | null;
  readLink(state: NodeState, parts: readonly string[]): Buffer | null;
  list(state: NodeState, parts: readonly string[]): string[] | null;
  /** What a stat of the link's target says. */
  identify(state: NodeState, parts: readonly string[]): { device: string; inode: string } | null;
}

/** Everything below /proc/PID that is rendered, for listings and for the writer of folders. */
export const PROCESS_FILES = [
  ...['stat', 'status', 'cmdline', 'environ', 'cgroup', 'comm', 'loginuid', 'mountinfo'],
] as const;
export const NAMESPACES = ['pid', 'net', 'mnt', 'user'] as const;
/** Of the host; those of a container are numbered by its network namespace. */
const HOST_NAMESPACES = { pid: 4_026_531_836, mnt: 4_026_531_841, user: 4_026_531_837 } as const;
const CONTAINER_OFFSETS = { pid: 1_000_000, mnt: 2_000_000 } as const;
/** Kinds of file systems by the device that their files have here. */
export const FILE_SYSTEMS: Readonly<Record<string, { readonly device: string; readonly point: string }>> = {
  ext4: { device: '259:2', point: '/' },
  tmpfs: { device: '0:24', point: '/dev/shm' },
  nfs4: { device: '0:52', point: '/home' },
  lustre: { device: '0:60', point: '/scratch' },
  overlay: { device: '0:88', point: '/var/lib/containers/root' },
};
const MOUNTS = Object.entries(FILE_SYSTEMS)
  .map(
    ([type, { device, point }], at) => `${22 + at} 1 ${device} / ${point} rw shared:1 - ${type} ${type} rw\n`,
  )
  .join('');
/** The agent alone is shown these; whoever reads a rendered folder would look into the control groups of another machine. */
const OWN_MOUNTS = `${MOUNTS}40 22 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:9 - cgroup2 cgroup2 rw\n`;
const OWN_PID = 977;
const OWN_ENVIRONMENT = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin\0LANG=C.UTF-8\0';
export const HOST_FILES = ['stat', 'uptime', 'meminfo', 'sys/kernel/random/boot_id'] as const;
const NO_LOGIN = 4_294_967_295;
/** Descriptors 0 to 2 are no sockets. */
const FIRST_SOCKET_FD = 3;

export function createProcRenderer(): ProcRenderer {
  const kept = new Map<SimProcess, Map<string, Buffer>>();
  let generation = -1;
  const forgetEnded = (state: NodeState): void => {
    if (state.generation === generation) return;
    generation = state.generation;
    for (const process of kept.keys()) if (state.alive.get(process.pid) !== process) kept.delete(process);
  };
  const tables = new Map<string, Buffer>();

  const processFile = (state: NodeState, process: SimProcess, file: string): Buffer | null => {
    forgetEnded(state);
    const image = latest(process.images, state.atMs);
    const cgroup = latest(process.cgroups, state.atMs).text;
    const ppid = shownParent(state, process);
    const key = `${file} ${image.fromMs} ${ppid} ${file === 'cgroup' ? cgroup : ''}`;
    const files = kept.get(process) ?? new Map<string, Buffer>();
    kept.set(process, files);
    const known = files.get(key);
    if (known !== undefined) return known;
    const text = renderProcessFile(state.node, process, image, cgroup, ppid, file);
    if (text === null) return null;
    const bytes = bytesOf(text);
    files.set(key, bytes);
    return bytes;
  };

  const netTable = (state: NodeState, namespace: number): Buffer => {
    const sockets = socketsOf(state, namespace);
    const key = `${namespace} ${sockets.map(({ socket }) => socket.inode).join(' ')}`;
    const known = tables.get(key);
    if (known !== undefined) return known;
    if (tables.size > 256) tables.clear();
    const bytes = Buffer.from(renderTcp(sockets), 'latin1');
    tables.set(key, bytes);
    return bytes;
  };

  return {
    read(state, parts) {
      const process = state.alive.get(Number(parts[0]));
      if (process === undefined) return hostFile(state, parts);
      const file = parts[1] ?? '';
      if (process.hidden !== undefined) return null;
      if (file === 'mountinfo') return Buffer.from(MOUNTS + coversOf(state));
      if (file === 'net') {
        if (parts[2] === 'tcp') return netTable(state, process.netNamespace);
        return parts[2] === 'tcp6' ? EMPTY_TCP6 : null;
      }
      return parts.length === 2 ? processFile(state, process, file) : null;
    },
    readLink(state, parts) {
      if (parts.length === 1 && parts[0] === 'self') return Buffer.from(String(OWN_PID));
      const process = visible(state, parts);
      const target = process === undefined ? null : linkTarget(state, process, parts);
      return target === null ? null : bytesOf(target);
    },
    list(state, parts) {
      if (parts.length === 0)
        return [...listedPids(state), 'meminfo', 'net', 'self', 'stat', 'sys', 'uptime'];
      const process = state.alive.get(Number(parts[0]));
      if (process === undefined) return null;
      if (process.hidden !== undefined) return process.hidden === 'mount' && parts.length === 1 ? [] : null;
      if (parts.length === 1) return [...PROCESS_FILES, 'exe', 'fd', 'net', 'ns', 'task'];
      if (parts[1] === 'fd')
        return Array.from(
          {
            length: FIRST_SOCKET_FD + openSockets(state, process).length + openDevices(state, process).length,
          },
          (_, fd) => String(fd),
        );
      return parts[1] === 'task' ? [String(process.pid)] : null;
    },
    identify(state, parts) {
      const process = visible(state, parts);
      if (process === undefined) return null;
      if (parts[1] === 'exe') {
        if (isEmpty(process)) return null;
        const image = latest(process.images, state.atMs);
        return { device: image.exeDevice, inode: image.exeInode };
      }
      if (parts[1] === 'ns' && parts[2] === 'net')
        return { device: '0:4', inode: String(process.netNamespace) };
      return parts.length === 1 ? { device: '0:23', inode: String(process.pid) } : null;
    },
  };
}

/** Undefined too for one that is hidden. */
function visible(state: NodeState, parts: readonly string[]): SimProcess | undefined {
  const process = state.alive.get(Number(parts[0]));
  return process?.hidden === undefined ? process : undefined;
}

function listedPids(state: NodeState): string[] {
  const pids: string[] = [];
  for (const [pid, { hidden }] of state.alive) if (hidden !== 'unlisted') pids.push(String(pid));
  return pids;
}

/** What somebody has mounted over the folders of processes. */
function coversOf(state: NodeState): string {
  let text = '';
  for (const { pid, hidden } of state.alive.values())
    if (hidden === 'mount') text += `90 22 0:77 / /proc/${pid} ro shared:80 - tmpfs tmpfs ro\n`;
  return text;
}

/** It has neither arguments nor an executable. */
const isEmpty = ({ state }: SimProcess): boolean => state === 'Z' || state === 'kernel';

const shownParent = (state: NodeState, process: SimProcess): number =>
  process.ppid === 0 || state.alive.has(process.ppid) ? process.ppid : 1;

function hostFile(state: NodeState, parts: readonly string[]): Buffer | null {
  const { node, atMs } = state;
  const path = parts.join('/');
  const seconds = (atMs - node.bootMs) / 1000;
  switch (path) {
    case 'uptime':
      return Buffer.from(`${seconds.toFixed(2)} ${(seconds * 60).toFixed(2)}\n`);
    case 'stat':
      return Buffer.from(
        `cpu  3741 0 3078 278225 207 0 52 15 0 0\nintr 0\nctxt 1\nbtime ${Math.floor(node.bootMs / 1000)}\n` +
          'processes 1\nprocs_running 1\nprocs_blocked 0\n',
      );
    case 'meminfo':
      return Buffer.from('MemTotal:       2113396644 kB\nMemFree:        1713396644 kB\n');
    case 'sys/kernel/random/boot_id':
      return Buffer.from(`${node.bootId}\n`);
    case 'self/mountinfo':
      return Buffer.from(OWN_MOUNTS + coversOf(state));
    case 'self/environ':
      return Buffer.from(OWN_ENVIRONMENT);
    case 'net/tcp':
      return Buffer.from(renderTcp(socketsOf(state, null)), 'latin1');
    default:
      return path === 'net/tcp6' ? EMPTY_TCP6 : null;
  }
}

function renderProcessFile(
  node: SimNode,
  process: SimProcess,
  image: Image,
  cgroup: string,
  ppid: number,
  file: string,
): string | null {
  switch (file) {
    case 'stat':
      return renderStat(process, image, ppid, startTicks(node, process));
    case 'status':
      return renderStatus(process, image, ppid);
    case 'cmdline':
      return isEmpty(process) ? '' : image.argv.map((argument) => `${argument}\0`).join('');
    case 'environ':
      return isEmpty(process) ? '' : image.environ.map((entry) => `${entry}\0`).join('');
    case 'cgroup':
      return cgroup;
    case 'comm':
      return `${image.comm}\n`;
    case 'loginuid':
      return String(process.loginUid ?? NO_LOGIN);
    default:
      return null;
  }
}

/** 52 fields; all that a reader of identity needs is true, the rest is what a quiet process has. */
function renderStat({ pid, state }: SimProcess, { comm }: Image, ppid: number, ticks: number): string {
  const letter = state === 'kernel' ? 'S' : (state ?? 'S');
  const before = `${pid} (${comm}) ${letter} ${ppid} ${pid} ${pid} 0 -1 4194560 100 0 0 0 0 0 0 0 20 0 1 0`;
  return `${before} ${ticks} 3133440 409 18446744073709551615 1 1${' 0'.repeat(10)} 17${' 0'.repeat(14)}\n`;
}

function renderStatus(process: SimProcess, image: Image, ppid: number): string {
  const { pid, uid, innerPid } = process;
  const ids = `${uid}\t${uid}\t${uid}\t${uid}`;
  return `Name:\t${image.comm}
Umask:\t0022
State:\tS (sleeping)
Tgid:\t${pid}
Ngid:\t0
Pid:\t${pid}
PPid:\t${ppid}
TracerPid:\t0
Uid:\t${ids}
Gid:\t${ids}
FDSize:\t256
Groups:\t${uid} 
NStgid:\t${innerPid === null ? pid : `${pid}\t${innerPid}`}
NSpid:\t${innerPid === null ? pid : `${pid}\t${innerPid}`}
Kthread:\t${process.state === 'kernel' ? 1 : 0}
VmRSS:\t  409600 kB
Threads:\t1
`;
}

function linkTarget(state: NodeState, process: SimProcess, parts: readonly string[]): string | null {
  switch (parts[1]) {
    case 'exe': {
      if (isEmpty(process)) return null;
      const image = latest(process.images, state.atMs);
      return image.exeDeleted ? `${image.exePath} (deleted)` : image.exePath;
    }
    case 'ns':
      return namespaceLink(process, parts[2] ?? '');
    case 'fd': {
      const fd = Number(parts[2]);
      if (fd >= 0 && fd < FIRST_SOCKET_FD) return '/dev/null';
      const sockets = openSockets(state, process);
      const socket = sockets[fd - FIRST_SOCKET_FD];
      if (socket !== undefined) return `socket:[${socket.inode}]`;
      return openDevices(state, process)[fd - FIRST_SOCKET_FD - sockets.length] ?? null;
    }
    default:
      return null;
  }
}

function namespaceLink({ netNamespace, userNamespace, innerPid }: SimProcess, name: string): string | null {
  if (name === 'net') return `net:[${netNamespace}]`;
  if (name === 'user' && userNamespace !== undefined) return `user:[${userNamespace}]`;
  if (name !== 'pid' && name !== 'mnt' && name !== 'user') return null;
  const own = innerPid !== null && name !== 'user';
  return `${name}:[${own ? netNamespace + CONTAINER_OFFSETS[name] : HOST_NAMESPACES[name]}]`;
}

const openSockets = (state: NodeState, process: SimProcess): readonly SimSocket[] =>
  process.sockets.length === 0
    ? process.sockets
    : process.sockets.filter((socket) => within(socket, state.atMs));

const NO_DEVICES: readonly string[] = [];
/** Whoever computes has the device's file open, and so has who was asked to. */
function openDevices({ node, atMs }: NodeState, { uses, opens = [] }: SimProcess): readonly string[] {
  if (uses.length === 0 && opens.length === 0) return NO_DEVICES;
  const open = new Set(opens);
  for (const use of uses) if (within(use, atMs)) open.add(use.device);
  if (open.size === 0) return NO_DEVICES;
  return [
    '/dev/nvidiactl',
    ...[...open].flatMap((index) => `/dev/nvidia${node.devices[index]?.minor ?? index}`),
  ];
}

interface OwnedSocket {
  readonly socket: SimSocket;
  readonly uid: number;
}

/** Null: of the host's namespace, as the first process has it. */
function socketsOf(state: NodeState, namespace: number | null): OwnedSocket[] {
  const wanted = namespace ?? state.alive.values().next().value?.netNamespace;
  const found: OwnedSocket[] = [];
  for (const process of state.alive.values()) {
    if (process.sockets.length === 0 || process.netNamespace !== wanted) continue;
    for (const socket of openSockets(state, process)) found.push({ socket, uid: process.uid });
  }
  return found;
}

const TCP_STATES = { established: '01', syn_sent: '02', listen: '0A' } as const;
/** The kernel pads every line to this. */
const TCP_LINE_CHARS = 149;
const TCP_TAIL = 'st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const TCP_HEADER = `${`  sl  local_address rem_address   ${TCP_TAIL}`.padEnd(TCP_LINE_CHARS)}\n`;
const EMPTY_TCP6 = Buffer.from(
  `  sl  ${'local_address'.padEnd(38)}${'remote_address'.padEnd(39)}${TCP_TAIL}\n`,
);

/** As the kernel prints /proc/net/tcp on a little-endian machine: address bytes reversed, port in order, hexadecimal. */
function renderTcp(sockets: readonly OwnedSocket[]): string {
  const rows = sockets.map(({ socket, uid }, index) => {
    const ends = `${hexEnd(socket.local)} ${hexEnd(socket.remote)} ${TCP_STATES[socket.state]}`;
    const counters = `00000000:00000000 00:00000000 00000000 ${String(uid).padStart(5)}        0`;
    const columns = `${String(index).padStart(4)}: ${ends} ${counters} ${socket.inode} 1 0000000000000000 100 0 0 10 0`;
    return `${columns.padEnd(TCP_LINE_CHARS)}\n`;
  });
  return TCP_HEADER + rows.join('');
}

function hexEnd(end: string): string {
  const colon = end.lastIndexOf(':');
  const octets = end.slice(0, colon).split('.').map(Number).reverse();
  const hex = (value: number, digits: number): string =>
    value.toString(16).toUpperCase().padStart(digits, '0');
  return `${octets.map((octet) => hex(octet, 2)).join('')}:${hex(Number(end.slice(colon + 1)), 4)}`;
}
