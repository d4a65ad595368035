/**
 * What `nvidia-smi` would print on a simulated node at a moment, in the formats of drivers 460 to 610. Fast enough for
 * thousands of polls a second: a list of fields is parsed once, and a node's state is computed once a moment.
 */

import { accountedRows } from './accounting.ts';
import { within } from './model.ts';
import type { AppRow, EndedRow, Field, GpuRow } from './nvidia-smi-fields.ts';
import {
  ACCOUNTED_FIELDS,
  APP_FIELDS,
  driverBranch,
  fieldsOf,
  GPU_FIELDS,
  headerOf,
  withUnit,
} from './nvidia-smi-fields.ts';
import { renderPmon } from './nvidia-smi-pmon.ts';
import { renderXml } from './nvidia-smi-xml.ts';
import type { DeviceState, NodeState } from './snapshot.ts';

/** `hang`: it would never end. */
export interface Printed {
  readonly stdout: string;
  readonly exitCode: number;
  readonly hang: boolean;
}

const INVALID_ARGUMENT = 2;
const DEVICE_LOST = 15;
const printed = (stdout: string, exitCode = 0): Printed => ({ stdout, exitCode, hang: false });

export function renderNvidiaSmi(state: NodeState, args: readonly string[]): Printed {
  const call = args.join(' ');
  const fault = state.node.toolFaults.find(
    (candidate) => within(candidate, state.atMs) && call.startsWith(candidate.call ?? ''),
  );
  if (fault === undefined) return called(state, args);
  if (fault.kind !== 'half')
    return { stdout: fault.text, exitCode: fault.exitCode, hang: fault.kind === 'hang' };
  const { stdout } = called(state, args);
  return printed(stdout.slice(0, Math.floor(stdout.length / 2)), fault.exitCode);
}

function called(state: NodeState, args: readonly string[]): Printed {
  const first = args[0] ?? '';
  const [option, list] = split(first);
  switch (option) {
    case '--query-gpu':
      return answer(state, queryGpu(list, args, gpuRows(state), state.node.driverVersion));
    case '--query-compute-apps':
      return answer(state, queryApps(list, args, appRows(state), state.node.driverVersion));
    case '--query-accounted-apps':
      return answer(state, queryAccounted(list, args, endedRows(state), state.node.driverVersion));
    case 'pmon':
      return withLost(state, renderPmon(state, args));
    case '-L':
    case '--list-gpus':
      return withLost(state, renderList(state));
    case '--help-query-gpu':
      return printed(renderHelp('--query-gpu', fieldsOf(GPU_FIELDS, state.node.driverVersion)));
    case '--help-query-compute-apps':
      return printed(renderHelp('--query-compute-apps', APP_FIELDS));
    case '--help-query-accounted-apps':
      return printed(renderHelp('--query-accounted-apps', ACCOUNTED_FIELDS));
    case '--version':
      return printed(renderVersion(state));
    default:
      return args.includes('-q') && args.includes('-x')
        ? withLost(state, renderXml(state))
        : printed(
            `Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n`,
            INVALID_ARGUMENT,
          );
  }
}

