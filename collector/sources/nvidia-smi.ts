/**
 * The only place that runs nvidia-smi: the inventory (slow, `-q -x`) and the poll (fast). The tool is untrusted and
 * sometimes sick: every call has a time-out and an output limit, one runs at a time, and after time-outs calls are left
 * out, so that children stuck in the driver never pile up.
 *
 * A poll asks two small queries, and more only where they leave something open: pmon for shares, a report of the MIG
 * devices for their instances, the accounting rows where the driver keeps them. Where one whole report costs less than
 * the two queries, it is asked instead.
 */
import type { DeviceFact } from '../../api/contract/batch.ts';
import type { Execute, Executed, Ports } from '../ports.ts';
import {
  type EndedProcess,
  type Inventory,
  isUnknown,
  type Reading,
  type ReadingProblem,
} from '../reading.ts';
import { parseAccountedApps } from './nvidia-smi/accounted-apps.ts';
import { ACCOUNTED_FIELDS, createAccounting } from './nvidia-smi/accounting.ts';
import { assemble, migOf } from './nvidia-smi/assemble.ts';
import {
  ANSWER_BYTES,
  type Answer,
  CUT,
  failureOf,
  LEFT_OUT,
  LONG_ANSWER_BYTES,
  run,
  whole,
  wholeLines,
} from './nvidia-smi/call.ts';
import { type ComputeAppsOutput, parseComputeApps } from './nvidia-smi/compute-apps.ts';
import { createInstances } from './nvidia-smi/instances.ts';
import { factsOf, modeOf } from './nvidia-smi/inventory.ts';
import { parseList } from './nvidia-smi/list.ts';
import { unknown } from './nvidia-smi/parsed.ts';
import { parseQueryGpu, type QueryGpuOutput } from './nvidia-smi/query-gpu.ts';
import { appsOf, gpusOf, readReport, withoutNames } from './nvidia-smi/report.ts';
import { createShares, type MeasuredDevice } from './nvidia-smi/shares.ts';
import { parseXml, type XmlOutput } from './nvidia-smi/xml.ts';

export interface NvidiaSmiConfig {
  /** The executable, such as "nvidia-smi". */
  readonly nvidiaSmi: string;
}
export interface DevicePoller {
  /** Exactly one `DeviceReading` a device of the inventory. A call during a poll gets that poll's reading. Never rejects. */
  poll(inventory: readonly DeviceFact[]): Promise<Reading>;
  /** A new inventory was read: what the driver refused is tried again, and the ways to ask are compared anew. */
  inventoried(inventory: Inventory): void;
}

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
  'accounting.mode',
] as const;
const INVENTORY_FIELDS = [...GPU_FIELDS, 'name', 'driver_version'] as const;
// Without the process name, a workload has no text of its own in the answer and cannot forge rows.
const APP_FIELDS = ['gpu_uuid', 'gpu_bus_id', 'pid', 'used_gpu_memory'] as const;

/** A longer report takes the agent longer to read than another start of the tool is worth. */
const REPORT_MAX_BYTES = 128 * 1024;
/** A report must cost clearly less than the queries: durations vary. */
const CLEARLY_LESS = 0.8;
const END_BYTES = 4096;
const LINE_END = 10;

/** The devices of the node. Never rejects; `devices` null says why there are none. */
export async function readInventory(
  ports: Pick<Ports, 'execute'>,
  config: NvidiaSmiConfig,
): Promise<Inventory> {
  const executed = await run(ports.execute, config.nvidiaSmi, ['-q', '-x'], LONG_ANSWER_BYTES);
  const output = parseXml(withoutNames(executed.stdout.toString('utf8')));
  const problems = output.problems.map(
    ({ device, message }): ReadingProblem => ({ source: 'nvidia-smi -q -x', device, message }),
  );
  const none = (failure: Inventory['failure']): Inventory => ({
    devices: null,
    driverVersion: output.driverVersion,
    accountingMode: unknown('no inventory'),
    cost: null,
    failure,
    problems,
  });
  const forged = typeof output.attached === 'number' && output.devices.length > output.attached;
  if (!output.whole || executed.failure !== null) {
    const other = isRefused(executed) ? await inventoryByQuery(ports.execute, config, problems) : null;
    return other ?? none(failureOf(executed, output.problems));
  }
  if (forged) return none({ reason: 'tool_failed', detail: 'more devices described than attached' });
  const divided = output.devices.some((device) => device.migInstances.length > 0);
  return {
    devices: factsOf(output, divided ? await readList(ports.execute, config, problems) : null, problems),
    driverVersion: output.driverVersion,
    accountingMode: modeOf(output.devices),
    cost: { durationMs: executed.durationMs, bytes: executed.stdout.length },
    failure: null,
    problems,
  };
}

