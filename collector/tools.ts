/**
 * The files through which the GPUs are read: nvidia-smi, the library that it loads, and what is set to be loaded into
 * every program. Whoever can change one of these can change what the agent sees.
 */
import { basename, dirname } from 'node:path';
import { BATCH_LIMITS, type IntegrityFact, type ToolFact } from '../api/contract/batch.ts';
import { Lasting } from './lasting.ts';
import type { FileStat, Files } from './ports.ts';
import { createLinker, type Linker, type Preload } from './sources/linker.ts';
import { attempt } from './sources/procfs.ts';
import type { ToolState } from './tool-state.ts';

/** Longer files are not hashed: the library has a few MB. */
const MAX_TOOL_BYTES = 64 * 1024 * 1024;
const LIBRARY = 'libnvidia-ml.so.1';
const MODULE = '/driver/nvidia/version';
const MODULE_BYTES = 4096;
const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_ALL = 0o002;
const STICKY = 0o1000;
const MAX_DIGESTS = 64;

type Said = Omit<IntegrityFact, 'firstMs' | 'lastMs'>;
type Role = ToolFact['role'];

export interface ToolsConfig {
  readonly nvidiaSmi: string;
  readonly procRoot: string;
  /** As Node names it: "x64", "arm64". */
  readonly architecture: string;
}

export class Tools {
  readonly #files: Files;
  readonly #config: ToolsConfig;
  readonly #linker: Linker;
  readonly #told = new Lasting<Said>();
  #events: IntegrityFact[] = [];
  /** By what the content depends on. */
  readonly #digests = new Map<string, string | null>();
  #tools: readonly ToolFact[] | null = null;
  /** What the look before saw, of this run or an earlier one. */
  #before: ToolState | null;

  constructor(files: Files, config: ToolsConfig, before: ToolState | null) {
    this.#files = files;
    this.#config = config;
    this.#linker = createLinker(files, config.procRoot, config.architecture);
    this.#before = before;
  }

  /** As of the latest look; null: there was none yet. */
  get tools(): readonly ToolFact[] | null {
    return this.#tools;
  }

  /** What an earlier run saved, then what the looks saw: for `changesOf`, and to be saved. */
  get state(): ToolState | null {
    return this.#before;
  }

