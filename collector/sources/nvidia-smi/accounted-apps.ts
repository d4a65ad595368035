/**
 * `nvidia-smi --query-accounted-apps=… --format=csv`: what the driver's accounting buffer holds. Rows say nothing about
 * the mode they were made in; rows under a disabled mode are stale.
 */
import { type CsvRow, readCsv } from './csv.ts';
import { type AccountedProcess, createProblems, type Problem, unknown } from './parsed.ts';
import { busId, bytes, firstKnown, milliseconds, name, percent, pid, uuid } from './values.ts';

export interface AccountedAppsOutput {
  readonly accounted: readonly AccountedProcess[];
  readonly hasHeader: boolean;
  readonly problems: readonly Problem[];
}

const KNOWN: ReadonlySet<string> = new Set([
  'timestamp',
  'gpu_name',
  'gpu_bus_id',
  'gpu_serial',
  'gpu_uuid',
  'pid',
  'vgpu_instance',
  'gpu_utilization',
  'gpu_util',
  'mem_utilization',
  'mem_util',
  'max_memory_usage',
  'max_memory',
  'time',
]);

/** Never throws. */
export function parseAccountedApps(text: string): AccountedAppsOutput {
  const problems = createProblems();
  const csv = readCsv(text, KNOWN, new Set(), problems);
  const none = unknown('no header line');
  const nameless = csv.nameless.map(
    (): AccountedProcess => ({
      device: none,
      pid: none,
      gpuUtilisationPercent: none,
      memoryUtilisationPercent: none,
      maxMemoryBytes: none,
      timeMs: none,
      running: none,
    }),
  );
  return {
    accounted: [...csv.rows.map(accountedOf), ...nameless],
    hasHeader: csv.hasHeader,
    problems: problems.list(),
  };
}

function accountedOf(row: CsvRow): AccountedProcess {
  const timeMs = milliseconds(row.cell('time'), row.unit('time'));
  return {
    device: firstKnown(uuid(row.cell('gpu_uuid')), busId(row.cell('gpu_bus_id')), name(row.cell('gpu_name'))),
    pid: pid(row.cell('pid')),
    gpuUtilisationPercent: percent(row.cell('gpu_utilization', 'gpu_util')),
    memoryUtilisationPercent: percent(row.cell('mem_utilization', 'mem_util')),
    maxMemoryBytes: bytes(
      row.cell('max_memory_usage', 'max_memory'),
      row.unit('max_memory_usage', 'max_memory'),
    ),
    timeMs,
    // NVML: "The time is reported as 0 if the process is not terminated."
    running: typeof timeMs === 'number' ? timeMs === 0 : timeMs,
  };
}
