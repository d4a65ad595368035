/**
 * The only place that runs nvidia-smi: the inventory (slow, `-q -x`) and the poll (fast, three small queries). The tool
 * is untrusted and sometimes sick: every call has a time-out and an output limit, one runs at a time, and after
 * time-outs calls are left out, so that children stuck in the driver never pile up.
 */
import type { DeviceFact, GapReason } from '../../api/contract/batch.ts';
import type { Execute, Executed, Ports } from '../ports.ts';
import { type Inventory, isUnknown, type Reading, type ReadingProblem, type Value } from '../reading.ts';
import { type Answer, assemble } from './nvidia-smi/assemble.ts';
import { type ComputeAppsOutput, parseComputeApps } from './nvidia-smi/compute-apps.ts';
import { type ParsedDevice, type Problem, quote, unknown } from './nvidia-smi/parsed.ts';
import { type PmonOutput, parsePmon } from './nvidia-smi/pmon.ts';
import { parseQueryGpu, type QueryGpuOutput } from './nvidia-smi/query-gpu.ts';
import { parseXml, type XmlOutput } from './nvidia-smi/xml.ts';

export interface NvidiaSmiConfig {
  /** The executable, such as "nvidia-smi". */
  readonly nvidiaSmi: string;
}
export interface DevicePoller {
  /** Exactly one `DeviceReading` a device of the inventory. A call during a poll gets that poll's reading. Never rejects. */
  poll(inventory: readonly DeviceFact[]): Promise<Reading>;
}

/** Many devices without the persistence daemon take tens of seconds; beyond this the driver hangs. */
const TIMEOUT_MS = 30_000;
const XML_MAX_BYTES = 16 * 1024 * 1024;
const CSV_MAX_BYTES = 4 * 1024 * 1024;
/** Calls left out after 1, 2, 3, … time-outs in a row: 0, 1, 3, 7, … up to this. */
const MAX_LEFT_OUT = 15;
/** Old pmon reads no more devices at once and leaves the others out silently. */
const PMON_DEVICES = 4;
/** Exit code for a corrupted infoROM; the output is complete. */
const INFOROM_CORRUPTED = 14;

const GPU_FIELDS = [
  'index',
  'uuid',
  'pci.bus_id',
  'utilization.gpu',
  'memory.used',
  'memory.total',
  'power.draw',
  'enforced.power.limit',
  'mig.mode.current',
] as const;
// Without the process name, a workload has no text of its own in the answer and cannot forge rows.
const APP_FIELDS = ['gpu_uuid', 'gpu_bus_id', 'pid', 'used_gpu_memory'] as const;

interface Health {
  timeouts: number;
  leaveOut: number;
}
interface Lane {
  tail: Promise<unknown>;
  /** By the kind of call: one query may hang while another answers. */
  readonly health: Map<string, Health>;
}
/** One lane an execute port, so that the inventory and the poll never run side by side. */
const lanes = new WeakMap<Execute, Lane>();

const LEFT_OUT: Executed = {
  stdout: Buffer.alloc(0),
  stderr: Buffer.from('not asked again yet: the calls before timed out'),
  exitCode: null,
  failure: 'timeout',
  durationMs: 0,
};

function run(
  execute: Execute,
  file: string,
  args: readonly string[],
  maxOutputBytes: number,
): Promise<Executed> {
  const lane: Lane = lanes.get(execute) ?? { tail: Promise.resolve(), health: new Map() };
  lanes.set(execute, lane);
  const kind = (args[0] ?? '').split('=', 1).join();
  const next = lane.tail.then(async () => {
    const health: Health = lane.health.get(kind) ?? { timeouts: 0, leaveOut: 0 };
    lane.health.set(kind, health);
    if (health.leaveOut > 0) {
      health.leaveOut -= 1;
      return LEFT_OUT;
    }
    const executed = await execute(file, args, { timeoutMs: TIMEOUT_MS, maxOutputBytes });
    health.timeouts = executed.failure === 'timeout' ? health.timeouts + 1 : 0;
    health.leaveOut = health.timeouts === 0 ? 0 : Math.min(2 ** (health.timeouts - 1) - 1, MAX_LEFT_OUT);
    return executed;
  });
  lane.tail = next.catch(() => undefined);
  return next;
}