function split(argument: string): [string, string] {
  const equals = argument.indexOf('=');
  return equals === -1 ? [argument, ''] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

const isLost = (device: DeviceState): boolean => device.fault === 'lost';
const isAbsent = (device: DeviceState): boolean => isLost(device) || device.fault === 'gone';

/** A lost device is named after the good output, and the exit code says so. */
function withLost(state: NodeState, stdout: string): Printed {
  if (!state.devices.some(isLost)) return printed(stdout);
  const lines = state.devices
    .filter(isLost)
    .map(
      ({ device }) =>
        `Unable to determine the device handle for GPU ${device.busId.slice(4)}: GPU is lost.  Reboot the system to recover this GPU\n`,
    );
  return printed(stdout + lines.join(''), DEVICE_LOST);
}

interface Answer {
  readonly text: string;
  readonly valid: boolean;
}
const answer = (state: NodeState, { text, valid }: Answer): Printed =>
  valid ? withLost(state, text) : printed(text, INVALID_ARGUMENT);

/** A CSV query over rows: picks the requested fields, in the order of the request. One unknown field fails it all. */
function createQuery<Row>(
  known: readonly Field<Row>[],
): (list: string, args: readonly string[], rows: readonly Row[], driverVersion: string) => Answer {
  const parsed = new Map<string, { fields: readonly Field<Row>[]; unknown: string | null }>();
  const parse = (list: string, branch: number): { fields: readonly Field<Row>[]; unknown: string | null } => {
    const fields: Field<Row>[] = [];
    for (const name of list.split(',')) {
      const found = known.find((entry) => entry.names.includes(name.trim()));
      if (found === undefined || (found.since ?? 0) > branch) return { fields: [], unknown: name.trim() };
      fields.push(found);
    }
    return { fields, unknown: null };
  };
  return (list, args, rows, driverVersion) => {
    const key = `${driverVersion} ${list}`;
    const request = parsed.get(key) ?? parse(list, driverBranch(driverVersion));
    parsed.set(key, request);
    if (request.unknown !== null)
      return { text: `Field "${request.unknown}" is not a valid field to query.\n\n`, valid: false };
    const format = args.find((argument) => argument.startsWith('--format=')) ?? '';
    const units = !format.includes('nounits');
    let text = '';
    if (!format.includes('noheader'))
      text += `${request.fields.map(({ names, unit }) => headerOf(names, units ? unit : '')).join(', ')}\n`;
    for (const row of rows) {
      let separator = '';
      for (const { value, unit } of request.fields) {
        text += separator;
        text += units ? withUnit(value(row), unit) : value(row);
        separator = ', ';
      }
      text += '\n';
    }
    return { text, valid: true };
  };
}

const queryGpu = createQuery(GPU_FIELDS);
const queryApps = createQuery(APP_FIELDS);
const queryAccounted = createQuery(ACCOUNTED_FIELDS);

export function gpuRows(node: NodeState): GpuRow[] {
  const rows: GpuRow[] = [];
  for (const state of node.devices) if (!isAbsent(state)) rows.push({ node, state });
  return rows;
}

/** Compute contexts only: a pure graphics client (type G) is not listed. */
export function appRows(node: NodeState): AppRow[] {
  const rows: AppRow[] = [];
  for (const state of node.devices)
    for (const tenant of state.tenants) if (tenant.use.type !== 'G') rows.push({ node, state, tenant });
  return rows;
}

/** Oldest first within each device. */
export function endedRows(node: NodeState): EndedRow[] {
  return accountedRows(node.node, node.atMs).flatMap((ended) => {
    const state = node.devices[ended.device];
    return state === undefined || isAbsent(state) ? [] : [{ node, state, ended }];
  });
}

function renderList(state: NodeState): string {
  return state.devices
    .filter((device) => !isAbsent(device))
    .map(({ device }) => {
      const instances = (device.instances ?? []).map(
        ({ profile, uuid }, at) =>
          `  MIG ${profile.padEnd(11)} Device ${String(at).padStart(2)}: (UUID: ${uuid})\n`,
      );
      return `GPU ${device.index}: ${device.model.name} (UUID: ${device.uuid})\n${instances.join('')}`;
    })
    .join('');
}

/** From this driver on the words are the kernel and user mode drivers'. */
const TWO_DRIVERS_FROM = 610;

function renderVersion({ node }: NodeState): string {
  const nvml = node.driverVersion.split('.').slice(0, 2).join('.');
  const tool = `NVIDIA-SMI version  : ${node.driverVersion}\nNVML version        : ${nvml}\n`;
  if (driverBranch(node.driverVersion) < TWO_DRIVERS_FROM)
    return `${tool}DRIVER version      : ${node.driverVersion}\nCUDA Version        : ${node.cudaVersion}\n`;
  return `${tool}DRIVER version      : Deprecated, see "KMD version" instead
CUDA version        : Deprecated, see "CUDA UMD version" instead
KMD version         : ${node.driverVersion}
CUDA UMD version    : ${node.cudaVersion}
`;
}

function renderHelp(option: string, fields: readonly { readonly names: readonly string[] }[]): string {
  const entries = fields.map(
    ({ names }) => `${names.map((name) => `"${name}"`).join(' or ')}\nSee the manual for what it means.\n`,
  );
  return `List of valid properties to query for the switch "${option}":\n\n${entries.join('\n')}\n`;
}
