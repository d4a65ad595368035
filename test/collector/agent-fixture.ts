/** An agent on real files and an in-memory nvidia-smi, its clock in the test's hand. */
import { join } from 'node:path';
import type { Batch, BatchBody } from '../../api/contract/batch.ts';
import { type Agent, type AgentConfig, createAgent } from '../../collector/agent.ts';
import type { AgentClock, Execute, Executed, Files, Ports } from '../../collector/ports.ts';
import { ProcFixture } from './proc-fixture.ts';
import { StandInService } from './spool-fixture.ts';

interface FakeProcess {
  readonly pid: number;
  readonly sm?: number;
  /** MIG: where it has a context. */
  readonly gpuInstance?: number;
}
/** A row of the driver's accounting; 0 ms while it runs. */
interface FakeAccounted {
  readonly pid: number;
  readonly util: number;
  readonly ms: number;
}
interface FakeInstance {
  readonly gpuInstance: number;
  readonly profile: string;
}
export interface FakeDevice {
  readonly uuid: string;
  percent: number;
  processes: FakeProcess[];
  /** It has no row in any answer. */
  lost?: boolean;
  /** Of 400; 30 unless given. */
  watts?: number;
  /** Accounting mode is on, with these rows. */
  accounted?: FakeAccounted[];
  /** MIG is on, with these instances. */
  mig?: FakeInstance[];
}
export const uuidOf = (index: number): string => `GPU-00000000-0000-4000-8000-00000000000${index}`;
/** A full UTC hour, so that tests know where the edges are. */
export const START_MS = 1_790_002_800_000;

const busOf = (index: number): string => `00000000:0${index + 1}:00.0`;
const done = (stdout: string, failure: Executed['failure'] = null): Executed => ({
  stdout: Buffer.from(stdout),
  stderr: Buffer.alloc(0),
  exitCode: failure === null ? 0 : null,
  failure,
  durationMs: 0,
});

export class Node {
  devices: FakeDevice[] = [0, 1].map((index) => ({ uuid: uuidOf(index), percent: 0, processes: [] }));
  /** How every call of the tool ends, instead of with an answer. */
  toolFailure: Executed['failure'] = null;
  wallMs = START_MS;
  monotonicMs = 5000;
  readonly proc = new ProcFixture();
  readonly service = new StandInService();
  readonly logged: string[] = [];
  agent: Agent;
  readonly #files: Files;
  readonly #spool: string;
  #config: Partial<AgentConfig>;
  readonly #through: (ports: Ports) => Ports;

  /** `through` stands between the agent and its ports. */
  constructor(
    spool: string,
    files: Files,
    config: Partial<AgentConfig> = {},
    through: (ports: Ports) => Ports = (ports) => ports,
  ) {
    this.#files = files;
    this.#spool = spool;
    this.#config = config;
    this.#through = through;
    this.agent = this.start();
  }

  /** A new agent on the same folder, as after a crash or a restart; `changed`: what it is told otherwise from now on. */
  start(changed: Partial<AgentConfig> = {}): Agent {
    this.#config = { ...this.#config, ...changed };
    this.agent = createAgent(
      {
        ...{
          cluster: 'main',
          node: 'n1',
          seed: 'test',
          spoolFolder: join(this.#spool, 'spool'),
          spoolMaxBytes: 10_000_000,
        },
        ...{ pollIntervalMs: 5000, shipIntervalMs: 30_000, windowMs: 30_000, inventoryIntervalMs: 600_000 },
        ...{ nvidiaSmi: 'nvidia-smi', procRoot: this.proc.root, passwdPath: this.proc.passwd },
        ...this.#config,
      },
      this.#through({
        ...{ execute: this.#execute, files: this.#files, clock: this.#clock, network: this.service },
      }),
      (_level, message) => this.logged.push(message),
    );
    return this.agent;
  }

  /** `polls` polls, each `everyMs` after the one before. */
  async pass(polls: number, everyMs = 5000): Promise<void> {
    for (let i = 0; i < polls; i += 1) {
      this.wallMs += everyMs;
      this.monotonicMs += everyMs;
      await this.agent.poll();
    }
  }

  /** Ships, and gives what the service has of all. */
  async stored(): Promise<Batch[]> {
    await this.agent.ship();
    return this.service.stored;
  }

