/**
 * What `nvidia-smi` would print on a simulated node at a moment, in the formats of drivers 570 to 595. Fast enough for
 * thousands of polls a second: a list of fields is parsed once, and a node's state is computed once a moment.
 */
import { latest, within } from './model.ts';
import type { AppRow, Field, GpuRow } from './nvidia-smi-fields.ts';
import { ACCOUNTED_FIELDS, APP_FIELDS, GPU_FIELDS, headerOf, withUnit } from './nvidia-smi-fields.ts';
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
  const fault = state.node.toolFaults.find((candidate) => within(candidate, state.atMs));
  if (fault !== undefined)
    return { stdout: fault.text, exitCode: fault.exitCode, hang: fault.kind === 'hang' };
  const first = args[0] ?? '';
  const [option, list] = split(first);
  switch (option) {
    case '--query-gpu':
      return answer(state, queryGpu(list, args, gpuRows(state)));
    case '--query-compute-apps':
      return answer(state, queryApps(list, args, appRows(state)));
    case '--query-accounted-apps':
      return answer(state, queryAccounted(list, args, []));
    case 'pmon':
      return withLost(state, renderPmon(state, args));
    case '-L':
    case '--list-gpus':
      return withLost(state, renderList(state));
    case '--help-query-gpu':
      return printed(renderHelp('--query-gpu', GPU_FIELDS));
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
): (list: string, args: readonly string[], rows: readonly Row[]) => Answer {
  const parsed = new Map<string, { fields: readonly Field<Row>[]; unknown: string | null }>();
  const parse = (list: string): { fields: readonly Field<Row>[]; unknown: string | null } => {
    const fields: Field<Row>[] = [];
    for (const name of list.split(',')) {
      const found = known.find((entry) => entry.names.includes(name.trim()));
      if (found === undefined) return { fields: [], unknown: name.trim() };
      fields.push(found);
    }
    return { fields, unknown: null };
  };
  return (list, args, rows) => {
    const request = parsed.get(list) ?? parse(list);
    parsed.set(list, request);
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
  for (const state of node.devices) if (!isLost(state)) rows.push({ node, state });
  return rows;
}

/** Compute contexts only: a pure graphics client (type G) is not listed. */
export function appRows(node: NodeState): AppRow[] {
  const rows: AppRow[] = [];
  for (const state of node.devices)
    for (const tenant of state.tenants) if (tenant.use.type !== 'G') rows.push({ node, state, tenant });
  return rows;
}

const PMON_COLUMNS: Readonly<Record<string, { readonly head: string; readonly units: string }>> = {
  u: {
    head: '     sm    mem    enc    dec    jpg    ofa',
    units: '      %      %      %      %      %      %',
  },
  m: { head: '     fb   ccpm', units: '     MB     MB' },
};
const COMMAND_CHARS = 15;

/** `pmon -c 1`: one tick, with its two header lines. `-` is "no sample": a context that ran nothing, or nobody there. */
export function renderPmon(state: NodeState, args: readonly string[]): string {
  const letters = [...(optionValue(args, '-s') ?? 'u')].filter((letter) => letter in PMON_COLUMNS);
  const only = optionValue(args, '-i')?.split(',') ?? null;
  let text = `# gpu         pid   type${letters.map((l) => PMON_COLUMNS[l]?.head ?? '').join('')}    command \n`;
  text += `# Idx           #    C/G${letters.map((l) => PMON_COLUMNS[l]?.units ?? '').join('')}    name \n`;
  for (const { device, fault, tenants } of state.devices) {
    if (fault === 'lost' || (only !== null && !only.includes(String(device.index)))) continue;
    const index = String(device.index).padStart(5);
    if (tenants.length === 0) {
      const nothing = letters.map((letter) => (letter === 'u' ? dashes(6) : dashes(2))).join('');
      text += `${index}          -     -${nothing}    ${'-'.padEnd(COMMAND_CHARS)}\n`;
    }
    for (const { process, use, smPercent } of tenants) {
      const values = letters.map((letter) =>
        letter === 'u' ? shares(smPercent) : `${String(use.memoryMiB).padStart(7)}      0`,
      );
      const command = latest(process.images, state.atMs).comm.slice(0, COMMAND_CHARS).padEnd(COMMAND_CHARS);
      text += `${index}${String(process.pid).padStart(11)}${use.type.padStart(6)}${values.join('')}    ${command}\n`;
    }
  }
  return text;
}

const dashes = (count: number): string => '      -'.repeat(count);
const shares = (smPercent: number): string =>
  smPercent === 0
    ? dashes(6)
    : `${String(smPercent).padStart(7)}${String(Math.floor(smPercent / 3)).padStart(7)}${dashes(4)}`;

function optionValue(args: readonly string[], option: string): string | undefined {
  const at = args.indexOf(option);
  return at === -1 ? undefined : args[at + 1];
}

function renderList(state: NodeState): string {
  return state.devices
    .filter((device) => !isLost(device))
    .map(({ device }) => `GPU ${device.index}: ${device.model.name} (UUID: ${device.uuid})\n`)
    .join('');
}

function renderVersion({ node }: NodeState): string {
  const nvml = node.driverVersion.split('.').slice(0, 2).join('.');
  return `NVIDIA-SMI version  : ${node.driverVersion}
NVML version        : ${nvml}
DRIVER version      : ${node.driverVersion}
CUDA Version        : ${node.cudaVersion}
`;
}

function renderHelp(option: string, fields: readonly { readonly names: readonly string[] }[]): string {
  const entries = fields.map(
    ({ names }) => `${names.map((name) => `"${name}"`).join(' or ')}\nSee the manual for what it means.\n`,
  );
  return `List of valid properties to query for the switch "${option}":\n\n${entries.join('\n')}\n`;
}
