/**
 * TCP sockets of a network namespace and their owners. Of PID it reads `ns/net` (link), `net/tcp`, `net/tcp6`,
 * `net/snmp` and the links in `fd`. The host's own tables do not show other namespaces, so every namespace is read through a process in it.
 */
import ipaddr from 'ipaddr.js';
import type { ConnectionFact, PeerClass } from '../../api/contract/batch.ts';
import type { Files } from '../ports.ts';
import { descriptorsIn } from './descriptors.ts';
import { attempt, type Part, threadFolder } from './procfs.ts';

const TABLE_BYTES = 8 * 1024 * 1024;
/** A row is padded to 150 bytes; one of IPv6 has about 180. */
const ROW_BYTES = 512;
const MAX_ROWS = 65_536;
const COUNTERS_BYTES = 64 * 1024;
/** Private, unique local, link-local and carrier-grade ranges: where a site's own machines are, unless it says otherwise. */
export const INTERNAL_RANGES = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  '100.64.0.0/10',
  'fc00::/7',
  'fe80::/10',
] as const;
/** Socket states that are facts, by the kernel's number. What has no process any more (TIME_WAIT …) is none. */
const STATES: ReadonlyMap<string, ConnectionFact['kind']> = new Map([
  ['01', 'established'],
  ['02', 'attempt'],
  ['0A', 'listening'],
]);

/** A row of a socket table; the endpoints are as the kernel writes them, for `parseEndpoint`. */
export interface SocketRow {
  readonly kind: ConnectionFact['kind'];
  readonly local: string;
  readonly peer: string;
  readonly inode: string;
}

export interface Endpoint {
  /** IPv4 or IPv6 text; an IPv4 address inside IPv6 is written as IPv4. */
  readonly address: string;
  readonly port: number;
}

/** Rows of /proc/net/tcp or tcp6 that are facts. Anything that is not such a row is passed over. */
export function parseSocketTable(bytes: Buffer): SocketRow[] {
  const rows: SocketRow[] = [];
  for (const line of bytes.toString('latin1').split('\n', MAX_ROWS)) {
    const [, local = '', peer = '', state = '', , , , , , inode = ''] = line.trim().split(/ +/, 10);
    const kind = STATES.get(state);
    if (kind === undefined || !/^[1-9]\d{0,19}$/.test(inode)) continue;
    if (ENDPOINT.test(local) && ENDPOINT.test(peer)) rows.push({ kind, local, peer, inode });
  }
  return rows;
}

const ENDPOINT = /^(?:[0-9A-F]{8}|[0-9A-F]{32}):[0-9A-F]{4}$/;

/** "0100007F:1F90" → 127.0.0.1 and 8080. Addresses are 32-bit words in the order of a little-endian machine. */
export function parseEndpoint(text: string): Endpoint | null {
  if (!ENDPOINT.test(text)) return null;
  const [words = '', port = ''] = text.split(':');
  const bytes: number[] = [];
  for (let word = 0; word < words.length; word += 8)
    for (let at = word + 6; at >= word; at -= 2) bytes.push(Number.parseInt(words.slice(at, at + 2), 16));
  const address = ipaddr.fromByteArray(bytes);
  const plain =
    address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
  return { address: plain.toString(), port: Number.parseInt(port, 16) };
}

