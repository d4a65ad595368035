/** A stand-in nvidia-smi for end-to-end tests: an executable that lists real pids on devices that do not exist. */
import { readFileSync, readlinkSync } from 'node:fs';
import type {
  AccountedRow,
  DeviceFault,
  Image,
  SensorLie,
  SimInstance,
  SimNode,
  SimProcess,
} from '../simulator/model.ts';
import { HOST_NETWORK } from '../simulator/model.ts';
import { createNodeView } from '../simulator/snapshot.ts';
import { createAnswerFolder } from './answers.ts';
import { type Captures, replay } from './captures.ts';

interface FakeDevice {
  readonly uuid: string;
  readonly index: number;
  readonly model: string;
  /** Default 80 GiB. */
  readonly memoryMiB?: number;
  readonly fault?: DeviceFault['kind'];
  /** MIG mode is on, with these. */
  readonly instances?: readonly SimInstance[];
  readonly unifiedMemory?: true;
  readonly virtual?: true;
  /** What its sensors claim, whatever its processes do: falsified, stale. */
  readonly claims?: Omit<SensorLie, 'fromMs' | 'toMs'>;
}

interface FakeProcess {
  /** UUID of the device; one process on two devices is two of these. */
  readonly device: string;
  readonly pid: number;
  /** 0–100; 0 shows as `-`, as the real tool does. */
  readonly sm: number;
  readonly memoryBytes: number;
  /** Default C; a client of MPS is M+C, its server is C and stays. */
  readonly type?: string;
  readonly gpuInstance?: number;
  readonly computeInstance?: number;
  /** Shown byte for byte; default: what the executable is. */
  readonly name?: string;
}

type FakeKind =
  | 'query-gpu'
  | 'query-compute-apps'
  | 'query-accounted-apps'
  | 'pmon'
  | 'xml'
  | 'list'
  | 'help';

/** Every member is one way to misbehave; `only` limits it to one kind of call, `times` to so many calls. */
interface FakeFault {
  readonly only?: FakeKind;
  readonly times?: number;
  readonly hangSeconds?: number;
  readonly exitCode?: number;
  /** It ends by this signal, such as "SEGV". */
  readonly signal?: string;
  /** One line, printed instead of the answer. */
  readonly text?: string;
  /** The answer ends after so many bytes. */
  readonly cutBytes?: number;
  /** Rows that contain this are missing. */
  readonly drop?: string;
  /** Every row comes twice. */
  readonly twice?: boolean;
  /** A line between the first rows, and one after the answer. */
  readonly among?: string;
  readonly after?: string;
  /** A field that the driver does not know. */
  readonly unknownField?: string;
  readonly garbage?: boolean;
  /** Between two lines. */
  readonly slowSeconds?: number;
  /** Decimal commas. */
  readonly locale?: boolean;
  /** A child of it keeps its output open for so long. */
  readonly holdSeconds?: number;
  readonly ignoresTerm?: boolean;
}

/** What it answers from second `at` of a scenario on; members that are absent stay as they were before. */
interface FakeMoment {
  readonly at: number;
  readonly devices?: readonly FakeDevice[];
  readonly processes?: readonly FakeProcess[];
  readonly accounting?: FakeAccounting;
  readonly fault?: FakeFault;
}

/** Device of a row: by UUID. */
interface FakeAccounting {
  readonly on: boolean;
  readonly rows: readonly (Omit<AccountedRow, 'device'> & { readonly device: string })[];
}

export interface FakeNvidiaSmi {
  /** The executable, for the agent's `--nvidia-smi`. */
  readonly path: string;
  setDevices(devices: readonly FakeDevice[]): void;
  /** Replaces all of them. */
  setProcesses(processes: readonly FakeProcess[]): void;
  /** Formats, columns and fields are this driver's; at first 580.95.05. */
  setDriver(version: string): void;
  setAccounting(accounting: FakeAccounting): void;
  /** `null`: healthy again. */
  setFault(fault: FakeFault | null): void;
  /** From now on it follows these moments, by the wall clock, or by `setClock`. */
  setScenario(moments: readonly FakeMoment[]): void;
  /** Second of the scenario. */
  setClock(second: number): void;
  /** Answers as was recorded, until something else is set. */
  replay(captures: Captures, gpus?: number): void;
}

const MIB = 1024 * 1024;
const BOOT_MS = 0;

interface Situation {
  readonly driverVersion: string;
  readonly devices: readonly FakeDevice[];
  readonly processes: readonly FakeProcess[];
  readonly accounting: FakeAccounting;
}

