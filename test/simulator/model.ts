/**
 * What a simulated node is made of: devices, processes through their lives, load over time, sockets, faults. Plain data,
 * so that a file can describe it; `snapshot.ts` says what it is at a moment, the renderers say what tools would show.
 * All times are integer milliseconds since 1970 UTC; `endMs`/`toMs` null: still going on.
 */

export interface SimModel {
  readonly name: string;
  readonly memoryMiB: number;
  /** As in XML `product_architecture`. */
  readonly architecture: string;
  readonly idleWatts: number;
  readonly limitWatts: number;
  /** PCI vendor device id, as nvidia-smi prints it. */
  readonly deviceId: string;
}

/** A stretch in which a device does not answer as it should. */
export interface DeviceFault {
  readonly fromMs: number;
  readonly toMs: number | null;
  /**
   * `requires_reset` answers with that text for its sensors, `says` with `text`; `lost` has no row at all and spoils the
   * exit code; `gone` is as if it had never been there.
   */
  readonly kind: 'requires_reset' | 'lost' | 'gone' | 'says';
  /** Such as "[N/A]" or "ERR!". */
  readonly text?: string;
}

/** A stretch in which sensors tell something else than the truth. Absent members stay true. */
export interface SensorLie {
  readonly fromMs: number;
  readonly toMs: number | null;
  readonly utilisationPercent?: number;
  readonly powerWatts?: number;
  readonly memoryMiB?: number;
  readonly hideProcesses?: boolean;
}

export interface SimDevice {
  readonly uuid: string;
  readonly index: number;
  readonly minor: number;
  /** `00000000:19:00.0` */
  readonly busId: string;
  readonly serial: string;
  readonly model: SimModel;
  readonly faults: DeviceFault[];
  readonly lies: SensorLie[];
  /** Its MIG instances, by their numbers; absent: MIG mode is off. */
  readonly instances?: readonly SimInstance[];
  /** Memory is the host's: the driver counts none for the device. */
  readonly unifiedMemory?: true;
  /** A virtual GPU in a guest, which sees nobody's name or memory. */
  readonly virtual?: true;
}

/** A compute instance within a GPU instance. Compute instances of one GPU instance share its memory. */
export interface SimInstance {
  readonly uuid: string;
  readonly gpuInstance: number;
  readonly computeInstance: number;
  /** Such as "3g.40gb" or "1c.3g.40gb". */
  readonly profile: string;
  readonly memoryMiB: number;
}

export interface Phase {
  readonly lengthMs: number;
  readonly smPercent: number;
}

/** Phases that repeat without end, with noise of ± `jitterPercent` on every phase that is not zero. */
export interface Load {
  readonly phases: readonly Phase[];
  readonly jitterPercent: number;
  readonly seed: number;
}

/** A context of a process on a device. */
export interface DeviceUse {
  /** Index within the node's `devices`. */
  readonly device: number;
  readonly fromMs: number;
  readonly toMs: number | null;
  readonly memoryMiB: number;
  readonly load: Load;
  /** nvidia-smi's letters: C, G, C+G, M+C. */
  readonly type: string;
  /** What it draws above the idle device at full load; absent: by its share of the device. */
  readonly watts?: number;
  /** The MIG instance that it runs in. */
  readonly gpuInstance?: number;
  readonly computeInstance?: number;
}

/** What a process is from `fromMs` on: an exec or a re-title starts the next one. */
export interface Image {
  readonly fromMs: number;
  readonly comm: string;
  readonly exePath: string;
  /** `major:minor` of the file system. */
  readonly exeDevice: string;
  readonly exeInode: string;
  readonly exeDeleted: boolean;
  readonly argv: readonly string[];
  readonly environ: readonly string[];
  /** What nvidia-smi shows as its name, byte for byte; absent: the first argument or the executable. */
  readonly shownAs?: string;
}

export interface SimSocket {
  readonly inode: number;
  readonly state: 'established' | 'syn_sent' | 'listen';
  /** IPv4 `address:port` */
  readonly local: string;
  readonly remote: string;
  readonly fromMs: number;
  readonly toMs: number | null;
}

/** The truth about whom a process computes for; nothing renders it. */
interface Cover {
  readonly job: string;
  readonly toMs: number | null;
}

