/**
 * `nvidia-smi -q -x`, schemas v9 (driver 384) to v13 (595). Elements were renamed between drivers; every value is looked
 * for under all its names. Entities are not expanded, sizes and depth are bounded, and lists of supported clocks (most of
 * the text) are skipped unparsed.
 */
import { XMLParser } from 'fast-xml-parser';
import type { Value } from '../../reading.ts';
import {
  type AccountedProcess,
  createProblems,
  MAX_CHARS,
  type MigInstance,
  NOT_IN_OUTPUT,
  type ParsedDevice,
  type ParsedProcess,
  type Problem,
  type Problems,
  quote,
  UNKNOWN_PROCESS,
  unknown,
} from './parsed.ts';
import {
  busId,
  bytes,
  enabled,
  firstKnown,
  milliseconds,
  milliwatts,
  name,
  percent,
  pid,
  processType,
  uuid,
  whole,
} from './values.ts';

export interface XmlOutput {
  readonly devices: readonly ParsedDevice[];
  readonly processes: readonly ParsedProcess[];
  readonly accounted: readonly AccountedProcess[];
  readonly driverVersion: string | null;
  /** How many devices the driver says there are; more than `devices` where some cannot be read. */
  readonly attached: Value<number>;
  /** False where the text is no whole report: cut short, or not XML at all. */
  readonly whole: boolean;
  readonly problems: readonly Problem[];
}

const START = '<nvidia_smi_log';
const END = '</nvidia_smi_log>';
const MAX_DEVICES = 256;
const MAX_ROWS = 100_000;
const MAX_PROLOGUE = 65_536;
const LISTS: ReadonlySet<string> = new Set(['gpu', 'process_info', 'mig_device', 'accounted_process_info']);

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  processEntities: false,
  trimValues: true,
  maxNestedTags: 24,
  stopNodes: ['nvidia_smi_log.gpu.supported_clocks'],
  isArray: (tag) => LISTS.has(tag),
});

/** Never throws. */
export function parseXml(text: string): XmlOutput {
  const problems = createProblems();
  const { report, complete } = reportOf(text.slice(0, MAX_CHARS), problems);
  if (text.length > MAX_CHARS) problems.add(null, `only the first ${MAX_CHARS} characters were read`);
  const log = child(parse(report, problems), 'nvidia_smi_log');
  const gpus = elements(child(log, 'gpu')).slice(0, MAX_DEVICES);
  const attached = whole(textOf(log, 'attached_gpus'));
  if (log === undefined) problems.add(null, 'no report of nvidia-smi -q -x');
  else if (typeof attached === 'number' && attached !== gpus.length)
    problems.add(null, `the driver has ${attached} devices attached, the report describes ${gpus.length}`);
  const processes: ParsedProcess[] = [];
  const accounted: AccountedProcess[] = [];
  const devices = gpus.map((gpu, index) => {
    const device = deviceOf(gpu, index, problems);
    const key = firstKnown(device.uuid, device.busId);
    for (const row of rowsOf(gpu, 'processes', 'process_info', key, problems))
      if (processes.length < MAX_ROWS) processes.push(processOf(row, key));
    for (const row of rowsOf(gpu, 'accounted_processes', 'accounted_process_info', key, problems))
      if (accounted.length < MAX_ROWS) accounted.push(accountedOf(row, key));
    return device;
  });
  const version = firstKnown(name(textOf(log, 'driver_version')), name(textOf(log, 'kmd_version')));
  return {
    devices,
    processes,
    accounted,
    attached,
    driverVersion: typeof version === 'string' ? version : null,
    whole: complete && log !== undefined,
    problems: problems.list(),
  };
}