/** The devices of the node. Never rejects; `devices` null says why there are none. */
export async function readInventory(
  ports: Pick<Ports, 'execute'>,
  config: NvidiaSmiConfig,
): Promise<Inventory> {
  const executed = await run(ports.execute, config.nvidiaSmi, ['-q', '-x'], XML_MAX_BYTES);
  const output = parseXml(executed.stdout.toString('utf8'));
  const source = 'nvidia-smi -q -x';
  const problems = output.problems.map(
    ({ device, message }): ReadingProblem => ({ source, device, message }),
  );
  const none = (failure: Inventory['failure']): Inventory => ({
    devices: null,
    driverVersion: output.driverVersion,
    accountingMode: unknown('no inventory'),
    failure,
    problems,
  });
  const forged = typeof output.attached === 'number' && output.devices.length > output.attached;
  if (!output.whole || executed.failure !== null) return none(failureOf(executed, output.problems));
  if (forged) return none({ reason: 'tool_failed', detail: 'more devices described than attached' });
  return {
    devices: factsOf(output, problems),
    driverVersion: output.driverVersion,
    accountingMode: modeOf(output.devices),
    failure: null,
    problems,
  };
}

function factsOf(output: XmlOutput, problems: ReadingProblem[]): DeviceFact[] {
  const facts = new Map<string, DeviceFact>();
  for (const [position, device] of output.devices.entries()) {
    // A device without a UUID has no key; the parser has reported it.
    if (typeof device.uuid !== 'string') continue;
    if (facts.has(device.uuid)) {
      problems.push({
        source: 'nvidia-smi -q -x',
        device: device.uuid,
        message: 'described twice; the first counts',
      });
      continue;
    }
    facts.set(device.uuid, {
      uuid: device.uuid,
      index: typeof device.index === 'number' ? device.index : position,
      minor: typeof device.minor === 'number' ? device.minor : null,
      busId: typeof device.busId === 'string' ? device.busId : '',
      model: typeof device.model === 'string' ? quote(device.model) : 'unknown',
      memoryBytes: typeof device.memoryTotalBytes === 'number' ? device.memoryTotalBytes : null,
      powerLimitMilliwatts:
        typeof device.powerLimitMilliwatts === 'number' ? device.powerLimitMilliwatts : null,
      migEnabled: device.migEnabled === true,
      slices: null,
      instances: [],
    });
  }
  return [...facts.values()];
}

/** On only where every device says so; one that does not say leaves it unknown. */
function modeOf(devices: readonly ParsedDevice[]): Value<boolean> {
  const unclear = devices.map((device) => device.accountingEnabled).find(isUnknown);
  if (devices.length === 0) return unknown('no devices');
  return unclear ?? devices.every((device) => device.accountingEnabled === true);
}

/** Why a call gave nothing to use. */
function failureOf(executed: Executed, problems: readonly Problem[]): { reason: GapReason; detail: string } {
  const said = problems[0]?.message ?? quote(executed.stderr.toString('utf8').trim());
  const tail = said === '' ? '' : `: ${said}`;
  switch (executed.failure) {
    case 'missing':
      return { reason: 'tool_missing', detail: 'nvidia-smi was not found' };
    case 'timeout':
      return { reason: 'tool_timeout', detail: `nvidia-smi did not answer within ${TIMEOUT_MS} ms${tail}` };
    case null:
      if (problems.some((problem) => /^no devices were found/i.test(problem.message)))
        return { reason: 'device_missing', detail: said };
      return { reason: 'tool_failed', detail: `exit code ${executed.exitCode}${tail}` };
    default:
      return { reason: 'tool_failed', detail: `${executed.failure.replace('_', ' ')}${tail}` };
  }
}