async function readList(execute: Execute, config: NvidiaSmiConfig, problems: ReadingProblem[]) {
  const executed = await run(execute, config.nvidiaSmi, ['-L'], ANSWER_BYTES);
  const list = parseList(wholeLines(executed).text);
  for (const { device, message } of list.problems)
    problems.push({ source: 'nvidia-smi -L', device, message });
  if (executed.failure === null) return list;
  problems.push({
    source: 'nvidia-smi -L',
    device: null,
    message: failureOf(executed, list.problems).detail,
  });
  return null;
}

/** Asks for fields, and again without each that the driver does not know; those are added to `refused`. */
async function askFields(
  smi: (args: readonly string[], maxBytes: number) => Promise<Executed>,
  refused: Set<string>,
  option: string,
  fields: readonly string[],
  maxBytes: number,
): Promise<Executed> {
  let executed: Executed | null = null;
  for (let attempt = 0; attempt <= fields.length; attempt += 1) {
    const asked = fields.filter((field) => !refused.has(`${option} ${field}`));
    executed = await smi([`${option}=${asked.join(',')}`, '--format=csv'], maxBytes);
    const field = /Field "([^"]{1,100})" is not a valid field/.exec(
      executed.stdout.toString('latin1', 0, 4096),
    )?.[1];
    if (field === undefined || !asked.includes(field) || asked.length === 1) break;
    refused.add(`${option} ${field}`);
  }
  return executed ?? LEFT_OUT;
}

/** A tool without a report still tells which devices there are, though not how MIG divides them. Null where it does not. */
async function inventoryByQuery(
  execute: Execute,
  config: NvidiaSmiConfig,
  problems: ReadingProblem[],
): Promise<Inventory | null> {
  const smi = (args: readonly string[], maxBytes: number) => run(execute, config.nvidiaSmi, args, maxBytes);
  const executed = await askFields(smi, new Set(), '--query-gpu', INVENTORY_FIELDS, ANSWER_BYTES);
  const answer = gpuAnswer(executed);
  if (!answer.ok || executed.failure !== null || answer.output.devices.length === 0) return null;
  const { devices, driverVersion } = answer.output;
  for (const { device, message } of answer.output.problems)
    problems.push({ source: 'nvidia-smi query-gpu', device, message });
  return {
    devices: factsOf({ devices }, null, problems),
    driverVersion,
    accountingMode: modeOf(devices),
    cost: null,
    failure: null,
    problems,
  };
}

/** What one poll was told, and when. */
interface Told {
  readonly wallMs: number;
  readonly monotonicMs: number;
  readonly gpus: Answer<QueryGpuOutput>;
  readonly apps: Answer<ComputeAppsOutput>;
  /** The MIG devices in a report; null where there is none. */
  readonly instances: Answer<XmlOutput> | null;
  /** The contexts include processes that only draw, and say of what type each is. */
  readonly typed: boolean;
}

const NOT_ASKED = { ok: false, reason: 'tool_failed', detail: 'not asked' } as const;