/** The report itself; text around it becomes problems, and a report that is cut short ends after its last whole device. */
function reportOf(text: string, problems: Problems): { report: string; complete: boolean } {
  const start = text.indexOf(START);
  if (start < 0) {
    foreignLines(text, 1, problems);
    return { report: '', complete: false };
  }
  const before = text.slice(0, Math.min(start, MAX_PROLOGUE));
  foreignLines(before.replace(/<\?xml[^>]{0,200}\?>|<!DOCTYPE[^>[]{0,200}>/g, ''), 1, problems);
  const end = text.indexOf(END, start);
  if (end >= 0) {
    const after = end + END.length;
    const line = text.slice(0, after).split('\n').length;
    foreignLines(text.slice(after), line, problems);
    return { report: text.slice(start, after), complete: true };
  }
  problems.add(null, 'the report is cut short');
  const last = text.lastIndexOf('</gpu>');
  const kept = last < start ? '' : `${text.slice(start, last)}</gpu>${END}`;
  return { report: kept, complete: false };
}

function foreignLines(text: string, first: number, problems: Problems): void {
  for (const [at, line] of text.split('\n', 256).entries())
    if (line.trim() !== '') problems.foreign(first + at, line);
}

function parse(report: string, problems: Problems): unknown {
  if (report === '') return undefined;
  try {
    return parser.parse(report);
  } catch (error) {
    problems.add(
      null,
      `not well-formed XML: ${quote(error instanceof Error ? error.message : 'unreadable')}`,
    );
    return undefined;
  }
}

function deviceOf(gpu: unknown, index: number, problems: Problems): ParsedDevice {
  const at = (...path: string[]): string | undefined => textOf(gpu, ...path);
  const readings = ['gpu_power_readings', 'power_readings'];
  const draws = ['power_draw', 'instant_power_draw', 'average_power_draw'];
  const limits = ['enforced_power_limit', 'current_power_limit', 'power_limit'];
  const device: ParsedDevice = {
    uuid: uuid(at('uuid')),
    index,
    minor: whole(at('minor_number')),
    busId: firstKnown(busId(at('@id')), busId(at('pci', 'pci_bus_id'))),
    model: name(at('product_name')),
    utilisationPercent: percent(at('utilization', 'gpu_util')),
    memoryUtilisationPercent: percent(at('utilization', 'memory_util')),
    memoryUsedBytes: firstKnown(bytes(at('fb_memory_usage', 'used')), bytes(at('memory_usage', 'used'))),
    memoryTotalBytes: firstKnown(bytes(at('fb_memory_usage', 'total')), bytes(at('memory_usage', 'total'))),
    powerMilliwatts: firstKnown(
      ...readings.flatMap((group) => draws.map((draw) => milliwatts(at(group, draw)))),
    ),
    powerLimitMilliwatts: firstKnown(
      ...readings.flatMap((group) => limits.map((limit) => milliwatts(at(group, limit)))),
    ),
    migEnabled: enabled(at('mig_mode', 'current_mig')),
    migInstances: elements(child(child(gpu, 'mig_devices'), 'mig_device')).map(instanceOf),
    accountingEnabled: enabled(at('accounting_mode')),
  };
  if (typeof device.uuid !== 'string')
    problems.add(
      null,
      `a device without a UUID: ${device.uuid.unknown}`,
      typeof device.busId === 'string' ? device.busId : null,
    );
  return device;
}

function instanceOf(mig: unknown): MigInstance {
  return {
    index: whole(textOf(mig, 'index')),
    uuid: uuid(textOf(mig, 'uuid')),
    profile: firstKnown(name(textOf(mig, 'profile')), name(textOf(mig, 'name'))),
    gpuInstance: whole(textOf(mig, 'gpu_instance_id')),
    computeInstance: whole(textOf(mig, 'compute_instance_id')),
    memoryUsedBytes: bytes(textOf(mig, 'fb_memory_usage', 'used')),
    memoryTotalBytes: bytes(textOf(mig, 'fb_memory_usage', 'total')),
  };
}

/** The rows of a list; a list that is replaced by words (no permission, lost device) is a problem, not an empty list. */
function rowsOf(gpu: unknown, list: string, row: string, key: Value<string>, problems: Problems): unknown[] {
  const said = textOf(gpu, list);
  if (said !== undefined && said !== '' && said !== 'None')
    problems.add(null, `${list}: ${quote(said)}`, typeof key === 'string' ? key : null);
  return elements(child(child(gpu, list), row));
}

function processOf(row: unknown, device: Value<string>): ParsedProcess {
  return {
    ...UNKNOWN_PROCESS,
    device,
    pid: pid(textOf(row, 'pid')),
    type: processType(textOf(row, 'type')),
    name: name(decoded(textOf(row, 'process_name') ?? textOf(row, 'name'))),
    memoryBytes: firstKnown(bytes(textOf(row, 'used_memory')), bytes(textOf(row, 'used_gpu_memory'))),
    gpuInstance: whole(textOf(row, 'gpu_instance_id')),
    computeInstance: whole(textOf(row, 'compute_instance_id')),
  };
}

const RUNNING: ReadonlyMap<string, boolean> = new Map([
  ['0', false],
  ['1', true],
  ['No', false],
  ['Yes', true],
]);

function accountedOf(row: unknown, device: Value<string>): AccountedProcess {
  const said = textOf(row, 'is_running');
  return {
    device,
    pid: pid(textOf(row, 'pid')),
    gpuUtilisationPercent: percent(textOf(row, 'gpu_util')),
    memoryUtilisationPercent: percent(textOf(row, 'memory_util')),
    maxMemoryBytes: bytes(textOf(row, 'max_memory_usage')),
    timeMs: milliseconds(textOf(row, 'time')),
    running: said === undefined ? NOT_IN_OUTPUT : (RUNNING.get(said) ?? unknown(quote(said))),
  };
}

function child(node: unknown, key: string): unknown {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return undefined;
  return Object.hasOwn(node, key) ? Reflect.get(node, key) : undefined;
}

const elements = (value: unknown): unknown[] =>
  Array.isArray(value) ? value : value === undefined ? [] : [value];

/** Text of an element; undefined where it is absent, comes twice, or holds elements only. */
function textOf(node: unknown, ...path: string[]): string | undefined {
  const last = path.reduce(child, node);
  if (typeof last === 'string') return last;
  const mixed = child(last, '#text');
  return typeof mixed === 'string' ? mixed : undefined;
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&lt;', '<'],
  ['&gt;', '>'],
  ['&quot;', '"'],
  ['&apos;', "'"],
  ['&amp;', '&'],
]);
/** The five entities that XML itself defines; no others exist for us. */
const decoded = (text: string | undefined): string | undefined =>
  text?.replace(/&(?:lt|gt|quot|apos|amp);/g, (entity) => ENTITIES.get(entity) ?? entity);