export interface SimProcess {
  readonly pid: number;
  readonly startMs: number;
  readonly endMs: number | null;
  /** When this parent is gone, the kernel shows 1. 0: no parent. */
  readonly ppid: number;
  readonly uid: number;
  /** null: never logged in (4294967295). */
  readonly loginUid: number | null;
  /** Number of its network namespace, as in `net:[4026531840]`. */
  readonly netNamespace: number;
  /** Number of its user namespace; absent: the host's. */
  readonly userNamespace?: number;
  /** Its pid inside its own pid namespace; null where it has none of its own. */
  readonly innerPid: number | null;
  /** At least one, ascending. */
  readonly images: readonly Image[];
  /** Texts of /proc/PID/cgroup, at least one, ascending. */
  readonly cgroups: readonly { readonly fromMs: number; readonly text: string }[];
  readonly uses: readonly DeviceUse[];
  readonly sockets: readonly SimSocket[];
  /** Devices whose files it has open beside those that it uses. */
  readonly opens?: readonly number[];
  /** `mount`: something lies over its folder in /proc; `unlisted`: the kernel denies that it is there. */
  readonly hidden?: 'mount' | 'unlisted';
  /** As in /proc/PID/stat; absent: S. Those of the kernel and dead ones have neither arguments nor executable. */
  readonly state?: 'S' | 'T' | 'Z' | 'kernel';
  readonly cover: Cover | null;
}

/** A row of a device's accounting buffer. */
export interface AccountedRow {
  readonly device: number;
  readonly pid: number;
  readonly busyPercent: number;
  readonly memoryPercent: number;
  readonly maxMemoryMiB: number;
  /** 0 while it runs. */
  readonly timeMs: number;
}

/** Driver accounting. Rows under a mode that is off are left over from before. */
interface SimAccounting {
  readonly on: boolean;
  /** Since when; what began before is never accounted. */
  readonly fromMs: number;
  /** Rows beside those of the node's processes, oldest first. */
  readonly rows: readonly AccountedRow[];
}

/** A stretch in which nvidia-smi itself is sick. */
interface ToolFault {
  readonly fromMs: number;
  readonly toMs: number | null;
  /** `fail` prints `text`; `half` the first half of what it should, in the middle of a line. */
  readonly kind: 'hang' | 'fail' | 'half';
  readonly exitCode: number;
  readonly text: string;
  /** Beginning of the arguments of the calls that it strikes; absent: of all. */
  readonly call?: string;
}

/** A file outside of /proc, from `fromMs` on; the latest of a path counts. */
export interface SimFile {
  readonly path: string;
  readonly fromMs: number;
  readonly content: string;
  readonly ownerUid: number;
  readonly mode: number;
}

export interface SimUser {
  readonly name: string;
  readonly uid: number;
}

export interface SimNode {
  readonly name: string;
  readonly bootId: string;
  readonly bootMs: number;
  readonly driverVersion: string;
  readonly cudaVersion: string;
  readonly devices: readonly SimDevice[];
  /** Ascending by `startMs`; `addProcess` keeps it so. */
  readonly processes: SimProcess[];
  readonly toolFaults: readonly ToolFault[];
  /** When its agent did not run. */
  readonly agentOff: { readonly fromMs: number; readonly toMs: number }[];
  readonly users: readonly SimUser[];
  readonly files?: readonly SimFile[];
  /** How many processes another program than the agent counts on the machine; absent: as many as there are. */
  readonly countedProcesses?: number;
  /** Absent: the mode is off and the buffers are empty. */
  accounting?: SimAccounting;
}

/** USER_HZ: clock ticks per second in /proc/PID/stat. */
const TICK_MS = 10;
export const HOST_NETWORK = 4_026_531_840;

export const startTicks = (node: SimNode, process: SimProcess): number =>
  Math.max(0, Math.round((process.startMs - node.bootMs) / TICK_MS));

/** True when `atMs` lies in [fromMs, toMs). */
export const within = (
  span: { readonly fromMs: number; readonly toMs: number | null },
  atMs: number,
): boolean => span.fromMs <= atMs && (span.toMs === null || atMs < span.toMs);

/** The last entry that has begun by `atMs`, else the first. Throws `RangeError` for an empty list. */
export function latest<T extends { readonly fromMs: number }>(list: readonly T[], atMs: number): T {
  let found = list[0];
  if (found === undefined) throw new RangeError('a process needs at least one image and one cgroup');
  for (let index = 1; index < list.length; index += 1) {
    const entry = list[index];
    if (entry === undefined || entry.fromMs > atMs) break;
    found = entry;
  }
  return found;
}

/** Adds a process to a node at its place in the order of starts. */
export function addProcess(node: SimNode, process: SimProcess): void {
  let at = node.processes.length;
  while (at > 0 && (node.processes[at - 1]?.startMs ?? 0) > process.startMs) at -= 1;
  node.processes.splice(at, 0, process);
}