export function createDevicePoller(
  ports: Pick<Ports, 'execute' | 'clock'>,
  config: NvidiaSmiConfig,
): DevicePoller {
  /** Fields that this driver refused; they stay dropped. */
  const refused = new Set<string>();
  const accounting = createAccounting();
  const indexes = new Map<string, number>();
  /** Poll after poll the same processes hold the same memory: such an answer is read once. */
  let lastApps: { readonly text: string; readonly output: ComputeAppsOutput } | null = null;
  let driverVersion: string | null = null;
  let reportCost: Inventory['cost'] = null;
  let queriesMs: number | null = null;
  let accountingRefused = false;
  /** The tool has no such query; its report may still say all of it. */
  let queriesRefused = false;
  let current: Promise<Reading> | null = null;
  const smi = (args: readonly string[], maxBytes = ANSWER_BYTES): Promise<Executed> =>
    run(ports.execute, config.nvidiaSmi, args, maxBytes);
  const shares = createShares(smi);
  const instances = createInstances(smi);

  const query = (option: string, fields: readonly string[], maxBytes = ANSWER_BYTES): Promise<Executed> =>
    askFields(smi, refused, option, fields, maxBytes);

  const now = () => ({ wallMs: ports.clock.wallMs(), monotonicMs: ports.clock.monotonicMs() });

  /** Once until the next inventory: from then on the report is asked at once. */
  async function instead(executed: Executed, inventory: readonly DeviceFact[]): Promise<Told | null> {
    if (queriesRefused || !isRefused(executed)) return null;
    queriesRefused = true;
    return await byReport(inventory);
  }

  async function byQueries(inventory: readonly DeviceFact[]): Promise<Told> {
    const executed = await query('--query-gpu', GPU_FIELDS);
    const at = now();
    const gpus = gpuAnswer(executed);
    const report = gpus.ok ? null : await instead(executed, inventory);
    if (report !== null) return report;
    if (!gpus.ok || inventory.length === 0)
      return { ...at, gpus, apps: NOT_ASKED, instances: null, typed: false };
    for (const { uuid, index } of gpus.output.devices)
      if (typeof uuid === 'string' && typeof index === 'number') indexes.set(uuid, index);
    const listed = await query('--query-compute-apps', APP_FIELDS);
    const { text, cut } = wholeLines(listed);
    if (text !== lastApps?.text) lastApps = { text, output: parseComputeApps(text) };
    const apps = whole(listed, cut, lastApps.output);
    const other = apps.ok ? null : await instead(listed, inventory);
    if (other !== null) return other;
    if (apps.ok) queriesMs ??= executed.durationMs + listed.durationMs;
    const facts = new Map(inventory.map((device) => [device.uuid, device]));
    const divided = gpus.output.devices.filter((row) => {
      const fact = typeof row.uuid === 'string' ? facts.get(row.uuid) : undefined;
      return fact !== undefined && migOf(fact, row);
    });
    const parts = divided.length === 0 ? null : await instances.of(divided, apps, at.monotonicMs);
    return { ...at, gpus, apps, instances: parts, typed: false };
  }

  /** Null where the report fails: then the queries are asked after all. */
  async function byReport(inventory: readonly DeviceFact[]): Promise<Told | null> {
    const askedMs = ports.clock.monotonicMs();
    const executed = await smi(['-q', '-x'], LONG_ANSWER_BYTES);
    const at = now();
    const answer = readReport(executed);
    // Reading a long report can cost more than the queries that it saves.
    const durationMs = ports.clock.monotonicMs() - askedMs;
    reportCost = { bytes: executed.stdout.length, durationMs };
    const numbered = queriesRefused || inventory.every(({ uuid }) => indexes.has(uuid));
    if (!answer.ok || !numbered) {
      reportCost = null;
      return null;
    }
    const gpus = { ok: true, output: gpusOf(answer.output, indexes) } as const;
    const apps = { ok: true, output: appsOf(answer.output) } as const;
    return { ...at, gpus, apps, instances: answer, typed: true };
  }

  const reportIsCheaper = (): boolean =>
    reportCost !== null &&
    queriesMs !== null &&
    reportCost.bytes <= REPORT_MAX_BYTES &&
    reportCost.durationMs < CLEARLY_LESS * queriesMs;

  async function endedSince(
    gpus: QueryGpuOutput,
  ): Promise<{ ended: EndedProcess[]; problems: ReadingProblem[] }> {
    const enabled = new Set(
      gpus.devices.flatMap(({ uuid, accountingEnabled }) =>
        typeof uuid === 'string' && accountingEnabled === true ? [uuid] : [],
      ),
    );
    accounting.keep(enabled);
    if (enabled.size === 0 || accountingRefused) return { ended: [], problems: [] };
    const executed = await query('--query-accounted-apps', ACCOUNTED_FIELDS, LONG_ANSWER_BYTES);
    const { stdout } = executed;
    const ends = parseAccountedApps(endsOf(stdout));
    const answer = whole(executed, stdout.length > 0 && stdout.at(-1) !== LINE_END, ends);
    if (answer.ok) return accounting.take(enabled, stdout);
    accountingRefused = executed.failure === null && !ends.hasHeader;
    const problem = { source: 'nvidia-smi accounted-apps', device: null, message: answer.detail };
    return { ended: [], problems: [problem] };
  }

  async function pollOnce(inventory: readonly DeviceFact[]): Promise<Reading> {
    const told =
      (queriesRefused || reportIsCheaper() ? await byReport(inventory) : null) ??
      (await byQueries(inventory));
    const { wallMs, monotonicMs, gpus, apps } = told;
    if (!gpus.ok || inventory.length === 0)
      return {
        wallMs,
        monotonicMs,
        ended: [],
        ...assemble(inventory, { ...told, pmon: null }),
      };
    const { ended, problems } = await endedSince(gpus.output);
    const pmon = await shares.ask(measuredOf(gpus.output, apps), monotonicMs, told.typed);
    const assembled = assemble(inventory, { ...told, gpus, pmon });
    return { wallMs, monotonicMs, ended, ...assembled, problems: [...assembled.problems, ...problems] };
  }

  return {
    poll(inventory) {
      current ??= pollOnce(inventory).finally(() => {
        current = null;
      });
      return current;
    },
    inventoried(inventory) {
      if (inventory.driverVersion !== driverVersion) refused.clear();
      driverVersion = inventory.driverVersion;
      reportCost = inventory.cost;
      queriesMs = null;
      queriesRefused = false;
      accountingRefused = false;
      instances.forget();
      shares.retry();
    },
  };
}