  readonly #clock: AgentClock = {
    wallMs: () => this.wallMs,
    monotonicMs: () => this.monotonicMs,
    sleep: async (ms) => {
      this.wallMs += ms;
      this.monotonicMs += ms;
    },
  };

  readonly #execute: Execute = async (_file, args) => {
    if (this.toolFailure !== null) return done('', this.toolFailure);
    const [option, list = ''] = (args[0] ?? '').split('=');
    const fields = list.split(',');
    const present = this.devices.flatMap((device, index) => (device.lost ? [] : [{ ...device, index }]));
    const table = (rows: readonly Record<string, string>[]): Executed =>
      done(
        `${[fields, ...rows.map((row) => fields.map((field) => row[field] ?? '[N/A]'))].map((row) => row.join(', ')).join('\n')}\n`,
      );
    if (option === '--query-gpu')
      return table(
        present.map(({ uuid, index, percent, watts = 30, accounted, mig }) => ({
          ...{ index: String(index), uuid, 'pci.bus_id': busOf(index) },
          'utilization.gpu': mig ? '[N/A]' : `${percent} %`,
          ...{ 'memory.used': '10 MiB', 'memory.total': '100 MiB', 'power.draw': `${watts.toFixed(2)} W` },
          ...{ 'enforced.power.limit': '400.00 W', 'mig.mode.current': onOff(mig) },
          'accounting.mode': onOff(accounted),
        })),
      );
    if (option === '--query-compute-apps')
      return table(
        present.flatMap(({ uuid, index, processes }) =>
          processes.map(({ pid }) => ({
            ...{ gpu_uuid: uuid, gpu_bus_id: busOf(index), pid: String(pid), used_gpu_memory: '5 MiB' },
          })),
        ),
      );
    if (option === '--query-accounted-apps')
      return table(
        present.flatMap(({ uuid, accounted = [] }) =>
          accounted.map(({ pid, util, ms }) => ({
            ...{ gpu_uuid: uuid, pid: String(pid), gpu_util: `${util} %` },
            ...{ max_memory_usage: '7 MiB', time: `${ms} ms` },
          })),
        ),
      );
    if (option === 'pmon') return done(pmonText(present));
    if (option === '-L') return done(listText(present));
    return done(xmlText(present));
  };
}

type Indexed = FakeDevice & { readonly index: number };

function pmonText(devices: readonly Indexed[]): string {
  const rows = devices.flatMap(({ index, processes }) =>
    processes.length === 0
      ? [`${index} - - - - -`]
      : processes.map(({ pid, sm }) => `${index} ${pid} C ${sm ?? '-'} - python`),
  );
  return `# gpu pid type sm mem command\n# Idx # C/G % % name\n${rows.join('\n')}\n`;
}

const onOff = (lines: readonly unknown[] | undefined): string => (lines ? 'Enabled' : 'Disabled');

function listText(devices: readonly Indexed[]): string {
  return devices
    .flatMap(({ uuid, index, mig = [] }) => [
      `GPU ${index}: NVIDIA T (UUID: ${uuid})`,
      ...mig.map(
        ({ profile }, at) => `  MIG ${profile}     Device  ${at}: (UUID: MIG-${uuid.slice(4, -1)}${at})`,
      ),
    ])
    .map((line) => `${line}\n`)
    .join('');
}

/** The numbers of an instance, as reports have them; every instance has one compute instance. */
const idsText = (gpuInstance: number | undefined): string =>
  `<gpu_instance_id>${gpuInstance ?? 'N/A'}</gpu_instance_id>` +
  `<compute_instance_id>${gpuInstance === undefined ? 'N/A' : 0}</compute_instance_id>`;

const migText = (mig: readonly FakeInstance[] = []): string =>
  mig
    .map(({ gpuInstance }, at) => `<mig_device><index>${at}</index>${idsText(gpuInstance)}</mig_device>`)
    .join('');

const processesText = (processes: readonly FakeProcess[]): string =>
  processes
    .map(
      ({ pid, gpuInstance }) =>
        `<process_info>${idsText(gpuInstance)}<pid>${pid}</pid><type>C</type><used_memory>5 MiB</used_memory></process_info>`,
    )
    .join('');

function xmlText(devices: readonly Indexed[]): string {
  const gpus = devices.map(
    ({ uuid, index, mig, accounted, processes }) =>
      `<gpu id="${busOf(index)}"><product_name>NVIDIA T</product_name><uuid>${uuid}</uuid>` +
      `<minor_number>${index}</minor_number><fb_memory_usage><total>100 MiB</total><used>10 MiB</used></fb_memory_usage>` +
      `<mig_mode><current_mig>${onOff(mig)}</current_mig></mig_mode><mig_devices>${migText(mig)}</mig_devices>` +
      `<accounting_mode>${onOff(accounted)}</accounting_mode><processes>${processesText(processes)}</processes></gpu>`,
  );
  return (
    '<?xml version="1.0" ?><nvidia_smi_log><driver_version>580.1</driver_version>' +
    `<attached_gpus>${devices.length}</attached_gpus>${gpus.join('')}</nvidia_smi_log>\n`
  );
}

/** Milliseconds of one device: active by process, idle, and gaps by reason. */
export function accountOf(bodies: readonly BatchBody[], uuid: string): Record<string, number> {
  const sums: Record<string, number> = {};
  const add = (key: string, ms: number): void => {
    if (ms > 0) sums[key] = (sums[key] ?? 0) + ms;
  };
  for (const { tenancies, gaps } of bodies) {
    for (const gap of gaps)
      if (gap.device === uuid || gap.device === null) add(gap.reason, gap.toMs - gap.fromMs);
    for (const tenancy of tenancies.filter(({ device }) => device === uuid)) {
      for (const [i, row] of tenancy.shareMs.entries())
        for (const ms of row) add(`pid ${tenancy.tenants[i]?.process.split('/')[0]}`, ms);
      for (const [i, lengthMs] of tenancy.lengthMs.entries()) {
        add('measured', lengthMs);
        if (tenancy.tenants.length === 0) add('no process', tenancy.activeMs?.[i] ?? 0);
      }
    }
  }
  return sums;
}