/** Makes `folder` with the program in it; it answers as soon as this returns, at first with no devices. */
export function createFakeNvidiaSmi(folder: string): FakeNvidiaSmi {
  const answers = createAnswerFolder(folder);
  let now: Situation = {
    driverVersion: '580.95.05',
    devices: [],
    processes: [],
    accounting: { on: false, rows: [] },
  };
  const write = (situation: Situation, frame?: string): void =>
    answers.write(createNodeView(nodeOf(situation)).at(Date.now()), frame);
  const set = (change: Partial<Situation>): void => {
    answers.put('timeline', null);
    now = { ...now, ...change };
    write(now);
  };
  set({});

  return {
    path: answers.path,
    setDevices: (devices) => set({ devices }),
    setProcesses: (processes) => {
      for (const { device } of processes)
        if (!now.devices.some(({ uuid }) => uuid === device))
          throw new RangeError(`no such device: ${device}`);
      set({ processes });
    },
    setDriver: (driverVersion) => set({ driverVersion }),
    setAccounting: (accounting) => set({ accounting }),
    setFault: (fault) => {
      answers.put('calls', null);
      answers.put('faults', fault === null ? null : faultText(fault));
    },
    setScenario: (moments) => {
      let situation = now;
      const lines: string[] = [];
      for (const [position, moment] of moments.entries()) {
        const { at, fault, ...change } = moment;
        situation = { ...situation, ...change };
        const frame = `at-${position}`;
        write(situation, frame);
        answers.put(`${frame}/faults`, fault === undefined ? null : faultText(fault));
        lines.push(`${at} ${frame}\n`);
      }
      answers.put('start', `${Math.floor(Date.now() / 1000)}\n`);
      answers.put('timeline', lines.join(''));
    },
    setClock: (second) => answers.put('clock', `${second}\n`),
    replay: (captures, gpus) => replay(answers, captures, gpus),
  };
}

function nodeOf({ driverVersion, devices, processes, accounting }: Situation): SimNode {
  const position = (uuid: string): number => devices.findIndex((device) => device.uuid === uuid);
  return {
    name: 'stand-in',
    bootId: '00000000-0000-4000-8000-000000000000',
    bootMs: BOOT_MS,
    driverVersion,
    cudaVersion: '13.0',
    devices: devices.map(deviceOf),
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
    // Only the rows that are given: what a real process did before is not known here.
    accounting: {
      on: accounting.on,
      fromMs: Number.POSITIVE_INFINITY,
      rows: accounting.rows.map((row) => ({ ...row, device: position(row.device) })),
    },
  };
}

function deviceOf(device: FakeDevice): SimNode['devices'][number] {
  const { uuid, index, fault, claims, instances, unifiedMemory, virtual } = device;
  return {
    uuid,
    index,
    minor: index,
    busId: `00000000:${(0x10 + index).toString(16).toUpperCase()}:00.0`,
    serial: `165000000000${index}`,
    model: {
      name: device.model,
      memoryMiB: device.memoryMiB ?? 81_559,
      architecture: 'Hopper',
      idleWatts: 70,
      limitWatts: 700,
      deviceId: '233010DE',
    },
    faults: fault === undefined ? [] : [{ fromMs: BOOT_MS, toMs: null, kind: fault }],
    lies: claims === undefined ? [] : [{ fromMs: BOOT_MS, toMs: null, ...claims }],
    ...(instances === undefined ? {} : { instances }),
    ...(unifiedMemory === undefined ? {} : { unifiedMemory }),
    ...(virtual === undefined ? {} : { virtual }),
  };
}

function realProcess(pid: number, rows: readonly FakeProcess[], devices: readonly FakeDevice[]): SimProcess {
  const shownAs = rows.find(({ name }) => name !== undefined)?.name;
  const image: Image = {
    fromMs: BOOT_MS,
    comm: orElse(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd(), 'unknown'),
    exePath: orElse(() => readlinkSync(`/proc/${pid}/exe`), '[Not Found]'),
    exeDevice: '0:0',
    exeInode: '0',
    exeDeleted: false,
    argv: [],
    environ: [],
    ...(shownAs === undefined ? {} : { shownAs }),
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
      ...(row.gpuInstance === undefined ? {} : { gpuInstance: row.gpuInstance }),
      ...(row.computeInstance === undefined ? {} : { computeInstance: row.computeInstance }),
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
  const flag = (key: string, value: boolean | undefined): void => add(key, value === true ? 1 : undefined);
  add('only', fault.only);
  add('times', fault.times);
  add('hang', fault.hangSeconds);
  add('exit', fault.exitCode);
  add('signal', fault.signal);
  add('text', fault.text);
  add('cut', fault.cutBytes);
  add('drop', fault.drop);
  flag('twice', fault.twice);
  add('among', fault.among);
  add('after', fault.after);
  add('unknown', fault.unknownField);
  flag('garbage', fault.garbage);
  add('slow', fault.slowSeconds);
  flag('locale', fault.locale);
  add('hold', fault.holdSeconds);
  flag('stubborn', fault.ignoresTerm);
  return lines.join('');
}
