/** The report (`-q -x`) at a poll: of MIG devices what no query says, and of small nodes all that the queries say. */
import type { Executed } from '../../ports.ts';
import type { Value } from '../../reading.ts';
import { type Answer, failureOf } from './call.ts';
import type { ComputeAppsOutput } from './compute-apps.ts';
import { type ParsedDevice, type Problem, unknown } from './parsed.ts';
import type { QueryGpuOutput } from './query-gpu.ts';
import { parseXml, type XmlOutput } from './xml.ts';

/** The one text in a report that a workload chooses. The tool does not promise to escape it, and nobody here needs it. */
const NAMES = /^[ \t]*<process_name>[^\n]*<\/process_name>[ \t\r]*\n/gm;
/** What is left of a name with line breaks, and what would hide a part of the report. */
const SUSPICIOUS = /process_name|<!--|<!\[CDATA\[/;

export const withoutNames = (report: string): string => report.replaceAll(NAMES, '');

/** Never throws. A report that a process name may have changed is none. */
export function readReport(executed: Executed): Answer<XmlOutput> {
  const text = withoutNames(executed.stdout.toString('utf8'));
  if (SUSPICIOUS.test(text))
    return {
      ok: false,
      reason: 'processes_unreadable',
      detail: 'the report cannot be told from the name of a process in it',
    };
  const output = parseXml(text);
  const more = typeof output.attached === 'number' && output.devices.length > output.attached;
  if (!output.whole || executed.failure !== null)
    return { ok: false, ...failureOf(executed, output.problems) };
  if (more) return { ok: false, reason: 'tool_failed', detail: 'more devices described than attached' };
  return { ok: true, output };
}

/** A list of processes that is replaced by words. */
export const isAboutProcesses = ({ message }: Problem): boolean => message.startsWith('processes:');

/** As `--query-gpu` would say it. `indexes`: a report does not number its devices, and leaves lost ones out. */
export function gpusOf(report: XmlOutput, indexes: ReadonlyMap<string, number>): QueryGpuOutput {
  const complete = report.attached === report.devices.length;
  const position = (device: ParsedDevice): Value<number> =>
    complete ? device.index : unknown('some devices are missing');
  return {
    devices: report.devices.map((device) => ({
      ...device,
      index: (typeof device.uuid === 'string' ? indexes.get(device.uuid) : undefined) ?? position(device),
    })),
    driverVersion: report.driverVersion,
    hasHeader: true,
    problems: report.problems.filter((problem) => !isAboutProcesses(problem)),
  };
}

/** As `--query-compute-apps` would say it, and processes that only draw as well. */
export function appsOf(report: XmlOutput): ComputeAppsOutput {
  return {
    processes: report.processes.map((process) => ({ ...process, busId: null })),
    hasHeader: true,
    problems: report.problems.filter(isAboutProcesses),
  };
}
