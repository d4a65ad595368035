/** Prints one reading, for people or as JSON. */
import Table from 'cli-table3';
import type { AgentSettings } from '../config.ts';
import { type OnceProcess, type OnceReading, readOnce } from '../once.ts';
import { execute } from '../ports/execute.ts';
import { clock, files } from '../ports/real.ts';
import { isUnknown, type Value } from '../reading.ts';

const MIB = 1024 * 1024;
const EXIT_NOT_MEASURED = 1;

/** 0: every device was measured; 1: something was not. */
export async function printOnce(settings: AgentSettings, asJson: boolean): Promise<number> {
  const reading = await readOnce(settings.agent, { execute, files, clock });
  process.stdout.write(asJson ? `${JSON.stringify(reading, null, 2)}\n` : describe(reading));
  const measured = reading.failure === null && reading.devices.every(({ reading: one }) => one.ok);
  return measured ? 0 : EXIT_NOT_MEASURED;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const made = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of rows) made.push([...row]);
  return `${made.toString()}\n`;
}

const shown = (value: Value<number>, unit: string, per = 1): string =>
  isUnknown(value) ? `[${value.unknown}]` : `${Math.round(value / per)} ${unit}`;

function describe(reading: OnceReading): string {
  const { atMs, cluster, node, driverVersion, failure, devices, processes, problems } = reading;
  let text = `${cluster}/${node} at ${new Date(atMs).toISOString()}, driver ${driverVersion ?? 'unknown'}\n`;
  if (failure !== null) text += `Not measured: ${failure.detail} (${failure.reason})\n`;
  text += `\nDevices: ${devices.length}\n`;
  if (devices.length > 0) text += deviceTable(reading);
  text += `\nProcesses: ${processes.length}\n`;
  for (const process of processes) text += describeProcess(process);
  text += `\nProblems: ${problems.length}\n`;
  for (const { source, device, message } of problems)
    text += `  ${source}: ${device === null ? '' : `${device}: `}${message}\n`;
  return text;
}

function deviceTable({ devices }: OnceReading): string {
  const rows = devices.map(({ device, reading }) => {
    const own = [String(device.index), device.uuid, device.model];
    if (!reading.ok) return [...own, `not measured: ${reading.detail}`, '', '', ''];
    return [
      ...own,
      shown(reading.utilisationPercent, '%'),
      shown(reading.memoryUsedBytes, 'MiB', MIB),
      shown(reading.powerMilliwatts, 'W', 1000),
      reading.processes
        .map(({ pid, smPercent }) => (smPercent === null ? `${pid}` : `${pid} (SM ${smPercent} %)`))
        .join('\n'),
    ];
  });
  return table(['index', 'uuid', 'model', 'utilisation', 'memory', 'power', 'pids'], rows);
}

function describeProcess(process: OnceProcess): string {
  const lines = [
    ['user', process.user ?? (process.uid === null ? '[unknown]' : `uid ${process.uid}`)],
    ['started', process.startedMs === null ? '[unknown]' : new Date(process.startedMs).toISOString()],
    ['executable', process.executable?.path ?? '[unknown]'],
    ['command', `${process.commandLine ?? '[unknown]'}${process.commandLineCut ? '…' : ''}`],
    ['belongs to', process.owner?.boundary ?? 'no job that its control group names'],
    ...process.claims.map(({ name, value }) => ['says', `${name}=${value}`]),
    ['below', process.lineage.map(({ key, comm }) => `${comm} (${key})`).join(' < ') || '[unknown]'],
    ...process.unreadable.map((part) => ['not read', part]),
  ];
  const rest = lines.map(([name = '', value = '']) => `    ${name.padEnd(11)} ${value}\n`).join('');
  return `  ${process.key} ${process.comm}\n${rest}`;
}
