/** A scenario's node as the simulator has it: devices, the daemons that every node runs, and the faults of its tools. */
import { createHash } from 'node:crypto';
import {
  HOST_NETWORK,
  type SimDevice,
  type SimModel,
  type SimNode,
  type SimProcess,
} from '../simulator/model.ts';
import type { Scenario, ScenarioFault, ScenarioNode } from './format.ts';

const MODELS: Readonly<Record<ScenarioNode['gpus']['model'], SimModel>> = {
  'H100-80GB': model('NVIDIA H100 80GB HBM3', 81_559, 'Hopper', 70, 700, '0x233010DE'),
  'A100-80GB': model('NVIDIA A100-SXM4-80GB', 81_920, 'Ampere', 60, 400, '0x20B210DE'),
  'A100-40GB': model('NVIDIA A100-SXM4-40GB', 40_960, 'Ampere', 55, 400, '0x20B010DE'),
  'RTX-4090': model('NVIDIA GeForce RTX 4090', 24_564, 'Ada Lovelace', 25, 450, '0x268410DE'),
  T4: model('Tesla T4', 15_360, 'Turing', 10, 70, '0x1EB810DE'),
};

function model(
  name: string,
  memoryMiB: number,
  architecture: string,
  idleWatts: number,
  limitWatts: number,
  deviceId: string,
): SimModel {
  return { name, memoryMiB, architecture, idleWatts, limitWatts, deviceId };
}

const uuidOf = (text: string): string => {
  const digits = createHash('sha256').update(text).digest('hex');
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `4${digits.slice(13, 16)}`,
    `8${digits.slice(17, 20)}`,
    digits.slice(20, 32),
  ].join('-');
};

const NO_END = { endMs: null, loginUid: null, innerPid: null, uses: [], sockets: [], cover: null };

/** Programs that every node runs, none of which uses a device. */
const DAEMONS = [
  [1, 0, '/usr/lib/systemd/systemd', '/init.scope'],
  [812, 1, '/usr/sbin/sshd', '/system.slice/ssh.service'],
  [840, 1, '/usr/sbin/cron', '/system.slice/cron.service'],
  [901, 1, '/usr/bin/nvidia-persistenced', '/system.slice/nvidia-persistenced.service'],
] as const;

function daemonsOf(bootMs: number): SimProcess[] {
  return DAEMONS.map(([pid, ppid, exePath, cgroup]) => ({
    ...NO_END,
    ...{ pid, ppid, uid: 0, startMs: bootMs + pid, netNamespace: HOST_NETWORK },
    images: [
      {
        ...{ fromMs: bootMs + pid, comm: exePath.slice(exePath.lastIndexOf('/') + 1).slice(0, 15), exePath },
        ...{
          exeDevice: '259:2',
          exeInode: String(1000 + pid),
          exeDeleted: false,
          argv: [exePath],
          environ: [],
        },
      },
    ],
    cgroups: [{ fromMs: bootMs + pid, text: `0::${cgroup}\n` }],
  }));
}

export function buildNode(
  scenario: Scenario,
  name: string,
  spec: ScenarioNode,
  position: number,
  startMs: number,
  boot: { readonly number: number; readonly ms: number },
): SimNode {
  const bootMs = boot.ms;
  const faults = scenario.faults.filter((fault) => onNode(fault, name, position));
  return {
    ...{
      name,
      bootId: uuidOf(`${scenario.id} ${name} boot${boot.number === 0 ? '' : ` ${boot.number}`}`),
      bootMs,
      driverVersion: spec.driver,
      cudaVersion: '12.8',
    },
    devices: Array.from({ length: spec.gpus.count }, (_, index) =>
      buildDevice(scenario, name, spec, index, faults, startMs),
    ),
    processes: daemonsOf(bootMs),
    accounting: { on: spec.accounting, fromMs: bootMs, rows: [] },
    toolFaults: faults.flatMap((fault) =>
      fault.kind === 'tool'
        ? [
            {
              ...spanOf(fault, startMs, scenario.length),
              kind: TOOL_FAULTS[fault.how],
              ...{ exitCode: fault.exitCode ?? (fault.how === 'fail' ? 255 : 0), text: fault.text },
              ...(fault.call === undefined ? {} : { call: fault.call }),
            },
          ]
        : [],
    ),
    agentOff: [],
    users: Object.entries(scenario.users).map(([user, uid]) => ({ name: user, uid })),
    files: spec.files.map(({ path, content, from, owner, mode }) => ({
      ...{ path, content, fromMs: startMs + from, ownerUid: owner, mode: Number.parseInt(mode, 8) },
    })),
    ...(spec.countedProcesses === undefined ? {} : { countedProcesses: spec.countedProcesses }),
  };
}

const TOOL_FAULTS = { hang: 'hang', fail: 'fail', half_line: 'half', empty: 'fail' } as const;

const onNode = (fault: ScenarioFault, name: string, position: number): boolean =>
  !('node' in fault) || fault.node === name || (fault.node === undefined && position === 0);

const spanOf = (
  span: { from?: number | undefined; to?: number | undefined },
  startMs: number,
  lengthMs: number,
): { fromMs: number; toMs: number } => ({
  fromMs: startMs + (span.from ?? 0),
  toMs: startMs + (span.to ?? lengthMs),
});

function buildDevice(
  scenario: Scenario,
  node: string,
  spec: ScenarioNode,
  index: number,
  faults: readonly ScenarioFault[],
  startMs: number,
): SimDevice {
  const hidden = spec.processes ? [] : [{ fromMs: 0, toMs: null, hideProcesses: true }];
  return {
    ...{ uuid: `GPU-${uuidOf(`${scenario.id} ${node} ${index}`)}`, index, minor: index },
    busId: `00000000:${(0x10 + index * 8).toString(16).toUpperCase()}:00.0`,
    serial: `165${String(index).padStart(10, '0')}`,
    model: MODELS[spec.gpus.model],
    ...instancesOf(scenario, node, spec, index),
    faults: faults.flatMap((fault) =>
      fault.kind === 'device' && fault.gpus.includes(index)
        ? [{ ...spanOf(fault, startMs, scenario.length), kind: fault.how, text: fault.text }]
        : [],
    ),
    lies: [
      ...faults.flatMap((fault) =>
        fault.kind === 'sensors' && fault.gpus.includes(index)
          ? [
              {
                ...spanOf(fault, startMs, scenario.length),
                ...(fault.utilisation === undefined ? {} : { utilisationPercent: fault.utilisation }),
                ...(fault.watts === undefined ? {} : { powerWatts: fault.watts }),
                ...(fault.memory === undefined ? {} : { memoryMiB: fault.memory }),
                hideProcesses: fault.hideProcesses,
              },
            ]
          : [],
      ),
      ...hidden,
    ],
  };
}

function instancesOf(
  scenario: Scenario,
  node: string,
  spec: ScenarioNode,
  index: number,
): Pick<SimDevice, 'instances'> {
  const own = spec.instances.filter(({ gpus }) => gpus.includes(index));
  if (own.length === 0) return {};
  return {
    instances: own.map(({ id, compute, profile }) => ({
      uuid: `MIG-${uuidOf(`${scenario.id} ${node} ${index} ${id} ${compute}`)}`,
      ...{ gpuInstance: id, computeInstance: compute, profile },
      memoryMiB: Number(/(\d+)gb/.exec(profile)?.[1] ?? 0) * MIB_OF_GIB,
    })),
  };
}
const MIB_OF_GIB = 1024;