export function endpointText({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * Tells where an address is. The unspecified address (a listener on every interface) counts as internal: it tells
 * nothing about a peer. Throws for a range that is not a network, since a setting that cannot be honoured must not pass.
 */
export function createPeerClassifier(internalRanges: readonly string[]): (address: string) => PeerClass {
  const ranges = internalRanges.map((range) => {
    if (!ipaddr.isValidCIDR(range))
      throw new Error(`internal range "${range}" is not a network such as 10.0.0.0/8`);
    return ipaddr.parseCIDR(range);
  });
  return (text) => {
    if (!ipaddr.isValid(text)) return 'external';
    const address = ipaddr.process(text);
    const kind = address.range();
    if (kind === 'loopback') return 'loopback';
    if (kind === 'unspecified') return 'internal';
    const inside = ranges.some(
      ([network, bits]) => network.kind() === address.kind() && address.match(network, bits),
    );
    return inside ? 'internal' : 'external';
  };
}

/** TCP connections that a network namespace has tried and that failed, since it exists. */
export interface DialCounters {
  readonly attempts: number;
  readonly failed: number;
}

/** ActiveOpens and AttemptFails of /proc/net/snmp, IPv6 included; null where the text is not understood. */
export function parseDialCounters(bytes: Buffer): DialCounters | null {
  const [names, values] = bytes
    .toString('latin1')
    .split('\n')
    .filter((line) => line.startsWith('Tcp: '))
    .map((line) => line.trim().split(' ', 64));
  const counterOf = (name: string): number => {
    const text = values?.[names?.indexOf(name) ?? -1] ?? '';
    return /^\d{1,20}$/.test(text) ? Number(text) : Number.NaN;
  };
  const counters = { attempts: counterOf('ActiveOpens'), failed: counterOf('AttemptFails') };
  return Number.isSafeInteger(counters.attempts) && Number.isSafeInteger(counters.failed) ? counters : null;
}

export interface SocketSource {
  /** Name of the network namespace that a process is in. */
  namespace(pid: number): Part<string>;
  /** The sockets of that namespace. */
  table(pid: number): Part<SocketRow[]>;
  /** What was tried in that namespace. */
  dials(pid: number): Part<DialCounters>;
  /** Socket inodes that a process holds, from at most `max` descriptors; `looked` tells how many were read. */
  held(pid: number, max: number): Part<{ inodes: string[]; looked: number; complete: boolean }>;
}

export function createSocketSource(files: Files, procRoot: string): SocketSource {
  const rows = (path: string): Part<SocketRow[]> =>
    attempt(() => parseSocketTable(files.read(path, TABLE_BYTES, ROW_BYTES).bytes));
  /** In the folder of the process, else of a thread that goes on after its first one. */
  function within<T>(pid: number, look: (folder: string) => Part<T>, empty = (_: T) => false): Part<T> {
    const own = look(`${procRoot}/${pid}`);
    if (own.ok ? !empty(own.value) : !own.gone) return own;
    const thread = threadFolder(files, procRoot, pid);
    return thread === null ? own : look(`${procRoot}/${thread}`);
  }
  return {
    namespace: (pid) =>
      within(pid, (folder) => attempt(() => files.readLink(`${folder}/ns/net`).toString('latin1'))),
    table: (pid) =>
      within(pid, (folder) => {
        const four = rows(`${folder}/net/tcp`);
        if (!four.ok) return four;
        // Machines without IPv6 have no such table.
        const six = rows(`${folder}/net/tcp6`);
        return { ok: true, value: six.ok ? [...four.value, ...six.value] : four.value };
      }),
    dials: (pid) =>
      within(pid, (folder) => {
        const part = attempt(() => parseDialCounters(files.read(`${folder}/net/snmp`, COUNTERS_BYTES).bytes));
        if (!part.ok) return part;
        return part.value === null
          ? { ok: false, gone: false, why: 'not understood' }
          : { ok: true, value: part.value };
      }),
    held: (pid, max) =>
      within(
        pid,
        (folder) => heldIn(files, folder, max),
        ({ looked }) => looked === 0,
      ),
  };
}

function heldIn(
  files: Files,
  folder: string,
  max: number,
): Part<{ inodes: string[]; looked: number; complete: boolean }> {
  const open = descriptorsIn(files, folder, max);
  if (!open.ok) return open;
  const { links, looked, cut } = open.value;
  const inodes = links.flatMap((link) => /^socket:\[(\d{1,20})\]$/.exec(link)?.[1] ?? []);
  return { ok: true, value: { inodes, looked, complete: !cut } };
}
