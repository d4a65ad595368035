/** `gpuledger-agent inspect KIND FILE`: prints what we understand of a captured output. */
import { closeSync, openSync, readSync } from 'node:fs';
import Table from 'cli-table3';
import { Argument, Command } from 'commander';
import type { CgroupOwner } from '../../api/contract/cgroup.ts';
import {
  INSPECT_KINDS,
  INSPECT_MAX_BYTES,
  type InspectedDevice,
  type InspectedProcess,
  type Inspection,
  type InspectKind,
  inspect,
  shown,
} from '../inspect.ts';
import { isUnknown, type Value } from '../reading.ts';
import { bytesToText } from '../text.ts';

const EXAMPLES = `
Examples:
  nvidia-smi -q -x | gpuledger-agent inspect xml -
  gpuledger-agent inspect pmon pmon.txt --json
  gpuledger-agent inspect cgroup /proc/self/cgroup`;
const MAX_CELL = 60;
const CHUNK_BYTES = 64 * 1024;
const MIB = 1024 * 1024;

/** The sub-command. Bad usage and unreadable files exit with 2; what the text says never changes the exit code. */
export function inspectCommand(): Command {
  return new Command('inspect')
    .description('show what the agent understands of a captured output of nvidia-smi, or of a cgroup file')
    .addArgument(new Argument('<kind>', 'which output it is').choices(INSPECT_KINDS))
    .argument('<file>', 'the captured text; - reads standard input')
    .option('--json', 'print JSON (docs/INSPECT.md)')
    .addHelpText('after', EXAMPLES)
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : 2);
    })
    .action((kind: InspectKind, file: string, options: { json?: boolean }, command: Command) => {
      const inspection = inspect(kind, readText(file, command));
      process.stdout.write(options.json ? `${JSON.stringify(inspection, null, 2)}\n` : describe(inspection));
    });
}

/** The file as text; ends the command with 2 where it cannot be read or is larger than we inspect. */
function readText(file: string, command: Command): string {
  try {
    const bytes = readBounded(file);
    if (bytes.length <= INSPECT_MAX_BYTES) return textOf(bytes);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    const why = MESSAGES.get(code) ?? code;
    return command.error(`error: cannot read ${inert(file)}: ${why}`, { exitCode: 2 });
  }
  return command.error(`error: ${inert(file)} is larger than ${INSPECT_MAX_BYTES / MIB} MiB`, {
    exitCode: 2,
  });
}

/** UTF-8, or UTF-16 where a mark says so: what a redirection makes on Windows. */
function textOf(bytes: Buffer): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return bytes.toString('utf16le', 2);
  if (first === 0xfe && second === 0xff)
    return Buffer.from(bytes.subarray(2, bytes.length & ~1))
      .swap16()
      .toString('utf16le');
  return bytes.toString('utf8');
}

const MESSAGES: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'no such file'],
  ['EACCES', 'permission denied'],
  ['EISDIR', 'it is a folder'],
]);

/** At most one chunk more than the limit, also from pipes and files of /proc, whose size reads as 0. */
function readBounded(file: string): Buffer {
  const descriptor = file === '-' ? 0 : openSync(file, 'r');
  const chunks: Buffer[] = [];
  try {
    for (let total = 0; total <= INSPECT_MAX_BYTES; ) {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      const count = readSome(descriptor, chunk);
      if (count === 0) break;
      chunks.push(chunk.subarray(0, count));
      total += count;
    }
  } finally {
    if (descriptor !== 0) closeSync(descriptor);
  }
  return Buffer.concat(chunks);
}

function readSome(descriptor: number, chunk: Buffer): number {
  for (;;) {
    try {
      return readSync(descriptor, chunk, 0, chunk.length, null);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : '';
      if (code === 'EOF') return 0;
      if (code !== 'EAGAIN') throw error;
      // A pipe without data yet: wait a little instead of spinning.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}

const inert = (text: string): string => bytesToText(Buffer.from(text), MAX_CELL).text;
/** Reasons and problems are inert already; a value is as the workload wrote it. */
const cell = (value: Value<string | number | boolean>): string =>
  isUnknown(value) ? shown(value) : inert(shown(value));
const mebibytes = (value: Value<number>): string =>
  isUnknown(value) ? cell(value) : `${Math.round(value / MIB)} MiB`;
const percent = (value: Value<number>): string => (isUnknown(value) ? cell(value) : `${value} %`);
const watts = (value: Value<number>): string => (isUnknown(value) ? cell(value) : `${value / 1000} W`);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const made = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of rows) made.push([...row]);
  return `${made.toString()}\n`;
}

function describe(inspection: Inspection): string {
  const { kind, driverVersion, devices, processes, accounted, problems } = inspection;
  let text = driverVersion === null ? `${kind}\n` : `${kind}, driver ${cell(driverVersion)}\n`;
  const owners = processes.filter((process) => 'owner' in process);
  const rows = processes.filter((process): process is InspectedProcess => !('owner' in process));
  for (const { owner } of owners) text += describeOwner(owner);
  if (devices.length > 0) text += `\nDevices: ${devices.length}\n${deviceTable(devices)}`;
  if (rows.length > 0) text += `\nProcesses: ${rows.length}\n${processTable(rows)}`;
  if (accounted.length > 0) {
    const lines = accounted.map((row) => [
      cell(row.device),
      cell(row.pid),
      percent(row.gpuUtilisationPercent),
      mebibytes(row.maxMemoryBytes),
      cell(row.timeMs),
      cell(row.running),
    ]);
    const head = ['device', 'pid', 'utilisation', 'largest memory', 'ms', 'running'];
    text += `\nAccounted: ${accounted.length}\n${table(head, lines)}`;
  }
  text += `\nProblems: ${problems.length}\n`;
  for (const { line, device, message } of problems)
    text += `  ${line === null ? '' : `line ${line}: `}${device === null ? '' : `${inert(device)}: `}${message}\n`;
  return text;
}

function deviceTable(devices: readonly InspectedDevice[]): string {
  const rows = devices.map((device) => [
    cell(device.index),
    cell(device.uuid),
    cell(device.model),
    percent(device.utilisationPercent),
    mebibytes(device.memoryUsedBytes),
    mebibytes(device.memoryTotalBytes),
    watts(device.powerMilliwatts),
    device.migInstances.length > 0 ? String(device.migInstances.length) : cell(device.migEnabled),
  ]);
  return table(['index', 'uuid', 'model', 'utilisation', 'memory', 'of', 'power', 'MIG'], rows);
}

function processTable(processes: readonly InspectedProcess[]): string {
  const rows = processes.map((process) => [
    cell(process.device),
    cell(process.pid),
    cell(process.type),
    percent(process.smPercent),
    mebibytes(process.memoryBytes),
    isUnknown(process.gpuInstance) ? '-' : `${process.gpuInstance}/${cell(process.computeInstance)}`,
    cell(process.name),
  ]);
  return table(['device', 'pid', 'type', 'SM', 'memory', 'GI/CI', 'name'], rows);
}

function describeOwner(owner: CgroupOwner | null): string {
  if (owner === null) return 'No line names an owner.\n';
  const entries = Object.entries(owner).filter(([, value]) => value !== null && value !== undefined);
  return table(
    ['owner', ''],
    entries.map(([key, value]) => [key, bytesToText(Buffer.from(String(value)), 300).text]),
  );
}
