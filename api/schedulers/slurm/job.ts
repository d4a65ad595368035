/** One run of a Slurm job, read from a row of any generation: of the controller (squeue, scontrol, REST) or of accounting. */
import { sluidIndex } from '../../contract/cgroup.ts';
import { type NodeGres, nodeGres, type TresCounts, tresCounts, tresListCounts } from './gres.ts';
import { expandHosts } from './hostlist.ts';
import { phaseOf } from './states.ts';
import { type Complain, numberOf, type Row, rowOf, textOf, timeOf, wordsOf } from './values.ts';

/** Who the row is of: the controller knows what runs, with indices; accounting knows what ended, for ever. */
export type Origin = 'controller' | 'accounting';

export interface SlurmJob {
  /** The raw id, which cgroups and the environment carry: each task of an array has its own. */
  readonly jobId: number;
  /**
   * The second in which this run was submitted, which a requeue renews: with the id the accounting database's own key of
   * a run, also where ids begin again.
   */
  readonly submitMs: number;
  readonly phase: 'holding' | 'ended';
  /** Its processes are being ended. */
  readonly completing: boolean;
  /** Its processes are stopped; its devices stay its own. */
  readonly suspended: boolean;
  readonly startMs: number;
  /** Of an ended run. */
  readonly endMs: number | null;
  readonly cluster: string | null;
  readonly user: string | null;
  readonly uid: number | null;
  readonly account: string | null;
  readonly name: string | null;
  readonly partition: string | null;
  readonly qos: string | null;
  readonly comment: string | null;
  readonly reservation: string | null;
  readonly command: string | null;
  readonly restarts: number | null;
  /** `2_0`: task 0 of array 2. */
  readonly array: string | null;
  /** `11+1`: component 1 of heterogeneous job 11. */
  readonly het: string | null;
  /** The SLUID as a decimal number, which names the cgroup from 26.05 on. */
  readonly sluid: string | null;
  readonly nodes: readonly string[];
  /** By node, in the order of `nodes`; null: the row does not say, as none does once a job has ended. */
  readonly gres: readonly (readonly NodeGres[])[] | null;
  readonly tres: TresCounts;
}

/** What is wrong with a row, and what became of it. */
export interface RowProblem {
  readonly subject: string;
  readonly message: string;
}

export interface ReadJob {
  /** null: it has no devices and never had (it waits, or was cancelled while it did), or it cannot be read. */
  readonly job: SlurmJob | null;
  readonly problems: readonly RowProblem[];
}

/** `nowMs`: what has a state of a later release is judged by its times. `zoneless`: times without a zone are UTC. */
interface Reading {
  readonly origin: Origin;
  readonly nowMs: number;
  readonly zoneless: boolean;
}

/** Ids have 32 bits. */
const MAX_JOB_ID = 2 ** 32 - 1;

/** Reads one row. Never throws: a field that cannot be read is a problem and missing; without id or times the row is lost. */
export function readJob(row: unknown, reading: Reading): ReadJob {
  const problems: RowProblem[] = [];
  if (typeof row !== 'object' || row === null || Array.isArray(row))
    return { job: null, problems: [{ subject: 'a row', message: 'is no job: it is skipped' }] };
  const fields: Row = { ...row };
  const jobId = numberOf(fields, 'job_id', () => undefined);
  const subject = jobId === null ? 'a row' : `job ${jobId}`;
  const complain: Complain = (field, message) =>
    void problems.push({ subject, message: `${field} ${message}` });
  if (jobId === null || !Number.isInteger(jobId) || jobId === 0 || jobId > MAX_JOB_ID) {
    complain('job_id', 'is missing or no number: the row is skipped');
    return { job: null, problems };
  }
  const job = reading.origin === 'controller' ? fromController : fromAccounting;
  return { job: job(fields, jobId, reading, complain), problems };
}

