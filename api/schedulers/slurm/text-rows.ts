/**
 * Rows of Slurm's text answers, for releases whose programs write no JSON. Only columns that nobody but administrators
 * and Slurm itself writes are asked for: a job's name or comment may hold whole lines that look like rows.
 */
import type { Row } from './values.ts';

/** How a column's text is found in a JSON row: by its path. */
type Columns = readonly (readonly [column: string, path: readonly string[]])[];

export const CONTROLLER_COLUMNS: Columns = [
  ['JobID', ['job_id']],
  ['State', ['job_state']],
  ['UserID', ['user_id']],
  ['UserName', ['user_name']],
  ['SubmitTime', ['submit_time']],
  ['StartTime', ['start_time']],
  ['EndTime', ['end_time']],
  ['NodeList', ['nodes']],
  ['tres-alloc', ['tres_alloc_str']],
  ['Account', ['account']],
  ['Partition', ['partition']],
  ['QOS', ['qos']],
  ['RestartCnt', ['restart_cnt']],
  ['ArrayJobID', ['array_job_id']],
  ['ArrayTaskID', ['array_task_id']],
  ['HetJobID', ['het_job_id']],
  ['HetJobOffset', ['het_job_offset']],
];

export const ACCOUNTING_COLUMNS: Columns = [
  ['JobIDRaw', ['job_id']],
  ['DBIndex', ['sluid']],
  ['UID', ['user_id']],
  ['User', ['user']],
  ['State', ['state', 'current']],
  ['Submit', ['time', 'submission']],
  ['Start', ['time', 'start']],
  ['End', ['time', 'end']],
  ['ElapsedRaw', ['time', 'elapsed']],
  ['NodeList', ['nodes']],
  ['AllocTRES', ['tres_alloc_str']],
  ['Cluster', ['cluster']],
  ['Account', ['account']],
  ['Partition', ['partition']],
  ['QOS', ['qos']],
];

export const NODE_COLUMNS: Columns = [
  ['NodeList', ['name']],
  ['StateComplete', ['state']],
  ['Gres', ['gres']],
];

/** A longer line is no row of these columns. */
const MAX_LINE_CHARS = 1_048_576;

/** Each line as a row such as JSON has; undefined where it has not as many columns as were asked for. */
export async function* textRows(
  chunks: AsyncIterable<Buffer>,
  columns: Columns,
): AsyncGenerator<Row | undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  let skipping = false;
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!skipping && line.trim() !== '') yield rowOf(line, columns);
      skipping = false;
    }
    if (rest.length > MAX_LINE_CHARS) {
      if (!skipping) yield undefined;
      skipping = true;
      rest = '';
    }
  }
  if (!skipping && rest.trim() !== '') yield rowOf(rest, columns);
}

function rowOf(line: string, columns: Columns): Row | undefined {
  const parts = line.split('|');
  // squeue and sinfo end the last column like the others.
  if (parts.length === columns.length + 1 && parts.at(-1)?.trim() === '') parts.pop();
  if (parts.length !== columns.length) return undefined;
  const row: Record<string, unknown> = {};
  for (const [at, [, path]] of columns.entries()) {
    const [field = '', member] = path;
    const text = parts[at]?.trim() ?? '';
    if (member === undefined) row[field] = text;
    else row[field] = { ...(typeof row[field] === 'object' ? row[field] : {}), [member]: text };
  }
  return row;
}