  /** `driverVersion` as nvidia-smi gives it. True: something is another than at the look before. */
  look(atMs: number, driverVersion: string | null): boolean {
    const preloads = this.#linker.preloads();
    const found = this.#find(preloads);
    const tools = found.map(({ tool }) => tool).slice(0, BATCH_LIMITS.tools);
    const changed = JSON.stringify(tools) !== JSON.stringify(this.#tools);
    this.#tools = tools;
    const moduleVersion = this.#moduleVersion();
    for (const said of [
      ...preloads.map(preloadSaid),
      ...found.flatMap((one) => this.#exposed(one)),
      ...mismatch(tools, moduleVersion, driverVersion),
    ])
      this.#told.see(`${said.kind} ${said.detail}`, said, atMs);
    this.#told.endRound();
    const state: ToolState = { driverVersion: moduleVersion ?? driverVersion, tools };
    for (const detail of changesOf(this.#before, state)) {
      const said = { kind: 'tool_changed', device: null, process: null } as const;
      this.#events.push({ ...said, detail, firstMs: atMs, lastMs: atMs });
    }
    this.#before = state;
    return changed;
  }

  due(atMs: number): IntegrityFact[] {
    const events = this.#events;
    this.#events = [];
    return [...events, ...this.#told.due(atMs)];
  }

  #find(preloads: readonly Preload[]): Found[] {
    const preloaded = preloads.flatMap(({ libraries }) =>
      libraries.flatMap((name) => (name.includes('/') ? name : (this.#linker.library(name) ?? []))),
    );
    const wanted: [Role, string | null][] = [
      ['nvidia_smi', this.#linker.program(this.#config.nvidiaSmi)],
      ['libnvidia_ml', this.#linker.library(LIBRARY)],
      ...[...new Set(preloaded)].map((path): [Role, string] => ['preload', path]),
    ];
    return wanted.flatMap(([role, path]) => (path === null ? [] : (this.#describe(role, path) ?? [])));
  }

  #describe(role: Role, called: string): Found | null {
    const real = attempt(() => this.#files.realPath(called));
    const path = real.ok ? real.value : called;
    const stat = attempt(() => this.#files.stat(path));
    if (!stat.ok) return null;
    const { device, inode, ownerUid, sizeBytes } = stat.value;
    const tool: ToolFact = {
      role,
      path: path.slice(0, BATCH_LIMITS.pathChars),
      ...{ device, inode, ownerUid, sizeBytes },
      sha256: this.#digest(path, stat.value),
      version: /\.so\.(\d+(?:\.\d+)+)$/.exec(basename(path))?.[1] ?? null,
    };
    return { tool, called, stat: stat.value };
  }

  /** Hashed again only when the file is another or was written to. */
  #digest(path: string, { device, inode, sizeBytes, changedMs, kind }: FileStat): string | null {
    if (kind !== 'file') return null;
    const stamp = `${device} ${inode} ${sizeBytes} ${changedMs}`;
    const known = this.#digests.get(stamp);
    if (known !== undefined) return known;
    const digest = attempt(() => this.#files.digest(path, MAX_TOOL_BYTES));
    if (this.#digests.size >= MAX_DIGESTS) this.#digests.clear();
    this.#digests.set(stamp, digest.ok ? digest.value : null);
    return digest.ok ? digest.value : null;
  }

  #exposed({ tool, called, stat }: Found): Said[] {
    const folders = [...new Set([dirname(tool.path), dirname(called)])];
    const why = [
      ...exposure('it', stat),
      ...folders.flatMap((folder) => {
        const own = attempt(() => this.#files.stat(folder));
        return own.ok ? exposure(`its folder ${folder}`, own.value) : [];
      }),
    ];
    if (why.length === 0) return [];
    const detail = `${tool.path}: ${why.join(', ')}`;
    return [{ kind: 'tool_exposed', device: null, process: null, detail }];
  }

  /** Of the driver's kernel module. */
  #moduleVersion(): string | null {
    const path = `${this.#config.procRoot}${MODULE}`;
    const part = attempt(() => this.#files.read(path, MODULE_BYTES).bytes.toString('latin1'));
    return part.ok ? parseModuleVersion(part.value) : null;
  }
}

interface Found {
  readonly tool: ToolFact;
  /** The path by which it was found, before links were followed. */
  readonly called: string;
  readonly stat: FileStat;
}

/** "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue …", or "… Open Kernel Module for x86_64  580.95.05 …". */
export function parseModuleVersion(text: string): string | null {
  return (
    /^NVRM version:.*?Kernel Module(?: for \S+)?\s+(\d{3,4}(?:\.\d{1,4}){1,3})\s/m.exec(text)?.[1] ?? null
  );
}

function exposure(what: string, { ownerUid, mode, kind }: FileStat): string[] {
  // In a folder with the sticky bit nobody may replace what belongs to another.
  const open = kind === 'folder' && (mode & STICKY) !== 0 ? 0 : mode;
  return [
    ...(ownerUid === 0 ? [] : [`${what} belongs to uid ${ownerUid}`]),
    ...((open & WRITABLE_BY_GROUP) === 0 ? [] : [`${what} can be written by its group`]),
    ...((open & WRITABLE_BY_ALL) === 0 ? [] : [`${what} can be written by everybody`]),
  ];
}

function preloadSaid({ source, libraries }: Preload): Said {
  const where = source.startsWith('/')
    ? `${source} names`
    : `${source} in the environment of the agent names`;
  const detail = `${where} ${libraries.join(' ')}`;
  return { kind: 'preload_set', device: null, process: null, detail };
}

function mismatch(
  tools: readonly ToolFact[],
  moduleVersion: string | null,
  driverVersion: string | null,
): Said[] {
  const versions = [
    ...(moduleVersion === null ? [] : [`kernel module ${moduleVersion}`]),
    ...(driverVersion === null ? [] : [`nvidia-smi says ${driverVersion}`]),
    ...tools.flatMap(({ role, version }) =>
      role === 'libnvidia_ml' && version !== null ? [`library ${version}`] : [],
    ),
  ];
  if (new Set(versions.map((text) => text.slice(text.lastIndexOf(' ') + 1))).size < 2) return [];
  const detail = `${versions.join(', ')}: an upgraded driver that was not reloaded looks like this too`;
  return [{ kind: 'version_mismatch', device: null, process: null, detail }];
}

/** In words, each file that is another than before while the driver is the same. */
function changesOf(before: ToolState | null, now: ToolState): string[] {
  if (before === null || before.driverVersion === null || before.driverVersion !== now.driverVersion)
    return [];
  return now.tools.flatMap((tool) => {
    if (tool.role === 'preload') return [];
    const earlier = before.tools.filter(({ role }) => role === tool.role);
    const same = earlier.find(({ path }) => path === tool.path);
    const driver = `the driver is ${before.driverVersion} as before`;
    if (same === undefined) {
      if (earlier.length === 0) return [];
      return [`${tool.path} is used instead of ${earlier.map(({ path }) => path).join(', ')}; ${driver}`];
    }
    if (same.sha256 === tool.sha256) return [];
    return [
      `${tool.path} has another content (SHA-256 ${same.sha256} before, ${tool.sha256} now); ${driver}`,
    ];
  });
}