function fromController(row: Row, jobId: number, reading: Reading, complain: Complain): SlurmJob | null {
  const time = (field: string): number | null => timeOf(row, field, complain, reading.zoneless);
  const startMs = time('start_time');
  const endMs = time('end_time');
  const states = wordsOf(row, 'job_state', complain);
  const phase = settled(states, { startMs, endMs }, reading.nowMs);
  if (phase === null) return null;
  const nodes = nodesOf(row, complain);
  if (nodes === null) {
    if (states.includes('RUNNING')) complain('nodes', 'names none although it runs: the row is skipped');
    return null;
  }
  const span = spanOf(phase, { startMs, endMs, elapsedMs: null }, complain);
  // A resized job is another row of accounting from then on, under the time of its resizing.
  const submitMs = time('resize_time') ?? time('submit_time');
  if (span === null || submitMs === null) {
    if (submitMs === null) complain('submit_time', 'is missing: the row is skipped');
    return null;
  }
  const number = (field: string): number | null => numberOf(row, field, complain);
  const text = (field: string): string | null => textOf(row, field, complain);
  const stepId = rowOf(row, 'step_id', complain);
  return {
    ...{
      jobId,
      submitMs,
      phase,
      ...span,
      nodes,
      completing: states.includes('COMPLETING'),
      suspended: states.includes('SUSPENDED'),
    },
    ...{
      cluster: text('cluster'),
      user: text('user_name'),
      uid: number('user_id'),
      account: text('account'),
    },
    ...{ name: text('name'), partition: text('partition'), qos: text('qos'), comment: text('comment') },
    ...{ reservation: text('resv_name'), command: text('command'), restarts: number('restart_cnt') },
    array: pairOf(number('array_job_id'), number('array_task_id'), '_'),
    het: pairOf(number('het_job_id'), number('het_job_offset'), '+'),
    sluid: sluidOf(textOf(stepId, 'sluid', complain) ?? text('sluid')),
    gres: gresOf(row, nodes.length, complain),
    tres: tresCounts(text('tres_alloc_str') ?? ''),
  };
}

function fromAccounting(row: Row, jobId: number, reading: Reading, complain: Complain): SlurmJob | null {
  const times = rowOf(row, 'time', complain);
  const time = (field: string): number | null =>
    timeOf(times, field, (name, message) => complain(`time.${name}`, message), reading.zoneless);
  const startMs = time('start');
  const endMs = time('end');
  const states = wordsOf(rowOf(row, 'state', complain), 'current', complain);
  const phase = settled(states, { startMs, endMs }, reading.nowMs);
  if (phase === null) return null;
  const nodes = nodesOf(row, complain);
  if (nodes === null) return null;
  const elapsed = numberOf(times, 'elapsed', complain);
  const span = spanOf(
    phase,
    { startMs, endMs, elapsedMs: elapsed === null ? null : elapsed * 1000 },
    complain,
  );
  const submitMs = time('submission');
  if (span === null || submitMs === null) {
    if (submitMs === null) complain('time.submission', 'is missing: the row is skipped');
    return null;
  }
  const text = (field: string): string | null => textOf(row, field, complain);
  const within = (field: string, member: string) => [rowOf(row, field, complain), member, complain] as const;
  const { allocated } = rowOf(row, 'tres', complain);
  if (allocated !== undefined && allocated !== null && !Array.isArray(allocated))
    complain('tres.allocated', 'is not written as a list');
  const listed = Array.isArray(allocated)
    ? tresListCounts(allocated, (field, message) => complain(`tres.allocated: ${field}`, message))
    : tresCounts(text('tres_alloc_str') ?? '');
  return {
    ...{ jobId, submitMs, phase, ...span, nodes, completing: false, suspended: false },
    ...{ cluster: text('cluster'), uid: numberOf(row, 'user_id', complain), account: text('account') },
    ...{ name: text('name'), partition: text('partition'), qos: text('qos') },
    user: text('user') ?? textOf(...within('association', 'user')),
    comment: textOf(...within('comment', 'job')),
    reservation: reservationOf(row, complain),
    ...{ command: null, restarts: numberOf(row, 'restart_cnt', complain) },
    array: pairOf(numberOf(...within('array', 'job_id')), numberOf(...within('array', 'task_id')), '_'),
    het: pairOf(numberOf(...within('het', 'job_id')), numberOf(...within('het', 'job_offset')), '+'),
    sluid: sluidOf(text('sluid')),
    ...{ gres: null, tres: listed },
  };
}

