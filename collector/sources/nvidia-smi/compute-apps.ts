/** `nvidia-smi --query-compute-apps=… --format=csv`: one row a process and device, columns by header. */
import { readCsv } from './csv.ts';
import { createProblems, type ParsedProcess, type Problem, UNKNOWN_PROCESS, unknown } from './parsed.ts';
import { busId, bytes, firstKnown, name, pid, uuid } from './values.ts';

export interface ComputeAppsOutput {
  readonly processes: readonly (ParsedProcess & { readonly busId: string | null })[];
  /** Without a header an empty text says nothing, also not that there are no processes. */
  readonly hasHeader: boolean;
  readonly problems: readonly Problem[];
}

const NAME: ReadonlySet<string> = new Set(['process_name', 'name']);
const KNOWN: ReadonlySet<string> = new Set([
  ...NAME,
  'timestamp',
  'gpu_name',
  'gpu_bus_id',
  'gpu_serial',
  'gpu_uuid',
  'pid',
  'used_gpu_memory',
  'used_memory',
]);

/** Never throws. A process name is the workload's own text: it may hold commas, and says nothing about the process. */
export function parseComputeApps(text: string): ComputeAppsOutput {
  const problems = createProblems();
  const csv = readCsv(text, KNOWN, NAME, problems);
  const processes = csv.rows.map((row) => {
    const bus = busId(row.cell('gpu_bus_id'));
    const process = {
      ...UNKNOWN_PROCESS,
      device: firstKnown(uuid(row.cell('gpu_uuid')), bus),
      pid: pid(row.cell('pid')),
      name: name(row.cell('process_name', 'name')),
      memoryBytes: bytes(
        row.cell('used_gpu_memory', 'used_memory'),
        row.unit('used_gpu_memory', 'used_memory'),
      ),
      busId: typeof bus === 'string' ? bus : null,
    };
    if (typeof process.pid !== 'number' && row.cell('pid') !== undefined)
      problems.add(
        row.line,
        `a process without a pid: ${process.pid.unknown}`,
        typeof process.device === 'string' ? process.device : null,
      );
    return process;
  });
  return {
    processes: [...processes, ...csv.nameless.map(selfDescribing)],
    hasHeader: csv.hasHeader,
    problems: problems.list(),
  };
}

/** Without a header: a value that can be only one thing, where the row has it once. */
function selfDescribing(cells: readonly string[]): ParsedProcess & { readonly busId: string | null } {
  const none = unknown('no header line');
  const only = <T>(values: (T | { readonly unknown: string })[], is: (value: unknown) => value is T) => {
    const known = values.filter(is);
    return (known.length === 1 ? known[0] : undefined) ?? none;
  };
  const isText = (value: unknown): value is string => typeof value === 'string';
  const isNumber = (value: unknown): value is number => typeof value === 'number';
  const bus = only(
    cells.map((cell) => busId(cell)),
    isText,
  );
  return {
    ...UNKNOWN_PROCESS,
    device: firstKnown(
      only(
        cells.map((cell) => uuid(cell)),
        isText,
      ),
      bus,
    ),
    pid: only(
      cells.map((cell) => pid(cell)),
      isNumber,
    ),
    name: none,
    memoryBytes: only(
      cells.map((cell) => bytes(cell)),
      isNumber,
    ),
    busId: isText(bus) ? bus : null,
  };
}
