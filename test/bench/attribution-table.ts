/** The result of `bench:attribution`, and the table of it for people. */
import Table from 'cli-table3';

/** Milliseconds of one thing done again and again. */
export interface Times {
  readonly medianMs: number;
  readonly p99Ms: number;
  /** CPU of the process, the median. */
  readonly cpuMs: number;
  readonly count: number;
}

/** How many process-spans in a second of CPU. */
export interface Rates {
  /** From batches as they came: parsed, decoded, placed, judged, booked. */
  readonly fromBatches: number;
  /** From what is kept in memory. */
  readonly fromMemory: number;
  /** The same where no job is declared: each process is a finding with its signals. */
  readonly undeclared: number;
  /** The parsing of the same batches alone. */
  readonly parsing: number;
  /** A join of the same spans with their jobs in SQLite, which answers less: no verdicts, no second axis. */
  readonly sqliteJoin: number;
}

export interface Result {
  readonly processSpansPerNodeDay: number;
  readonly rates: Rates;
  readonly lateJob: {
    /** Attributed before, in this process. */
    readonly warm: Times;
    /** After a restart, from sealed hours. */
    readonly cold: Times;
    /** A bare transaction that inserts as many rows and is durable. */
    readonly sameRows: Times;
    /** A durable transaction of one row. */
    readonly oneRow: Times;
    readonly rows: number;
  };
  readonly rebuild: {
    readonly threads: number;
    readonly nodeHours: number;
    readonly wallMs: number;
    readonly cpuMs: number;
    /** Of it, to start the threads and to compile: that is once, however many hours there are. */
    readonly startCpuMs: number;
    /** Of the same hours on one core: unpacked and parsed, and nothing else. */
    readonly readingCpuMs: number;
    /** A month of 1,000 GPUs by the CPU that these hours took, on two cores. */
    readonly scaledSeconds: number;
  };
  readonly evidence: {
    readonly processSpans: number;
    readonly sealedBytesPerProcessSpan: number;
    /** The same text, compressed by zstd as one. */
    readonly zstdBytesPerProcessSpan: number;
    readonly databaseBytesPerProcessSpan: number;
  };
  readonly visible: Times;
}

const GOALS = { lateMedianMs: 5, lateP99Ms: 10, rebuildSeconds: 60, sealedBytes: 6 } as const;

const compact = { head: [], border: [], compact: true };
const ms = (value: number): string => `${Number(value.toPrecision(3))} ms`;
const perSecond = (value: number): string => `${Math.round(value / 1000).toLocaleString('en')} k/s`;
const times = ({ medianMs, p99Ms, cpuMs }: Times): string[] => [ms(medianMs), ms(p99Ms), ms(cpuMs)];

export function showTable(result: Result): string {
  const { rates, lateJob, rebuild, evidence, visible } = result;
  const speeds = new Table({ head: ['process-spans of 60 s, a second of CPU', ''], style: compact });
  speeds.push(
    ['attributed, from batches as they came', perSecond(rates.fromBatches)],
    ['  limit: parsing these batches', perSecond(rates.parsing)],
    ['attributed, from what is kept in memory', perSecond(rates.fromMemory)],
    ['  the same with no job declared: findings', perSecond(rates.undeclared)],
    ['  peer: a join with jobs in SQLite', perSecond(rates.sqliteJoin)],
  );
  const durations = new Table({ head: ['', 'median', 'p99', 'CPU, median'], style: compact });
  durations.push(
    [`a node-day after a late job, durable (${lateJob.warm.count})`, ...times(lateJob.warm)],
    [`  the same after a restart (${lateJob.cold.count})`, ...times(lateJob.cold)],
    [`  limit: inserting as many rows (${lateJob.rows})`, ...times(lateJob.sameRows)],
    ['  limit: one durable row', ...times(lateJob.oneRow)],
    [`from a post to what pages are told (${visible.count})`, ...times(visible)],
  );
  return [
    `a node-day: 8 GPUs, ${result.processSpansPerNodeDay} process-spans`,
    speeds.toString(),
    durations.toString(),
    `rebuilt: ${rebuild.nodeHours} sealed node-hours with ${rebuild.threads} threads in ${ms(rebuild.wallMs)}, ${ms(
      rebuild.cpuMs,
    )} of CPU, ${ms(rebuild.startCpuMs)} of that to start and compile; reading them alone ${ms(rebuild.readingCpuMs)}`,
    `evidence: ${evidence.sealedBytesPerProcessSpan.toFixed(2)} bytes a process-span sealed, ` +
      `${evidence.zstdBytesPerProcessSpan.toFixed(2)} by zstd alone, ` +
      `${evidence.databaseBytesPerProcessSpan.toFixed(2)} with everything in the database`,
    goalsTable(result),
    '',
  ].join('\n');
}

function goalsTable({ lateJob, rebuild, evidence }: Result): string {
  const goals = new Table({ head: ['', 'measured', 'goal', ''], style: compact });
  const goal = (what: string, value: number, most: number, unit: string): number =>
    goals.push([
      ...[what, `${Number(value.toPrecision(3))} ${unit}`, `≤ ${most} ${unit}`],
      value <= most ? 'met' : 'missed',
    ]);
  goal('a node-day after a late job, median', lateJob.warm.medianMs, GOALS.lateMedianMs, 'ms');
  goal('a node-day after a late job, p99', lateJob.warm.p99Ms, GOALS.lateP99Ms, 'ms');
  goal('a month of 1,000 GPUs on two cores (scaled)', rebuild.scaledSeconds, GOALS.rebuildSeconds, 's');
  goal('evidence, a process-span', evidence.sealedBytesPerProcessSpan, GOALS.sealedBytes, 'bytes');
  return goals.toString();
}
