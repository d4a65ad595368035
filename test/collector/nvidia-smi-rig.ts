/** A poller over a tool that answers as a test says. */
import type { DeviceFact } from '../../api/contract/batch.ts';
import type { AgentClock, Execute, Executed } from '../../collector/ports.ts';
import type { DeviceReading } from '../../collector/reading.ts';
import { createDevicePoller } from '../../collector/sources/nvidia-smi.ts';

export const config = { nvidiaSmi: 'nvidia-smi' };
export const uuidOf = (index: number): string => `GPU-${String(index).repeat(8)}-0000-0000-0000-000000000000`;
export const busOf = (index: number): string => `00000000:0${index}:00.0`;
export const fact = (index: number, migEnabled = false): DeviceFact => ({
  uuid: uuidOf(index),
  index,
  minor: index,
  busId: busOf(index),
  model: 'T',
  memoryBytes: 100,
  migEnabled,
  ...{ powerLimitMilliwatts: null, slices: null, instances: [] },
});
export const done = (stdout: string, exitCode = 0, failure: Executed['failure'] = null): Executed => ({
  stdout: Buffer.from(stdout),
  stderr: Buffer.alloc(0),
  exitCode: failure === null ? exitCode : null,
  failure,
  durationMs: 1,
});

export interface Fake {
  gpu?: (fields: string[]) => Executed;
  apps?: (fields: string[]) => Executed;
  pmon?: (indexes: string[]) => Executed;
  /** `-q -x`, of those that `-i` names. */
  report?: (indexes: string[] | null) => Executed;
  list?: () => Executed;
  accounted?: (fields: string[]) => Executed;
}
const GPU: Record<string, string> = {
  'utilization.gpu': '50 %',
  'memory.used': '10 MiB',
  'memory.total': '100 MiB',
  'power.draw': '30.00 W',
  'enforced.power.limit': '400.00 W',
  'mig.mode.current': 'Disabled',
};
/** A row for each index; `changes` by index and field. */
export function gpuText(
  fields: string[],
  indexes: number[],
  changes: Record<number, Record<string, string>> = {},
): string {
  const rows = indexes.map((index) => {
    const own = {
      ...GPU,
      index: String(index),
      uuid: uuidOf(index),
      'pci.bus_id': busOf(index),
      ...changes[index],
    };
    return fields
      .map((field) => Object.entries(own).find(([key]) => key === field)?.[1] ?? '[N/A]')
      .join(', ');
  });
  return `${[fields.join(', '), ...rows].join('\n')}\n`;
}
export const APPS = 'gpu_uuid, gpu_bus_id, pid, used_gpu_memory [MiB]\n';
export const app = (index: number, pid: number | string, memory = '5 MiB'): string =>
  `${uuidOf(index)}, ${busOf(index)}, ${pid}, ${memory}\n`;
export const PMON = '# gpu pid type sm mem command\n# Idx # C/G % % name\n';

/** A poller over a fake tool, and what was asked of it. */
export function rig(fake: Fake) {
  const calls: string[][] = [];
  let wallMs = 1_000;
  const execute: Execute = async (_file, args) => {
    calls.push([...args]);
    wallMs += 100;
    const [head = '', list = ''] = (args[0] ?? '').split('=');
    if (head === '--query-gpu') return fake.gpu?.(list.split(',')) ?? done(gpuText(list.split(','), [0, 1]));
    if (head === '--query-compute-apps') return fake.apps?.(list.split(',')) ?? done(APPS);
    if (head === '--query-accounted-apps') return fake.accounted?.(list.split(',')) ?? done('', 2);
    if (head === '-L') return fake.list?.() ?? done('', 255);
    if (head === '-q')
      return fake.report?.(args.includes('-i') ? (args.at(-1) ?? '').split(',') : null) ?? done('', 255);
    const indexes = (args[args.indexOf('-i') + 1] ?? '').split(',');
    return fake.pmon?.(indexes) ?? done(PMON + indexes.map((index) => `${index} - - - - -\n`).join(''));
  };
  const clock: AgentClock = {
    wallMs: () => wallMs,
    monotonicMs: () => wallMs + 0.5,
    sleep: async () => undefined,
  };
  const advance = (ms: number): void => {
    wallMs += ms;
  };
  return { calls, execute, advance, poller: createDevicePoller({ execute, clock }, config) };
}
export const polled = async (fake: Fake, inventory = [fact(0), fact(1)]) => rig(fake).poller.poll(inventory);
export const reasons = (devices: readonly DeviceReading[]): string[] =>
  devices.map((device) => (device.ok ? 'ok' : device.reason));
export const withGpu = (changes: Record<number, Record<string, string>>, indexes = [0, 1]): Fake => ({
  gpu: (fields) => done(gpuText(fields, indexes, changes)),
});
