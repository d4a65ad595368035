/** What a scenario's process is over its life: executables, titles, sockets. */
import type { Image, SimSocket } from '../simulator/model.ts';
import { FILE_SYSTEMS } from '../simulator/render-proc.ts';
import type { ScenarioProcess } from './format.ts';

const COMM_CHARS = 15;
/** Of files that lie in no folder. */
const MEMORY_DEVICE = '0:1';
const TMPFS = ['/dev/shm/', '/run/'];

type ImageSpec = Pick<
  ScenarioProcess,
  | 'exe'
  | 'inode'
  | 'deleted'
  | 'fileSystem'
  | 'argv'
  | 'comm'
  | 'shownAs'
  | 'environment'
  | 'argumentBytes'
  | 'environmentBytes'
>;

/** Ascending: what it starts as, and what each change makes of it. */
export function imagesOf(spec: ScenarioProcess, bornMs: number, startMs: number): Image[] {
  let current: ImageSpec = spec;
  const images = [imageOf(current, bornMs)];
  for (const { at, ...change } of spec.changes) {
    const again =
      change.exe === undefined
        ? {}
        : {
            ...{ argv: undefined, comm: undefined, inode: undefined, deleted: undefined },
            ...{ fileSystem: undefined, shownAs: undefined },
          };
    current = { ...current, ...again, ...change };
    images.push(imageOf(current, startMs + at));
  }
  return images;
}

function imageOf(spec: ImageSpec, fromMs: number): Image {
  const exe = spec.exe ?? '/usr/bin/python3.11';
  const inMemory = exe.startsWith('memfd:');
  const path = inMemory ? `/${exe}` : exe;
  const name = path.slice(path.lastIndexOf('/') + 1).replace(/^memfd:/, '');
  return {
    fromMs,
    comm: (spec.comm ?? name).slice(0, COMM_CHARS),
    exePath: path,
    exeDevice: inMemory ? MEMORY_DEVICE : deviceOf(spec.fileSystem, path),
    exeInode: spec.inode ?? inodeOf(path),
    exeDeleted: spec.deleted ?? inMemory,
    argv: padded(spec.argv ?? [path], spec.argumentBytes ?? 0),
    environ: [
      ...Object.entries(spec.environment).map(([key, value]) => `${key}=${value}`),
      ...(spec.environmentBytes === undefined ? [] : [`LONG=${'x'.repeat(spec.environmentBytes)}`]),
    ],
    ...(spec.shownAs === undefined ? {} : { shownAs: spec.shownAs }),
  };
}

function deviceOf(fileSystem: string | undefined, path: string): string {
  const type = fileSystem ?? (TMPFS.some((folder) => path.startsWith(folder)) ? 'tmpfs' : 'ext4');
  return FILE_SYSTEMS[type]?.device ?? '';
}

const padded = (argv: readonly string[], bytes: number): readonly string[] =>
  bytes === 0
    ? argv
    : argv.map((word, index) => (index === argv.length - 1 ? word.padEnd(bytes, 'x') : word));

/** The same path is the same file. */
function inodeOf(path: string): string {
  let hash = 17;
  for (let at = 0; at < path.length; at += 1) hash = (Math.imul(hash, 31) + path.charCodeAt(at)) >>> 0;
  return String(100_000 + (hash % 90_000_000));
}

const STATES = { established: 'established', attempt: 'syn_sent', listening: 'listen' } as const;
const FIRST_INODE = 900_000;
const FIRST_PORT = 41_000;
/** How long an attempt of a scan waits for its answer. */
const ATTEMPT_MS = 20_000;

export function socketsOf(
  specs: ScenarioProcess['sockets'],
  process: string,
  copy: number,
  bornMs: number,
  startMs: number,
): SimSocket[] {
  let inode = FIRST_INODE + (Number(inodeOf(`${process} ${copy}`)) % 1_000_000) * 100;
  return specs.flatMap((spec): SimSocket[] => {
    const fromMs = Math.max(bornMs, spec.from === undefined ? bornMs : startMs + spec.from);
    const toMs = spec.to === undefined ? null : startMs + spec.to;
    const state = STATES[spec.kind];
    if (spec.scan === undefined) {
      inode += 1;
      return [{ inode, state, local: spec.local, remote: spec.remote ?? '0.0.0.0:0', fromMs, toMs }];
    }
    const peers = peersOf(spec.scan);
    const spreadMs = (toMs ?? fromMs) - fromMs;
    const address = spec.local.slice(0, spec.local.lastIndexOf(':'));
    return peers.map((remote, index): SimSocket => {
      const atMs = fromMs + Math.floor((spreadMs * index) / peers.length);
      inode += 1;
      const local = `${address}:${FIRST_PORT + (index % 20_000)}`;
      return { inode, state, local, remote, fromMs: atMs, toMs: atMs + ATTEMPT_MS };
    });
  });
}

function peersOf(scan: NonNullable<ScenarioProcess['sockets'][number]['scan']>): string[] {
  const octets = (scan.network.split('/')[0] ?? '').split('.').map(Number);
  const base = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  return Array.from({ length: scan.hosts }, (_, index) => base + index + 1).flatMap((host) =>
    scan.ports.map(
      (port) => `${[24, 16, 8, 0].map((shift) => Math.floor(host / 2 ** shift) % 256).join('.')}:${port}`,
    ),
  );
}
