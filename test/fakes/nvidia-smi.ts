/** A stand-in nvidia-smi for end-to-end tests: an executable that lists real pids on devices that do not exist. */
import { readFileSync, readlinkSync } from 'node:fs';
import type { DeviceFault, Image, SimNode, SimProcess } from '../simulator/model.ts';
import { HOST_NETWORK } from '../simulator/model.ts';
import { createNodeView } from '../simulator/snapshot.ts';
import { createAnswerFolder } from './answers.ts';

interface FakeDevice {
  readonly uuid: string;
  readonly index: number;
  readonly model: string;
  /** Default 80 GiB. */
  readonly memoryMiB?: number;
  readonly fault?: DeviceFault['kind'];
}

interface FakeProcess {
  /** UUID of the device; one process on two devices is two of these. */
  readonly device: string;
  readonly pid: number;
  /** 0–100; 0 shows as `-`, as the real tool does. */
  readonly sm: number;
  readonly memoryBytes: number;
  readonly type?: string;
}

type FakeKind =
  | 'query-gpu'
  | 'query-compute-apps'
  | 'query-accounted-apps'
  | 'pmon'
  | 'xml'
  | 'list'
  | 'help';

/** Every member is one way to misbehave; `only` limits it to one kind of call. */
interface FakeFault {
  readonly only?: FakeKind;
  readonly hangSeconds?: number;
  readonly exitCode?: number;
  /** One line, printed instead of the answer. */
  readonly text?: string;
  /** The answer ends after so many bytes. */
  readonly cutBytes?: number;
  /** Rows that contain this are missing. */
  readonly drop?: string;
  readonly garbage?: boolean;
}

export interface FakeNvidiaSmi {
  /** The executable, for the agent's `--nvidia-smi`. */
  readonly path: string;
  setDevices(devices: readonly FakeDevice[]): void;
  /** Replaces all of them. */
  setProcesses(processes: readonly FakeProcess[]): void;
  /** `null`: healthy again. */
  setFault(fault: FakeFault | null): void;
}

const MIB = 1024 * 1024;
const BOOT_MS = 0;

/** Makes `folder` with the program in it; it answers as soon as this returns, at first with no devices. */
export function createFakeNvidiaSmi(folder: string): FakeNvidiaSmi {
  const answers = createAnswerFolder(folder);
  let devices: readonly FakeDevice[] = [];
  let processes: readonly FakeProcess[] = [];

  const write = (): void => {
    const node: SimNode = {
      name: 'stand-in',
      bootId: '00000000-0000-4000-8000-000000000000',
      bootMs: BOOT_MS,
      driverVersion: '580.95.05',
      cudaVersion: '13.0',
      devices: devices.map((device) => ({
        uuid: device.uuid,
        index: device.index,
        minor: device.index,
        busId: `00000000:${(0x10 + device.index).toString(16).toUpperCase()}:00.0`,
        serial: `165000000000${device.index}`,
        model: {
          name: device.model,
          memoryMiB: device.memoryMiB ?? 81_559,
          architecture: 'Hopper',
          idleWatts: 70,
          limitWatts: 700,
          deviceId: '233010DE',
        },
        faults: device.fault === undefined ? [] : [{ fromMs: BOOT_MS, toMs: null, kind: device.fault }],
        lies: [],
      })),
      processes: [...new Set(processes.map(({ pid }) => pid))].map((pid) =>
        realProcess(
          pid,
          processes.filter((process) => process.pid === pid),
          devices,
        ),
      ),
      toolFaults: [],
      agentOff: [],
      users: [],
    };
    answers.write(createNodeView(node).at(Date.now()));
  };
  write();

  return {
    path: answers.path,
    setDevices: (next) => {
      devices = next;
      write();
    },
    setProcesses: (next) => {
      for (const { device } of next)
        if (!devices.some(({ uuid }) => uuid === device)) throw new RangeError(`no such device: ${device}`);
      processes = next;
      write();
    },
    setFault: (fault) => answers.put('faults', fault === null ? null : faultText(fault)),
  };
}

function realProcess(pid: number, rows: readonly FakeProcess[], devices: readonly FakeDevice[]): SimProcess {
  const image: Image = {
    fromMs: BOOT_MS,
    comm: orElse(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd(), 'unknown'),
    exePath: orElse(() => readlinkSync(`/proc/${pid}/exe`), '[Not Found]'),
    exeDevice: '0:0',
    exeInode: '0',
    exeDeleted: false,
    argv: [],
    environ: [],
  };
  return {
    pid,
    startMs: BOOT_MS,
    endMs: null,
    ppid: 1,
    uid: 0,
    loginUid: null,
    netNamespace: HOST_NETWORK,
    innerPid: null,
    images: [image],
    cgroups: [{ fromMs: BOOT_MS, text: '0::/\n' }],
    uses: rows.map((row) => ({
      device: devices.findIndex(({ uuid }) => uuid === row.device),
      fromMs: BOOT_MS,
      toMs: null,
      memoryMiB: Math.round(row.memoryBytes / MIB),
      load: { phases: [{ lengthMs: 1000, smPercent: row.sm }], jitterPercent: 0, seed: 0 },
      type: row.type ?? 'C',
    })),
    sockets: [],
    cover: null,
  };
}

/** A process that ends meanwhile is still listed, as the driver lists it for a moment. */
function orElse(read: () => string, otherwise: string): string {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

function faultText(fault: FakeFault): string {
  const lines: string[] = [];
  const add = (key: string, value: string | number | undefined): void => {
    if (value !== undefined) lines.push(`${key}=${String(value).replaceAll('\n', ' ')}\n`);
  };
  add('only', fault.only);
  add('hang', fault.hangSeconds);
  add('exit', fault.exitCode);
  add('text', fault.text);
  add('cut', fault.cutBytes);
  add('drop', fault.drop);
  add('garbage', fault.garbage === true ? 1 : undefined);
  return lines.join('');
}