/** 22.05 writes 0 for the name of none. */
function reservationOf(row: Row, complain: Complain): string | null {
  const reservation = rowOf(row, 'reservation', complain);
  return reservation['name'] === 0 ? null : textOf(reservation, 'name', complain);
}

/** null: it waits, or ended without having begun. A state that nobody here knows is judged by the times. */
function settled(
  states: readonly string[],
  { startMs, endMs }: { startMs: number | null; endMs: number | null },
  nowMs: number,
): 'holding' | 'ended' | null {
  const phase = phaseOf(states);
  if (phase === 'waiting') return null;
  if (phase !== 'unknown') return phase === 'ended' && startMs === null ? null : phase;
  if (startMs === null || startMs > nowMs) return null;
  return endMs !== null && endMs <= nowMs ? 'ended' : 'holding';
}

/** null: none was assigned. A list that cannot be read is a problem, and the row is lost: nobody knows where it ran. */
function nodesOf(row: Row, complain: Complain): string[] | null {
  // 20.11's first answer counts them under this name, and has no list.
  const value = row['nodes'];
  if (isRowLike(value)) return nodesOf({ nodes: value['list'] ?? value['range'] }, complain);
  if (Array.isArray(value))
    return nodesOf({ nodes: value.every((one) => typeof one === 'string') ? value.join(',') : 0 }, complain);
  const text = typeof value === 'number' ? allocatedHosts(row) : textOf(row, 'nodes', complain);
  if (text === null) return null;
  const nodes = expandHosts(text);
  if (nodes === null) complain('nodes', 'is no list of nodes: the row is skipped');
  return nodes;
}

const isRowLike = (value: unknown): value is Row =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** 20.11: `job_resources.nodes`, in which `nodes` itself is a number. */
function allocatedHosts(row: Row): string | null {
  const resources = row['job_resources'];
  if (!isRowLike(resources)) return null;
  const { nodes } = resources;
  return typeof nodes === 'string' ? textOf({ nodes }, 'nodes', () => undefined) : null;
}

/** An end that lies before its start is no end: the time that it ran counts, else it held nothing. */
function spanOf(
  phase: 'holding' | 'ended',
  times: { startMs: number | null; endMs: number | null; elapsedMs: number | null },
  complain: Complain,
): Pick<SlurmJob, 'startMs' | 'endMs'> | null {
  const { startMs, endMs, elapsedMs } = times;
  if (startMs === null) {
    complain('start', 'is missing although it has begun: the row is skipped');
    return null;
  }
  if (phase === 'holding') return { startMs, endMs: null };
  if (endMs !== null && endMs >= startMs) return { startMs, endMs };
  const mended = startMs + (elapsedMs ?? 0);
  complain('end', endMs === null ? 'is missing although it has ended' : 'lies before its start');
  return { startMs, endMs: mended };
}

const pairOf = (id: number | null, part: number | null, between: string): string | null =>
  id === null || id === 0 || part === null ? null : `${id}${between}${part}`;

/** Either as it is written from 26.05 on, or the decimal number that accounting calls DBIndex. */
function sluidOf(text: string | null): string | null {
  if (text === null) return null;
  if (/^\d{16,20}$/.test(text)) return text;
  return sluidIndex(text);
}

/** One part by node; null where they cannot be read, or are not as many as the nodes, so that nobody knows whose they are. */
function gresOf(row: Row, nodes: number, complain: Complain): NodeGres[][] | null {
  const detail = row['gres_detail'];
  if (detail === undefined || detail === null) return null;
  if (!Array.isArray(detail)) {
    complain('gres_detail', 'is not written as a list');
    return null;
  }
  if (detail.length !== nodes) return null;
  const parts: NodeGres[][] = [];
  for (const part of detail) {
    const read = typeof part === 'string' ? nodeGres(part) : null;
    if (read === null) {
      complain('gres_detail', 'is of a form that is not known: devices are declared by their number');
      return null;
    }
    parts.push(read);
  }
  return parts;
}