export function createDevicePoller(
  ports: Pick<Ports, 'execute' | 'clock'>,
  config: NvidiaSmiConfig,
): DevicePoller {
  /** Fields that this driver refused; they stay dropped. */
  const refused = new Set<string>();
  let pmonBatch = Number.POSITIVE_INFINITY;
  let current: Promise<Reading> | null = null;
  const smi = (args: readonly string[]): Promise<Executed> =>
    run(ports.execute, config.nvidiaSmi, args, CSV_MAX_BYTES);

  /** Asks for fields, and again without each that the driver does not know. */
  async function query(option: string, fields: readonly string[]): Promise<Executed> {
    let executed: Executed | null = null;
    for (let attempt = 0; attempt <= fields.length; attempt += 1) {
      const asked = fields.filter((field) => !refused.has(`${option} ${field}`));
      executed = await smi([`${option}=${asked.join(',')}`, '--format=csv']);
      const field = /Field "([^"]{1,100})" is not a valid field/.exec(executed.stdout.toString('utf8'))?.[1];
      if (field === undefined || !asked.includes(field) || asked.length === 1) break;
      refused.add(`${option} ${field}`);
    }
    return executed ?? LEFT_OUT;
  }

  /** Adaptive: all devices in one call; if this driver leaves some out, in small batches from then on. */
  async function pmon(indexes: readonly number[]): Promise<Answer<PmonOutput>> {
    const outputs: PmonOutput[] = [];
    const missing = new Set(indexes);
    for (let round = 0; round < 2 && missing.size > 0; round += 1) {
      const left = [...missing];
      const size = Math.min(pmonBatch, left.length);
      for (let from = 0; from < left.length; from += size) {
        const args = ['pmon', '-c', '1', '-i', left.slice(from, from + size).join(',')];
        const executed = await smi(args);
        const output = parsePmon(wholeLines(executed).text);
        if (executed.failure !== null || !output.hasHeader)
          return { ok: false, ...failureOf(executed, output.problems) };
        outputs.push(output);
        for (const index of output.indexes) missing.delete(index);
      }
      const leftOut = missing.size > 0 && missing.size < indexes.length;
      if (!leftOut || pmonBatch <= PMON_DEVICES || indexes.length <= PMON_DEVICES) break;
      pmonBatch = PMON_DEVICES;
    }
    const absent = [...missing].map((index) => ({
      line: null,
      device: null,
      message: `device ${index} left out`,
      fault: false,
    }));
    return {
      ok: true,
      output: {
        processes: outputs.flatMap((output) => output.processes),
        indexes: indexes.filter((index) => !missing.has(index)),
        hasHeader: true,
        problems: [...outputs.flatMap((output) => output.problems), ...absent],
      },
    };
  }

  async function pollOnce(inventory: readonly DeviceFact[]): Promise<Reading> {
    const executed = await query('--query-gpu', GPU_FIELDS);
    const wallMs = ports.clock.wallMs();
    const monotonicMs = ports.clock.monotonicMs();
    const gpus = gpuAnswer(executed);
    if (!gpus.ok || inventory.length === 0) {
      const skipped = { ok: false, reason: 'tool_failed', detail: 'not asked' } as const;
      return {
        wallMs,
        monotonicMs,
        ended: [],
        ...assemble(inventory, { gpus, apps: skipped, pmon: skipped }),
      };
    }
    const apps = appsAnswer(await query('--query-compute-apps', APP_FIELDS));
    const indexes = gpus.output.devices.flatMap(({ index, utilisationPercent }) =>
      typeof index === 'number' && typeof utilisationPercent === 'number' ? [index] : [],
    );
    const nothing: PmonOutput = { processes: [], indexes: [], hasHeader: true, problems: [] };
    const shares = indexes.length > 0 ? await pmon(indexes) : { ok: true as const, output: nothing };
    return { wallMs, monotonicMs, ended: [], ...assemble(inventory, { gpus, apps, pmon: shares }) };
  }

  return {
    poll(inventory) {
      current ??= pollOnce(inventory).finally(() => {
        current = null;
      });
      return current;
    },
  };
}

/** The tool ends every line; what has no end was cut. */
function wholeLines(executed: Executed): { text: string; cut: boolean } {
  const text = executed.stdout.toString('utf8');
  const end = text.lastIndexOf('\n') + 1;
  return { text: text.slice(0, end), cut: end < text.length };
}

const CUT: Problem = { line: null, device: null, message: 'the output ends in half a line', fault: false };

function gpuAnswer(executed: Executed): Answer<QueryGpuOutput> {
  const { text, cut } = wholeLines(executed);
  const output = parseQueryGpu(text);
  if (executed.failure === 'timeout' || !output.hasHeader || output.devices.length === 0)
    return { ok: false, ...failureOf(executed, output.problems) };
  const incomplete = cut || executed.failure !== null;
  return { ok: true, output: incomplete ? { ...output, problems: [...output.problems, CUT] } : output };
}

/** A list of processes is worth something only when it is whole: a missing row reads as "nobody there". */
function appsAnswer(executed: Executed): Answer<ComputeAppsOutput> {
  const { text, cut } = wholeLines(executed);
  const output = parseComputeApps(text);
  const explained = output.problems.some((problem) => problem.fault);
  const accepted = executed.exitCode === 0 || executed.exitCode === INFOROM_CORRUPTED || explained;
  if (executed.failure !== null || !output.hasHeader || !accepted)
    return { ok: false, ...failureOf(executed, output.problems) };
  if (cut) return { ok: false, reason: 'tool_failed', detail: CUT.message };
  return { ok: true, output };
}