/** Return codes of the tool's manual: 2 an argument is invalid, 3 not available, 13 not implemented; 1 of wrappers. */
const REFUSALS: ReadonlySet<number | null> = new Set([1, 2, 3, 13]);
const isRefused = ({ failure, exitCode, stdout }: Executed): boolean =>
  failure === null &&
  (REFUSALS.has(exitCode) || /^(?:Invalid combination|Field ")/.test(stdout.toString('latin1', 0, 64)));

/** Devices that tell their utilisation, and so can have shares. */
function measuredOf(gpus: QueryGpuOutput, apps: Answer<ComputeAppsOutput>): MeasuredDevice[] {
  const pids = Map.groupBy(apps.ok ? apps.output.processes : [], ({ device }) => device);
  return gpus.devices.flatMap(({ uuid, index, utilisationPercent }) => {
    if (typeof uuid !== 'string' || typeof index !== 'number' || isUnknown(utilisationPercent)) return [];
    const own = (pids.get(uuid) ?? []).flatMap(({ pid }) => (typeof pid === 'number' ? [pid] : []));
    return [{ uuid, index, utilisationPercent, pids: new Set(own) }];
  });
}

/** Head and tail of a long list tell whether it is one, and what is wrong; its rows are many, and mostly known. */
function endsOf(stdout: Buffer): string {
  if (stdout.length <= 2 * END_BYTES) return stdout.toString('utf8');
  const head = stdout.toString('utf8', 0, stdout.indexOf(LINE_END, END_BYTES) + 1);
  return head + stdout.toString('utf8', stdout.indexOf(LINE_END, stdout.length - END_BYTES) + 1);
}

function gpuAnswer(executed: Executed): Answer<QueryGpuOutput> {
  const { text, cut } = wholeLines(executed);
  const output = parseQueryGpu(text);
  if (executed.failure === 'timeout' || !output.hasHeader || output.devices.length === 0)
    return { ok: false, ...failureOf(executed, output.problems) };
  const incomplete = cut || executed.failure !== null;
  return { ok: true, output: incomplete ? { ...output, problems: [...output.problems, CUT] } : output };
}
